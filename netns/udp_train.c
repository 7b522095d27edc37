/* See udp_train.h. */
#include "netns/udp_train.h"

#include "netns/socks.h"
#include "spec/cleanup.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

enum {
	MESSAGES_PER_CALL = 16,
	PAYLOAD_MAX = PACKET_LENGTH_MAX - 48,
	RECEIVE_ROOM = 1 << 20,
};

/* Out. */

static ssize_t send_bytes(struct udp_flow *flow, const uint8_t *bytes, size_t length, size_t segment)
{
	union {
		struct cmsghdr header;
		uint8_t bytes[CMSG_SPACE(sizeof(uint16_t))];
	} control = { .header = { .cmsg_level = SOL_UDP,
			      .cmsg_type = UDP_SEGMENT,
			      .cmsg_len = CMSG_LEN(sizeof(uint16_t)) } };
	struct udp_carrier *carrier = flow->carrier;
	struct iovec piece = { (uint8_t *)bytes, length };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	struct sockaddr_storage address;
	uint16_t size = (uint16_t)segment;

	if (!carrier->relay.family && !carrier->remote.family) {
		message.msg_name = &address;
		message.msg_namelen = endpoint_to_sockaddr(&flow->server, &address);
	}
	if (segment) {
		memcpy(CMSG_DATA(&control.header), &size, sizeof(size));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	return sendmsg(carrier->socket.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* False: the flow leads nowhere, errno says why. */
static bool send_one(struct udp_flow *flow, const uint8_t *bytes, size_t length)
{
	static const int lost[] = { EAGAIN, ENOBUFS, ENOMEM, EMSGSIZE };

	if (send_bytes(flow, bytes, length, 0) >= 0)
		return true;
	/* It may be what an earlier datagram met, reported now; that report is in the error queue as well. */
	if (send_bytes(flow, bytes, length, 0) >= 0)
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(lost); i++) {
		if (errno == lost[i])
			return true;
	}
	return false;
}

void train_forget(struct udp *udp, const struct udp_flow *flow)
{
	if (udp->train.flow == flow)
		udp->train.flow = NULL;
}

/* Refused as a train (a link or a path that takes no such size), it may still go in pieces. */
void train_flush(struct udp *udp)
{
	struct udp_train *train = &udp->train;
	struct udp_flow *flow = steal_pointer(&train->flow);
	size_t left = train->length, piece = train->segment;
	const uint8_t *next = train->bytes;

	if (!flow || (train->count > 1 && send_bytes(flow, next, left, piece) >= 0))
		return;
	do {
		piece = piece < left ? piece : left;
		if (!send_one(flow, next, piece)) {
			udp_tell(flow, errno);
			udp_flow_free(flow);
			return;
		}
		next += piece;
		left -= piece;
	} while (left);
}

bool train_flush_before(const struct udp_flow *flow)
{
	struct endpoint client = flow->client, server = flow->server;
	struct udp *udp = flow->carrier->udp;

	train_flush(udp);
	return udp_find(udp, &client, &server) == flow;
}

static bool fits(const struct udp_train *train, const struct udp_flow *flow, size_t size)
{
	return train->flow == flow && train->length == train->count * train->segment && size &&
	       size <= train->segment && train->count < UDP_SEGMENTS_MAX && train->length + size <= TRAIN_MAX;
}

void train_add(struct udp_flow *flow, const struct iovec pieces[2])
{
	struct udp_train *train = &flow->carrier->udp->train;
	size_t size = pieces[0].iov_len + pieces[1].iov_len;

	if (!fits(train, flow, size)) {
		if (!train_flush_before(flow))
			return;
		train->flow = flow;
		train->length = train->count = 0;
		train->segment = size;
	}
	for (size_t i = 0; i < 2; i++) {
		memcpy(train->bytes + train->length, pieces[i].iov_base, pieces[i].iov_len);
		train->length += pieces[i].iov_len;
	}
	train->count++;
}

/* In. Touched only as far as datagrams are long: mostly their first page. */

static struct arrival {
	uint8_t headers[PACKET_HEADERS_MAX];
	uint8_t payload[PAYLOAD_MAX];
} arrivals[MESSAGES_PER_CALL];

/* What goes to the container next: joined where the first datagram lies, since what follows lies behind it. */
struct joined {
	struct udp_flow *flow; /* NULL: nothing */
	uint8_t *bytes;
	size_t length, count, size;
};

void train_prepare(int fd)
{
	int on = 1, room = RECEIVE_ROOM;

	setsockopt(
		fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)); /* as much of it as net.core.rmem_max lets */
	setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on));
}

static void deliver(struct joined *joined)
{
	if (joined->flow)
		udp_to_container(joined->flow, joined->bytes, joined->length, joined->size);
	joined->flow = NULL;
}

static void join_datagram(struct joined *joined, struct udp_flow *flow, uint8_t *data, size_t length)
{
	if (joined->flow != flow || joined->length != joined->count * joined->size || !length ||
		length > joined->size || joined->count == UDP_SEGMENTS_MAX ||
		joined->length + length > PAYLOAD_MAX) {
		deliver(joined);
		*joined = (struct joined){ .flow = flow, .bytes = data, .size = length };
	}
	memmove(joined->bytes + joined->length, data, length);
	joined->length += length;
	joined->count++;
}

static void take_one(struct udp_carrier *carrier, const struct endpoint *from, uint8_t *data, size_t length,
	struct joined *joined)
{
	struct udp_flow *flow = carrier->relay.family ? carrier_unwrap(carrier, &data, &length)
						      : carrier_flow_of(carrier, from);

	if (flow)
		join_datagram(joined, flow, data, length);
}

static size_t segment_of(struct msghdr *message)
{
	struct cmsghdr *header = CMSG_FIRSTHDR(message);
	int size = 0;

	if (header && header->cmsg_level == SOL_UDP && header->cmsg_type == UDP_GRO)
		memcpy(&size, CMSG_DATA(header), sizeof(size));
	return size > 0 ? (size_t)size : PAYLOAD_MAX;
}

static void take(struct udp_carrier *carrier, struct arrival *arrival, struct msghdr *message, size_t length,
	struct joined *joined)
{
	size_t piece = segment_of(message);
	uint8_t *data = arrival->payload;
	struct endpoint from;

	if (!endpoint_from_sockaddr(&from, message->msg_name))
		return;
	do {
		piece = piece < length ? piece : length;
		take_one(carrier, &from, data, piece, joined);
		data += piece;
		length -= piece;
	} while (length);
}

bool train_receive(struct udp_carrier *carrier)
{
	struct sockaddr_storage addresses[MESSAGES_PER_CALL];
	uint8_t controls[MESSAGES_PER_CALL][CMSG_SPACE(sizeof(int))] __attribute__((aligned(16)));
	struct mmsghdr messages[MESSAGES_PER_CALL];
	struct iovec pieces[MESSAGES_PER_CALL];
	struct joined joined = { 0 };
	int count;

	for (size_t i = 0; i < MESSAGES_PER_CALL; i++) {
		pieces[i] = (struct iovec){ arrivals[i].payload, PAYLOAD_MAX };
		messages[i].msg_hdr = (struct msghdr){ .msg_name = &addresses[i],
			.msg_namelen = sizeof(addresses[i]),
			.msg_iov = &pieces[i],
			.msg_iovlen = 1,
			.msg_control = controls[i],
			.msg_controllen = sizeof(controls[i]) };
	}
	count = recvmmsg(carrier->socket.fd, messages, MESSAGES_PER_CALL, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++)
		take(carrier, &arrivals[i], &messages[i].msg_hdr, messages[i].msg_len, &joined);
	deliver(&joined);
	return count == MESSAGES_PER_CALL;
}
