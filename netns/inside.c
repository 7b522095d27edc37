/* See inside.h. */
#include "netns/inside.h"

#include "netns/congestion.h"
#include "netns/firewall.h"
#include "netns/inner.h"
#include "netns/names.h"
#include "netns/netlink.h"
#include "netns/tun.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <sched.h>
#include <net/if.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <fcntl.h>

#define TUN_NAME "tun0"

enum {
	LISTENER_PORT = 18321, /* as greywall's */
	LISTENER_BACKLOG = 1024,
	MTU_WITH_OFFLOAD = 1500, /* the kernel makes 64 KiB packets of it by itself */
	MTU_WITHOUT = 65520,
	ADVERTISED_MSS = 65535 - 60, /* the largest packet, less the headers of IPv6 and TCP */
	OTHER_LINKS_MAX = 16,
	REPLY_MARK =
		0xfe9ce, /* also the routing table's number: replies to what came in by an engine's link */
};

static int add_address(struct netlink *netlink, unsigned int link, const char *text, sa_family_t family,
	unsigned int prefix, struct error *err)
{
	struct endpoint address = { .family = family };

	inet_pton(family, text, &address.v6);
	return netlink_address_add(netlink, link, &address, prefix, err);
}

static bool has_ipv6(void)
{
	_cleanup_close_ int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	return fd >= 0;
}

static int address_tun(struct netlink *netlink, unsigned int link, bool ipv6, struct error *err)
{
	if (add_address(netlink, link, NAMES_GATEWAY_IPV4, AF_INET, NAMES_PREFIX_IPV4, err) < 0)
		return -1;
	if (!ipv6)
		return 0;
	if (netlink_link_silence(netlink, link, err) < 0)
		return -1;
	return add_address(netlink, link, NAMES_GATEWAY_IPV6, AF_INET6, NAMES_PREFIX_IPV6, err);
}

/* All of one family by tun0. Where an engine gave the container an address, that stays what programs see and send from. */
static int route_family(struct netlink *netlink, sa_family_t family, unsigned int tun, struct error *err)
{
	/* Nothing of a spliced connection is cut to the device's MTU on its way to the container: the larger its segments, the
	 * fewer the acknowledgements. Where the relay translates, it goes by the MTU all the same. */
	static const struct route_metrics metrics = { CONGESTION_UNPACED, ADVERTISED_MSS };
	struct endpoint source;

	if (netlink_find_address(netlink, family, tun, &source, err) < 0)
		return -1;
	return netlink_route_default(netlink, family, tun, &source, &metrics, err);
}

/* Strict reverse-path checks would refuse what comes in by an engine's link, since the way back is now by tun0; the firewall
 * brings the replies back to it. */
static int loosen_reverse_path(unsigned int link, struct error *err)
{
	char name[IF_NAMESIZE], path[128];
	_cleanup_close_ int fd = -1;

	if (!if_indextoname(link, name))
		return error_set(err, errno, "cannot find the name of network link %u", link);
	snprintf(path, sizeof(path), "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "2", 1) != 1)
		return error_set(
			err, errno, "cannot set %s, which replies to inbound connections need", path);
	return 0;
}

/* Behind tun0 there is no network whose packets come late, but the relay: TIME-WAIT protects from nothing, and takes the ports from who connects
 * thousands of times a minute. Beyond these many the kernel does without. Where it can't be set, ports are only found more slowly. */
static void shorten_time_wait(void)
{
	static const char most[] = "4096";
	_cleanup_close_ int fd = open("/proc/sys/net/ipv4/tcp_max_tw_buckets", O_WRONLY | O_CLOEXEC);

	if (fd >= 0 && write(fd, most, sizeof(most) - 1) < 0)
		return;
}

/* The links that an engine made are left with the replies to what comes in by them. */
static int confine_other_links(struct netlink *netlink, unsigned int tun, bool ipv6, struct error *err)
{
	unsigned int links[OTHER_LINKS_MAX];
	int count = netlink_other_links(netlink, tun, links, OTHER_LINKS_MAX, err);

	if (count == 0 && tun)
		shorten_time_wait();
	if (count <= 0)
		return count;
	if (firewall_set(tun, REPLY_MARK, err) < 0)
		return -1;
	if (!tun)
		return 0;
	for (int i = 0; i < count; i++) {
		if (loosen_reverse_path(links[i], err) < 0)
			return -1;
	}
	if (netlink_rule_mark(netlink, AF_INET, REPLY_MARK, REPLY_MARK, err) < 0 ||
		(ipv6 && netlink_rule_mark(netlink, AF_INET6, REPLY_MARK, REPLY_MARK, err) < 0))
		return -1;
	return netlink_routes_move(netlink, tun, REPLY_MARK, err);
}

/* Only with offload: without it, cutting packets up costs more than splicing saves. */
static int make_datapath(struct netlink *netlink, enum inside_datapath datapath, unsigned int tun, bool ipv6,
	struct inside *inside, struct error *err)
{
	if (datapath != DATAPATH_AUTO && datapath != DATAPATH_SPLICE)
		return 0;
	if (!inside->out.tun_offload)
		error_set(&inside->no_splice, 0, "this kernel's TUN has no offloads");
	else if (intercept_make(netlink, tun, ipv6, inside->out.splice_fds, &inside->no_splice) == 0)
		return 0;
	return datapath == DATAPATH_AUTO ? 0 : (*err = inside->no_splice, -1);
}

static int make_tun(struct netlink *netlink, struct tun *tun, bool ipv6, enum inside_datapath datapath,
	struct inside *inside, struct error *err)
{
	unsigned int link = if_nametoindex(TUN_NAME);

	inside->out.tun_fd = tun->fd;
	inside->out.tun_offload = tun->offload;
	inside->out.tun_udp_offload = tun->udp_offload;
	inside->out.mtu = tun->offload ? MTU_WITH_OFFLOAD : MTU_WITHOUT;
	if (address_tun(netlink, link, ipv6, err) < 0 ||
		netlink_link_up(netlink, link, (unsigned int)inside->out.mtu, err) < 0 ||
		confine_other_links(netlink, link, ipv6, err) < 0 ||
		route_family(netlink, AF_INET, link, err) < 0 ||
		(ipv6 && route_family(netlink, AF_INET6, link, err) < 0))
		return -1;
	return make_datapath(netlink, datapath, link, ipv6, inside, err);
}

static int make_listener(struct netlink *netlink, struct inside *inside, struct error *err)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
		.sin_port = htons(LISTENER_PORT),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int on = 1;

	if (confine_other_links(netlink, 0, true, err) < 0)
		return -1;
	inside->out.listener_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (inside->out.listener_fd < 0 ||
		setsockopt(inside->out.listener_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
		bind(inside->out.listener_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(inside->out.listener_fd, LISTENER_BACKLOG) < 0)
		return error_set(err, errno, "cannot listen on 127.0.0.1:%d in the container", LISTENER_PORT);
	return 0;
}

static int make(const struct network_namespace *namespace, const struct inside_request *request,
	struct inside *inside, struct error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct tun tun = { .fd = -1 };
	struct error missing = { 0 };

	if (namespace_enter(namespace, err) < 0 || !(netlink = netlink_open(NETLINK_ROUTE, err)) ||
		netlink_link_up(netlink, NETLINK_LOOPBACK, 0, err) < 0)
		return -1;
	if (request->way != INSIDE_LISTENER) {
		if (tun_open(TUN_NAME, request->datapath != DATAPATH_PLAIN, &tun, &missing) == 0)
			return make_tun(
				netlink, &tun, request->ipv6 && has_ipv6(), request->datapath, inside, err);
		if (request->way == INSIDE_TUN || missing.number == EBUSY)
			return *err = missing, -1;
		inside->tun_missing = missing;
	}
	return make_listener(netlink, inside, err);
}

/* It must not hold the hook's output open, for which an engine may wait: helper_enter_cell() sees to that. */
static int start_helper(struct inside *inside, struct error *err)
{
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "cannot make a socket pair");
	child = fork();
	if (child == 0)
		inner_serve(pair[1]);
	close_fd(pair[1]);
	inside->out.inner_socket = pair[0];
	return child < 0
		       ? error_set(err, errno, "cannot start the process that makes sockets in the container")
		       : 0;
}

int inside_make(const struct network_namespace *namespace, const struct inside_request *request,
	struct inside *inside, struct error *err)
{
	*inside = (struct inside){ .out = WAY_OUT_NONE };
	prctl(PR_SET_DUMPABLE, 0); /* the container's root may be in the user namespace that is joined */
	if (make(namespace, request, inside, err) < 0)
		return -1;
	return request->helper ? start_helper(inside, err) : 0;
}

/* In a child's namespace, of which nothing is left. */
static int try_splice(struct error *err)
{
	_cleanup_netlink_ struct netlink *netlink = NULL;
	struct inside inside = { .out = WAY_OUT_NONE };
	struct tun tun;

	if (unshare(geteuid() ? CLONE_NEWUSER | CLONE_NEWNET : CLONE_NEWNET) < 0)
		return error_set(err, errno, "cannot make a network namespace");
	if (!(netlink = netlink_open(NETLINK_ROUTE, err)) ||
		netlink_link_up(netlink, NETLINK_LOOPBACK, 0, err) < 0 ||
		tun_open(TUN_NAME, true, &tun, err) < 0)
		return -1;
	return make_tun(netlink, &tun, has_ipv6(), DATAPATH_SPLICE, &inside, err);
}

int inside_check_splice(struct error *err)
{
	_cleanup_close_ int ours = -1;
	struct error its = { 0 };
	int pair[2], status;
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "cannot make a socket pair");
	ours = pair[0];
	child = fork();
	if (child == 0) {
		int result = try_splice(&its);

		_exit(send(pair[1], &its, sizeof(its), MSG_NOSIGNAL) == sizeof(its) && result == 0 ? 0 : 1);
	}
	close_fd(pair[1]);
	if (child < 0 || recv(ours, &its, sizeof(its), 0) != sizeof(its))
		return error_set(err, 0, "the process that was to try it ended without a word");
	waitpid(child, &status, 0);
	return status ? (*err = its, -1) : 0;
}
