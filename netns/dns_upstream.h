/* Asking the resolver: the one that is named, by UDP with retries and by TCP when an answer was truncated; or, where none
 * is, public ones by TCP through the proxies. TCP connections are shared and pipelined.
 */
#pragma once

#include "netns/dial.h"
#include "netns/dns_message.h"

struct dns_upstream;
struct dns_upstream_query;

/* `resolver` of family 0: none is named. NULL: no memory. */
struct dns_upstream *dns_upstream_new(
	struct loop *loop, const struct endpoint *resolver, struct dialer *dialer);
void dns_upstream_free(struct dns_upstream *upstream); /* no callback is called any more */

/* `reply` is NULL when nobody answered. It bears the query's own identifier, and fits its question. Never called from within
 * dns_upstream_ask(). */
typedef void dns_upstream_reply(void *data, uint8_t *reply, size_t length);

/* NULL: no memory, or the query is too long. */
struct dns_upstream_query *dns_upstream_ask(struct dns_upstream *upstream, const uint8_t *query,
	size_t length, const struct dns_question *question, dns_upstream_reply *done, void *data);
void dns_upstream_cancel(struct dns_upstream_query *query);
