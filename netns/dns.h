/* DNS for the container: every query to port 53, UDP or TCP, to any address, is answered here.
 *
 * With rules on names, or a proxy that resolves (socks5h), the answer to A and AAAA is a stand-in address; else the query is
 * relayed to --dns (UDP with retry, TCP when truncated), else by TCP through the proxy. Hostile input: every length is checked.
 */
#pragma once

#include "netns/dial.h"

#include <stddef.h>

enum { DNS_ADDRESSES_MAX = 16 };

struct dns;
struct dns *dns_new(
	struct loop *loop, const struct relay_config *config, struct dialer *dialer, struct names *names);
void dns_free(struct dns *dns);

/* One query as received over UDP, or over TCP without its two-byte length. The reply arrives by the callback, at most once: from
 * within the call, which returns NULL then, or later. More queries than a resolver would have under way at once are dropped. */
typedef void dns_reply(void *data, const uint8_t *reply, size_t length);
struct dns_query *dns_ask(
	struct dns *dns, const uint8_t *query, size_t length, bool over_tcp, dns_reply *reply, void *data);
void dns_cancel(struct dns_query *query); /* before the callback */

/* TCP: a stream socket whose other end speaks DNS over TCP (two-byte lengths), for a flow to port 53; or -1 with errno. */
int dns_stream(struct dns *dns);

/* Resolving for the relay itself (direct egress): the addresses of a name, at most DNS_ADDRESSES_MAX, with port 0. They are not judged: an allowed
 * name may resolve to an address that is not (egress.h). The callback is called once, never from within dns_resolve(),
 * with EHOSTUNREACH when the name has no address, ETIMEDOUT when no resolver answered. */
typedef void dns_resolved(void *data, const struct endpoint *addresses, size_t count, int error_number);
struct dns_lookup *dns_resolve(
	struct dns *dns, const char *name, dns_resolved *done, void *data); /* NULL: no memory */
void dns_lookup_cancel(struct dns_lookup *lookup);			    /* before the callback */
