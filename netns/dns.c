/* See dns.h. */
#include "netns/dns.h"

#include "netns/dns_cache.h"
#include "netns/dns_message.h"
#include "netns/dns_stream.h"
#include "netns/dns_upstream.h"
#include "netns/egress.h"
#include "netns/names.h"
#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

enum {
	QUERIES_MAX = 512, /* under way at once: 512 × (DNS_QUERY_MAX + what a query needs) is about 1 MiB */
	STAND_IN_TTL = 1,  /* seconds: a stand-in is good while the relay knows it */
	LOCAL_TTL = 3600,
};

struct dns {
	struct loop *loop;
	const struct egress *egress;
	struct flows *flows;
	struct names *names;
	struct dialer *dialer;
	struct dns_upstream *upstream; /* NULL: nobody can be asked */
	struct dns_cache *cache;
	struct dns_streams *streams;
	bool stand_ins;	 /* A and AAAA are answered with stand-ins */
	bool must_exist; /* but only for names that have such addresses: without a proxy this can be known */
	size_t query_count;
	LIST_HEAD(, dns_query) queries;
	LIST_HEAD(, dns_lookup) lookups;
};

struct dns_query {
	LIST_ENTRY(dns_query) link;
	struct dns *dns;
	struct dns_upstream_query *asked;
	dns_reply *reply;
	void *data;
	bool over_tcp, for_stand_in;
	struct dns_question question;
	size_t length;
	uint8_t message[];
};

/* What a query deserves, once it is known. */
enum answer { ANSWER_LATER, ANSWER_NOW };

struct response {
	size_t length;
	uint8_t bytes[DNS_CACHE_REPLY_MAX];
};

static bool is_below(const char *name, const char *domain)
{
	size_t length = strlen(name), tail = strlen(domain);

	return length >= tail && strcmp(name + length - tail, domain) == 0 &&
	       (length == tail || name[length - tail - 1] == '.');
}

/* Names whose answer would have programs go to a resolver of their own choice, past the rules on names. */
static bool invites_other_resolver(const char *name)
{
	static const char *const domains[] = { "use-application-dns.net", "resolver.arpa" };

	for (size_t i = 0; i < ARRAY_SIZE(domains); i++) {
		if (is_below(name, domains[i]))
			return true;
	}
	return false;
}

static void refuse(
	struct response *response, const struct dns_query *query, enum dns_rcode rcode, int extended_error)
{
	response->length =
		dns_write_empty(response->bytes, query->message, &query->question, rcode, extended_error);
}

static void give_address(struct response *response, const struct dns_query *query,
	const struct endpoint *address, uint32_t ttl)
{
	response->length = dns_write_address(response->bytes, query->message, &query->question, address, ttl);
}

static void give_localhost(struct response *response, const struct dns_query *query)
{
	struct endpoint address = { .family = query->question.type == DNS_TYPE_A ? AF_INET : AF_INET6 };

	if (address.family == AF_INET)
		address.v4.s_addr = htonl(INADDR_LOOPBACK);
	else
		address.v6 = in6addr_loopback;
	if (query->question.type == DNS_TYPE_A || query->question.type == DNS_TYPE_AAAA)
		give_address(response, query, &address, LOCAL_TTL);
	else
		refuse(response, query, DNS_NOERROR, DNS_NO_EXTENDED_ERROR);
}

static void give_stand_in(struct response *response, const struct dns_query *query)
{
	const struct dns_question *question = &query->question;
	struct endpoint address;

	if (names_assign(query->dns->names, question->name, question->type == DNS_TYPE_A ? AF_INET : AF_INET6,
		    &address))
		give_address(response, query, &address, STAND_IN_TTL);
	else
		refuse(response, query, DNS_SERVFAIL, DNS_NO_EXTENDED_ERROR);
}

/* PTR of an address of ours: the name that it stands for. */
static bool answer_reverse(struct response *response, const struct dns_query *query)
{
	struct endpoint address;
	const char *name;

	if (query->question.type != DNS_TYPE_PTR || !dns_reverse_address(query->question.name, &address) ||
		!names_is_stand_in(&address))
		return false;
	name = names_find(query->dns->names, &address);
	if (name)
		response->length =
			dns_write_name(response->bytes, query->message, &query->question, name, STAND_IN_TTL);
	else
		refuse(response, query, DNS_NXDOMAIN, DNS_NO_EXTENDED_ERROR);
	return true;
}

static bool may_ask(struct dns *dns, const char *name)
{
	const char *rule;
	bool permitted = egress_permits_query(dns->egress, name, &rule);

	flows_query(dns->flows, name, permitted, rule);
	return permitted;
}

/* A name that may not be asked for does not exist: programs give up at once, where after REFUSED they would try again. */
static enum answer answer_by_rules(struct response *response, const struct dns_query *query)
{
	const struct dns_question *question = &query->question;

	if (question->class != DNS_CLASS_IN || question->type == DNS_TYPE_ANY)
		refuse(response, query, DNS_NOTIMP, DNS_NO_EXTENDED_ERROR);
	else if (question->type == DNS_TYPE_AXFR || question->type == DNS_TYPE_IXFR ||
		 question->end <= DNS_HEADER_SIZE + 5)
		refuse(response, query, DNS_REFUSED, DNS_NO_EXTENDED_ERROR);
	else if (is_below(question->name, "localhost"))
		give_localhost(response, query);
	else if (answer_reverse(response, query))
		return ANSWER_NOW;
	else if (!question->host_name || invites_other_resolver(question->name) ||
		 !may_ask(query->dns, question->name))
		refuse(response, query, DNS_NXDOMAIN, DNS_FILTERED);
	else
		return ANSWER_LATER;
	return ANSWER_NOW;
}

/* For a name that may be asked for. */
static enum answer answer_by_stand_in(struct response *response, struct dns_query *query)
{
	uint16_t type = query->question.type;

	if (!query->dns->stand_ins)
		return ANSWER_LATER;
	if (type == DNS_TYPE_SVCB || type == DNS_TYPE_HTTPS) { /* they may carry addresses, and other names */
		refuse(response, query, DNS_NOERROR, DNS_NO_EXTENDED_ERROR);
		return ANSWER_NOW;
	}
	if (type != DNS_TYPE_A && type != DNS_TYPE_AAAA)
		return ANSWER_LATER;
	query->for_stand_in = query->dns->must_exist;
	if (query->for_stand_in)
		return ANSWER_LATER;
	give_stand_in(response, query);
	return ANSWER_NOW;
}

/* In the place of a resolver's answer that holds an address. */
static bool deserves_stand_in(const struct dns_query *query, const uint8_t *reply, size_t length)
{
	struct endpoint address;

	return query->for_stand_in && dns_rcode(reply) == DNS_NOERROR &&
	       dns_read_addresses(reply, length, query->question.type, &address, 1) == 1;
}

static void deliver(struct dns_query *query, const uint8_t *reply, size_t length)
{
	uint8_t truncated[DNS_UDP_MIN + DNS_QUERY_MAX];

	if (!query->over_tcp && length > query->question.udp_size) {
		length = dns_write_truncated(truncated, query->message, &query->question, dns_rcode(reply));
		reply = truncated;
	}
	query->reply(query->data, reply, length);
}

void dns_cancel(struct dns_query *query)
{
	LIST_REMOVE(query, link);
	query->dns->query_count--;
	if (query->asked)
		dns_upstream_cancel(query->asked);
	free(query);
}

static void resolver_answered(void *data, uint8_t *reply, size_t length)
{
	struct dns_query *query = data;
	struct response response;

	query->asked = NULL;
	if (reply)
		dns_cache_put(query->dns->cache, &query->question, loop_now(query->dns->loop), reply, length);
	if (reply &&
		!deserves_stand_in(query, reply, length)) { /* passed on from where it lies: up to 64 KiB */
		deliver(query, reply, length);
	} else {
		if (reply)
			give_stand_in(&response, query);
		else
			refuse(&response, query, DNS_SERVFAIL, DNS_NO_REACHABLE_AUTHORITY);
		deliver(query, response.bytes, response.length);
	}
	dns_cancel(query);
}

static enum answer answer_by_cache(struct response *response, struct dns_query *query)
{
	response->length = dns_cache_get(query->dns->cache, query->message, &query->question,
		loop_now(query->dns->loop), response->bytes);
	if (!response->length)
		return ANSWER_LATER;
	if (deserves_stand_in(query, response->bytes, response->length))
		give_stand_in(response, query);
	return ANSWER_NOW;
}

static enum answer answer_by_resolver(struct response *response, struct dns_query *query)
{
	if (query->dns->upstream)
		query->asked = dns_upstream_ask(query->dns->upstream, query->message, query->length,
			&query->question, resolver_answered, query);
	if (query->asked)
		return ANSWER_LATER;
	refuse(response, query, DNS_SERVFAIL, DNS_NO_REACHABLE_AUTHORITY);
	return ANSWER_NOW;
}

/* What does not follow the rules has been answered by now. */
static enum answer answer_what_may_be_asked(struct response *response, struct dns_query *query)
{
	uint16_t type = query->question.type;
	enum answer answer = answer_by_stand_in(response, query);

	if (answer == ANSWER_LATER)
		answer = answer_by_cache(response, query);
	if (answer == ANSWER_LATER)
		answer = answer_by_resolver(response, query);
	if (type == DNS_TYPE_A || type == DNS_TYPE_AAAA)
		dialer_expect(query->dns->dialer);
	return answer;
}

static struct dns_query *new_query(struct dns *dns, const uint8_t *message, size_t length)
{
	struct dns_query *query = calloc(1, sizeof(*query) + length);

	if (!query)
		return NULL;
	query->dns = dns;
	query->length = length;
	memcpy(query->message, message, length);
	LIST_INSERT_HEAD(&dns->queries, query, link);
	dns->query_count++;
	return query;
}

struct dns_query *dns_ask(
	struct dns *dns, const uint8_t *message, size_t length, bool over_tcp, dns_reply *reply, void *data)
{
	struct dns_question question;
	struct response response;
	struct dns_query *query;
	int rcode = dns_read_query(message, length, &question);

	if (rcode < 0 || dns->query_count >= QUERIES_MAX || !(query = new_query(dns, message, length)))
		return NULL;
	query->question = question;
	query->over_tcp = over_tcp;
	query->reply = reply;
	query->data = data;
	if (rcode != DNS_NOERROR)
		refuse(&response, query, (enum dns_rcode)rcode, DNS_NO_EXTENDED_ERROR);
	else if (answer_by_rules(&response, query) == ANSWER_LATER &&
		 answer_what_may_be_asked(&response, query) == ANSWER_LATER)
		return query;
	deliver(query, response.bytes, response.length);
	dns_cancel(query);
	return NULL;
}

int dns_stream(struct dns *dns)
{
	return dns_stream_open(dns->streams);
}

/* The relay's own lookups: A and AAAA at once, each from the cache or the resolver. */

struct half {
	struct dns_lookup *lookup;
	struct dns_upstream_query *asked;
	struct dns_question question;
	size_t length, count;
	struct endpoint addresses[DNS_ADDRESSES_MAX / 2];
	uint8_t message[DNS_UDP_MIN];
};

struct dns_lookup {
	LIST_ENTRY(dns_lookup) link;
	struct dns *dns;
	struct timer timer; /* when all is known already */
	dns_resolved *done;
	void *data;
	bool answered; /* by some resolver, be it with nothing */
	struct half halves[2];
};

void dns_lookup_cancel(struct dns_lookup *lookup)
{
	LIST_REMOVE(lookup, link);
	loop_cancel_timer(lookup->dns->loop, &lookup->timer);
	for (size_t i = 0; i < ARRAY_SIZE(lookup->halves); i++) {
		if (lookup->halves[i].asked)
			dns_upstream_cancel(lookup->halves[i].asked);
	}
	free(lookup);
}

static void finish_lookup(struct dns_lookup *lookup)
{
	struct endpoint addresses[DNS_ADDRESSES_MAX];
	dns_resolved *done = lookup->done;
	void *data = lookup->data;
	int error_number = lookup->answered ? EHOSTUNREACH : ETIMEDOUT;
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(lookup->halves); i++) {
		memcpy(addresses + count, lookup->halves[i].addresses,
			lookup->halves[i].count * sizeof(*addresses));
		count += lookup->halves[i].count;
	}
	dns_lookup_cancel(lookup);
	done(data, addresses, count, count ? 0 : error_number);
}

static void lookup_fired(struct timer *timer)
{
	finish_lookup(container_of(timer, struct dns_lookup, timer));
}

static void take_half(struct half *half, const uint8_t *reply, size_t length)
{
	int count = dns_read_addresses(
		reply, length, half->question.type, half->addresses, ARRAY_SIZE(half->addresses));

	half->lookup->answered = true;
	half->count = count > 0 ? (size_t)count : 0;
}

static void half_answered(void *data, uint8_t *reply, size_t length)
{
	struct half *half = data;
	struct dns_lookup *lookup = half->lookup;

	half->asked = NULL;
	if (reply) {
		dns_cache_put(
			lookup->dns->cache, &half->question, loop_now(lookup->dns->loop), reply, length);
		take_half(half, reply, length);
	}
	if (!lookup->halves[0].asked && !lookup->halves[1].asked)
		finish_lookup(lookup);
}

static void start_half(struct dns_lookup *lookup, struct half *half, const char *name, uint16_t type)
{
	uint8_t reply[DNS_CACHE_REPLY_MAX];
	struct dns *dns = lookup->dns;
	size_t length;

	half->lookup = lookup;
	half->length = dns_write_query(half->message, name, type);
	if (!half->length || dns_read_query(half->message, half->length, &half->question) != DNS_NOERROR)
		return;
	length = dns_cache_get(dns->cache, half->message, &half->question, loop_now(dns->loop), reply);
	if (length)
		take_half(half, reply, length);
	else if (dns->upstream)
		half->asked = dns_upstream_ask(
			dns->upstream, half->message, half->length, &half->question, half_answered, half);
}

static void resolve_localhost(struct dns_lookup *lookup)
{
	lookup->answered = true;
	lookup->halves[0].count = lookup->halves[1].count = 1;
	lookup->halves[0].addresses[0] =
		(struct endpoint){ .family = AF_INET, .v4.s_addr = htonl(INADDR_LOOPBACK) };
	lookup->halves[1].addresses[0] = (struct endpoint){ .family = AF_INET6, .v6 = in6addr_loopback };
}

struct dns_lookup *dns_resolve(struct dns *dns, const char *name, dns_resolved *done, void *data)
{
	struct dns_lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup)
		return NULL;
	lookup->dns = dns;
	lookup->timer.fire = lookup_fired;
	lookup->done = done;
	lookup->data = data;
	LIST_INSERT_HEAD(&dns->lookups, lookup, link);
	if (is_below(name, "localhost")) {
		resolve_localhost(lookup);
	} else {
		start_half(lookup, &lookup->halves[0], name, DNS_TYPE_A);
		start_half(lookup, &lookup->halves[1], name, DNS_TYPE_AAAA);
	}
	if (!lookup->halves[0].asked && !lookup->halves[1].asked)
		loop_set_timer(dns->loop, &lookup->timer, 0);
	return lookup;
}

struct dns *dns_new(
	struct loop *loop, const struct relay_config *config, struct dialer *dialer, struct names *names)
{
	struct dns *dns = calloc(1, sizeof(*dns));
	bool asks = config->dns.family || config->proxy_count;

	if (!dns)
		return NULL;
	dns->loop = loop;
	dns->egress = config->egress;
	dns->flows = config->flows;
	dns->names = names;
	dns->dialer = dialer;
	dns->stand_ins =
		egress_has_names(config->egress) || dialer_gives_names(config) || config->check_server_name;
	dns->must_exist = !config->proxy_count;
	dns->cache = dns_cache_new();
	dns->streams = dns_streams_new(loop, dns);
	if (asks)
		dns->upstream = dns_upstream_new(loop, &config->dns, dialer);
	if (dns->cache && dns->streams && (dns->upstream || !asks))
		return dns;
	dns_free(dns);
	return NULL;
}

void dns_free(struct dns *dns)
{
	if (!dns)
		return;
	dns_streams_free(dns->streams);
	while (!LIST_EMPTY(&dns->queries))
		dns_cancel(LIST_FIRST(&dns->queries));
	while (!LIST_EMPTY(&dns->lookups))
		dns_lookup_cancel(LIST_FIRST(&dns->lookups));
	dns_upstream_free(dns->upstream);
	dns_cache_free(dns->cache);
	free(dns);
}
