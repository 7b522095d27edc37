/* Dialling: an upstream connection, made through the proxies or directly, after the egress rules have had their say.
 *
 * Asynchronous: the callback is called exactly once, never from within dial_start(), with a connected non-blocking socket
 * or the errno that the container's connect() shall see (ECONNREFUSED, EHOSTUNREACH, ENETUNREACH, ETIMEDOUT, EACCES when a rule
 * forbids). The proxy has said "connected" by then: connect() inside tells the truth.
 */
#pragma once

#include "netns/endpoint.h"
#include "netns/flows.h"
#include "netns/loop.h"
#include "netns/relay.h"

struct dialer; /* rules, proxies and the names that stand-in addresses stand for */
struct dial;

/* `record` is with the socket the caller's, to count in and to end (flows.h); NULL: of the relay's own, or no memory. */
typedef void dial_callback(void *data, int fd, int error_number, struct flow_record *record);

struct names;
struct dns;
struct dialer *dialer_new(struct loop *loop, const struct relay_config *config, struct names *names);
void dialer_free(struct dialer *dialer);
bool dialer_gives_names(const struct relay_config *config); /* to the proxies: some resolve by themselves */
void dialer_set_dns(
	struct dialer *dialer, struct dns *dns); /* dns_new() needs the dialer first; before the first dial */

/* A name was asked for: a connection is likely to follow. */
void dialer_expect(struct dialer *dialer);
/* `destination` is as the container wrote it: a stand-in address is turned into its name here. NULL never: faults arrive by
 * the callback. dial_cancel() before the callback: it will not be called. `heir`, or NULL: gets the socket as it is in the loop already,
 * with CONNECT_EVENTS (connect.h), and is told by its `ready`, just before the callback, what was reported of it so far. */
struct dial *dial_start(struct dialer *dialer, const struct endpoint *destination, struct watch *heir,
	dial_callback *done, void *data);
/* By name, for the SOCKS listener inside. */
struct dial *dial_start_name(
	struct dialer *dialer, const char *name, uint16_t port, dial_callback *done, void *data);
/* For the relay itself (its resolver, over TCP): through the proxies or directly, without asking the egress rules. */
struct dial *dial_start_trusted(
	struct dialer *dialer, const struct endpoint *destination, dial_callback *done, void *data);
/* UDP ASSOCIATE at the first proxy that answers: the socket is the association's control connection, *relay where to send datagrams, filled
 * in before the callback. EOPNOTSUPP: there is no such proxy. */
struct dial *dial_start_associate(
	struct dialer *dialer, struct endpoint *relay, dial_callback *done, void *data);
void dial_cancel(struct dial *dial);
