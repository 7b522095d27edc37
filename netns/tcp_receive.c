/* TCP from the container: its data goes into the upstream socket, its acknowledgements free what is held there.
 */
#include "netns/tcp_flow.h"
#include "spec/cleanup.h"

#include <linux/sock_diag.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

enum { DUPLICATE_ACKS_FOR_LOSS = 3 };

uint16_t flow_window(const struct tcp_flow *flow)
{
	return (uint16_t)((flow->rcv_adv - flow->rcv_nxt) >> flow->rcv_scale);
}

/* What the socket would take now, as the kernel will count it: its limit less what is queued, less an eighth for the kernel's own overhead
 * of each piece. What is offered must be taken: refused, it is dropped, and TCP without SACK is slow to mend that. Below a third it will not
 * report itself writable, so that is when to ask to be told; EPOLL_CTL_MOD looks again, and without that look an edge-triggered
 * EPOLLOUT never comes, since only a failed write or a poll makes the kernel remember that someone waits. */
static uint32_t ask_room(struct tcp_flow *flow)
{
	uint32_t memory[SK_MEMINFO_VARS] = { 0 }, used, limit;
	socklen_t length = sizeof(memory);

	if (getsockopt(flow->upstream.fd, SOL_SOCKET, SO_MEMINFO, memory, &length) < 0)
		return 0;
	limit = memory[SK_MEMINFO_SNDBUF];
	used = memory[flow->plain_socket ? SK_MEMINFO_WMEM_ALLOC : SK_MEMINFO_WMEM_QUEUED];
	used = used < limit ? used : limit;
	if ((limit - used) * 3ull < limit && !flow->low_room) {
		flow->low_room = true;
		loop_modify(tcp_loop(flow->tcp), &flow->upstream, flow->upstream.events);
	}
	return (limit - used) / 8 * 7;
}

void flow_update_room(struct tcp_flow *flow)
{
	uint32_t most = 65535u << flow->rcv_scale, room = ask_room(flow), edge;

	if (room > most)
		room = most;
	room &= ~((1u << flow->rcv_scale) - 1);
	edge = flow->rcv_nxt + room;
	/* After refusing what was in the window there is nothing to keep a promise for. */
	if (flow->refused_data || sequence_after(edge, flow->rcv_adv))
		flow->rcv_adv = edge;
}

static void take_window(struct tcp_flow *flow, const struct tcp_segment *segment)
{
	if (segment->sequence != flow->snd_wl1 && !sequence_after(segment->sequence, flow->snd_wl1))
		return;
	flow->snd_wl1 = segment->sequence;
	flow->snd_wnd = (uint32_t)segment->window << flow->snd_scale;
}

static void take_progress(struct tcp_flow *flow, uint32_t acknowledged)
{
	uint32_t data = acknowledged;

	if (flow->fin_sent && !flow->fin_acknowledged && flow->snd_una + acknowledged == flow->snd_nxt) {
		flow->fin_acknowledged = true;
		data--;
	}
	flow->consumable += data;
	flow->snd_una += acknowledged;
	if (flow->record)
		flow->record->received += data;
	flow->duplicate_acks = 0;
	flow->retries = 0;
	flow->progress = loop_now(tcp_loop(flow->tcp));
	if (!flow->recovering)
		return;
	/* A partial acknowledgement in recovery: the next hole begins here (RFC 6582). */
	if (!sequence_after(flow->recover, flow->snd_una))
		flow->recovering = false;
	else
		flow->retransmit = true;
}

static void take_duplicate(struct tcp_flow *flow)
{
	if (flow->duplicate_acks < UINT8_MAX)
		flow->duplicate_acks++;
	if (flow->duplicate_acks != DUPLICATE_ACKS_FOR_LOSS || flow->recovering)
		return;
	flow->recovering = true;
	flow->recover = flow->snd_nxt;
	flow->retransmit = true;
}

static void take_acknowledgement(struct tcp_flow *flow, const struct packet *packet)
{
	const struct tcp_segment *segment = &packet->tcp;
	uint32_t acknowledged = segment->acknowledgement - flow->snd_una, window = flow->snd_wnd;

	if (acknowledged > flow_in_flight(flow)) /* old */
		return;
	take_window(flow, segment);
	if (acknowledged)
		take_progress(flow, acknowledged);
	else if (flow_in_flight(flow) && !packet->payload_length && !(segment->flags & TCP_FIN) &&
		 flow->snd_wnd == window)
		take_duplicate(flow);
}

static ssize_t send_upstream(struct tcp_flow *flow, struct iovec *pieces, size_t count)
{
	struct msghdr message = { .msg_iov = pieces, .msg_iovlen = count };

	if (flow->first_words) /* then nothing is gathered, see below */
		return first_words_send(
			&flow->first_words, flow->upstream.fd, pieces->iov_base, pieces->iov_len, false);
	return sendmsg(flow->upstream.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void hold_rest(struct tcp_flow *flow, const struct iovec *pieces, size_t count, size_t taken)
{
	uint32_t sequence = flow->rcv_nxt;

	for (size_t i = 0; i < count; i++) {
		size_t length = pieces[i].iov_len, part = taken < length ? taken : length;

		reorder_hold(flow, sequence, (const uint8_t *)pieces[i].iov_base + part, length - part);
		sequence += (uint32_t)(length - part);
		taken -= part;
	}
	flow_update_room(flow);
}

/* False: the upstream side has failed and the flow is gone. */
static bool take_pieces(
	struct tcp_flow *flow, struct iovec *pieces, size_t count, size_t length, size_t *taken)
{
	ssize_t sent = length ? send_upstream(flow, pieces, count) : 0;

	if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != ENOMEM) {
		flow_reset(flow);
		return false;
	}
	*taken = sent < 0 ? 0 : (size_t)sent;
	if (flow->record)
		flow->record->sent += *taken;
	flow->rcv_nxt += (uint32_t)*taken;
	flow->refused_data = *taken < length;
	if (flow->refused_data)
		hold_rest(flow, pieces, count, *taken);
	return true;
}

static bool take_payload(struct tcp_flow *flow, const uint8_t *bytes, size_t length, size_t *taken)
{
	struct iovec piece = { (void *)bytes, length };

	return take_pieces(flow, &piece, 1, length, taken);
}

/* Full segments of one flow that come one after the other are sent by one system call, since each may wake, and give way to, whoever
 * reads at the other end. */
static struct {
	struct tcp_flow *flow; /* NULL: nothing is gathered */
	struct iovec pieces[TUNNEL_PACKETS_KEPT];
	size_t count, length;
} gathered;

static bool send_gathered(void)
{
	struct tcp_flow *flow = gathered.flow;
	size_t taken;

	gathered.flow = NULL;
	return take_pieces(flow, gathered.pieces, gathered.count, gathered.length, &taken);
}

void gather_end(void)
{
	if (gathered.flow)
		send_gathered();
}

void gather_forget(const struct tcp_flow *flow)
{
	if (gathered.flow == flow)
		gathered.flow = NULL;
}

/* Nothing but data, and the next, in a packet that can be kept. */
static bool continues(const struct tcp_flow *flow, const struct packet *packet)
{
	uint32_t next = flow->rcv_nxt + (gathered.flow == flow ? (uint32_t)gathered.length : 0);

	return packet->payload_length >= flow->mss && !(packet->tcp.flags & ~(TCP_ACK | TCP_PSH)) &&
	       packet->tcp.sequence == next && !flow->held && !flow->fin_received && !flow->first_words &&
	       tunnel_can_keep(tcp_tunnel(flow->tcp), packet);
}

static bool gather(struct tcp_flow *flow, const struct packet *packet)
{
	if (!gathered.flow) {
		gathered.flow = flow;
		gathered.count = gathered.length = 0;
	}
	tunnel_keep(tcp_tunnel(flow->tcp));
	gathered.pieces[gathered.count++] = (struct iovec){ (void *)packet->payload, packet->payload_length };
	gathered.length += packet->payload_length;
	flow->acknowledge = true;
	return gathered.count < TUNNEL_PACKETS_KEPT || send_gathered();
}

/* Before a packet that is not to be gathered with those before it. False: it is of their flow, which is no more. */
static bool end_other_gathering(struct tcp_flow *flow, const struct packet *packet)
{
	struct tcp_flow *others = gathered.flow;

	return !others || (others == flow && continues(flow, packet)) || send_gathered() || others != flow;
}

/* False: the flow is gone. */
static bool take_fin(struct tcp_flow *flow)
{
	if (flow->first_words && first_words_send(&flow->first_words, flow->upstream.fd, NULL, 0, true) < 0) {
		if (errno == EAGAIN)
			return true; /* it will come again */
		flow_reset(flow);
		return false;
	}
	flow->rcv_nxt++;
	if (sequence_after(flow->rcv_nxt, flow->rcv_adv))
		flow->rcv_adv = flow->rcv_nxt;
	flow->fin_received = true;
	reorder_forget(flow); /* nothing comes after the end */
	flow->lingers = flow->fin_sent;
	flow->fin_due = true;
	return true;
}

bool flow_take_held(struct tcp_flow *flow)
{
	const uint8_t *bytes;
	size_t length, taken;

	while (flow->held && !flow->refused_data && reorder_next(flow, &bytes, &length)) {
		if (!take_payload(flow, bytes, length, &taken))
			return false;
	}
	return true;
}

/* Nothing that must be said at once: a question and its answer need no packet more than these two, and neither does an end that upstream
 * answers with its own. */
static bool window_is_wide(const struct tcp_flow *flow)
{
	return flow->rcv_adv - flow->rcv_nxt > INITIAL_WINDOW / 2;
}

static bool take_data(struct tcp_flow *flow, const struct packet *packet)
{
	uint32_t old = flow->rcv_nxt - packet->tcp.sequence;
	bool fin = packet->tcp.flags & TCP_FIN;
	size_t length = packet->payload_length, taken;

	if (!length && !fin && (int32_t)old <= 0)
		return true;
	if ((length || (fin && !flow->fin_sent)) && length < flow->mss && !flow->held && (int32_t)old == 0 &&
		window_is_wide(flow))
		flow->acknowledge_soon = true;
	else
		flow->acknowledge = true;
	if ((int32_t)old <
		0) { /* a hole before it: each such packet is answered, for the sender's fast retransmission */
		reorder_hold(flow, packet->tcp.sequence, packet->payload, length);
		if (!flow->refused_data)
			flow_send_control(flow, TCP_ACK);
		return true;
	}
	if (old > length ||
		flow->fin_received) /* seen before; a keepalive or a window probe looks like that, too */
		return true;
	if (!take_payload(flow, packet->payload + old, length - old, &taken))
		return false;
	if (fin && taken == length - old && !take_fin(flow))
		return false;
	return flow_take_held(flow);
}

/* RFC 5961: believed at exactly the next number; elsewhere in the window it is asked about. */
static bool take_reset(struct tcp_flow *flow, const struct tcp_segment *segment)
{
	/* After both ends it says only that the last ACK was lost: what it sent may still be on its way to the server. */
	if (segment->sequence == flow->rcv_nxt) {
		if (flow->fin_received && flow->fin_sent)
			flow_close(flow);
		else
			flow_abort(flow);
		return false;
	}
	if (segment->sequence - flow->rcv_nxt < flow->rcv_adv - flow->rcv_nxt)
		flow->acknowledge = true;
	return true;
}

/* RFC 9293, 3.10.7.4, and RFC 5961; but within the largest window that can have been advertised, since that may have moved left. What was
 * seen before is a repetition, or a probe. */
static bool is_acceptable(const struct tcp_flow *flow, const struct tcp_segment *segment)
{
	uint32_t edge = flow->rcv_nxt + (65535u << flow->rcv_scale);

	return (segment->flags & (TCP_SYN | TCP_ACK)) == TCP_ACK &&
	       !sequence_after(segment->sequence, edge) &&
	       !sequence_after(segment->acknowledgement, flow->snd_nxt);
}

bool flow_receive(struct tcp_flow *flow, const struct packet *packet)
{
	const struct tcp_segment *segment = &packet->tcp;

	if (!end_other_gathering(flow, packet))
		return false;
	flow->heard = loop_now(tcp_loop(flow->tcp));
	if (!flow_in_flight(flow) && flow->snd_wnd)
		flow->retries = 0;
	if (segment->flags & TCP_RST)
		return take_reset(flow, segment);
	if (!is_acceptable(flow, segment)) {
		flow->acknowledge = true;
		return true;
	}
	take_acknowledgement(flow, packet);
	if (continues(flow, packet))
		return gather(flow, packet);
	return take_data(flow, packet);
}
