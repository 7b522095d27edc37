/* TCP by translation: the table of connections, their beginning and their end, and their timers.
 */
#include "netns/tcp_flow.h"
#include "netns/hash.h"
#include "netns/icmp.h"
#include "spec/cleanup.h"

#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

enum {
	BUCKETS = 16384, /* a power of two */
	DNS_PORT = 53,
	MSS_MIN = 88,	   /* what Linux itself will not go below */
	MSS_DEFAULT = 536, /* RFC 9293, where a SYN says nothing */
	WINDOW_SCALE = 8,  /* up to 16 MiB */
	INITIAL_WINDOW = 65535,

	SYN_ACK_TIMEOUT = 1000, /* milliseconds, doubled with each repetition */
	SYN_ACK_REPETITIONS = 4,
	RETRANSMISSION_TIMEOUT = 300, /* more than a delayed ACK takes (200) */
	RETRANSMISSION_TIMEOUT_MAX = 10000,
	SILENCE_MAX = 120000, /* no packet at all, although asked again and again: the container is gone */
	IDLE_BEFORE_PROBE = 600000,
	PROBE_INTERVAL = 30000,
	PROBES_MAX = 3,
	LINGER_TIME = 1000,
};

struct tcp {
	struct loop *loop;
	struct tunnel *tunnel;
	struct dialer *dialer;
	struct dns *dns;
	struct names *names;
	struct hash_key key;
	struct tcp_flow *dirty;
	size_t flows, half_open, flows_max;
	bool peeks_by_offset;
	struct tcp_flow *buckets[BUCKETS];
};

struct loop *tcp_loop(const struct tcp *tcp)
{
	return tcp->loop;
}

struct tunnel *tcp_tunnel(const struct tcp *tcp)
{
	return tcp->tunnel;
}

bool tcp_peeks_by_offset(const struct tcp *tcp)
{
	return tcp->peeks_by_offset;
}

/* Linux 6.9 for IPv4, 6.11 for IPv6 (before, it is refused): only where both have it. */
static bool can_peek_by_offset(void)
{
	static const int families[] = { AF_INET, AF_INET6 };
	bool can = true;

	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		_cleanup_close_ int fd = socket(families[i], SOCK_STREAM | SOCK_CLOEXEC, 0);
		int offset = 0;

		if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset)) < 0)
			can = false;
	}
	return can;
}

struct tcp *tcp_new(struct loop *loop, struct dialer *dialer, struct dns *dns, struct names *names,
	size_t flows_max, struct error *err)
{
	struct tcp *tcp = calloc(1, sizeof(*tcp));

	if (!tcp || getrandom(&tcp->key, sizeof(tcp->key), 0) != sizeof(tcp->key)) {
		error_set(err, errno, "cannot make the table of TCP connections");
		free(tcp);
		return NULL;
	}
	tcp->loop = loop;
	tcp->dialer = dialer;
	tcp->dns = dns;
	tcp->names = names;
	tcp->flows_max = flows_max;
	tcp->peeks_by_offset = can_peek_by_offset();
	return tcp;
}

void tcp_set_tunnel(struct tcp *tcp, struct tunnel *tunnel)
{
	tcp->tunnel = tunnel;
}

static uint64_t hash_of(const struct tcp *tcp, const struct endpoint *client, const struct endpoint *server)
{
	struct endpoint both[2] = { *client, *server };

	return hash_bytes(&tcp->key, both, sizeof(both));
}

static struct tcp_flow **find(struct tcp *tcp, const struct endpoint *client, const struct endpoint *server)
{
	struct tcp_flow **flow = &tcp->buckets[hash_of(tcp, client, server) % BUCKETS];

	while (*flow &&
		!(endpoint_equal(&(*flow)->client, client) && endpoint_equal(&(*flow)->server, server)))
		flow = &(*flow)->next_in_bucket;
	return flow;
}

static void flow_dirty(struct tcp_flow *flow)
{
	if (flow->dirty)
		return;
	flow->dirty = true;
	flow->next_dirty = flow->tcp->dirty;
	flow->tcp->dirty = flow;
}

static bool half_open(const struct tcp_flow *flow)
{
	return flow->state == TCP_DIALLING || flow->state == TCP_ANSWERED;
}

static void close_upstream(struct tcp_flow *flow)
{
	loop_remove(flow->tcp->loop, &flow->upstream);
	flow->upstream.fd = close_fd(flow->upstream.fd);
}

void flow_close(struct tcp_flow *flow)
{
	struct tcp *tcp = flow->tcp;

	*find(tcp, &flow->client, &flow->server) = flow->next_in_bucket;
	for (struct tcp_flow **at = &tcp->dirty; flow->dirty && *at; at = &(*at)->next_dirty) {
		if (*at == flow) {
			*at = flow->next_dirty;
			break;
		}
	}
	loop_cancel_timer(tcp->loop, &flow->timer);
	if (flow->dial)
		dial_cancel(flow->dial);
	close_upstream(flow);
	reorder_forget(flow);
	if (flow->holds_name)
		names_release(tcp->names, &flow->server);
	flows_end(flow->record);
	tcp->flows--;
	tcp->half_open -= half_open(flow);
	free(flow);
}

void flow_abort(struct tcp_flow *flow)
{
	static const struct linger now = { .l_onoff = 1 };

	if (flow->upstream.fd >= 0)
		setsockopt(flow->upstream.fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	flow_close(flow);
}

void flow_reset(struct tcp_flow *flow)
{
	flow_send_control(flow, TCP_RST | TCP_ACK);
	flow_abort(flow);
}

static void start_lingering(struct tcp_flow *flow)
{
	close_upstream(flow);
	flow->state = TCP_LINGER;
	flow->heard = loop_now(flow->tcp->loop);
}

static uint64_t backoff(const struct tcp_flow *flow)
{
	uint64_t time = (uint64_t)RETRANSMISSION_TIMEOUT << (flow->retries < 8 ? flow->retries : 8);

	return time < RETRANSMISSION_TIMEOUT_MAX ? time : RETRANSMISSION_TIMEOUT_MAX;
}

static bool window_closed(const struct tcp_flow *flow)
{
	return flow->readable && !flow->upstream_ended && !flow->snd_wnd;
}

static uint64_t deadline(const struct tcp_flow *flow)
{
	switch (flow->state) {
	case TCP_ANSWERED:
		return flow->progress + ((uint64_t)SYN_ACK_TIMEOUT << flow->retries);
	case TCP_LINGER:
		return flow->heard + LINGER_TIME;
	default:
		if (flow_in_flight(flow) || window_closed(flow))
			return flow->progress + backoff(flow);
		return flow->heard + IDLE_BEFORE_PROBE + (uint64_t)flow->retries * PROBE_INTERVAL;
	}
}

/* A timer that is due too early is left: it looks again when it fires, which is cheaper than moving it with each packet. */
static void set_timer(struct tcp_flow *flow)
{
	uint64_t due = deadline(flow), now = loop_now(flow->tcp->loop);

	if (!flow->timer.index || flow->timer.due > due)
		loop_set_timer(flow->tcp->loop, &flow->timer, due > now ? due - now : 0);
}

/* All that a packet, an event or a timer has made possible. */
static void flush(struct tcp_flow *flow)
{
	if (flow_consume(flow) < 0 || (flow->retransmit && flow_retransmit(flow) < 0) ||
		(flow->state == TCP_OPEN && flow->readable && !flow->upstream_ended &&
			flow_send_data(flow) < 0)) {
		flow_reset(flow);
		return;
	}
	if (flow->upstream_ended && !flow->fin_sent) {
		if (!flow_in_flight(flow))
			flow->progress = loop_now(flow->tcp->loop);
		flow_send_control(flow, TCP_FIN | TCP_ACK);
		flow->fin_sent = true;
		flow->snd_nxt++;
	}
	if (flow->acknowledge) {
		if (!flow->fin_received)
			flow_update_room(flow);
		flow_send_control(flow, TCP_ACK);
	}
	if (flow->fin_received && flow->fin_acknowledged) {
		if (!flow->lingers) {
			flow_close(flow);
			return;
		}
		start_lingering(flow);
	}
	set_timer(flow);
}

void tcp_flush(struct tcp *tcp)
{
	while (tcp->dirty) {
		struct tcp_flow *flow = tcp->dirty;

		tcp->dirty = flow->next_dirty;
		flow->dirty = false;
		flush(flow);
	}
}

static void send_syn_ack(struct tcp_flow *flow)
{
	struct tunnel *tunnel = flow->tcp->tunnel;
	struct tcp_segment segment = {
		.sequence = flow->snd_una,
		.acknowledgement = flow->rcv_nxt,
		.window = INITIAL_WINDOW,
		.flags = TCP_SYN | TCP_ACK,
		.maximum = tunnel_mss(tunnel, flow->client.family),
		.scale = flow->rcv_scale ? (int8_t)flow->rcv_scale : -1,
		.sack_permitted = flow->sack_permitted,
	};

	tunnel_send_tcp(tunnel, 0, &flow->server, &flow->client, &segment, flow->mss);
}

/* The socket takes again. False: the flow is no more. */
static bool resume(struct tcp_flow *flow)
{
	flow->low_room = false;
	flow->acknowledge = true;
	flow->refused_data = false;
	return flow_take_held(flow);
}

static void upstream_ready(struct watch *watch, uint32_t events)
{
	struct tcp_flow *flow = (struct tcp_flow *)watch;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
		flow->readable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP))
		flow->upstream_hung_up = true;
	if (flow->state != TCP_OPEN)
		return;
	if ((events & EPOLLERR) && flow->upstream_ended) /* nothing more will be read, which would tell */
		flow_reset(flow);
	else if (!(events & EPOLLOUT) || !flow->low_room || resume(flow))
		flush(flow);
}

static int adopt(struct tcp_flow *flow, int fd)
{
	int offset = 0;

	flow->plain_socket = socket_is_unix(fd);
	flow->upstream.fd = fd;
	flow->upstream.ready = upstream_ready;
	if (flow->plain_socket || flow->tcp->peeks_by_offset)
		setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
	return loop_add(flow->tcp->loop, &flow->upstream, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, NULL);
}

/* The SYN's fate is known. */
static void refuse(struct tcp_flow *flow, int error_number)
{
	enum unreachable why;

	if (error_number == ECONNREFUSED || error_number == ECONNRESET)
		flow_send_control(flow, TCP_RST | TCP_ACK);
	else if (icmp_reason(error_number, &why))
		icmp_unreachable_syn(flow->tcp->tunnel, &flow->client, &flow->server, flow->rcv_nxt - 1, why);
	/* else it timed out: silence is the truth, and the container's own timeout runs */
	flow_close(flow);
}

static void dialled(void *data, int fd, int error_number, struct flow_record *record)
{
	struct tcp_flow *flow = data;

	flow->dial = NULL;
	flow->record = record;
	if (fd < 0) {
		refuse(flow, error_number);
		return;
	}
	if (adopt(flow, fd) < 0) {
		refuse(flow, ECONNREFUSED);
		return;
	}
	flow->state = TCP_ANSWERED;
	flow->progress = loop_now(flow->tcp->loop);
	send_syn_ack(flow);
	flow->snd_nxt = flow->snd_una + 1;
	set_timer(flow);
}

static void probe_or_give_up(struct tcp_flow *flow)
{
	uint64_t silence = loop_now(flow->tcp->loop) - flow->heard;

	flow->retries += flow->retries < UINT8_MAX;
	if (flow_in_flight(flow)) {
		flow->recovering = true;
		flow->recover = flow->snd_nxt;
		if (silence > SILENCE_MAX || flow_retransmit(flow) < 0) {
			flow_reset(flow);
			return;
		}
	} else if (window_closed(flow) ? silence > SILENCE_MAX : flow->retries > PROBES_MAX) {
		flow_reset(flow);
		return;
	} else {
		flow_send_probe(flow);
	}
	if (flow_in_flight(flow) || window_closed(flow))
		flow->progress = loop_now(flow->tcp->loop);
	set_timer(flow);
}

static void timer_fired(struct timer *timer)
{
	struct tcp_flow *flow = (struct tcp_flow *)((char *)timer - offsetof(struct tcp_flow, timer));

	if (flow->turn_over) {
		flow->turn_over = false;
		flush(flow); /* sets the timer */
	} else if (deadline(flow) > loop_now(flow->tcp->loop))
		set_timer(flow);
	else if (flow->state == TCP_LINGER)
		flow_close(flow);
	else if (flow->state == TCP_OPEN)
		probe_or_give_up(flow);
	else if (flow->retries++ < SYN_ACK_REPETITIONS) {
		send_syn_ack(flow);
		set_timer(flow);
	} else {
		flow_abort(flow);
	}
}

static void send_reset(struct tcp *tcp, const struct packet *packet)
{
	const struct tcp_segment *from = &packet->tcp;
	bool acknowledges = from->flags & TCP_ACK;
	struct tcp_segment reset = {
		.sequence = acknowledges ? from->acknowledgement : 0,
		.acknowledgement = from->sequence + (uint32_t)packet->payload_length +
				   !!(from->flags & TCP_SYN) + !!(from->flags & TCP_FIN),
		.flags = acknowledges ? TCP_RST : TCP_RST | TCP_ACK,
		.scale = -1,
	};

	tunnel_send_tcp(tcp->tunnel, 0, &packet->destination, &packet->source, &reset, MSS_DEFAULT);
}

static uint16_t agree_mss(const struct tcp *tcp, const struct packet *packet)
{
	uint16_t mss = packet->tcp.maximum ? packet->tcp.maximum : MSS_DEFAULT;
	uint16_t most = tunnel_mss(tcp->tunnel, packet->family);

	if (mss < MSS_MIN)
		mss = MSS_MIN;
	return mss < most ? mss : most;
}

/* RFC 6528: unguessable, and growing for the same pair, so that a connection that follows another in TIME-WAIT is told from it. */
static uint32_t initial_sequence(const struct tcp *tcp, const struct packet *packet)
{
	return (uint32_t)hash_of(tcp, &packet->destination, &packet->source) +
	       (uint32_t)(loop_now(tcp->loop) * 256);
}

static struct tcp_flow *flow_new(struct tcp *tcp, const struct packet *packet)
{
	struct tcp_flow *flow = calloc(1, sizeof(*flow)), **at;

	if (!flow)
		return NULL;
	flow->tcp = tcp;
	flow->upstream.fd = -1;
	flow->timer.fire = timer_fired;
	flow->client = packet->source;
	flow->server = packet->destination;
	flow->snd_una = flow->snd_nxt = initial_sequence(tcp, packet);
	flow->snd_wnd = packet->tcp.window;
	flow->snd_wl1 = packet->tcp.sequence;
	flow->rcv_nxt = packet->tcp.sequence + 1;
	flow->rcv_adv = flow->rcv_nxt + INITIAL_WINDOW;
	flow->mss = agree_mss(tcp, packet);
	flow->sack_permitted = packet->tcp.sack_permitted;
	if (packet->tcp.scale >= 0) {
		flow->snd_scale = (uint8_t)packet->tcp.scale;
		flow->rcv_scale = WINDOW_SCALE;
	}
	flow->heard = flow->progress = loop_now(tcp->loop);
	at = find(tcp, &flow->client, &flow->server);
	*at = flow;
	flow->holds_name = names_find(tcp->names, &flow->server);
	if (flow->holds_name)
		names_hold(tcp->names, &flow->server);
	tcp->flows++;
	tcp->half_open++;
	return flow;
}

/* A flood of SYNs: what is over the limit is dropped, as a full backlog does; the connections that stand go on. */
static void accept_syn(struct tcp *tcp, const struct packet *packet)
{
	struct tcp_flow *flow;
	int fd;

	if (tcp->flows >= tcp->flows_max || tcp->half_open >= tcp->flows_max / 2)
		return;
	flow = flow_new(tcp, packet);
	if (!flow)
		return;
	if (packet->destination.port == DNS_PORT) {
		fd = dns_stream(tcp->dns);
		dialled(flow, fd, fd < 0 ? errno : 0, NULL);
		return;
	}
	flow->dial = dial_start(tcp->dialer, &flow->server, dialled, flow);
}

/* Waiting for the ACK of our SYN; the segment that brings it may bring data. */
static bool complete_handshake(struct tcp_flow *flow, const struct packet *packet)
{
	const struct tcp_segment *segment = &packet->tcp;

	if (segment->flags & TCP_RST) {
		if (segment->sequence == flow->rcv_nxt)
			flow_abort(flow);
		return false;
	}
	if (segment->flags & TCP_SYN) {
		if (segment->sequence == flow->rcv_nxt - 1)
			send_syn_ack(flow);
		return false;
	}
	if (!(segment->flags & TCP_ACK) || segment->acknowledgement != flow->snd_nxt) {
		send_reset(flow->tcp, packet);
		return false;
	}
	flow->snd_una = flow->snd_nxt;
	flow->snd_wnd = (uint32_t)segment->window << flow->snd_scale;
	flow->snd_wl1 = segment->sequence;
	flow->state = TCP_OPEN;
	flow->retries = 0;
	flow->tcp->half_open--;
	return true;
}

static void linger_on(struct tcp_flow *flow, const struct packet *packet)
{
	struct tcp *tcp = flow->tcp;

	if (packet->tcp.flags & TCP_RST) {
		flow_close(flow);
	} else if (packet->tcp.flags & TCP_SYN) {
		flow_close(flow);
		accept_syn(tcp, packet);
	} else if (packet->tcp.flags & TCP_FIN) {
		flow_send_control(flow, TCP_ACK);
	}
}

void tcp_packet(struct tcp *tcp, const struct packet *packet)
{
	struct tcp_flow *flow = *find(tcp, &packet->source, &packet->destination);
	uint8_t flags = packet->tcp.flags;

	if (!flow) {
		if ((flags & (TCP_SYN | TCP_ACK | TCP_RST)) == TCP_SYN)
			accept_syn(tcp, packet);
		else if (!(flags & TCP_RST))
			send_reset(tcp, packet);
		return;
	}
	switch (flow->state) {
	case TCP_DIALLING:
		if ((flags & TCP_RST) && packet->tcp.sequence == flow->rcv_nxt)
			flow_abort(flow);
		return;
	case TCP_LINGER:
		linger_on(flow, packet);
		return;
	case TCP_ANSWERED:
		if (!complete_handshake(flow, packet))
			return;
		break;
	default:
		break;
	}
	if (flow_receive(flow, packet))
		flow_dirty(flow);
}

bool tcp_is_drained(const struct tcp *tcp)
{
	for (size_t i = 0; i < BUCKETS; i++) {
		for (const struct tcp_flow *flow = tcp->buckets[i]; flow; flow = flow->next_in_bucket) {
			if (flow->state == TCP_OPEN && !flow->fin_received)
				return false;
		}
	}
	return true;
}

void tcp_free(struct tcp *tcp)
{
	for (size_t i = 0; tcp && i < BUCKETS; i++) {
		while (tcp->buckets[i])
			flow_close(tcp->buckets[i]);
	}
	free(tcp);
}
