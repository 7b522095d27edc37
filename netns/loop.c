/* The relay's event loop. Watches live in a table whose slots carry a generation, so that an event which epoll has already
 * reported for a watch that a callback removed is recognised and dropped. Timers are a binary heap of their owners' structs.
 */
#include "netns/loop.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { EVENTS_PER_TURN = 64 };

struct slot {
	struct watch *watch;
	uint32_t generation;
	int next_free;
};

struct loop {
	int epoll_fd;
	bool stopped;
	uint64_t now;
	struct slot *slots;
	int slot_count, free_slot; /* slot 0 is never used: a watch's index 0 means "not in the loop" */
	struct timer **heap;	   /* from 1, so that a timer's index 0 means "not set" */
	int timer_count, timer_room;
};

static void take_time(struct loop *loop)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	loop->now = (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

struct loop *loop_new(struct error *err)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop) {
		error_set(err, errno, "cannot make the event loop");
		return NULL;
	}
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		error_set(err, errno, "cannot make the event loop: epoll_create1");
		free(loop);
		return NULL;
	}
	take_time(loop);
	return loop;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	close_fd(loop->epoll_fd);
	free(loop->slots);
	free(loop->heap);
	free(loop);
}

static int grow_slots(struct loop *loop)
{
	int count = loop->slot_count ? loop->slot_count * 2 : 16;
	struct slot *slots = realloc(loop->slots, (size_t)count * sizeof(*slots));

	if (!slots)
		return -1;
	memset(slots + loop->slot_count, 0, (size_t)(count - loop->slot_count) * sizeof(*slots));
	for (int i = count - 1; i >= loop->slot_count && i > 0; i--) {
		slots[i].next_free = loop->free_slot;
		loop->free_slot = i;
	}
	loop->slots = slots;
	loop->slot_count = count;
	return 0;
}

static int control(struct loop *loop, int operation, struct watch *watch)
{
	uint64_t generation = loop->slots[watch->index].generation;
	struct epoll_event event = { .events = watch->events,
		.data.u64 = generation << 32 | (uint32_t)watch->index };

	return epoll_ctl(loop->epoll_fd, operation, watch->fd, &event);
}

int loop_add(struct loop *loop, struct watch *watch, uint32_t events, struct error *err)
{
	struct slot *slot;

	if (!loop->free_slot && grow_slots(loop) < 0)
		return error_set(err, ENOMEM, "cannot watch another file descriptor");
	watch->index = loop->free_slot;
	watch->events = events;
	if (control(loop, EPOLL_CTL_ADD, watch) < 0) {
		watch->index = 0;
		return error_set(err, errno, "cannot watch file descriptor %d", watch->fd);
	}
	slot = &loop->slots[watch->index];
	loop->free_slot = slot->next_free;
	slot->watch = watch;
	return 0;
}

int loop_modify(struct loop *loop, struct watch *watch, uint32_t events)
{
	watch->events = events;
	return watch->index ? control(loop, EPOLL_CTL_MOD, watch) : -1;
}

static void forget(struct loop *loop, struct watch *watch)
{
	struct slot *slot = &loop->slots[watch->index];

	slot->watch = NULL;
	slot->generation++;
	slot->next_free = loop->free_slot;
	loop->free_slot = watch->index;
	watch->index = 0;
}

void loop_remove(struct loop *loop, struct watch *watch)
{
	if (!watch->index)
		return;
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	forget(loop, watch);
}

void loop_close(struct loop *loop, struct watch *watch)
{
	if (watch->index)
		forget(loop, watch);
	watch->fd = close_fd(watch->fd);
}

void loop_move(struct loop *loop, struct watch *from, struct watch *to)
{
	to->fd = from->fd;
	to->events = from->events;
	to->index = from->index;
	if (to->index)
		loop->slots[to->index].watch = to;
	from->fd = -1;
	from->index = 0;
}

static void put(struct loop *loop, int index, struct timer *timer)
{
	loop->heap[index] = timer;
	timer->index = index;
}

static void sift_up(struct loop *loop, int index, struct timer *timer)
{
	while (index > 1 && loop->heap[index / 2]->due > timer->due) {
		put(loop, index, loop->heap[index / 2]);
		index /= 2;
	}
	put(loop, index, timer);
}

static void sift_down(struct loop *loop, int index, struct timer *timer)
{
	for (int child; (child = index * 2) <= loop->timer_count; index = child) {
		if (child < loop->timer_count && loop->heap[child + 1]->due < loop->heap[child]->due)
			child++;
		if (loop->heap[child]->due >= timer->due)
			break;
		put(loop, index, loop->heap[child]);
	}
	put(loop, index, timer);
}

void loop_set_timer(struct loop *loop, struct timer *timer, uint64_t milliseconds)
{
	uint64_t due = loop->now + milliseconds;
	bool later = due > timer->due;

	if (!timer->index) {
		if (loop->timer_count + 1 >= loop->timer_room) {
			int room = loop->timer_room ? loop->timer_room * 2 : 64;
			struct timer **heap = realloc(loop->heap, (size_t)room * sizeof(struct timer *));

			if (!heap) /* a relay that has lost a timer cannot keep its promises */
				abort();
			loop->heap = heap;
			loop->timer_room = room;
		}
		timer->index = ++loop->timer_count;
		later = false;
	}
	timer->due = due;
	if (later)
		sift_down(loop, timer->index, timer);
	else
		sift_up(loop, timer->index, timer);
}

void loop_cancel_timer(struct loop *loop, struct timer *timer)
{
	int index = timer->index;
	struct timer *last;

	if (!index)
		return;
	timer->index = 0;
	last = loop->heap[loop->timer_count--];
	if (last == timer)
		return;
	if (index > 1 && loop->heap[index / 2]->due > last->due)
		sift_up(loop, index, last);
	else
		sift_down(loop, index, last);
}

uint64_t loop_now(const struct loop *loop)
{
	return loop->now;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}

/* Only timers that were due when the turn began: one that sets itself again for "now" waits for the next turn. */
static void fire_timers(struct loop *loop)
{
	uint64_t due = loop->now;

	for (int fired = 0, most = loop->timer_count; fired < most && loop->timer_count && !loop->stopped;
		fired++) {
		struct timer *timer = loop->heap[1];

		if (timer->due > due)
			return;
		loop_cancel_timer(loop, timer);
		timer->fire(timer);
	}
}

static int time_to_wait(const struct loop *loop)
{
	uint64_t due;

	if (!loop->timer_count)
		return -1;
	due = loop->heap[1]->due;
	if (due <= loop->now)
		return 0;
	return due - loop->now > 3600000 ? 3600000 : (int)(due - loop->now);
}

int loop_run(struct loop *loop, struct error *err)
{
	struct epoll_event events[EVENTS_PER_TURN];

	take_time(loop);
	while (!loop->stopped) {
		int count = epoll_wait(loop->epoll_fd, events, EVENTS_PER_TURN, time_to_wait(loop));

		if (count < 0 && errno != EINTR)
			return error_set(err, errno, "cannot wait for events: epoll_wait");
		take_time(loop);
		for (int i = 0; i < count && !loop->stopped; i++) {
			struct slot *slot = &loop->slots[(uint32_t)events[i].data.u64];

			if (slot->watch && slot->generation == events[i].data.u64 >> 32)
				slot->watch->ready(slot->watch, events[i].events);
		}
		fire_timers(loop);
	}
	return 0;
}
