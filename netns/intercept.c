/* See intercept.h. In the words of tc, ip and nft, for IPv4; the same for IPv6:
 *
 *	tc qdisc add dev tun0 clsact
 *	tc filter add dev tun0 egress prio 1 protocol ip u32 match [TCP, SYN without ACK] classid 1:1
 *	tc filter add dev tun0 egress prio 2 protocol ip u32 match [TCP to port 53] classid 1:1
 *	tc filter add dev tun0 egress prio 3 protocol ip u32 match [TCP] action mirred ingress redirect dev tun0
 *	ip rule add iif tun0 ipproto tcp lookup TABLE
 *	ip route add local default dev lo table TABLE
 *	table inet fence-splice {
 *		chain arriving {
 *			type filter hook prerouting priority mangle
 *			iif TUN meta l4proto tcp tcp flags & (syn | ack) == syn tproxy ip to 198.18.0.3:PORT
 *		}
 *	}
 *
 * The listener's address is no address of the namespace's: a program that dials it sends a SYN by tun0 like any other, and is told
 * by the relay that there is nothing. A packet with IP options, an extension header or in fragments matches nothing here and
 * reaches the relay, which writes it back where it belongs to a connection.
 */
#include "netns/intercept.h"

#include "netns/congestion.h"
#include "netns/firewall.h"
#include "netns/names.h"
#include "netns/netlink.h"
#include "netns/traffic.h"
#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

enum {
	LISTENER_PORT = 18322,
	BACKLOG = 4096,
	TABLE = 0xfe9cf, /* also in the words of `ip rule` inside */
	LINKS_MAX = 64,
	TCP_IN_WORD_2 = IPPROTO_TCP << 16, /* IPv4: the protocol, after the time to live */
	TCP_IN_WORD_1 = IPPROTO_TCP << 8,  /* IPv6: the next header, before the hop limit */
	SYN_AND_ACK = 0x12 << 16,
	SYN = 0x02 << 16,
	DNS_PORT = 53,
};

/* What a packet's words must be, by family: the head is a plain TCP packet's, in one piece. */
#define IPV4_TCP                                             \
	{ 0, 0x0f000000, 0x05000000 }, { 4, 0x00003fff, 0 }, \
	{                                                    \
		8, 0x00ff0000, TCP_IN_WORD_2                 \
	}
#define IPV6_TCP                             \
	{                                    \
		4, 0x0000ff00, TCP_IN_WORD_1 \
	}

static const struct traffic_filter filters[INTERCEPT_FAMILIES][3] = {
	{
		{ .words = { IPV4_TCP, { 32, SYN_AND_ACK, SYN } }, .count = 4 },
		{ .words = { IPV4_TCP, { 20, 0xffff, DNS_PORT } }, .count = 4 },
		{ .words = { IPV4_TCP }, .count = 3, .back = true },
	},
	{
		{ .words = { IPV6_TCP, { 52, SYN_AND_ACK, SYN } }, .count = 2 },
		{ .words = { IPV6_TCP, { 40, 0xffff, DNS_PORT } }, .count = 2 },
		{ .words = { IPV6_TCP }, .count = 1, .back = true },
	},
};

static const struct {
	sa_family_t family;
	const char *address;
	int level, transparent;
} families[INTERCEPT_FAMILIES] = {
	{ AF_INET, NAMES_LISTENER_IPV4, SOL_IP, IP_TRANSPARENT },
	{ AF_INET6, NAMES_LISTENER_IPV6, SOL_IPV6, IPV6_TRANSPARENT },
};

static struct endpoint listener_address(size_t which)
{
	struct endpoint address = { .family = families[which].family, .port = LISTENER_PORT };

	inet_pton(address.family, families[which].address, &address.v6);
	return address;
}

static int make_listener(size_t which, struct error *err)
{
	struct endpoint own = listener_address(which);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&own, &address);
	_cleanup_close_ int fd = socket(own.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int on = 1;

	if (fd < 0 ||
		setsockopt(fd, families[which].level, families[which].transparent, &on, sizeof(on)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		/* These are for those that it will accept: small answers at once, urgent data where it was sent. */
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &on, sizeof(on)) < 0 ||
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, CONGESTION_UNPACED,
			sizeof(CONGESTION_UNPACED) - 1) < 0 ||
		bind(fd, (struct sockaddr *)&address, length) < 0 || listen(fd, BACKLOG) < 0)
		return error_set(err, errno, "cannot listen for connections that leave by tun0");
	return steal_fd(&fd);
}

static int read_setting(const char *link, const char *name)
{
	char path[128], text[8] = "0";
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", link, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 ? text[0] - '0' : 0;
}

static int write_setting(const char *link, const char *name, int value, struct error *err)
{
	char path[128], text[] = { (char)('0' + value) };
	_cleanup_close_ int fd = -1;

	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/%s", link, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, sizeof(text)) != sizeof(text))
		return error_set(
			err, errno, "cannot set %s, without which the kernel refuses its own packets", path);
	return 0;
}

/* The kernel must take packets from its own addresses that come in by tun0. For the reverse-path check the greater of a link's
 * value and that of "all" counts: what "all" says is written to the other links, before it is taken away. */
static int accept_own_packets(unsigned int tun, struct error *err)
{
	int all = read_setting("all", "rp_filter");
	struct if_nameindex *links = all ? if_nameindex() : NULL;
	char name[IF_NAMESIZE];
	int result = 0;

	for (struct if_nameindex *link = links; link && link->if_index && result == 0; link++) {
		if (link->if_index != tun && read_setting(link->if_name, "rp_filter") < all)
			result = write_setting(link->if_name, "rp_filter", all, err);
	}
	if (links)
		if_freenameindex(links);
	if (!if_indextoname(tun, name))
		return error_set(err, errno, "cannot find tun0");
	if (result < 0 || (all && write_setting("all", "rp_filter", 0, err) < 0) ||
		write_setting(name, "rp_filter", 0, err) < 0 ||
		write_setting(name, "accept_local", 1, err) < 0)
		return -1;
	return 0;
}

static int turn_back(struct netlink *netlink, unsigned int tun, size_t count, struct error *err)
{
	if (traffic_egress_add(netlink, tun, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++) {
		for (size_t j = 0; j < ARRAY_SIZE(filters[i]); j++) {
			if (traffic_filter_add(netlink, tun, families[i].family,
				    (uint16_t)(1 + i * ARRAY_SIZE(filters[i]) + j), &filters[i][j],
				    err) < 0) {
				traffic_egress_delete(netlink, tun);
				return -1;
			}
		}
	}
	return 0;
}

static int make(struct netlink *netlink, unsigned int tun, size_t count, int *listeners, struct error *err)
{
	struct endpoint addresses[INTERCEPT_FAMILIES];

	for (size_t i = 0; i < count; i++) {
		addresses[i] = listener_address(i);
		listeners[i] = make_listener(i, err);
		if (listeners[i] < 0 || netlink_route_local(netlink, families[i].family, TABLE, err) < 0 ||
			netlink_rule_tcp(netlink, families[i].family, tun, TABLE, err) < 0)
			return -1;
	}
	if (accept_own_packets(tun, err) < 0 || firewall_set_listeners(tun, addresses, count, err) < 0)
		return -1;
	return turn_back(netlink, tun, count, err);
}

int intercept_make(struct netlink *netlink, unsigned int tun, bool ipv6,
	int listeners[static INTERCEPT_FAMILIES], struct error *err)
{
	int made[INTERCEPT_FAMILIES] = { -1, -1 };

	if (make(netlink, tun, ipv6 ? 2 : 1, made, err) < 0) {
		for (size_t i = 0; i < INTERCEPT_FAMILIES; i++)
			close_fd(made[i]);
		return -1;
	}
	memcpy(listeners, made, sizeof(made));
	return 0;
}
