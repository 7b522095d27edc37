/* TCP towards the container: data peeked from the upstream socket, in as few and as large packets as its window allows.
 * There is no congestion control: the path is a device on this host; what its queue drops is sent again.
 */
#include "netns/tcp_flow.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/uio.h>

enum {
	/* What is thrown away goes here: the kernel will not discard without a place (AF_UNIX), nor peek beyond (TCP before 6.9). */
	DISCARD_SIZE = 65536,
	DISCARD_PIECES = 1000, /* below IOV_MAX */
};

static uint8_t discarded[DISCARD_SIZE];

static bool send_segment(struct tcp_flow *flow, uint32_t sequence, uint8_t flags, size_t length)
{
	struct tcp_segment segment = {
		.sequence = sequence,
		.acknowledgement = flow->rcv_nxt,
		.window = flow_window(flow),
		.flags = flags,
		.scale = -1,
	};

	flow->acknowledge = flow->acknowledge_soon = false;
	flow->acknowledgement_due = 0;
	/* Of what is held because the socket is full nothing is said: a block that adjoins the ACK looks like a broken promise. */
	if (flow->held && flow->sack_permitted && !length && !flow->refused_data)
		segment.sack_count = reorder_blocks(flow, segment.sack);
	return tunnel_send_tcp(
		tcp_tunnel(flow->tcp), length, &flow->server, &flow->client, &segment, flow->mss);
}

void flow_send_control(struct tcp_flow *flow, uint8_t flags)
{
	send_segment(flow, flow->snd_nxt, flags, 0);
}

void flow_send_probe(struct tcp_flow *flow)
{
	send_segment(flow, flow->snd_una - 1, TCP_ACK, 0);
}

void flow_send_syn_ack(struct tcp_flow *flow)
{
	struct tunnel *tunnel = tcp_tunnel(flow->tcp);
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

void tcp_send_reset(struct tunnel *tunnel, const struct packet *packet)
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

	tunnel_send_tcp(tunnel, 0, &packet->destination, &packet->source, &reset, MSS_DEFAULT);
}

/* Linux 6.9 for IPv4, 6.11 for IPv6 (before, it is refused): only where both have it. */
bool tcp_can_peek_by_offset(void)
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

/* Peeks behind `offset` bytes that were seen before, by copying those, too. */
static ssize_t peek_and_discard(
	struct tcp_flow *flow, uint32_t offset, const struct iovec *places, size_t count)
{
	struct iovec pieces[DISCARD_PIECES + TUNNEL_PACKETS_HELD];
	struct msghdr message = { .msg_iov = pieces };
	uint32_t left = offset;
	ssize_t received;

	for (; left && message.msg_iovlen < DISCARD_PIECES; message.msg_iovlen++) {
		size_t piece = left < DISCARD_SIZE ? left : DISCARD_SIZE;

		pieces[message.msg_iovlen] = (struct iovec){ discarded, piece };
		left -= (uint32_t)piece;
	}
	memcpy(pieces + message.msg_iovlen, places, count * sizeof(*places));
	message.msg_iovlen += count;
	received = recvmsg(flow->upstream.fd, &message, MSG_PEEK | MSG_DONTWAIT);
	if (received < 0)
		return received;
	if (received > offset)
		return received - offset;
	if (received == 0 || flow->upstream_hung_up)
		return 0;
	errno = EAGAIN;
	return -1;
}

/* What follows the last byte sent. 0: upstream has ended. */
static ssize_t peek_next(struct tcp_flow *flow, struct iovec *places, size_t count)
{
	struct msghdr message = { .msg_iov = places, .msg_iovlen = count };

	if (flow->peeks_by_offset)
		return recvmsg(flow->upstream.fd, &message, MSG_PEEK | MSG_DONTWAIT);
	return peek_and_discard(flow, flow_in_flight(flow), places, count);
}

/* From the first unacknowledged byte. The kernel's own offset moves with each peek, so it is set back and forth. */
static ssize_t peek_first(struct tcp_flow *flow, void *buffer, size_t length, uint32_t data_in_flight)
{
	int offset = 0;
	ssize_t received;

	if (!flow->peeks_by_offset)
		return recv(flow->upstream.fd, buffer, length, MSG_PEEK | MSG_DONTWAIT);
	setsockopt(flow->upstream.fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
	received = recv(flow->upstream.fd, buffer, length, MSG_PEEK | MSG_DONTWAIT);
	offset = (int)data_in_flight;
	setsockopt(flow->upstream.fd, SOL_SOCKET, SO_PEEK_OFF, &offset, sizeof(offset));
	return received;
}

int flow_consume(struct tcp_flow *flow)
{
	while (flow->consumable) {
		size_t length = flow->consumable;
		ssize_t received;

		if (flow->plain_socket) /* MSG_TRUNC discards on TCP only */
			received = recv(flow->upstream.fd, discarded,
				length < DISCARD_SIZE ? length : DISCARD_SIZE, MSG_DONTWAIT);
		else
			received = recv(flow->upstream.fd, NULL, length, MSG_TRUNC | MSG_DONTWAIT);
		if (received <= 0)
			return -1;
		flow->consumable -= (uint32_t)received;
	}
	return 0;
}

/* How much may be sent now, in whole segments; a sliver of a window is left alone while an ACK is due that may widen it. */
static size_t usable_window(const struct tcp_flow *flow)
{
	int32_t window = (int32_t)(flow->snd_una + flow->snd_wnd - flow->snd_nxt);

	if (window <= 0 || (window < flow->mss && flow_in_flight(flow)))
		return 0;
	return (size_t)(window < flow->mss ? window : window - window % flow->mss);
}

static void send_pieces(struct tcp_flow *flow, size_t each, size_t length)
{
	struct tunnel *tunnel = tcp_tunnel(flow->tcp);

	if (!flow_in_flight(flow))
		flow->progress = loop_now(tcp_loop(flow->tcp));
	tunnel_hold(tunnel);
	while (length) {
		size_t piece = length < each ? length : each;

		send_segment(flow, flow->snd_nxt, TCP_ACK | TCP_PSH, piece);
		flow->snd_nxt += (uint32_t)piece;
		length -= piece;
	}
	tunnel_release(tunnel);
}

int flow_send_data(struct tcp_flow *flow)
{
	struct tunnel *tunnel = tcp_tunnel(flow->tcp);
	size_t each = tunnel_tcp_room(tunnel, flow->client.family, flow->mss), window;
	/* Of one flow before the others have their turn: half a MiB with offload. */
	size_t most = each * TUNNEL_PACKETS_HELD;

	while ((window = usable_window(flow)) > 0) {
		size_t asked = window < most ? window : most;
		struct iovec places[TUNNEL_PACKETS_HELD];
		ssize_t length = peek_next(flow, places, tunnel_payloads(tunnel, each, asked, places));

		if (length < 0 && errno != EAGAIN)
			return -1;
		if (length <= 0) {
			flow->upstream_ended = length == 0;
			flow->readable = false;
			break;
		}
		send_pieces(flow, each, (size_t)length);
		/* There was no more; what comes, also the end, will be reported. */
		if ((size_t)length < asked && !flow->upstream_hung_up) {
			flow->readable = false;
			break;
		}
		if ((size_t)length == most) {
			flow->turn_over = true;
			loop_set_timer(tcp_loop(flow->tcp), &flow->timer, 0);
			break;
		}
	}
	return 0;
}

int flow_retransmit(struct tcp_flow *flow)
{
	struct tunnel *tunnel = tcp_tunnel(flow->tcp);
	bool fin = flow->fin_sent && !flow->fin_acknowledged;
	uint32_t data_in_flight = flow_in_flight(flow) - fin;
	size_t most = tunnel_tcp_room(tunnel, flow->client.family, flow->mss);
	ssize_t length = 0;
	uint8_t flags = TCP_ACK;

	flow->retransmit = false;
	if (data_in_flight) {
		if (data_in_flight < most)
			most = data_in_flight;
		length = peek_first(flow, tunnel_payload(tunnel), most, data_in_flight);
		if (length <= 0)
			return -1;
		flags |= TCP_PSH;
	}
	if (fin && (uint32_t)length == data_in_flight)
		flags |= TCP_FIN;
	if (length || (flags & TCP_FIN))
		send_segment(flow, flow->snd_una, flags, (size_t)length);
	return 0;
}
