/* See dns_upstream.h. A query owns its UDP socket, so that each has a source port of its own to guess; all queries that go
 * by TCP share one connection, the channel.
 */
#include "netns/dns_upstream.h"

#include "netns/connect.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/random.h>
#include <sys/socket.h>

enum {
	UDP_ATTEMPTS = 3,
	UDP_ATTEMPT_MILLISECONDS =
		1500, /* a client asks again after 5 seconds; by then it is to have its answer */
	TCP_ATTEMPTS = 2,
	TCP_ATTEMPT_MILLISECONDS = 4000,
	CHANNEL_SILENT_MILLISECONDS = 4000, /* although it was asked; then it is given up for another */
	CHANNEL_DIAL_MILLISECONDS = 8000,
	CHANNEL_IDLE_MILLISECONDS = 10000,
	FRAME_MAX = 2 + DNS_MESSAGE_MAX,
	OUT_MAX = 1 << 20, /* also of questions that nobody waits for any more */
};

static const char *const public_resolvers[] = { "1.1.1.1:53", "8.8.8.8:53" };

struct channel {
	struct watch watch; /* .fd is -1 while there is no connection */
	struct timer idle;
	struct dial *dial;
	bool connecting, open;
	size_t server;	/* of public_resolvers, when none is named */
	uint64_t heard; /* when something came last, or it was begun */
	uint8_t *out;
	size_t out_length, out_size;
	uint8_t *in; /* FRAME_MAX bytes */
	size_t in_length;
};

struct dns_upstream {
	struct loop *loop;
	struct dialer *dialer;
	struct endpoint resolver;
	LIST_HEAD(, dns_upstream_query) queries;
	struct channel channel;
};

struct dns_upstream_query {
	LIST_ENTRY(dns_upstream_query) link;
	struct dns_upstream *upstream;
	struct watch udp; /* .fd is -1 without */
	struct timer timer;
	unsigned int attempts;
	bool tcp, sent; /* by the channel; and on its present connection */
	uint16_t client_id;
	dns_upstream_reply *done;
	void *data;
	struct dns_question question;
	size_t length;
	uint8_t message[]; /* with an identifier of our own */
};

static void open_channel(struct dns_upstream *upstream);

void dns_upstream_cancel(struct dns_upstream_query *query)
{
	struct loop *loop = query->upstream->loop;

	LIST_REMOVE(query, link);
	loop_cancel_timer(loop, &query->timer);
	loop_close(loop, &query->udp);
	free(query);
}

static void finish(struct dns_upstream_query *query, uint8_t *reply, size_t length)
{
	dns_upstream_reply *done = query->done;
	void *data = query->data;

	if (reply)
		dns_set_id(reply, query->client_id);
	dns_upstream_cancel(query);
	done(data, reply, length);
}

/* TCP: the channel. */

static bool append_frame(struct channel *channel, const struct dns_upstream_query *query)
{
	size_t need = channel->out_length + 2 + query->length;
	uint8_t *grown;

	if (need > OUT_MAX)
		return false;
	if (need > channel->out_size) {
		grown = realloc(channel->out, need * 2);
		if (!grown)
			return false;
		channel->out = grown;
		channel->out_size = need * 2;
	}
	channel->out[channel->out_length] = (uint8_t)(query->length >> 8);
	channel->out[channel->out_length + 1] = (uint8_t)query->length;
	memcpy(channel->out + channel->out_length + 2, query->message, query->length);
	channel->out_length = need;
	return true;
}

static void flush_channel(struct dns_upstream *upstream)
{
	struct channel *channel = &upstream->channel;

	while (channel->out_length) {
		ssize_t sent = send(channel->watch.fd, channel->out, channel->out_length, MSG_NOSIGNAL);

		if (sent < 0)
			break; /* an error comes again as an event */
		channel->out_length -= (size_t)sent;
		memmove(channel->out, channel->out + sent, channel->out_length);
	}
	loop_modify(upstream->loop, &channel->watch, EPOLLIN | (channel->out_length ? EPOLLOUT : 0));
}

static void drop_connection(struct dns_upstream *upstream)
{
	struct channel *channel = &upstream->channel;

	if (channel->dial)
		dial_cancel(channel->dial);
	channel->dial = NULL;
	loop_close(upstream->loop, &channel->watch);
	loop_cancel_timer(upstream->loop, &channel->idle);
	free(channel->in);
	free(channel->out);
	channel->in = channel->out = NULL;
	channel->in_length = channel->out_length = channel->out_size = 0;
	channel->connecting = channel->open = false;
}

/* The connection failed or ended: what was under way is tried once more, on the next server's. */
static void channel_failed(struct dns_upstream *upstream)
{
	struct dns_upstream_query *query = LIST_FIRST(&upstream->queries), *next;
	bool again = false;

	drop_connection(upstream);
	upstream->channel.server = (upstream->channel.server + 1) % ARRAY_SIZE(public_resolvers);
	for (; query; query = next) {
		next = LIST_NEXT(query, link);
		if (!query->tcp)
			continue;
		query->sent = false;
		if (++query->attempts < TCP_ATTEMPTS)
			again = true;
		else
			/* Later, since a callback could cancel `next`. */
			loop_set_timer(upstream->loop, &query->timer, 0);
	}
	if (again)
		open_channel(upstream);
}

static void send_waiting(struct dns_upstream *upstream)
{
	struct dns_upstream_query *query;

	loop_cancel_timer(upstream->loop, &upstream->channel.idle);
	LIST_FOREACH(query, &upstream->queries, link)
	{
		if (query->tcp && !query->sent)
			query->sent = append_frame(&upstream->channel, query);
	}
	flush_channel(upstream);
}

static void rest_if_idle(struct dns_upstream *upstream)
{
	const struct dns_upstream_query *query;

	LIST_FOREACH(query, &upstream->queries, link)
	{
		if (query->tcp)
			return;
	}
	loop_set_timer(upstream->loop, &upstream->channel.idle, CHANNEL_IDLE_MILLISECONDS);
}

static void idle_fired(struct timer *timer)
{
	struct channel *channel = container_of(timer, struct channel, idle);

	drop_connection(container_of(channel, struct dns_upstream, channel));
}

/* One whole answer; whose it is, its identifier and question tell. */
static void take_frame(struct dns_upstream *upstream, uint8_t *reply, size_t length)
{
	struct dns_upstream_query *query;

	LIST_FOREACH(query, &upstream->queries, link)
	{
		if (query->tcp && query->sent &&
			dns_is_reply_to(reply, length, query->message, &query->question)) {
			finish(query, reply, length);
			return;
		}
	}
}

/* Takes every whole frame from the buffer. Callbacks may ask again, which only appends to `out`. */
static void take_frames(struct dns_upstream *upstream)
{
	struct channel *channel = &upstream->channel;
	size_t taken = 0;

	while (channel->in_length - taken >= 2) {
		const uint8_t *start = channel->in + taken;
		size_t length = (size_t)start[0] << 8 | start[1];

		if (channel->in_length - taken < 2 + length)
			break;
		take_frame(upstream, channel->in + taken + 2, length);
		taken += 2 + length;
	}
	channel->in_length -= taken;
	memmove(channel->in, channel->in + taken, channel->in_length);
}

static void channel_opened(struct dns_upstream *upstream)
{
	upstream->channel.connecting = false;
	upstream->channel.open = true;
	upstream->channel.heard = loop_now(upstream->loop);
	send_waiting(upstream);
}

static bool connected(int fd)
{
	int error = 0;
	socklen_t size = sizeof(error);

	return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 && error == 0;
}

static void channel_ready(struct watch *watch, uint32_t events)
{
	struct channel *channel = container_of(watch, struct channel, watch);
	struct dns_upstream *upstream = container_of(channel, struct dns_upstream, channel);
	ssize_t received;

	if (channel->connecting) {
		if (connected(watch->fd))
			channel_opened(upstream);
		else
			channel_failed(upstream);
		return;
	}
	if (events & EPOLLOUT)
		flush_channel(upstream);
	if (!(events & (EPOLLIN | EPOLLHUP | EPOLLERR)))
		return;
	received = recv(watch->fd, channel->in + channel->in_length, FRAME_MAX - channel->in_length, 0);
	if (received < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (received <= 0) {
		channel_failed(upstream);
		return;
	}
	channel->heard = loop_now(upstream->loop);
	channel->in_length += (size_t)received;
	take_frames(upstream);
	rest_if_idle(upstream);
}

static bool watch_channel(struct dns_upstream *upstream, int fd, uint32_t events)
{
	struct channel *channel = &upstream->channel;

	channel->watch = (struct watch){ .fd = fd, .ready = channel_ready };
	channel->in = malloc(FRAME_MAX);
	if (channel->in && loop_add(upstream->loop, &channel->watch, events, NULL) == 0)
		return true;
	free(channel->in);
	channel->in = NULL;
	channel->watch.fd = close_fd(fd);
	return false;
}

static void dialled(void *data, int fd, int error_number, struct flow_record *record)
{
	struct dns_upstream *upstream = data;

	(void)error_number;
	(void)record;
	upstream->channel.dial = NULL;
	if (fd < 0 || !watch_channel(upstream, fd, EPOLLIN))
		channel_failed(upstream);
	else
		channel_opened(upstream);
}

/* Failing here is left to the queries' timers: this may run within dns_upstream_ask(). */
static void open_channel(struct dns_upstream *upstream)
{
	struct channel *channel = &upstream->channel;
	struct endpoint resolver;
	int fd;

	if (channel->open) {
		send_waiting(upstream);
		return;
	}
	if (channel->connecting || channel->dial)
		return;
	channel->heard = loop_now(upstream->loop);
	if (!upstream->resolver.family) {
		endpoint_parse(&resolver, public_resolvers[channel->server]);
		channel->dial = dial_start_trusted(upstream->dialer, &resolver, dialled, upstream);
		return;
	}
	fd = connect_begin(&upstream->resolver);
	channel->connecting = fd >= 0 && watch_channel(upstream, fd, EPOLLOUT);
}

static void start_tcp(struct dns_upstream_query *query)
{
	query->tcp = true;
	query->attempts = 0;
	loop_set_timer(query->upstream->loop, &query->timer, TCP_ATTEMPT_MILLISECONDS);
	open_channel(query->upstream);
}

/* A connection may be dead long before the kernel says so; until then every question would be lost. */
static bool is_dead(const struct dns_upstream *upstream)
{
	uint64_t silence = loop_now(upstream->loop) - upstream->channel.heard;

	return silence >=
	       (uint64_t)(upstream->channel.open ? CHANNEL_SILENT_MILLISECONDS : CHANNEL_DIAL_MILLISECONDS);
}

static void tcp_time_over(struct dns_upstream_query *query)
{
	if (query->attempts < TCP_ATTEMPTS && is_dead(query->upstream))
		channel_failed(query->upstream);
	else
		query->attempts++;
	if (query->attempts < TCP_ATTEMPTS)
		loop_set_timer(query->upstream->loop, &query->timer, TCP_ATTEMPT_MILLISECONDS);
	else
		finish(query, NULL, 0);
}

/* UDP. */

static void start_udp_attempt(struct dns_upstream_query *query)
{
	query->attempts++;
	send(query->udp.fd, query->message, query->length,
		MSG_NOSIGNAL); /* lost or failed: the timer sees to it */
	loop_set_timer(query->upstream->loop, &query->timer, UDP_ATTEMPT_MILLISECONDS);
}

static void timer_fired(struct timer *timer)
{
	struct dns_upstream_query *query = container_of(timer, struct dns_upstream_query, timer);

	if (query->tcp)
		tcp_time_over(query);
	else if (query->udp.fd >= 0 && query->attempts < UDP_ATTEMPTS)
		start_udp_attempt(query);
	else
		finish(query, NULL, 0);
}

static void udp_ready(struct watch *watch, uint32_t events)
{
	struct dns_upstream_query *query = container_of(watch, struct dns_upstream_query, udp);
	uint8_t reply[4096];
	ssize_t received = recv(watch->fd, reply, sizeof(reply), MSG_TRUNC);
	bool cut = received > (ssize_t)sizeof(reply);

	(void)events;
	if (received < 0) { /* nobody listens there: no use in waiting */
		if (errno != EAGAIN && errno != EINTR)
			loop_set_timer(query->upstream->loop, &query->timer, 0);
		return;
	}
	if (!dns_is_reply_to(reply, cut ? sizeof(reply) : (size_t)received, query->message, &query->question))
		return;
	if (!cut && !dns_is_truncated(reply)) {
		finish(query, reply, (size_t)received);
		return;
	}
	loop_close(query->upstream->loop, &query->udp);
	start_tcp(query);
}

static int open_udp(const struct endpoint *resolver)
{
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(resolver, &address);
	_cleanup_close_ int fd = socket(resolver->family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0)
		return -1;
	return steal_fd(&fd);
}

static bool start_udp(struct dns_upstream_query *query)
{
	query->udp = (struct watch){ .fd = open_udp(&query->upstream->resolver), .ready = udp_ready };
	if (query->udp.fd < 0)
		return false;
	if (loop_add(query->upstream->loop, &query->udp, EPOLLIN, NULL) < 0) {
		query->udp.fd = close_fd(query->udp.fd);
		return false;
	}
	start_udp_attempt(query);
	return true;
}

struct dns_upstream_query *dns_upstream_ask(struct dns_upstream *upstream, const uint8_t *query,
	size_t length, const struct dns_question *question, dns_upstream_reply *done, void *data)
{
	struct dns_upstream_query *made = length <= DNS_QUERY_MAX ? calloc(1, sizeof(*made) + length) : NULL;
	uint16_t id;

	if (!made)
		return NULL;
	made->upstream = upstream;
	made->udp.fd = -1;
	made->timer.fire = timer_fired;
	made->client_id = dns_id(query);
	made->done = done;
	made->data = data;
	made->question = *question;
	made->length = length;
	memcpy(made->message, query, length);
	if (getrandom(&id, sizeof(id), 0) == sizeof(id))
		dns_set_id(made->message, id);
	LIST_INSERT_HEAD(&upstream->queries, made, link);
	if (!upstream->resolver.family)
		start_tcp(made);
	else if (!start_udp(made))
		loop_set_timer(upstream->loop, &made->timer, 0);
	return made;
}

struct dns_upstream *dns_upstream_new(
	struct loop *loop, const struct endpoint *resolver, struct dialer *dialer)
{
	struct dns_upstream *upstream = calloc(1, sizeof(*upstream));

	if (!upstream)
		return NULL;
	upstream->loop = loop;
	upstream->resolver = *resolver;
	upstream->dialer = dialer;
	upstream->channel.watch.fd = -1;
	upstream->channel.idle.fire = idle_fired;
	return upstream;
}

void dns_upstream_free(struct dns_upstream *upstream)
{
	if (!upstream)
		return;
	while (!LIST_EMPTY(&upstream->queries))
		dns_upstream_cancel(LIST_FIRST(&upstream->queries));
	drop_connection(upstream);
	free(upstream);
}
