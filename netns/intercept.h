/* The accelerator's part inside: TCP that leaves by tun0 comes straight back in by it and is terminated by the namespace's own
 * kernel, at a socket of the relay's, which splices it. Only bare SYNs, and the DNS, still reach the relay as packets: it connects
 * upstream first and then writes the SYN back, so that the kernel answers what is true.
 *
 * Made by the hook's child in the namespace, with its capabilities; the relay needs none.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>

struct netlink;

enum { INTERCEPT_FAMILIES = 2 }; /* IPv4, IPv6 */

/* All of it, or nothing that changes where packets go; `listeners` of families that are not there are -1. */
int intercept_make(struct netlink *netlink, unsigned int tun, bool ipv6,
	int listeners[static INTERCEPT_FAMILIES], struct error *err);
