/* DNS messages (RFC 1035, 6891): reading a question and the answers that matter here, and writing short replies.
 *
 * Hostile input from both sides. Every length is checked before it is used; a compression pointer may only point backwards,
 * so none can loop. Nothing here keeps state or allocates.
 */
#pragma once

#include "netns/endpoint.h"

#include <stddef.h>

enum {
	DNS_HEADER_SIZE = 12,
	DNS_NAME_TEXT_MAX = 254, /* 253 characters and the end */
	DNS_UDP_MIN = 512,	 /* what every client takes over UDP */
	DNS_UDP_MAX = 1232,	 /* the most that is ever sent over UDP: no fragments (DNS flag day 2020) */
	DNS_QUERY_MAX = 1024,	 /* no sane query is longer */
	DNS_MESSAGE_MAX = 65535,
};

enum { DNS_CLASS_IN = 1 };

enum dns_type {
	DNS_TYPE_A = 1,
	DNS_TYPE_PTR = 12,
	DNS_TYPE_AAAA = 28,
	DNS_TYPE_OPT = 41,
	DNS_TYPE_SVCB = 64,
	DNS_TYPE_HTTPS = 65,
	DNS_TYPE_IXFR = 251,
	DNS_TYPE_AXFR = 252,
	DNS_TYPE_ANY = 255,
};

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};

/* RFC 8914, told to clients that speak EDNS. */
enum dns_extended_error { DNS_NO_EXTENDED_ERROR = -1, DNS_FILTERED = 17, DNS_NO_REACHABLE_AUTHORITY = 22 };

struct dns_question {
	char name
		[DNS_NAME_TEXT_MAX]; /* lower case, without the final dot; "" for the root, or where it is no host's name */
	bool host_name; /* letters, digits, "-" and "_" only */
	uint16_t type, class;
	size_t end; /* of the question's bytes, which begin after the header */
	bool edns, edns_options;
	bool dnssec_ok, checking_disabled, recursion_desired;
	uint16_t udp_size; /* what the client takes over UDP: DNS_UDP_MIN … DNS_UDP_MAX */
};

uint16_t dns_id(const uint8_t *message); /* of at least DNS_HEADER_SIZE */
void dns_set_id(uint8_t *message, uint16_t id);

/* DNS_NOERROR, the code to refuse the query with, or -1: not even that, drop it. */
int dns_read_query(const uint8_t *message, size_t length, struct dns_question *question);

/* Is `reply` a response to `query`, a good one with the same question? */
bool dns_is_reply_to(
	const uint8_t *reply, size_t length, const uint8_t *query, const struct dns_question *question);
bool dns_is_truncated(const uint8_t *reply);
enum dns_rcode dns_rcode(const uint8_t *reply);

/* The addresses that the records of `type` in the answer hold, at most `max`: how many is returned, -1 for a broken message. */
int dns_read_addresses(
	const uint8_t *reply, size_t length, uint16_t type, struct endpoint *addresses, size_t max);
/* The smallest TTL of its records, of `none` where there are none; with `age` > 0 also lowers each by it. False: broken. */
bool dns_age(uint8_t *reply, size_t length, uint32_t age, uint32_t none, uint32_t *ttl);

/* Replies, written into `reply` of at least DNS_UDP_MIN bytes; the length is returned. The query must have been read. */
size_t dns_write_empty(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	enum dns_rcode rcode, int extended_error);
size_t dns_write_address(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	const struct endpoint *address, uint32_t ttl);
size_t dns_write_name(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	const char *name, uint32_t ttl);
/* The query's question alone, with TC set: what stands for a reply that is too long for UDP. */
size_t dns_write_truncated(
	uint8_t *reply, const uint8_t *query, const struct dns_question *question, enum dns_rcode rcode);

/* A query of the relay's own; 0 when `name` is no name. */
size_t dns_write_query(uint8_t query[static DNS_UDP_MIN], const char *name, uint16_t type);

/* "4.3.18.198.in-addr.arpa" and its IPv6 like: the address that a PTR query asks about. */
bool dns_reverse_address(const char *name, struct endpoint *address);
