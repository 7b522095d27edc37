/* Fuzzes DNS messages from both sides: the first byte says whose. See contrib/fuzz/run. */
#include "netns/dns_cache.h"
#include "netns/dns_message.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void as_query(const uint8_t *query, size_t size)
{
	struct endpoint address = { .family = AF_INET6 };
	uint8_t reply[DNS_CACHE_REPLY_MAX];
	struct dns_question question, again;
	int rcode = dns_read_query(query, size, &question);
	size_t length;

	if (rcode < 0)
		return;
	assert(question.end <= size && strlen(question.name) < DNS_NAME_TEXT_MAX);
	length = dns_write_empty(reply, query, &question, (enum dns_rcode)rcode, DNS_FILTERED);
	assert(length <= DNS_UDP_MIN);
	if (rcode != DNS_NOERROR)
		return;
	assert(dns_is_reply_to(reply, length, query, &question));
	length = dns_write_address(reply, query, &question, &address, 1);
	assert(length <= DNS_UDP_MIN);
	if (question.type == DNS_TYPE_AAAA && question.class == DNS_CLASS_IN)
		assert(dns_read_addresses(reply, length, DNS_TYPE_AAAA, &address, 1) == 1);
	assert(dns_write_name(reply, query, &question, question.name, 1) <= DNS_UDP_MIN);
	dns_reverse_address(question.name, &address);
	length = dns_write_query(reply, question.name, question.type);
	if (question.host_name && length) {
		assert(dns_read_query(reply, length, &again) == DNS_NOERROR);
		assert(strcmp(again.name, question.name) == 0);
	}
}

static void as_reply(const uint8_t *reply, size_t size)
{
	static struct dns_cache *cache;
	uint8_t query[DNS_UDP_MIN], copy[DNS_MESSAGE_MAX], again[DNS_CACHE_REPLY_MAX];
	struct endpoint addresses[16];
	struct dns_question question;
	uint32_t ttl;

	size = size < sizeof(copy) ? size : sizeof(copy);
	memcpy(copy, reply, size);
	dns_read_query(query, dns_write_query(query, "a.example.com", DNS_TYPE_A), &question);
	if (size >= 2)
		dns_set_id(query, dns_id(copy));
	dns_read_addresses(copy, size, DNS_TYPE_A, addresses, 16);
	dns_read_addresses(copy, size, DNS_TYPE_AAAA, addresses, 16);
	dns_age(copy, size, 7, 0, &ttl);
	if (!dns_is_reply_to(copy, size, query, &question))
		return;
	cache = cache ? cache : dns_cache_new();
	dns_cache_put(cache, &question, 1000, copy, size);
	dns_cache_get(cache, query, &question, 2000, again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	(data[0] & 1 ? as_reply : as_query)(data + 1, size - 1);
	return 0;
}
