/* See rtnetlink.h. */
#include "runtime/rtnetlink.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>

enum { REQUEST_MAX = 512, ANSWER_MAX = 32768 };

union request {
	struct nlmsghdr header;
	char bytes[REQUEST_MAX];
};

int rtnetlink_open(void)
{
	return socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
}

/* Returns the place of the fixed part, which is zeroed. */
static void *begin(union request *request, uint16_t type, uint16_t flags, size_t fixed)
{
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | flags;
	request->header.nlmsg_len = NLMSG_LENGTH(fixed);
	return NLMSG_DATA(&request->header);
}

static void add(union request *request, uint16_t type, const void *value, size_t length)
{
	size_t offset = NLMSG_ALIGN(request->header.nlmsg_len);
	struct rtattr *attribute = (struct rtattr *)(void *)(request->bytes + offset);

	attribute->rta_type = type;
	attribute->rta_len = (unsigned short)RTA_LENGTH(length);
	memcpy(RTA_DATA(attribute), value, length);
	request->header.nlmsg_len = (uint32_t)(offset + RTA_ALIGN(attribute->rta_len));
}

/* A name that does not fit is one that no device has. */
static int add_name(union request *request, const char *name)
{
	if (strlen(name) >= IFNAMSIZ) {
		errno = ENAMETOOLONG;
		return -1;
	}
	add(request, IFLA_IFNAME, name, strlen(name) + 1);
	return 0;
}

/* Hands each message of the answer over, until one says that it was the last. */
static int ask(int fd, const union request *request, int (*take)(const struct nlmsghdr *message, void *data),
	void *data)
{
	const bool dump = (request->header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
	_cleanup_free_ char *answer = malloc(ANSWER_MAX);

	if (!answer || send(fd, request, request->header.nlmsg_len, 0) < 0)
		return -1;
	for (;;) {
		ssize_t received = recv(fd, answer, ANSWER_MAX, 0);
		int length = (int)received;

		if (received < 0 && errno == EINTR)
			continue;
		if (received < 0)
			return -1;
		for (struct nlmsghdr *message = (struct nlmsghdr *)(void *)answer; NLMSG_OK(message, length);
			message = NLMSG_NEXT(message, length)) {
			if (message->nlmsg_type == NLMSG_DONE)
				return 0;
			if (message->nlmsg_type == NLMSG_ERROR) {
				errno = -((struct nlmsgerr *)NLMSG_DATA(message))->error;
				return errno ? -1 : 0;
			}
			if (take && take(message, data) < 0)
				return -1;
			if (!dump && !(request->header.nlmsg_flags & NLM_F_ACK))
				return 0;
		}
	}
}

static int take_index(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *link = NLMSG_DATA(message);

	*(int *)data = link->ifi_index;
	return 0;
}

int rtnetlink_find(int fd, const char *name, int index)
{
	union request request;
	struct ifinfomsg *link = begin(&request, RTM_GETLINK, 0, sizeof(*link));
	int found = -1;

	link->ifi_index = name ? 0 : index;
	if (name && add_name(&request, name) < 0)
		return -1;
	return ask(fd, &request, take_index, &found) < 0 ? -1 : found;
}

struct collection {
	struct arena *arena;
	int index;
	struct rtnetlink_addresses *addresses;
};

static unsigned char copy(unsigned char place[16], const struct rtattr *attribute)
{
	size_t length = RTA_PAYLOAD(attribute);

	if (length > 16)
		return 0;
	memcpy(place, RTA_DATA(attribute), length);
	return (unsigned char)length;
}

static int take_address(const struct nlmsghdr *message, void *data)
{
	const struct collection *collection = data;
	const struct ifaddrmsg *header = NLMSG_DATA(message);
	struct rtnetlink_address found = { .header = *header };
	int length = (int)IFA_PAYLOAD(message);
	uint32_t flags = header->ifa_flags;

	for (struct rtattr *attribute = IFA_RTA(header); RTA_OK(attribute, length);
		attribute = RTA_NEXT(attribute, length))
		switch (attribute->rta_type) {
		case IFA_LOCAL:
			found.local_length = copy(found.local, attribute);
			break;
		case IFA_ADDRESS:
			found.address_length = copy(found.address, attribute);
			break;
		case IFA_BROADCAST:
			found.broadcast_length = copy(found.broadcast, attribute);
			break;
		case IFA_FLAGS:
			memcpy(&flags, RTA_DATA(attribute), sizeof(flags));
			break;
		}
	if ((int)header->ifa_index == collection->index && header->ifa_scope == RT_SCOPE_UNIVERSE &&
		flags & IFA_F_PERMANENT)
		*(struct rtnetlink_address *)arena_push(collection->arena, &collection->addresses->items,
			&collection->addresses->count, sizeof(found)) = found;
	return 0;
}

int rtnetlink_addresses(struct arena *arena, int fd, int index, struct rtnetlink_addresses *addresses)
{
	struct collection collection = { arena, index, addresses };
	union request request;

	begin(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(struct ifaddrmsg));
	return ask(fd, &request, take_address, &collection);
}

int rtnetlink_add_address(int fd, int index, const struct rtnetlink_address *address)
{
	union request request;
	struct ifaddrmsg *header =
		begin(&request, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(*header));

	header->ifa_family = address->header.ifa_family;
	header->ifa_prefixlen = address->header.ifa_prefixlen;
	header->ifa_scope = address->header.ifa_scope;
	header->ifa_index = (uint32_t)index;
	if (address->local_length)
		add(&request, IFA_LOCAL, address->local, address->local_length);
	if (address->address_length)
		add(&request, IFA_ADDRESS, address->address, address->address_length);
	if (address->broadcast_length)
		add(&request, IFA_BROADCAST, address->broadcast, address->broadcast_length);
	return ask(fd, &request, NULL, NULL);
}

int rtnetlink_move(int fd, int index, int new_index, const char *name, int namespace)
{
	union request request;
	struct ifinfomsg *link = begin(&request, RTM_NEWLINK, NLM_F_ACK, sizeof(*link));

	link->ifi_index = index;
	add(&request, IFLA_NET_NS_FD, &namespace, sizeof(namespace));
	add(&request, IFLA_NEW_IFINDEX, &new_index,
		sizeof(new_index)); /* Linux 5.13; an older kernel ignores it */
	if (add_name(&request, name) < 0)
		return -1;
	return ask(fd, &request, NULL, NULL);
}

int rtnetlink_up(int fd, int index)
{
	union request request;
	struct ifinfomsg *link = begin(&request, RTM_NEWLINK, NLM_F_ACK, sizeof(*link));

	link->ifi_index = index;
	link->ifi_flags = link->ifi_change = IFF_UP;
	return ask(fd, &request, NULL, NULL);
}
