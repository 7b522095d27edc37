/* Fuzzes a TCP connection: a client that sends what it likes, in any order, and a server that reads and writes at its own pace. The first byte of the
 * input says what kind of connection it is, the rest what they do, one after the other.
 *
 * Whatever they do, each side gets of the other's stream what it sent, from the beginning and in order; nothing is acknowledged that
 * did not come, and nothing that must not go out does.
 */
#include "netns/icmp.h"
#include "netns/tcp_flow.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	KIND_CHECKED = 1, /* its first words are looked at */
	KIND_DENIED = 2,  /* and are for another server */
	KIND_NARROW = 4,  /* little room upstream */
	KIND_OPTIONS = 8, /* SACK and window scaling */
	STREAM_MAX = 1 << 15,
	TIMERS_MAX = 64,
	CLIENT_FIRST = 0xffffff00, /* so that the numbers wrap */
	PORT = 80,
	SILENCE = 100000, /* milliseconds, after which the relay may give up */
};

static struct {
	struct tcp *tcp;
	struct flows *flows;
	int epoll, server; /* the server's end; -1: not connected */
	struct watch *watch;
	struct timer *timers[TIMERS_MAX];
	uint64_t now, heard; /* heard: the client */
	uint8_t kind;
	dial_callback *dialled;
	void *dial_data;
	/* What has been: of the client's stream, and of the server's. */
	bool sent[STREAM_MAX], ended[STREAM_MAX + 1];
	size_t read, written, farthest;
	bool shut;
	uint32_t acknowledged;	 /* by the relay, as it says */
	uint32_t first, highest; /* of the relay's numbers */
	bool answered, reset;
	unsigned int kept; /* packets that must stay where they are */
	bool holds;	   /* what goes to the container */
	unsigned int held;
} world;

static uint8_t client_byte(size_t position)
{
	static const char good[] = "GET / HTTP/1.1\r\nHost: www.example.com\r\n\r\n";
	static const char bad[] = "GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n";

	if (position < strlen(good))
		return (uint8_t)(world.kind & KIND_DENIED ? bad : good)[position];
	return (uint8_t)(position + (position >> 8) * 3);
}

static uint8_t server_byte(size_t position)
{
	return (uint8_t)(position * 5 + (position >> 8));
}

/* The loop: a clock that the input moves, timers in no order, and the kernel's own edges. */

uint64_t loop_now(const struct loop *loop)
{
	(void)loop;
	return world.now;
}

void loop_cancel_timer(struct loop *loop, struct timer *timer)
{
	(void)loop;
	if (timer->index)
		world.timers[timer->index] = NULL;
	timer->index = 0;
}

void loop_set_timer(struct loop *loop, struct timer *timer, uint64_t milliseconds)
{
	int index = 1;

	loop_cancel_timer(loop, timer);
	while (world.timers[index])
		assert(++index < TIMERS_MAX);
	timer->due = world.now + milliseconds;
	timer->index = index;
	world.timers[index] = timer;
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events, struct error *err)
{
	struct epoll_event event = { .events = events };

	(void)loop, (void)err;
	assert(!world.watch);
	world.watch = watch;
	watch->events = events;
	return epoll_ctl(world.epoll, EPOLL_CTL_ADD, watch->fd, &event);
}

int loop_modify(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = { .events = events };

	(void)loop;
	watch->events = events;
	return epoll_ctl(world.epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	(void)loop;
	if (world.watch == watch)
		world.watch = NULL;
}

void loop_close(struct loop *loop, struct watch *watch)
{
	loop_remove(loop, watch);
	if (watch->fd >= 0)
		close(watch->fd);
	watch->fd = -1;
}

static void pass_time(uint64_t milliseconds)
{
	world.now += milliseconds;
	for (int i = 0, fired = 0; i < TIMERS_MAX && fired < TIMERS_MAX; i++) {
		struct timer *timer = world.timers[i];

		if (!timer || timer->due > world.now)
			continue;
		loop_cancel_timer(NULL, timer);
		timer->fire(timer);
		fired++;
	}
}

static void look_at_sockets(void)
{
	struct epoll_event event;

	if (epoll_wait(world.epoll, &event, 1, 0) == 1 && world.watch)
		world.watch->ready(world.watch, event.events);
}

/* The way out: it connects when the input says so. */

static void forget_connection(void)
{
	if (world.server >= 0)
		close(world.server);
	world.server = -1;
	memset(world.sent, 0, sizeof(world.sent));
	memset(world.ended, 0, sizeof(world.ended));
	world.read = world.written = world.farthest = 0;
	world.shut = world.answered = world.reset = false;
	world.acknowledged = CLIENT_FIRST + 1;
}

/* The socket comes by the callback alone, as it does from the SOCKS listener's dials. */
struct dial *dial_start(struct dialer *dialer, const struct endpoint *destination, struct watch *heir,
	dial_callback *done, void *data)
{
	(void)dialer, (void)destination, (void)heir;
	forget_connection();
	world.dialled = done;
	world.dial_data = data;
	return (struct dial *)&world;
}

void dial_cancel(struct dial *dial)
{
	(void)dial;
	world.dialled = NULL;
}

static void connect_upstream(bool refused)
{
	static const struct flow_description flow = { "tcp", .name = "www.example.com",
		.address.port = PORT };
	dial_callback *done = world.dialled;
	struct flow_record *record;
	int ends[2], size = 1;

	if (!done)
		return;
	world.dialled = NULL;
	if (refused) {
		done(world.dial_data, -1, ECONNREFUSED, NULL);
		return;
	}
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) == 0);
	if (world.kind & KIND_NARROW)
		setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	world.server = ends[1];
	record = flows_begin(world.flows, &flow);
	record->check_name = world.kind & KIND_CHECKED;
	done(world.dial_data, ends[0], 0, record);
}

int dns_stream(struct dns *dns)
{
	(void)dns;
	abort();
}

const char *names_find(const struct names *names, const struct endpoint *address)
{
	(void)names, (void)address;
	return NULL;
}

void names_hold(struct names *names, const struct endpoint *address)
{
	(void)names, (void)address;
}

void names_release(struct names *names, const struct endpoint *address)
{
	(void)names, (void)address;
}

bool icmp_reason(int error_number, enum unreachable *why)
{
	(void)error_number, (void)why;
	return false;
}

void icmp_unreachable_syn(struct tunnel *tunnel, const struct endpoint *source,
	const struct endpoint *destination, uint32_t sequence, enum unreachable why)
{
	(void)tunnel, (void)source, (void)destination, (void)sequence, (void)why;
}

/* What the container gets. */

static uint8_t payloads[TUNNEL_PACKETS_HELD][PACKET_LENGTH_MAX];

uint8_t *tunnel_payload(struct tunnel *tunnel)
{
	(void)tunnel;
	return payloads[world.held];
}

size_t tunnel_payloads(
	struct tunnel *tunnel, size_t each, size_t length, struct iovec places[TUNNEL_PACKETS_HELD])
{
	size_t count = 0;

	(void)tunnel;
	assert(!world.holds && length <= each * TUNNEL_PACKETS_HELD);
	for (; length; count++) {
		places[count] = (struct iovec){ payloads[count], length < each ? length : each };
		length -= places[count].iov_len;
	}
	return count;
}

void tunnel_hold(struct tunnel *tunnel)
{
	(void)tunnel;
	world.holds = true;
}

void tunnel_release(struct tunnel *tunnel)
{
	(void)tunnel;
	world.holds = false;
	world.held = 0;
}

bool tunnel_can_keep(const struct tunnel *tunnel, const struct packet *packet)
{
	(void)tunnel, (void)packet;
	return true;
}

void tunnel_keep(struct tunnel *tunnel)
{
	(void)tunnel;
	world.kept++;
}

size_t tunnel_tcp_room(const struct tunnel *tunnel, sa_family_t family, uint16_t mss)
{
	(void)tunnel, (void)family;
	return (size_t)mss * 4;
}

uint16_t tunnel_mss(const struct tunnel *tunnel, sa_family_t family)
{
	(void)tunnel, (void)family;
	return 1460;
}

bool tunnel_return_tcp(struct tunnel *tunnel, const struct packet *packet)
{
	(void)tunnel, (void)packet;
	abort();
}

/* It never goes back, but for an answer to the first SYN, sent again after a connection has ended. */
static void check_acknowledgement(uint32_t acknowledgement)
{
	uint32_t before = world.acknowledged - (CLIENT_FIRST + 1),
		 come = acknowledgement - (CLIENT_FIRST + 1);

	assert(come >= before && come <= STREAM_MAX);
	for (uint32_t i = before; i < come; i++)
		assert(world.sent[i] || (i + 1 == come && world.ended[i]));
	world.acknowledged = acknowledgement;
}

static void check_payload(const uint8_t *payload, uint32_t sequence, size_t length, bool fin)
{
	uint32_t position = sequence - (world.first + 1);

	if (!length && !fin)
		return;
	assert(position <= world.written && position + length <= world.written);
	assert(!fin || (world.shut && position + length == world.written));
	for (size_t i = 0; i < length; i++)
		assert(payload[i] == server_byte(position + i));
	if (sequence_after(sequence + (uint32_t)length + fin, world.highest))
		world.highest = sequence + (uint32_t)length + fin;
}

/* A client that has ended somewhere, and sent more behind that, has no more to expect. */
static bool is_coherent(void)
{
	for (size_t i = 0; i < world.farthest; i++) {
		if (world.ended[i])
			return false;
	}
	return world.answered && !(world.kind & KIND_CHECKED);
}

/* What ends a connection, and not what answers a packet of none: only where the client is silent, or has said the wrong thing. */
static void check_reset(const struct tcp_segment *segment)
{
	if (segment->flags & TCP_ACK && segment->sequence && is_coherent())
		assert(world.now - world.heard > SILENCE);
}

bool tunnel_send_tcp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination, const struct tcp_segment *segment, uint16_t mss)
{
	(void)source, (void)destination;
	if (segment->flags & TCP_RST) {
		check_reset(segment);
		world.reset = true;
		return true;
	}
	assert(segment->flags & TCP_ACK && length <= (size_t)mss * 4);
	check_acknowledgement(segment->acknowledgement);
	if (segment->flags & TCP_SYN) {
		assert(!world.answered || world.first == segment->sequence);
		world.first = segment->sequence;
		world.highest = segment->sequence + 1;
		world.answered = true;
	} else {
		check_payload(tunnel_payload(tunnel), segment->sequence, length, segment->flags & TCP_FIN);
	}
	if (world.holds)
		world.held = (world.held + 1) % TUNNEL_PACKETS_HELD;
	return true;
}

/* What the two do. */

static void client_sends(
	uint8_t flags, uint32_t sequence, uint32_t acknowledgement, uint16_t window, size_t length)
{
	static uint8_t payloads[TUNNEL_PACKETS_KEPT][4096];
	uint8_t *payload = payloads[world.kept % TUNNEL_PACKETS_KEPT];
	struct packet packet = { 0 };
	uint32_t position = sequence - (CLIENT_FIRST + 1);

	packet.family = packet.source.family = packet.destination.family = AF_INET;
	packet.protocol = IPPROTO_TCP;
	packet.source.v4.s_addr = htonl(0xc6120001);
	packet.destination.v4.s_addr = htonl(0xcb007107);
	packet.source.port = packet.destination.port = PORT;
	packet.payload = payload;
	packet.tcp = (struct tcp_segment){ .sequence = sequence,
		.acknowledgement = acknowledgement,
		.window = window,
		.flags = flags,
		.maximum = 100,
		.scale = world.kind & KIND_OPTIONS ? 2 : -1,
		.sack_permitted = world.kind & KIND_OPTIONS };
	if (!(flags & TCP_SYN)) {
		if (position >= STREAM_MAX || position + length > STREAM_MAX)
			length = 0; /* before or beyond the stream */
		for (size_t i = 0; i < length; i++) {
			payload[i] = client_byte(position + i);
			world.sent[position + i] = true;
		}
		if (flags & TCP_FIN && position <= STREAM_MAX)
			world.ended[position + length] = true;
		packet.payload_length = length;
		if (position <= STREAM_MAX && position + length > world.farthest)
			world.farthest = position + length;
	}
	world.heard = world.now;
	tcp_packet(world.tcp, &packet);
}

static void client_says(const uint8_t *data)
{
	uint8_t flags = data[0] & (TCP_FIN | TCP_RST | TCP_PSH | TCP_ACK | TCP_URG);
	int32_t ahead = (int8_t)data[1], behind = (int8_t)data[3];

	if ((flags & TCP_RST) && data[0] & 0x80) /* not too often */
		flags &= (uint8_t)~TCP_RST;
	client_sends(flags | (data[0] & 0x40 ? TCP_ACK : 0), world.acknowledged + (uint32_t)(ahead * 10),
		world.highest + (uint32_t)(behind * 10), (uint16_t)(data[4] * 16), (size_t)data[2] * 10);
}

static void server_reads(size_t most)
{
	uint8_t bytes[4096];
	ssize_t got = world.server < 0
			      ? 0
			      : recv(world.server, bytes, most < sizeof(bytes) ? most : sizeof(bytes), 0);

	for (ssize_t i = 0; i < got; i++)
		assert(bytes[i] == client_byte(world.read + (size_t)i) && world.sent[world.read + (size_t)i]);
	assert(got <= 0 || (world.kind & (KIND_CHECKED | KIND_DENIED)) != (KIND_CHECKED | KIND_DENIED));
	world.read += got > 0 ? (size_t)got : 0;
}

static void server_writes(size_t length)
{
	uint8_t bytes[4096];
	ssize_t put;

	for (size_t i = 0; i < length; i++)
		bytes[i] = server_byte(world.written + i);
	put = world.server < 0 || world.shut ? 0 : send(world.server, bytes, length, MSG_NOSIGNAL);
	world.written += put > 0 ? (size_t)put : 0;
}

static bool all_has_arrived(size_t end)
{
	return world.acknowledged - (CLIENT_FIRST + 1) >= end && world.read >= end &&
	       world.highest - (world.first + 1) == world.written + world.shut;
}

/* From here on both do what they should: the client fills the holes, and asks with the highest number that it has used. Unless somebody
 * has reset the connection all arrives. */
static void finish(void)
{
	bool coherent = is_coherent();
	size_t end = world.farthest;

	for (int i = 0; i < 400 && coherent && !world.reset && !all_has_arrived(end); i++) {
		size_t from = world.acknowledged - (CLIENT_FIRST + 1);
		size_t length = from < end ? end - from : 0;

		client_sends(TCP_ACK, world.acknowledged, world.highest, 2000, length < 1000 ? length : 1000);
		client_sends(TCP_ACK, CLIENT_FIRST + 1 + (uint32_t)end, world.highest, 2000, 0);
		tcp_flush(world.tcp);
		look_at_sockets();
		server_reads(4096);
		pass_time(50);
	}
	assert(!coherent || world.reset || all_has_arrived(end));
}

/* How many bytes of the input it has used. */
static size_t step(const uint8_t *data, size_t size)
{
	if (data[0] % 8 > 1) /* packets come in batches, and nothing comes between a batch and its end */
		tcp_flush(world.tcp);
	switch (data[0] % 8) {
	case 0:
	case 1:
		if (size < 6)
			return size;
		client_says(data + 1);
		return 6;
	case 2:
		server_reads((size_t)(data[0] >> 3) * 100);
		return 1;
	case 3:
		server_writes((size_t)(data[0] >> 3) * 50);
		return 1;
	case 4:
		pass_time(1u << (data[0] >> 3 & 15));
		return 1;
	case 5:
		look_at_sockets();
		return 1;
	case 6:
		return 1;
	default:
		if (data[0] & 8)
			connect_upstream(data[0] & 16);
		else if (data[0] & 16)
			client_sends(TCP_SYN, CLIENT_FIRST, 0, 1000, 0);
		else if (world.server >= 0 && (world.shut = true))
			shutdown(world.server, SHUT_WR);
		return 1;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error error;

	if (!size)
		return 0;
	world.kind = *data++;
	size--;
	world.epoll = epoll_create1(EPOLL_CLOEXEC);
	world.server = -1;
	world.flows = flows_new(NULL, -1);
	world.tcp = tcp_new(NULL, NULL, NULL, NULL, world.flows, 8, &error);
	client_sends(TCP_SYN, CLIENT_FIRST, 0, 1000, 0);
	connect_upstream(false);
	if (world.answered)
		client_sends(TCP_ACK, CLIENT_FIRST + 1, world.highest, 1000, 0);
	while (size) {
		size_t used = step(data, size);

		data += used;
		size -= used;
	}
	finish();
	tcp_free(world.tcp);
	flows_free(world.flows);
	close(world.epoll);
	forget_connection();
	world.dialled = NULL;
	for (int i = 0; i < TIMERS_MAX; i++)
		assert(!world.timers[i]);
	assert(!world.watch);
	return 0;
}
