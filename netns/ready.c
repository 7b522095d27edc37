/* See ready.h. */
#include "netns/ready.h"

#include "spec/cleanup.h"

#include <stdlib.h>
#include <sys/epoll.h>

enum {
	LEAST = 2,	 /* of a proxy that is in use */
	MOST = 16,	 /* of one proxy */
	ALL = 64,	 /* their descriptors are among the relay's spare ones */
	AGE_MAX = 15000, /* milliseconds; many a proxy waits no longer than 30 seconds for the request */
	QUIET_TIME = 10, /* without use, until those that were used are made up for */
};

/* One that is kept. */
struct spare {
	struct proxy_line line;
	struct spare *next;
	struct reserve *reserve;
	uint64_t until;
};

/* What is kept of one proxy, the oldest first. */
struct reserve {
	struct ready *ready;
	struct spare *first;
	struct timer timer; /* to refill, or the first one's age */
	uint64_t used;	    /* when it last was; 0: not yet */
	size_t count, wanted;
	bool refill;
};

struct ready {
	struct loop *loop;
	const struct relay_config *config;
	size_t count;
	struct reserve reserves[PROXIES_MAX];
};

static void remove_spare(struct spare **slot)
{
	struct spare *spare = *slot;

	*slot = spare->next;
	spare->reserve->count--;
	spare->reserve->ready->count--;
	line_close(spare->reserve->ready->loop, &spare->line);
	free(spare);
}

static struct spare **slot_of(struct spare *spare)
{
	struct spare **slot = &spare->reserve->first;

	while (*slot != spare)
		slot = &(*slot)->next;
	return slot;
}

static bool is_on_its_way(int result)
{
	return result == HANDSHAKE_CONNECTING || result == HANDSHAKE_WAITS || result == HANDSHAKE_GREETED;
}

static void spare_ready(struct watch *watch, uint32_t events)
{
	struct spare *spare = container_of(watch, struct spare, line.watch);
	const struct relay_config *config = spare->reserve->ready->config;

	if (!is_on_its_way(line_continue(&spare->line, config, events)) ||
		(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
		remove_spare(slot_of(spare));
}

/* False: it cannot be had. */
static bool add_spare(struct reserve *reserve)
{
	struct ready *ready = reserve->ready;
	struct spare *spare = calloc(1, sizeof(*spare)), **slot = &reserve->first;

	if (!spare)
		return false;
	spare->line.watch.ready = spare_ready;
	if (!is_on_its_way(line_open(
		    &spare->line, ready->loop, ready->config, (size_t)(reserve - ready->reserves)))) {
		line_close(ready->loop, &spare->line);
		free(spare);
		return false;
	}
	spare->reserve = reserve;
	spare->until = loop_now(ready->loop) + AGE_MAX;
	while (*slot)
		slot = &(*slot)->next;
	*slot = spare;
	reserve->count++;
	ready->count++;
	return true;
}

/* Each use puts a quiet moment off; but when half are used, there is no waiting any more. */
static void set_timer(struct reserve *reserve)
{
	struct loop *loop = reserve->ready->loop;
	uint64_t now = loop_now(loop), due = now;

	if (!reserve->refill && !reserve->first)
		return;
	if (!reserve->refill)
		due = reserve->first->until;
	else if (reserve->count * 2 > reserve->wanted)
		due += QUIET_TIME;
	else if (reserve->timer.index && reserve->timer.due <= now + 1)
		return;
	else
		due++;
	loop_set_timer(loop, &reserve->timer, due > now ? due - now : 0);
}

/* Those that nobody has used were too many. */
static void timer_fired(struct timer *timer)
{
	struct reserve *reserve = container_of(timer, struct reserve, timer);
	struct ready *ready = reserve->ready;

	while (reserve->first && reserve->first->until <= loop_now(ready->loop)) {
		remove_spare(&reserve->first);
		reserve->wanted = LEAST;
	}
	while (reserve->refill && reserve->count < reserve->wanted && ready->count < ALL)
		reserve->refill = add_spare(reserve);
	reserve->refill = false;
	set_timer(reserve);
}

struct ready *ready_new(struct loop *loop, const struct relay_config *config)
{
	struct ready *ready = calloc(1, sizeof(*ready));

	if (!ready)
		return NULL;
	ready->loop = loop;
	ready->config = config;
	for (size_t i = 0; i < ARRAY_SIZE(ready->reserves); i++) {
		ready->reserves[i].ready = ready;
		ready->reserves[i].timer.fire = timer_fired;
	}
	return ready;
}

void ready_free(struct ready *ready)
{
	for (size_t i = 0; ready && i < ARRAY_SIZE(ready->reserves); i++)
		ready_forget(ready, i);
	free(ready);
}

bool ready_take(struct ready *ready, size_t proxy, struct proxy_line *line)
{
	struct reserve *reserve = &ready->reserves[proxy];
	struct spare **slot = &reserve->first;

	while (*slot && (*slot)->line.state != LINE_GREETED)
		slot = &(*slot)->next;
	if (!*slot && reserve->wanted) /* more are used at a time than were expected */
		reserve->wanted = reserve->wanted * 2 < MOST ? reserve->wanted * 2 : MOST;
	if (!*slot)
		slot = &reserve->first;
	if (!*slot)
		return false;
	line_move(ready->loop, &(*slot)->line, line);
	remove_spare(slot);
	return true;
}

/* Who connects only once gets no more than that. */
void ready_note_use(struct ready *ready, size_t proxy)
{
	struct reserve *reserve = &ready->reserves[proxy];
	uint64_t now = loop_now(ready->loop);
	bool again = reserve->used && now - reserve->used < AGE_MAX;

	reserve->used = now;
	if (!again)
		reserve->wanted = 0;
	else if (!reserve->wanted)
		reserve->wanted = LEAST;
	reserve->refill = reserve->count < reserve->wanted;
	set_timer(reserve);
}

void ready_expect(struct ready *ready, size_t proxy)
{
	struct reserve *reserve = &ready->reserves[proxy];

	if (!reserve->count && ready->count < ALL && add_spare(reserve))
		set_timer(reserve);
}

void ready_forget(struct ready *ready, size_t proxy)
{
	struct reserve *reserve = &ready->reserves[proxy];

	while (reserve->first)
		remove_spare(&reserve->first);
	loop_cancel_timer(ready->loop, &reserve->timer);
	reserve->used = 0;
	reserve->wanted = 0;
	reserve->refill = false;
}
