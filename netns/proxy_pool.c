/* See proxy_pool.h. */
#include "netns/proxy_pool.h"

enum { UNWELL_TIME = 10000 };

_Static_assert(PROXIES_MAX <= 32, "proxy_choice.tried has a bit for each");

static bool is_left(const struct proxy_pool *pool, const struct proxy_choice *choice, size_t number)
{
	return !(choice->tried & 1u << number) &&
	       (!choice->udp || pool->proxies[number].kind == PROXY_SOCKS5);
}

bool proxy_pool_choose(
	const struct proxy_pool *pool, struct proxy_choice *choice, uint64_t now, size_t *number)
{
	bool found = false;

	for (size_t i = 0; i < pool->count; i++) {
		bool unwell = pool->unwell_until[i] > now;

		if (!is_left(pool, choice, i) || (unwell && found))
			continue;
		*number = i;
		found = true;
		if (!unwell)
			break;
	}
	choice->tried |= found ? 1u << *number : 0;
	return found;
}

bool proxy_pool_has_more(const struct proxy_pool *pool, const struct proxy_choice *choice)
{
	for (size_t i = 0; i < pool->count; i++) {
		if (is_left(pool, choice, i))
			return true;
	}
	return false;
}

void proxy_pool_failed(struct proxy_pool *pool, size_t number, uint64_t now)
{
	pool->unwell_until[number] = now + UNWELL_TIME;
}
