/* See dns_cache.h. Each question has one place; another question's answer may take it. */
#include "netns/dns_cache.h"

#include "netns/hash.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

enum {
	PLACES = 256, /* with DNS_CACHE_REPLY_MAX: at most 1 MiB */
	POSITIVE_SECONDS_MAX = 3600,
	NEGATIVE_SECONDS_MAX = 30,
};

struct entry {
	struct dns_question question;
	uint64_t made, expires; /* milliseconds */
	size_t length;
	uint8_t reply[];
};

struct dns_cache {
	struct hash_key key;
	struct entry *places[PLACES];
};

struct dns_cache *dns_cache_new(void)
{
	struct dns_cache *cache = calloc(1, sizeof(*cache));

	if (cache && getrandom(&cache->key, sizeof(cache->key), 0) == sizeof(cache->key))
		return cache;
	free(cache);
	return NULL;
}

void dns_cache_free(struct dns_cache *cache)
{
	if (!cache)
		return;
	for (size_t i = 0; i < PLACES; i++)
		free(cache->places[i]);
	free(cache);
}

static size_t place_of(const struct dns_cache *cache, const struct dns_question *question)
{
	return (hash_bytes(&cache->key, question->name, strlen(question->name)) ^ question->type) % PLACES;
}

static bool same_question(const struct dns_question *a, const struct dns_question *b)
{
	return a->type == b->type && a->class == b->class && a->edns == b->edns &&
	       a->dnssec_ok == b->dnssec_ok && a->checking_disabled == b->checking_disabled &&
	       a->recursion_desired == b->recursion_desired && strcmp(a->name, b->name) == 0;
}

size_t dns_cache_get(const struct dns_cache *cache, const uint8_t *query, const struct dns_question *question,
	uint64_t now, uint8_t reply[static DNS_CACHE_REPLY_MAX])
{
	const struct entry *entry = cache->places[place_of(cache, question)];
	uint32_t ttl;

	if (!entry || question->edns_options || now >= entry->expires ||
		!same_question(&entry->question, question))
		return 0;
	memcpy(reply, entry->reply, entry->length);
	dns_set_id(reply, dns_id(query));
	/* As long as the one asked before, and the same but for the letters' case, which a client may check. */
	memcpy(reply + DNS_HEADER_SIZE, query + DNS_HEADER_SIZE, question->end - DNS_HEADER_SIZE);
	dns_age(reply, entry->length, (uint32_t)((now - entry->made) / 1000), 0, &ttl);
	return entry->length;
}

void dns_cache_put(struct dns_cache *cache, const struct dns_question *question, uint64_t now,
	const uint8_t *reply, size_t length)
{
	struct entry **place = &cache->places[place_of(cache, question)];
	enum dns_rcode rcode = dns_rcode(reply);
	uint32_t ttl, longest = rcode == DNS_NOERROR ? POSITIVE_SECONDS_MAX : NEGATIVE_SECONDS_MAX;
	struct entry *entry;

	if (!question->host_name || question->edns_options || length > DNS_CACHE_REPLY_MAX ||
		dns_is_truncated(reply) || (rcode != DNS_NOERROR && rcode != DNS_NXDOMAIN))
		return;
	entry = malloc(sizeof(*entry) + length);
	if (!entry)
		return;
	*entry = (struct entry){ .question = *question, .made = now, .length = length };
	memcpy(entry->reply, reply, length);
	if (!dns_age(entry->reply, length, 0, 0, &ttl) || ttl == 0) {
		free(entry);
		return;
	}
	entry->expires = now + 1000 * (uint64_t)(ttl < longest ? ttl : longest);
	free(*place);
	*place = entry;
}
