/* The relay: puts its parts together, enters its cell, and sorts packets. See relay.h.
 */
#include "netns/relay.h"
#include "netns/batch.h"
#include "netns/cell.h"
#include "netns/dial.h"
#include "netns/dns.h"
#include "netns/flows.h"
#include "netns/forward.h"
#include "netns/fragments.h"
#include "netns/icmp.h"
#include "netns/listener.h"
#include "netns/loop.h"
#include "netns/names.h"
#include "netns/residents.h"
#include "netns/tcp.h"
#include "netns/tunnel.h"
#include "netns/udp.h"
#include "spec/cleanup.h"

#include <signal.h>
#include <sys/resource.h>

enum {
	DESCRIPTORS_MAX = 65536,
	DRAIN_TIME = 2000, /* less than the hook waits for the relay's end */
	DRAIN_INTERVAL = 5,
	SPARE_DESCRIPTORS = 256, /* the relay's own, and its resolver's */
};

struct relay {
	const struct relay_config *config;
	struct loop *loop;
	struct names *names;
	struct dialer *dialer;
	struct dns *dns;
	struct tcp *tcp;
	struct udp *udp;
	struct tunnel *tunnel;
	struct fragments *fragments;
	struct listener *listener;
	struct forwards *forwards;
	struct residents *residents;
	struct timer drain;
	uint64_t drain_until;
	size_t descriptors;
};

/* Addresses that no packet on tun0 can mean: this host, "nobody", multicast, broadcast. */
static bool is_bogus(const struct endpoint *address)
{
	if (address->family == AF_INET) {
		uint32_t v4 = ntohl(address->v4.s_addr);

		return v4 >> 24 == 0 || v4 >> 24 == 127 || v4 >> 28 == 14 || v4 == 0xffffffff;
	}
	return IN6_IS_ADDR_UNSPECIFIED(&address->v6) || IN6_IS_ADDR_LOOPBACK(&address->v6) ||
	       IN6_IS_ADDR_MULTICAST(&address->v6) || IN6_IS_ADDR_V4MAPPED(&address->v6) ||
	       IN6_IS_ADDR_V4COMPAT(&address->v6);
}

static void sort_packet(void *data, const struct packet *packet, size_t segment)
{
	struct relay *relay = data;
	struct packet whole;

	if (is_bogus(&packet->source) || is_bogus(&packet->destination))
		return;
	if (packet->fragment) {
		if (!fragments_take(relay->fragments, packet, &whole))
			return;
		packet = &whole;
	}
	switch (packet->protocol) {
	case IPPROTO_TCP:
		tcp_packet(relay->tcp, packet);
		break;
	case IPPROTO_UDP:
		udp_packet(relay->udp, packet, segment);
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		icmp_packet(relay->tunnel, packet, relay->config, relay->names);
		break;
	default:
		icmp_unreachable(relay->tunnel, packet, UNREACHABLE_PROHIBITED);
	}
}

static void flush_flows(void *data)
{
	struct relay *relay = data;

	udp_flush(relay->udp);
	tcp_flush(relay->tcp);
}

static void drain(struct timer *timer)
{
	struct relay *relay = container_of(timer, struct relay, drain);

	if (!residents_are_gone(relay->residents))
		return;
	if (((!relay->tcp || tcp_is_drained(relay->tcp)) &&
		    (!relay->listener || listener_is_drained(relay->listener))) ||
		loop_now(relay->loop) >= relay->drain_until)
		loop_stop(relay->loop);
	else
		loop_set_timer(relay->loop, timer, DRAIN_INTERVAL);
}

/* What a program wrote just before it ended is in its kernel's queue: the namespace lives until that is sent. */
static void start_draining(void *data)
{
	struct relay *relay = data;

	relay->drain_until = loop_now(relay->loop) + DRAIN_TIME;
	relay->drain.fire = drain;
	drain(&relay->drain);
}

/* As many as may be open: each flow is a socket or two, and no kind of flow can starve the others. */
static size_t descriptors_max(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return 0;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > DESCRIPTORS_MAX)
		limit.rlim_max = DESCRIPTORS_MAX;
	return limit.rlim_max > SPARE_DESCRIPTORS ? limit.rlim_max - SPARE_DESCRIPTORS : 0;
}

static int make_tunnel(struct relay *relay, struct error *err)
{
	struct tunnel_handlers handlers = { sort_packet, flush_flows, relay };

	relay->tcp = tcp_new(relay->loop, relay->dialer, relay->dns, relay->names, relay->config->flows,
		relay->descriptors / 4 * 3, err);
	if (!relay->tcp)
		return -1;
	relay->udp = udp_new(relay->loop, relay->config, relay->dialer, relay->dns, relay->names,
		relay->descriptors / 8, err);
	if (!relay->udp)
		return -1;
	relay->fragments = fragments_new(relay->loop);
	if (!relay->fragments)
		return error_set(err, errno, "cannot make the table of fragments");
	relay->tunnel = tunnel_new(relay->loop, relay->config, &handlers, err);
	if (!relay->tunnel)
		return -1;
	tcp_set_tunnel(relay->tcp, relay->tunnel);
	udp_set_tunnel(relay->udp, relay->tunnel);
	return tcp_set_listeners(relay->tcp, relay->config->out.splice_fds, err);
}

static int make_ways(struct relay *relay, struct error *err)
{
	const struct relay_config *config = relay->config;

	if (config->out.tun_fd >= 0 && make_tunnel(relay, err) < 0)
		return -1;
	if (config->out.listener_fd >= 0) {
		relay->listener = listener_new(
			relay->loop, relay->dialer, config->out.listener_fd, relay->descriptors / 4, err);
		if (!relay->listener)
			return -1;
	}
	relay->forwards = forwards_new(relay->loop, config, relay->descriptors / 8, err);
	return relay->forwards ? 0 : -1;
}

static int make_parts(struct relay *relay, struct relay_config *config, struct error *err)
{
	relay->descriptors = descriptors_max();
	batch_prepare();
	relay->loop = loop_new(err);
	if (!relay->loop)
		return -1;
	config->flows = flows_new(relay->loop, config->log_fd);
	if (!config->flows)
		return error_set(err, errno, "cannot make the record of flows");
	relay->names = names_new();
	if (!relay->names)
		return error_set(err, errno, "cannot make the table of names");
	relay->dialer = dialer_new(relay->loop, relay->config, relay->names);
	if (!relay->dialer)
		return error_set(err, errno, "cannot make the dialler");
	relay->dns = dns_new(relay->loop, relay->config, relay->dialer, relay->names);
	if (!relay->dns)
		return error_set(err, errno, "cannot make the resolver");
	dialer_set_dns(relay->dialer, relay->dns);
	relay->residents = residents_new(relay->loop, config, start_draining, relay, err);
	return relay->residents ? 0 : -1;
}

static void free_parts(struct relay *relay)
{
	residents_free(relay->residents);
	forwards_free(relay->forwards);
	listener_free(relay->listener);
	tcp_free(relay->tcp);
	udp_free(relay->udp);
	tunnel_free(relay->tunnel);
	fragments_free(relay->fragments);
	dns_free(relay->dns);
	dialer_free(relay->dialer);
	flows_free(relay->config->flows);
	names_free(relay->names);
	loop_free(relay->loop);
}

static int take_way_out(struct relay_config *config, struct error *err)
{
	int result = way_out_receive(config->out_fd, &config->out, err);

	config->out_fd = close_fd(config->out_fd);
	if (result == 0)
		*err = (struct error){ 0 };
	return result > 0 ? 0 : -1;
}

static int say_ready(struct relay_config *config, struct error *err)
{
	if (write(config->ready_fd, "", 1) != 1)
		return error_set(err, errno, "cannot say that the relay is ready");
	config->ready_fd = close_fd(config->ready_fd);
	return 0;
}

static void close_between(int first, int last)
{
	if (first <= last)
		close_range((unsigned int)first, (unsigned int)last, 0);
}

/* Whoever waits for this relay's end waits for the container's name to be free (control.h), and not for the grace periods that the
 * kernel takes over tun0. The namespace's name is kept until that is gone, too: the next relay there needs another. */
static void let_go(const struct relay_config *config)
{
	int tun = config->out.tun_fd, name = config->control_fd;

	if (tun < 0)
		return;
	close_between(0, (tun < name ? tun : name) - 1);
	close_between((tun < name ? tun : name) + 1, (tun < name ? name : tun) - 1);
	close_between((tun < name ? name : tun) + 1, INT32_MAX);
	close_fd(tun);
}

int relay_run(struct relay_config *config, struct error *err)
{
	struct relay relay = { .config = config };
	int result = -1;

	signal(SIGPIPE, SIG_IGN);
	if (make_parts(&relay, config, err) == 0 && cell_enter(config, err) == 0 &&
		take_way_out(config, err) == 0 && make_ways(&relay, err) == 0 && say_ready(config, err) == 0)
		result = loop_run(relay.loop, err);
	free_parts(&relay);
	if (result == 0)
		let_go(config);
	return result;
}
