/* The relay's event loop: epoll, level-triggered unless a watch asks otherwise, and timers. One thread.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct loop;

/* Embedded in its owner. May be removed, and its owner freed, from within any callback of the loop: events that epoll
 * has reported already for a removed watch are dropped. */
struct watch {
	int fd;
	uint32_t events;
	void (*ready)(struct watch *watch, uint32_t events);
	int index; /* the loop's */
};

struct timer {
	uint64_t due; /* loop_now() milliseconds */
	void (*fire)(struct timer *timer);
	int index; /* the loop's; 0 when not set */
};

/* The owner of a watch or a timer. */
#define container_of(embedded, type, member) ((type *)((char *)(embedded)-offsetof(type, member)))

struct loop *loop_new(struct error *err);
void loop_free(struct loop *loop);
int loop_add(struct loop *loop, struct watch *watch, uint32_t events, struct error *err);
int loop_modify(struct loop *loop, struct watch *watch, uint32_t events);
void loop_remove(
	struct loop *loop, struct watch *watch); /* before the fd is closed; removing twice is harmless */
/* Also closes the fd, which no other process may hold: the kernel then forgets it by itself. */
void loop_close(struct loop *loop, struct watch *watch);
/* From one owner to another, as it is in the loop: what was not reported yet will be to `to`, by its own `ready`. */
void loop_move(struct loop *loop, struct watch *from, struct watch *to);
void loop_set_timer(struct loop *loop, struct timer *timer, uint64_t milliseconds); /* from now; replaces */
void loop_cancel_timer(struct loop *loop, struct timer *timer);
uint64_t loop_now(const struct loop *loop); /* CLOCK_MONOTONIC, taken once per turn */
int loop_run(struct loop *loop, struct error *err);
void loop_stop(struct loop *loop);
