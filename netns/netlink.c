/* See netlink.h. */
#include "netns/netlink.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/fib_rules.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

enum {
	MESSAGE_MAX = 2048,  /* more than any single request here needs */
	RECEIVE_MAX = 32768, /* what the kernel fills a dump's message with */
	RULE_PRIORITY = 100, /* before main (32766), after local (0) */
	REFUSAL_TEXT_MAX = 256,
};

struct netlink {
	struct mnl_socket *socket;
	uint32_t sequence;
};

struct netlink *netlink_open(int bus, struct error *err)
{
	struct netlink *netlink = calloc(1, sizeof(*netlink));
	int on = 1;

	if (!netlink || !(netlink->socket = mnl_socket_open2(bus, SOCK_CLOEXEC)) ||
		mnl_socket_bind(netlink->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		error_set(err, errno, "cannot open a netlink socket");
		netlink_close(netlink);
		return NULL;
	}
	/* Both only make messages better and requests stricter; a kernel before 4.12 or 4.20 goes without. */
	mnl_socket_setsockopt(netlink->socket, NETLINK_EXT_ACK, &on, sizeof(on));
	mnl_socket_setsockopt(netlink->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on));
	return netlink;
}

void netlink_close(struct netlink *netlink)
{
	int saved = errno;

	if (!netlink)
		return;
	if (netlink->socket)
		mnl_socket_close(netlink->socket);
	free(netlink);
	errno = saved;
}

uint32_t netlink_sequence(struct netlink *netlink)
{
	return ++netlink->sequence;
}

/* The kernel's own words in a refusal, when NETLINK_EXT_ACK gave some. */
static const char *refusal_text(const struct nlmsghdr *message, char text[static REFUSAL_TEXT_MAX])
{
	const struct nlmsgerr *refusal = mnl_nlmsg_get_payload(message);
	size_t offset = sizeof(*refusal);
	const struct nlattr *attribute;

	if (!(message->nlmsg_flags & NLM_F_ACK_TLVS))
		return "";
	if (!(message->nlmsg_flags & NLM_F_CAPPED))
		offset += refusal->msg.nlmsg_len - sizeof(refusal->msg);
	mnl_attr_for_each(attribute, message, MNL_ALIGN(offset))
	{
		if (mnl_attr_get_type(attribute) != NLMSGERR_ATTR_MSG)
			continue;
		snprintf(text, REFUSAL_TEXT_MAX, " (%.*s)", (int)mnl_attr_get_payload_len(attribute),
			mnl_attr_get_str(attribute));
		return text;
	}
	return "";
}

/* One datagram's messages. 1: finished; 0: more to come; -1: refused. */
static int take_answers(const void *data, size_t length, uint32_t last, mnl_cb_t each, void *each_data,
	const char *what, struct error *err)
{
	const struct nlmsghdr *message = data;
	int left = (int)length;
	char text[REFUSAL_TEXT_MAX];

	for (; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
		if (message->nlmsg_type == NLMSG_ERROR) {
			const struct nlmsgerr *answer = mnl_nlmsg_get_payload(message);

			if (answer->error)
				return error_set(err, -answer->error, "cannot %s%s", what,
					refusal_text(message, text));
			if (message->nlmsg_seq == last)
				return 1;
		} else if (message->nlmsg_type == NLMSG_DONE) {
			return 1;
		} else if (each && message->nlmsg_seq == last && each(message, each_data) < 0) {
			return error_set(err, errno, "cannot %s", what);
		}
	}
	return 0;
}

static int converse(struct netlink *netlink, const void *messages, size_t length, uint32_t last,
	mnl_cb_t each, void *each_data, const char *what, struct error *err)
{
	_cleanup_free_ char *answer = malloc(RECEIVE_MAX);
	int finished = 0;

	if (!answer)
		return error_set(err, ENOMEM, "cannot %s", what);
	if (mnl_socket_sendto(netlink->socket, messages, length) < 0)
		return error_set(err, errno, "cannot %s: the kernel did not take the request", what);
	while (!finished) {
		ssize_t received = mnl_socket_recvfrom(netlink->socket, answer, RECEIVE_MAX);

		if (received < 0 && errno == EINTR)
			continue;
		if (received < 0)
			return error_set(err, errno, "cannot %s: no answer from the kernel", what);
		finished = take_answers(answer, (size_t)received, last, each, each_data, what, err);
	}
	return finished < 0 ? -1 : 0;
}

int netlink_send(struct netlink *netlink, const void *messages, size_t length, uint32_t last,
	const char *what, struct error *err)
{
	return converse(netlink, messages, length, last, NULL, NULL, what, err);
}

/* A request's header and the family's own; `flags` besides NLM_F_REQUEST. */
static void *begin(struct netlink *netlink, void *buffer, uint16_t type, uint16_t flags, size_t extra)
{
	struct nlmsghdr *message = mnl_nlmsg_put_header(buffer);

	message->nlmsg_type = type;
	message->nlmsg_flags = NLM_F_REQUEST | flags;
	message->nlmsg_seq = netlink_sequence(netlink);
	return mnl_nlmsg_put_extra_header(message, extra);
}

static int finish(struct netlink *netlink, const void *buffer, const char *what, struct error *err)
{
	const struct nlmsghdr *message = buffer;

	return netlink_send(netlink, message, message->nlmsg_len, message->nlmsg_seq, what, err);
}

static int dump(struct netlink *netlink, const void *buffer, mnl_cb_t each, void *data, const char *what,
	struct error *err)
{
	const struct nlmsghdr *message = buffer;

	return converse(netlink, message, message->nlmsg_len, message->nlmsg_seq, each, data, what, err);
}

static void put_address(struct nlmsghdr *message, uint16_t type, const struct endpoint *address)
{
	if (address->family == AF_INET)
		mnl_attr_put(message, type, sizeof(address->v4), &address->v4);
	else
		mnl_attr_put(message, type, sizeof(address->v6), &address->v6);
}

static const char *family_name(sa_family_t family)
{
	return family == AF_INET ? "IPv4" : "IPv6";
}

static struct ifinfomsg *begin_link(struct netlink *netlink, void *buffer, unsigned int link)
{
	struct ifinfomsg *body = begin(netlink, buffer, RTM_NEWLINK, NLM_F_ACK, sizeof(*body));

	body->ifi_index = (int)link;
	return body;
}

int netlink_link_up(struct netlink *netlink, unsigned int link, unsigned int mtu, struct error *err)
{
	char buffer[MESSAGE_MAX], name[IF_NAMESIZE] = "?", what[64];
	struct ifinfomsg *body = begin_link(netlink, buffer, link);

	if (mtu)
		mnl_attr_put_u32((struct nlmsghdr *)buffer, IFLA_MTU, mtu);
	body->ifi_change = IFF_UP;
	body->ifi_flags = IFF_UP;
	if_indextoname(link, name);
	snprintf(what, sizeof(what), "bring up the network link %s", name);
	return finish(netlink, buffer, what, err);
}

int netlink_link_silence(struct netlink *netlink, unsigned int link, struct error *err)
{
	char buffer[MESSAGE_MAX];
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct nlattr *families, *inet6;

	begin_link(netlink, buffer, link);
	families = mnl_attr_nest_start(message, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(message, AF_INET6);
	mnl_attr_put_u8(message, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(message, inet6);
	mnl_attr_nest_end(message, families);
	return finish(netlink, buffer, "keep the kernel from making IPv6 addresses", err);
}

int netlink_address_add(struct netlink *netlink, unsigned int link, const struct endpoint *address,
	unsigned int prefix, struct error *err)
{
	char buffer[MESSAGE_MAX], text[ENDPOINT_TEXT_MAX], what[128];
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct ifaddrmsg *body;

	body = begin(netlink, buffer, RTM_NEWADDR, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(*body));
	body->ifa_family = (uint8_t)address->family;
	body->ifa_prefixlen = (uint8_t)prefix;
	body->ifa_scope = RT_SCOPE_UNIVERSE;
	body->ifa_index = link;
	body->ifa_flags = address->family == AF_INET6 ? IFA_F_NODAD : 0;
	put_address(message, IFA_LOCAL, address);
	put_address(message, IFA_ADDRESS, address);
	snprintf(what, sizeof(what), "set the address %s", endpoint_format(address, text));
	return finish(netlink, buffer, what, err);
}

/* In place of one that is there. */
static struct rtmsg *begin_route(struct netlink *netlink, char *buffer, sa_family_t family)
{
	struct rtmsg *route = begin(
		netlink, buffer, RTM_NEWROUTE, NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE, sizeof(*route));

	route->rtm_family = (uint8_t)family;
	route->rtm_protocol = RTPROT_STATIC;
	return route;
}

static void put_metrics(struct nlmsghdr *message, const struct route_metrics *metrics)
{
	struct nlattr *nest = mnl_attr_nest_start(message, RTA_METRICS);

	mnl_attr_put_strz(message, RTAX_CC_ALGO, metrics->congestion_control);
	mnl_attr_put_u32(message, RTAX_ADVMSS, metrics->advertised_mss);
	mnl_attr_nest_end(message, nest);
}

int netlink_route_default(struct netlink *netlink, sa_family_t family, unsigned int link,
	const struct endpoint *source, const struct route_metrics *metrics, struct error *err)
{
	char buffer[MESSAGE_MAX], what[64];
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct rtmsg *route;

	route = begin_route(netlink, buffer, family);
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_scope = family == AF_INET ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(message, RTA_OIF, link);
	if (source->family)
		put_address(message, RTA_PREFSRC, source);
	put_metrics(message, metrics);
	snprintf(what, sizeof(what), "set the %s default route", family_name(family));
	return finish(netlink, buffer, what, err);
}

/* A link's routes, copied one after the other; NULL-terminated by count. */
struct route_list {
	unsigned int except;
	size_t count;
	struct nlmsghdr *messages[64];
};

static int keep_route(const struct nlmsghdr *message, void *data)
{
	const struct rtmsg *route = mnl_nlmsg_get_payload(message);
	struct route_list *list = data;
	const struct nlattr *attribute;
	unsigned int link = 0;
	bool multipath = false;

	mnl_attr_for_each(attribute, message, sizeof(*route))
	{
		if (mnl_attr_get_type(attribute) == RTA_OIF)
			link = mnl_attr_get_u32(attribute);
		multipath |= mnl_attr_get_type(attribute) == RTA_MULTIPATH;
	}
	if (message->nlmsg_type != RTM_NEWROUTE || route->rtm_table != RT_TABLE_MAIN ||
		route->rtm_type != RTN_UNICAST || (route->rtm_flags & RTM_F_CLONED) ||
		(!multipath && (!link || link == NETLINK_LOOPBACK || link == list->except)))
		return 0;
	if (list->count == ARRAY_SIZE(list->messages)) {
		errno = E2BIG;
		return -1;
	}
	list->messages[list->count] = malloc(message->nlmsg_len);
	if (!list->messages[list->count])
		return -1;
	memcpy(list->messages[list->count++], message, message->nlmsg_len);
	return 0;
}

static void free_routes(struct route_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->messages[i]);
}

/* The same route as a request to add it to, or delete it from, a table. */
static int resend_route(struct netlink *netlink, const struct nlmsghdr *route, uint16_t type, uint16_t flags,
	uint32_t table, const char *what, struct error *err)
{
	_cleanup_free_ char *buffer = malloc(route->nlmsg_len + 64);
	const struct rtmsg *from = mnl_nlmsg_get_payload(route);
	const struct nlattr *attribute;
	struct rtmsg *to;

	if (!buffer)
		return error_set(err, ENOMEM, "cannot %s", what);
	to = begin(netlink, buffer, type, NLM_F_ACK | flags, sizeof(*to));
	*to = *from;
	to->rtm_flags &= RTNH_F_ONLINK; /* the others are what the kernel saw, not what was asked */
	to->rtm_table = RT_TABLE_UNSPEC;
	mnl_attr_for_each(attribute, route, sizeof(*from))
	{
		uint16_t attribute_type = mnl_attr_get_type(attribute);

		if (attribute_type != RTA_TABLE && attribute_type != RTA_CACHEINFO)
			mnl_attr_put((struct nlmsghdr *)buffer, attribute_type,
				mnl_attr_get_payload_len(attribute), mnl_attr_get_payload(attribute));
	}
	mnl_attr_put_u32((struct nlmsghdr *)buffer, RTA_TABLE, table);
	return finish(netlink, buffer, what, err);
}

static int list_routes(
	struct netlink *netlink, sa_family_t family, struct route_list *list, struct error *err)
{
	char buffer[MESSAGE_MAX];
	struct rtmsg *route = begin(netlink, buffer, RTM_GETROUTE, NLM_F_DUMP, sizeof(*route));

	route->rtm_family = (uint8_t)family;
	return dump(netlink, buffer, keep_route, list, "read the namespace's routes", err);
}

/* Routes through a gateway need the gateway's own route in their table: links' routes are added first. */
static bool has_gateway(const struct nlmsghdr *route)
{
	const struct nlattr *attribute;

	mnl_attr_for_each(attribute, route, sizeof(struct rtmsg))
	{
		if (mnl_attr_get_type(attribute) == RTA_GATEWAY)
			return true;
	}
	return false;
}

static int move_routes(
	struct netlink *netlink, const struct route_list *list, uint32_t table, struct error *err)
{
	for (int gateway = 0; gateway < 2; gateway++) {
		for (size_t i = 0; i < list->count; i++) {
			if (has_gateway(list->messages[i]) == (bool)gateway &&
				resend_route(netlink, list->messages[i], RTM_NEWROUTE,
					NLM_F_CREATE | NLM_F_REPLACE, table,
					"keep a route of the engine's for replies", err) < 0)
				return -1;
		}
	}
	for (size_t i = list->count; i-- > 0;) {
		struct error gone = { 0 };

		/* One may have gone with another, as a gateway's does with its link's. */
		if (resend_route(netlink, list->messages[i], RTM_DELROUTE, 0, RT_TABLE_MAIN,
			    "take a route of the engine's away", &gone) < 0 &&
			gone.number != ESRCH)
			return *err = gone, -1;
	}
	return 0;
}

int netlink_routes_move(struct netlink *netlink, unsigned int except, uint32_t table, struct error *err)
{
	static const sa_family_t families[] = { AF_INET, AF_INET6 };
	int result = 0;

	for (size_t i = 0; i < ARRAY_SIZE(families) && result == 0; i++) {
		struct route_list list = { .except = except };

		result = list_routes(netlink, families[i], &list, err);
		if (result == 0)
			result = move_routes(netlink, &list, table, err);
		free_routes(&list);
	}
	return result;
}

static void begin_rule(struct netlink *netlink, char *buffer, sa_family_t family, uint32_t table)
{
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct fib_rule_hdr *rule =
		begin(netlink, buffer, RTM_NEWRULE, NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, sizeof(*rule));

	rule->family = (uint8_t)family;
	rule->action = FR_ACT_TO_TBL;
	mnl_attr_put_u32(message, FRA_PRIORITY, RULE_PRIORITY);
	mnl_attr_put_u32(message, FRA_TABLE, table);
}

/* One that is there already is as good. */
static int finish_rule(struct netlink *netlink, const char *buffer, sa_family_t family, const char *of_what,
	struct error *err)
{
	struct error refusal = { 0 };
	char what[64];

	snprintf(what, sizeof(what), "add the %s routing rule for %s", family_name(family), of_what);
	if (finish(netlink, buffer, what, &refusal) < 0 && refusal.number != EEXIST)
		return *err = refusal, -1;
	return 0;
}

int netlink_rule_mark(
	struct netlink *netlink, sa_family_t family, uint32_t mark, uint32_t table, struct error *err)
{
	char buffer[MESSAGE_MAX];

	begin_rule(netlink, buffer, family, table);
	mnl_attr_put_u32((struct nlmsghdr *)buffer, FRA_FWMARK, mark);
	mnl_attr_put_u32((struct nlmsghdr *)buffer, FRA_FWMASK, UINT32_MAX);
	return finish_rule(netlink, buffer, family, "replies", err);
}

int netlink_rule_tcp(
	struct netlink *netlink, sa_family_t family, unsigned int link, uint32_t table, struct error *err)
{
	char buffer[MESSAGE_MAX], name[IF_NAMESIZE] = "?";

	if_indextoname(link, name);
	begin_rule(netlink, buffer, family, table);
	mnl_attr_put_strz((struct nlmsghdr *)buffer, FRA_IIFNAME, name);
	mnl_attr_put_u8((struct nlmsghdr *)buffer, FRA_IP_PROTO, IPPROTO_TCP); /* Linux 4.17 */
	return finish_rule(netlink, buffer, family, "TCP", err);
}

int netlink_route_local(struct netlink *netlink, sa_family_t family, uint32_t table, struct error *err)
{
	char buffer[MESSAGE_MAX], what[64];
	struct nlmsghdr *message = (struct nlmsghdr *)buffer;
	struct rtmsg *route;

	route = begin_route(netlink, buffer, family);
	route->rtm_scope = family == AF_INET ? RT_SCOPE_HOST : RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_LOCAL;
	mnl_attr_put_u32(message, RTA_OIF, NETLINK_LOOPBACK);
	mnl_attr_put_u32(message, RTA_TABLE, table);
	snprintf(what, sizeof(what), "add the %s route for TCP", family_name(family));
	return finish(netlink, buffer, what, err);
}

struct address_search {
	unsigned int except;
	struct endpoint *found;
};

static int keep_address(const struct nlmsghdr *message, void *data)
{
	const struct ifaddrmsg *body = mnl_nlmsg_get_payload(message);
	struct address_search *search = data;
	const struct nlattr *attribute;
	sa_family_t family = body->ifa_family;
	size_t size = family == AF_INET ? sizeof(search->found->v4) : sizeof(search->found->v6);

	if (message->nlmsg_type != RTM_NEWADDR || search->found->family ||
		body->ifa_index == NETLINK_LOOPBACK || body->ifa_index == search->except ||
		body->ifa_scope != RT_SCOPE_UNIVERSE)
		return 0;
	mnl_attr_for_each(attribute, message, sizeof(*body))
	{
		uint16_t type = mnl_attr_get_type(attribute);

		/* On a point-to-point link IFA_ADDRESS is the peer's; where IFA_LOCAL is given, it is ours. */
		if ((type == IFA_ADDRESS && !search->found->family) || type == IFA_LOCAL) {
			search->found->family = family;
			memcpy(&search->found->v6, mnl_attr_get_payload(attribute), size);
		}
	}
	return 0;
}

int netlink_find_address(struct netlink *netlink, sa_family_t family, unsigned int except,
	struct endpoint *address, struct error *err)
{
	struct address_search search = { .except = except, .found = address };
	char buffer[MESSAGE_MAX];
	struct ifaddrmsg *body = begin(netlink, buffer, RTM_GETADDR, NLM_F_DUMP, sizeof(*body));

	*address = (struct endpoint){ 0 };
	body->ifa_family = (uint8_t)family;
	return dump(netlink, buffer, keep_address, &search, "read the namespace's addresses", err);
}

struct link_list {
	unsigned int except;
	unsigned int *links;
	size_t count, max;
};

static int keep_link(const struct nlmsghdr *message, void *data)
{
	const struct ifinfomsg *link = mnl_nlmsg_get_payload(message);
	struct link_list *list = data;

	if (message->nlmsg_type != RTM_NEWLINK || !(link->ifi_flags & IFF_UP) ||
		link->ifi_index == NETLINK_LOOPBACK || (unsigned int)link->ifi_index == list->except)
		return 0;
	if (list->count == list->max) {
		errno = E2BIG;
		return -1;
	}
	list->links[list->count++] = (unsigned int)link->ifi_index;
	return 0;
}

int netlink_other_links(
	struct netlink *netlink, unsigned int except, unsigned int *links, size_t max, struct error *err)
{
	struct link_list list = { .except = except, .links = links, .max = max };
	char buffer[MESSAGE_MAX];

	begin(netlink, buffer, RTM_GETLINK, NLM_F_DUMP, sizeof(struct ifinfomsg));
	if (dump(netlink, buffer, keep_link, &list, "read the namespace's links", err) < 0)
		return -1;
	return (int)list.count;
}
