/* Egress rules: which names, addresses and ports may be reached. Deny wins, then allow, then the default.
 *
 * A rule is [tcp://|udp://] then one of "example.com", "*.example.com" (any depth, not the apex), "192.0.2.7",
 * "192.0.2.0/24", "[2001:db8::]/32", "2001:db8::1", "localhost", or "*" (only where the policy allows all), then an optional
 * ":port" (an IPv6 address with a port is in brackets). Names are case-insensitive, a final dot is ignored.
 * Refused, with the reason: schemes other than these, paths, "*.com" (a whole top-level domain), empty labels.
 *
 * Loopback, private, link-local, unique-local, multicast, unspecified and cloud metadata addresses are denied unless a
 * rule names the address or a range that holds it: also when an allowed name resolves to one (DNS rebinding).
 */
#pragma once

#include "netns/endpoint.h"
#include "spec/error.h"

#include <stddef.h>

struct egress;

enum egress_protocol { EGRESS_TCP = 1, EGRESS_UDP = 2 };

/* Why nothing goes to port 0: to the rules it is any port, as a ping asks. */
#define EGRESS_NO_PORT "there is no port 0"

int egress_new(const char *const *allow, size_t allow_count, const char *const *deny, size_t deny_count,
	bool default_allow, struct egress **egress, struct error *err);
void egress_free(struct egress *egress);

bool egress_has_names(
	const struct egress *egress); /* some rule is about a name: DNS answers with stand-ins */

/* May this connection be made? `name` is the name that the destination stands for, or NULL for a bare address;
 * `address` has family 0 when the proxy will resolve the name. *rule is the text that decided, for the log. */
bool egress_permits(const struct egress *egress, enum egress_protocol protocol, const char *name,
	const struct endpoint *address, const char **rule);
bool egress_permits_query(
	const struct egress *egress, const char *name, const char **rule); /* may it be resolved? */
