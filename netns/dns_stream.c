/* See dns_stream.h. Queries are pipelined; answers go out in the order in which they become known (RFC 7766). */
#include "netns/dns_stream.h"

#include "netns/dns_message.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
	STREAMS_MAX = 64,
	PENDING_MAX = 32,     /* queries under way of one stream */
	OUT_MAX = 128 * 1024, /* more answers than that unread: no more questions are taken */
	OUT_OF_ALL_MAX = 8 << 20,
	IDLE_MILLISECONDS = 30000,
};

struct stream_query {
	struct stream *stream;
	struct dns_query *query; /* NULL: this place is free */
};

struct stream {
	LIST_ENTRY(stream) link;
	struct dns_streams *streams;
	struct watch watch;
	struct timer idle;
	bool ended; /* the container has said all that it will */
	bool broken;
	size_t pending_count;
	struct stream_query pending[PENDING_MAX];
	size_t in_length;
	uint8_t in[2 + DNS_QUERY_MAX];
	uint8_t *out;
	size_t out_length;
};

struct dns_streams {
	struct loop *loop;
	struct dns *dns;
	LIST_HEAD(, stream) list;
	size_t count, unread; /* unread: bytes, of all */
};

static void close_stream(struct stream *stream)
{
	struct loop *loop = stream->streams->loop;

	LIST_REMOVE(stream, link);
	stream->streams->count--;
	stream->streams->unread -= stream->out_length;
	for (size_t i = 0; i < PENDING_MAX; i++) {
		if (stream->pending[i].query)
			dns_cancel(stream->pending[i].query);
	}
	loop_cancel_timer(loop, &stream->idle);
	loop_close(loop, &stream->watch);
	free(stream->out);
	free(stream);
}

static void append_reply(struct stream *stream, const uint8_t *reply, size_t length)
{
	size_t *unread = &stream->streams->unread;
	uint8_t *grown =
		*unread < OUT_OF_ALL_MAX ? realloc(stream->out, stream->out_length + 2 + length) : NULL;

	if (!grown) {
		stream->broken = true;
		return;
	}
	stream->out = grown;
	grown[stream->out_length] = (uint8_t)(length >> 8);
	grown[stream->out_length + 1] = (uint8_t)length;
	memcpy(grown + stream->out_length + 2, reply, length);
	stream->out_length += 2 + length;
	*unread += 2 + length;
}

static void send_replies(struct stream *stream)
{
	while (stream->out_length) {
		ssize_t sent = send(stream->watch.fd, stream->out, stream->out_length, MSG_NOSIGNAL);

		if (sent < 0) {
			stream->broken |= errno != EAGAIN && errno != EINTR;
			return;
		}
		stream->out_length -= (size_t)sent;
		stream->streams->unread -= (size_t)sent;
		memmove(stream->out, stream->out + sent, stream->out_length);
	}
	free(stream->out);
	stream->out = NULL;
}

static bool takes_more(const struct stream *stream)
{
	return !stream->ended && stream->pending_count < PENDING_MAX && stream->out_length < OUT_MAX;
}

static void reply_arrived(void *data, const uint8_t *reply, size_t length);

static void ask(struct stream *stream, const uint8_t *message, size_t length)
{
	struct stream_query *place = stream->pending;

	while (place->query) /* there is one: takes_more() */
		place++;
	place->stream = stream;
	place->query = dns_ask(stream->streams->dns, message, length, true, reply_arrived, place);
	stream->pending_count += place->query != NULL;
}

/* Asks what is whole in the buffer. True: it was stopped by too many answers unread. */
static bool take_queries(struct stream *stream)
{
	size_t taken = 0;

	while (takes_more(stream) && stream->in_length - taken >= 2) {
		const uint8_t *start = stream->in + taken;
		size_t length = (size_t)start[0] << 8 | start[1];

		if (length > DNS_QUERY_MAX) {
			stream->broken = true;
			return false;
		}
		if (stream->in_length - taken < 2 + length)
			break;
		ask(stream, start + 2, length);
		taken += 2 + length;
	}
	stream->in_length -= taken;
	memmove(stream->in, stream->in + taken, stream->in_length);
	return stream->out_length >= OUT_MAX;
}

/* After anything happened: out what is to go out, and wait for what can happen next. The stream may be gone afterwards. */
static void settle(struct stream *stream)
{
	struct loop *loop = stream->streams->loop;

	while (take_queries(stream)) {
		send_replies(stream);
		if (stream->out_length)
			break;
	}
	send_replies(stream);
	if (stream->broken || (stream->ended && !stream->pending_count && !stream->out_length)) {
		close_stream(stream);
		return;
	}
	loop_modify(loop, &stream->watch,
		(takes_more(stream) && stream->in_length < sizeof(stream->in) ? EPOLLIN : 0) |
			(stream->out_length ? EPOLLOUT : 0));
	loop_set_timer(loop, &stream->idle, IDLE_MILLISECONDS);
}

static void reply_arrived(void *data, const uint8_t *reply, size_t length)
{
	struct stream_query *place = data;
	struct stream *stream = place->stream;
	bool later = place->query != NULL;

	append_reply(stream, reply, length);
	if (!later) /* from within ask(): settle() is under way */
		return;
	place->query = NULL;
	stream->pending_count--;
	settle(stream);
}

static void stream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = container_of(watch, struct stream, watch);
	ssize_t received;

	if (events & (EPOLLERR | EPOLLHUP)) { /* the flow is gone, both ways */
		close_stream(stream);
		return;
	}
	if ((events & EPOLLIN) && stream->in_length < sizeof(stream->in)) {
		received = recv(
			watch->fd, stream->in + stream->in_length, sizeof(stream->in) - stream->in_length, 0);
		stream->ended = received == 0;
		stream->broken |= received < 0 && errno != EAGAIN && errno != EINTR;
		stream->in_length += received > 0 ? (size_t)received : 0;
	}
	settle(stream);
}

static void idle_fired(struct timer *timer)
{
	close_stream(container_of(timer, struct stream, idle));
}

static struct stream *new_stream(struct dns_streams *streams, int fd)
{
	struct stream *stream = calloc(1, sizeof(*stream));

	if (!stream)
		return NULL;
	stream->streams = streams;
	stream->idle.fire = idle_fired;
	stream->watch = (struct watch){ .fd = fd, .ready = stream_ready };
	if (loop_add(streams->loop, &stream->watch, EPOLLIN, NULL) < 0) {
		free(stream);
		return NULL;
	}
	loop_set_timer(streams->loop, &stream->idle, IDLE_MILLISECONDS);
	LIST_INSERT_HEAD(&streams->list, stream, link);
	streams->count++;
	return stream;
}

int dns_stream_open(struct dns_streams *streams)
{
	int pair[2];

	if (streams->count >= STREAMS_MAX) {
		errno = ECONNREFUSED;
		return -1;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) < 0)
		return -1;
	if (new_stream(streams, pair[0]))
		return pair[1];
	close_fd(pair[0]);
	close_fd(pair[1]);
	errno = ENOMEM;
	return -1;
}

struct dns_streams *dns_streams_new(struct loop *loop, struct dns *dns)
{
	struct dns_streams *streams = calloc(1, sizeof(*streams));

	if (!streams)
		return NULL;
	streams->loop = loop;
	streams->dns = dns;
	return streams;
}

void dns_streams_free(struct dns_streams *streams)
{
	if (!streams)
		return;
	while (!LIST_EMPTY(&streams->list))
		close_stream(LIST_FIRST(&streams->list));
	free(streams);
}
