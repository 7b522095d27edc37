/* TCP by translation: the table of connections, their beginning and their end, and their timers.
 */
#include "netns/tcp_splice.h"
#include "netns/connect.h"
#include "netns/hash.h"
#include "netns/icmp.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>

enum {
	BUCKETS = 16384, /* a power of two */
	DNS_PORT = 53,
	MSS_MIN = 88,	  /* what Linux itself will not go below */
	WINDOW_SCALE = 8, /* up to 16 MiB */

	SYN_ACK_TIMEOUT = 1000, /* milliseconds, doubled with each repetition */
	SYN_ACK_REPETITIONS = 4,
	RETRANSMISSION_TIMEOUT = 300, /* more than a delayed ACK takes (200) */
	RETRANSMISSION_TIMEOUT_MAX = 10000,
	SILENCE_MAX = 120000, /* no packet at all, although asked again and again: the container is gone */
	IDLE_BEFORE_PROBE = 600000,
	PROBE_INTERVAL = 30000,
	PROBES_MAX = 3,
	LINGER_TIME = 1000,
	ACK_DELAY = 2,
	HANDOVER_TIME = 10000, /* a client that gave up meanwhile is never accepted */
};

struct tcp {
	struct loop *loop;
	struct tunnel *tunnel;
	struct dialer *dialer;
	struct dns *dns;
	struct names *names;
	struct flows *record;
	struct hash_key key;
	struct tcp_flow *dirty;
	size_t flows, half_open, flows_max;
	bool peeks_by_offset;
	struct handover_listener *listeners[2]; /* or NULL */
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

struct tcp *tcp_new(struct loop *loop, struct dialer *dialer, struct dns *dns, struct names *names,
	struct flows *record, size_t flows_max, struct error *err)
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
	tcp->record = record;
	tcp->flows_max = flows_max;
	tcp->peeks_by_offset = tcp_can_peek_by_offset();
	return tcp;
}

int tcp_set_listeners(struct tcp *tcp, const int listeners[static 2], struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(tcp->listeners); i++) {
		if (listeners[i] < 0)
			continue;
		tcp->listeners[i] = handover_listen(tcp, listeners[i], err);
		if (!tcp->listeners[i])
			return -1;
	}
	if (tcp->listeners[0])
		tcp->flows_max /= 2; /* two sockets each */
	return 0;
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

struct tcp_flow *tcp_find(struct tcp *tcp, const struct endpoint *client, const struct endpoint *server)
{
	return *find(tcp, client, server);
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
	return flow->state == TCP_DIALLING || flow->state == TCP_ANSWERED || flow->state == TCP_HANDED_OVER;
}

static void close_upstream(struct tcp_flow *flow)
{
	loop_close(flow->tcp->loop, &flow->upstream);
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
	splice_end(flow, false);
	handover_forget(flow);
	close_upstream(flow);
	reorder_forget(flow);
	first_words_free(flow->first_words);
	gather_forget(flow);
	if (flow->holds_name)
		names_release(tcp->names, &flow->server);
	flows_end(flow->record);
	tcp->flows--;
	tcp->half_open -= half_open(flow);
	free(flow);
}

void flow_abort(struct tcp_flow *flow)
{
	if (flow->upstream.fd >= 0)
		socket_reset_at_close(flow->upstream.fd);
	splice_end(flow, true);
	flow_close(flow);
}

void flow_reset(struct tcp_flow *flow)
{
	if (flow->state != TCP_SPLICED) /* else the kernel does, by its own socket */
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
	case TCP_HANDED_OVER:
		return flow->progress + HANDOVER_TIME;
	default:
		if (flow->acknowledge_soon)
			return flow->acknowledgement_due;
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
	if (flow->fin_due)
		shutdown(flow->upstream.fd, SHUT_WR);
	flow->fin_due = false;
	if (flow->acknowledge && !flow->fin_received) /* also where data takes the ACK along */
		flow_update_room(flow);
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
	if (flow->acknowledge)
		flow_send_control(flow, TCP_ACK);
	else if (flow->acknowledge_soon && !flow->acknowledgement_due)
		flow->acknowledgement_due = loop_now(flow->tcp->loop) + ACK_DELAY;
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
	gather_end();
	while (tcp->dirty) {
		struct tcp_flow *flow = tcp->dirty;

		tcp->dirty = flow->next_dirty;
		flow->dirty = false;
		flush(flow);
	}
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

/* From a dial the socket is in the loop already. */
static int adopt(struct tcp_flow *flow, int fd)
{
	int offset = 0;

	flow->plain_socket = socket_is_unix(fd);
	flow->peeks_by_offset = flow->plain_socket || flow->tcp->peeks_by_offset;
	if (flow->peeks_by_offset)
		setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
	if (flow->upstream.index)
		return 0;
	flow->upstream.fd = fd;
	return loop_add(flow->tcp->loop, &flow->upstream, CONNECT_EVENTS, NULL);
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

static void first_words_are_late(void *data)
{
	flow_reset(data);
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
	flow->first_words = first_words_new(flow->tcp->loop, record, first_words_are_late, flow);
	flow->progress = loop_now(flow->tcp->loop);
	if (flow->syn) {
		flow->state = TCP_HANDED_OVER;
		handover_begin(flow);
		set_timer(flow);
		return;
	}
	if (adopt(flow, fd) < 0) {
		refuse(flow, ECONNREFUSED);
		return;
	}
	flow->state = TCP_ANSWERED;
	flow_send_syn_ack(flow);
	flow->snd_nxt = flow->snd_una + 1;
	set_timer(flow);
}

void flow_is_spliced(struct tcp_flow *flow)
{
	loop_cancel_timer(flow->tcp->loop, &flow->timer);
	flow->state = TCP_SPLICED;
	flow->tcp->half_open--;
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
	struct tcp_flow *flow = container_of(timer, struct tcp_flow, timer);

	if (flow->state == TCP_SPLICED)
		splice_continue(flow);
	else if (flow->turn_over) {
		flow->turn_over = false;
		flush(flow); /* sets the timer */
	} else if (flow->acknowledge_soon && flow->acknowledgement_due <= loop_now(flow->tcp->loop)) {
		flow->acknowledge = true;
		flush(flow);
	} else if (deadline(flow) > loop_now(flow->tcp->loop))
		set_timer(flow);
	else if (flow->state == TCP_LINGER)
		flow_close(flow);
	else if (flow->state == TCP_OPEN)
		probe_or_give_up(flow);
	else if (flow->state == TCP_ANSWERED && flow->retries++ < SYN_ACK_REPETITIONS) {
		flow_send_syn_ack(flow);
		set_timer(flow);
	} else {
		flow_abort(flow);
	}
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
	flow->upstream = (struct watch){ .fd = -1, .ready = upstream_ready };
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

static bool splices(const struct tcp *tcp, sa_family_t family)
{
	return tcp->listeners[family == AF_INET ? 0 : 1];
}

/* A flood of SYNs: what is over the limit is dropped, as a full backlog does; the connections that stand go on. */
static void accept_syn(struct tcp *tcp, const struct packet *packet)
{
	struct tcp_flow *flow;
	int fd;

	if (packet->tcp.flags & TCP_FIN)
		return;
	if (tcp->flows >= tcp->flows_max || tcp->half_open >= tcp->flows_max / 2) {
		flows_full(tcp->record, "tcp");
		return;
	}
	flow = flow_new(tcp, packet);
	if (!flow)
		return;
	if (packet->destination.port == DNS_PORT) {
		fd = dns_stream(tcp->dns);
		dialled(flow, fd, fd < 0 ? errno : 0, NULL);
		return;
	}
	if (splices(tcp, packet->family) && !handover_keep(flow, packet)) {
		flow_close(flow);
		return;
	}
	flow->dial = dial_start(tcp->dialer, &flow->server, &flow->upstream, dialled, flow);
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
			flow_send_syn_ack(flow);
		else
			flow_send_control(flow, TCP_ACK);
		return false;
	}
	if (!(segment->flags & TCP_ACK) || segment->acknowledgement != flow->snd_nxt) {
		tcp_send_reset(flow->tcp->tunnel, packet);
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
			tcp_send_reset(tcp->tunnel, packet);
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
	case TCP_HANDED_OVER:
	case TCP_SPLICED: /* what tc did not turn back by itself: the SYN again, or IP options */
		tunnel_return_tcp(tcp->tunnel, packet);
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
			if ((flow->state == TCP_OPEN && !flow->fin_received) ||
				(flow->state == TCP_SPLICED && !splice_has_all(flow)))
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
	for (size_t i = 0; tcp && i < ARRAY_SIZE(tcp->listeners); i++)
		handover_close(tcp, tcp->listeners[i]);
	free(tcp);
}
