/* Two sockets joined: see join.h. Data stays in the receiving socket, peeked at, until the other has taken it: no buffer
 * for each pair, and each side's flow control is the other's.
 */
#include "netns/join.h"
#include "netns/endpoint.h"
#include "netns/first_words.h"
#include "spec/cleanup.h"

#include <sys/epoll.h>
#include <sys/socket.h>

enum { PIECE = 65536, PIECES_PER_TURN = 8 };

struct join;

struct end {
	struct watch watch;
	struct join *join;
	struct end *other;
	bool ended;	   /* end of file seen */
	bool blocked;	   /* it does not take what the other has for it */
	bool plain;	   /* a Unix socket, where MSG_TRUNC does not discard */
	uint64_t *counter; /* of the bytes that it gave; or NULL */
};

struct join {
	struct end ends[2];
	struct loop *loop;
	size_t *count, *sending; /* sending: NULL once it is counted no more */
	struct flow_record *record;
	struct first_words *first_words; /* of ends[0], until they have been looked at */
};

static uint8_t piece[PIECE];

static void stop_sending(struct join *join)
{
	if (join->sending)
		--*join->sending;
	join->sending = NULL;
}

static void join_end(struct join *join, bool reset)
{
	for (int i = 0; i < 2; i++) {
		struct watch *watch = &join->ends[i].watch;

		if (reset)
			socket_reset_at_close(watch->fd);
		loop_remove(join->loop, watch);
		close_fd(watch->fd);
	}
	first_words_free(join->first_words);
	flows_end(join->record);
	--*join->count;
	stop_sending(join);
	free(join);
}

static void watch_what_matters(struct end *end)
{
	uint32_t events = 0;

	if (!end->ended && !end->other->blocked)
		events |= EPOLLIN;
	if (end->blocked)
		events |= EPOLLOUT;
	if (events != end->watch.events)
		loop_modify(end->join->loop, &end->watch, events);
}

static bool discard(const struct end *end, size_t length)
{
	return recv(end->watch.fd, end->plain ? piece : NULL, length,
		       (end->plain ? 0 : MSG_TRUNC) | MSG_DONTWAIT) == (ssize_t)length;
}

/* False: the connection has failed. */
static bool carry(struct end *from)
{
	struct end *to = from->other;
	struct first_words **first = &from->join->first_words;

	if (*first && from == &from->join->ends[0]) {
		int done = to->blocked ? 0 : first_words_carry(first, from->watch.fd, to->watch.fd);

		to->blocked |= done < 0 && errno == EAGAIN;
		if (done <= 0)
			return done == 0 || to->blocked;
	}
	for (int i = 0; i < PIECES_PER_TURN && !from->ended && !to->blocked; i++) {
		ssize_t length = recv(from->watch.fd, piece, PIECE, MSG_PEEK | MSG_DONTWAIT), sent;

		if (length < 0)
			return errno == EAGAIN;
		if (length == 0) {
			from->ended = true;
			shutdown(to->watch.fd, SHUT_WR);
			return true;
		}
		sent = send(to->watch.fd, piece, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN)
			return false;
		to->blocked = sent < length;
		if (sent > 0 && !discard(from, (size_t)sent))
			return false;
		if (sent > 0 && from->counter)
			*from->counter += (uint64_t)sent;
	}
	return true;
}

static void end_ready(struct watch *watch, uint32_t events)
{
	struct end *end = (struct end *)watch;
	struct join *join = end->join;
	bool sound = !(events & EPOLLERR);

	if (events & EPOLLOUT)
		end->blocked = false;
	sound = sound && carry(end) && carry(end->other);
	if (join->ends[0].ended)
		stop_sending(join);
	if (!sound || (end->ended && end->other->ended)) {
		join_end(join, !sound);
		return;
	}
	watch_what_matters(end);
	watch_what_matters(end->other);
}

static void first_words_are_late(void *data)
{
	join_end(data, true);
}

void join_start(
	struct loop *loop, int inner, int outer, size_t *count, size_t *sending, struct flow_record *record)
{
	struct join *join = calloc(1, sizeof(*join));
	int fds[2] = { inner, outer };

	if (!join) {
		close_fd(inner);
		close_fd(outer);
		flows_end(record);
		--*count;
		return;
	}
	join->loop = loop;
	join->count = count;
	join->sending = sending;
	if (sending)
		++*sending;
	join->record = record;
	join->first_words = first_words_new(loop, record, first_words_are_late, join);
	for (int i = 0; i < 2; i++)
		join->ends[i] = (struct end){ .watch = { .fd = fds[i], .ready = end_ready },
			.join = join,
			.other = &join->ends[1 - i],
			.plain = socket_is_unix(fds[i]),
			.counter = !record  ? NULL
				   : i == 0 ? &record->sent
					    : &record->received };
	if (loop_add(loop, &join->ends[0].watch, EPOLLIN, NULL) < 0 ||
		loop_add(loop, &join->ends[1].watch, EPOLLIN, NULL) < 0)
		join_end(join, true);
}
