/* The nf_tables of a namespace that has other links than lo and tun0, an engine's: nothing leaves by them except replies to what came
 * in by them. Through libmnl; no nft program, no rule of anyone else's touched.
 */
#pragma once

#include "netns/endpoint.h"
#include "spec/error.h"

#include <stddef.h>

#include <stdint.h>

/* Also sets `mark` on those replies before they are routed, so that a routing rule can send them back where they came from.
 * `tun`: the index of the link that is the way out; 0 for none. One transaction: all of it is there, or nothing. */
int firewall_set(unsigned int tun, uint32_t mark, struct error *err);
/* SYNs that come in by `tun` go to a listener with IP_TRANSPARENT at the address of their family, wherever they were sent. */
int firewall_set_listeners(
	unsigned int tun, const struct endpoint *listeners, size_t count, struct error *err);
