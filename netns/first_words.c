/* See first_words.h. */
#include "netns/first_words.h"

#include "spec/cleanup.h"

#include <string.h>
#include <sys/socket.h>

/* Of all flows together, kept here because a name was not whole: those over it are refused. */
enum { HELD_MAX = 4 << 20 };

struct first_words {
	struct timer timer;
	struct loop *loop;
	struct flow_record *record;
	void (*late)(void *data);
	void *data;
	bool good;
	uint8_t *held; /* SERVER_NAME_BYTES_MAX bytes, or NULL */
	size_t length, sent;
};

static size_t held_by_all;

/* What it had sent has not gone out. */
static void refuse(struct first_words *first, const char *why, const char *server_name)
{
	first->record->sent = 0;
	flows_refuse(first->record, why, server_name);
}

static void time_is_over(struct timer *timer)
{
	struct first_words *first = container_of(timer, struct first_words, timer);

	refuse(first, "no server's name in 10 seconds", NULL);
	first->late(first->data);
}

struct first_words *first_words_new(
	struct loop *loop, struct flow_record *record, void (*late)(void *data), void *data)
{
	struct first_words *first;

	if (!record || !record->check_name)
		return NULL;
	first = calloc(1, sizeof(*first));
	if (!first) /* bounded by the number of flows: then this host is out of memory */
		abort();
	*first = (struct first_words){
		.timer.fire = time_is_over, .loop = loop, .record = record, .late = late, .data = data
	};
	return first;
}

void first_words_free(struct first_words *first)
{
	if (!first)
		return;
	loop_cancel_timer(first->loop, &first->timer);
	if (first->held)
		held_by_all -= SERVER_NAME_BYTES_MAX;
	free(first->held);
	free(first);
}

static enum server_name_verdict judge(
	struct first_words *first, const uint8_t *bytes, size_t length, bool ended)
{
	struct server_name_fault fault;
	enum server_name_verdict verdict = server_name_judge(
		first->record->name, first->record->address.port, bytes, length, ended, &fault);

	if (verdict == SERVER_NAME_BAD)
		refuse(first, fault.why, fault.said);
	if (verdict == SERVER_NAME_OPEN && length && !first->timer.index)
		loop_set_timer(first->loop, &first->timer, FIRST_WORDS_TIME);
	if (verdict == SERVER_NAME_GOOD)
		loop_cancel_timer(first->loop, &first->timer);
	return verdict;
}

static bool hold(struct first_words *first)
{
	if (!first->held && held_by_all < HELD_MAX && (first->held = malloc(SERVER_NAME_BYTES_MAX)))
		held_by_all += SERVER_NAME_BYTES_MAX;
	if (!first->held)
		refuse(first, "too many names that are not whole", NULL);
	return first->held;
}

/* The bytes that are held, and as many of these as may matter, in one piece. `length` is how many those are. */
static const uint8_t *joined(struct first_words *first, const uint8_t *bytes, size_t *length)
{
	size_t room = SERVER_NAME_BYTES_MAX - first->length;

	if (*length > room)
		*length = room;
	if (!first->length)
		return bytes;
	if (*length)
		memcpy(first->held + first->length, bytes, *length);
	return first->held;
}

/* 0: all is sent. */
static int send_held(struct first_words *first, int fd)
{
	while (first->sent < first->length) {
		ssize_t sent = send(fd, first->held + first->sent, first->length - first->sent,
			MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0)
			return -1;
		first->sent += (size_t)sent;
	}
	return 0;
}

static ssize_t refused(void)
{
	errno = EACCES;
	return -1;
}

ssize_t first_words_send(struct first_words **slot, int fd, const uint8_t *bytes, size_t length, bool ended)
{
	struct first_words *first = *slot;
	size_t seen = length;

	if (!first->good) {
		const uint8_t *all = joined(first, bytes, &seen);

		switch (judge(first, all, first->length + seen, ended)) {
		case SERVER_NAME_BAD:
			return refused();
		case SERVER_NAME_OPEN:
			if (seen && !hold(first))
				return refused();
			if (all == bytes)
				memcpy(first->held, bytes, seen);
			first->length += seen;
			return (ssize_t)seen;
		case SERVER_NAME_GOOD:
			first->good = true;
		}
	}
	if (send_held(first, fd) < 0)
		return -1;
	first_words_free(first);
	*slot = NULL;
	return length ? send(fd, bytes, length, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
}

int first_words_carry(struct first_words **slot, int from, int to)
{
	static uint8_t bytes[SERVER_NAME_BYTES_MAX];
	struct first_words *first = *slot;
	enum server_name_verdict verdict;

	while (!first->good) {
		ssize_t length = recv(from, bytes, SERVER_NAME_BYTES_MAX - first->length, MSG_DONTWAIT);

		if (length < 0)
			return errno == EAGAIN ? 0 : -1;
		if (length && !hold(first))
			return (int)refused();
		if (length)
			memcpy(first->held + first->length, bytes, (size_t)length);
		first->length += (size_t)length;
		verdict = judge(first, first->held, first->length, length == 0);
		if (verdict == SERVER_NAME_BAD)
			return (int)refused();
		first->good = verdict == SERVER_NAME_GOOD;
	}
	if (send_held(first, to) < 0)
		return -1;
	first->record->sent += first->length;
	first_words_free(first);
	*slot = NULL;
	return 1;
}
