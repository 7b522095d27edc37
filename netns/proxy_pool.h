/* Which of several proxies is next: in order, but one that failed comes last for a while.
 */
#pragma once

#include "netns/relay.h"

struct proxy_pool {
	const struct proxy *proxies; /* not ours */
	size_t count;
	uint64_t unwell_until[PROXIES_MAX]; /* 0: well; by loop_now() */
};

/* What one dial has tried: a bit for each proxy. `udp`: only SOCKS5 serves. */
struct proxy_choice {
	uint32_t tried;
	bool udp;
};

/* The first that was not tried and is well, or, where none is, just the first; marked as tried. False: there is none left. */
bool proxy_pool_choose(
	const struct proxy_pool *pool, struct proxy_choice *choice, uint64_t now, size_t *number);
bool proxy_pool_has_more(const struct proxy_pool *pool, const struct proxy_choice *choice);
void proxy_pool_failed(struct proxy_pool *pool, size_t number, uint64_t now);
