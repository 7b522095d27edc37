/* Stand-in addresses: addresses of 198.18.0.0/15 (and of the relay's ULA prefix) that stand for names, so that rules on names
 * hold for every protocol and the proxy gets the name.
 */
#pragma once

#include "netns/endpoint.h"

struct names;
struct names *names_new(void);

/* The address of `family` for `name`; the same one while it is known. False when every address is in use by a live flow. */
bool names_assign(struct names *names, const char *name, sa_family_t family, struct endpoint *address);
const char *names_find(const struct names *names, const struct endpoint *address); /* NULL: stands for no name */
bool names_is_stand_in(const struct endpoint *address); /* in the pool's ranges, known or not */
void names_hold(struct names *names, const struct endpoint *address); /* a live flow: never reused meanwhile */
void names_release(struct names *names, const struct endpoint *address);
