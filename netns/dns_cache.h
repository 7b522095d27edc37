/* A small cache of what the resolver has answered, by question. An answer is kept no longer than its shortest TTL says, and
 * what is given out says how much of that is left. Who sends EDNS options (a cookie, its own network) is asking for itself alone.
 */
#pragma once

#include "netns/dns_message.h"

enum { DNS_CACHE_REPLY_MAX = 4096 };

struct dns_cache;
struct dns_cache *dns_cache_new(void);
void dns_cache_free(struct dns_cache *cache);

/* `now` in milliseconds. The length of the reply that was copied, as an answer to `query`, or 0: not known. */
size_t dns_cache_get(const struct dns_cache *cache, const uint8_t *query, const struct dns_question *question,
	uint64_t now, uint8_t reply[static DNS_CACHE_REPLY_MAX]);
void dns_cache_put(struct dns_cache *cache, const struct dns_question *question, uint64_t now,
	const uint8_t *reply, size_t length);
