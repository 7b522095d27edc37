/* Stand-in addresses: addresses of 198.18.0.0/15 (and of the relay's ULA prefix) that stand for names, so that rules on names
 * hold for every protocol and the proxy gets the name.
 *
 * An IPv6 stand-in ends in the IPv4 one: fd66:656e:6365::198.18.1.2. The first 256 addresses are never given to names: .1 is
 * tun0's own, .2 the resolver's, for resolv.conf, .3 of the socket that accepts what is spliced (intercept.c).
 */
#pragma once

#include "netns/endpoint.h"

#define NAMES_GATEWAY_IPV4  "198.18.0.1" /* tun0's own */
#define NAMES_RESOLVER_IPV4 "198.18.0.2"
#define NAMES_GATEWAY_IPV6  "fd66:656e:6365::c612:1"
#define NAMES_RESOLVER_IPV6 "fd66:656e:6365::c612:2"
#define NAMES_LISTENER_IPV4 "198.18.0.3"
#define NAMES_LISTENER_IPV6 "fd66:656e:6365::c612:3"
enum { NAMES_PREFIX_IPV4 = 15, NAMES_PREFIX_IPV6 = 64 };

struct names;
struct names *names_new(void); /* NULL: no memory */
void names_free(struct names *names);

/* The address of `family` for `name`; the same one while it is known. False when every address is in use by a live flow. */
bool names_assign(struct names *names, const char *name, sa_family_t family, struct endpoint *address);
const char *names_find(
	const struct names *names, const struct endpoint *address); /* NULL: stands for no name; lower case */
bool names_is_stand_in(const struct endpoint *address);		    /* in the pool's ranges, known or not */
void names_hold(
	struct names *names, const struct endpoint *address); /* a live flow: never reused meanwhile */
void names_release(struct names *names, const struct endpoint *address);
