/* ICMP and ICMPv6: echo is answered here, and what cannot be reached is said as the network would say it.
 */
#pragma once

#include "netns/tunnel.h"

struct names;

enum unreachable { UNREACHABLE_NETWORK, UNREACHABLE_HOST, UNREACHABLE_PORT, UNREACHABLE_PROHIBITED };

/* Quotes the packet back to its sender. */
void icmp_unreachable(struct tunnel *tunnel, const struct packet *packet, enum unreachable why);
/* The same for a packet that is no longer there: a TCP SYN with this sequence number, or a UDP datagram. */
void icmp_unreachable_syn(struct tunnel *tunnel, const struct endpoint *source,
	const struct endpoint *destination, uint32_t sequence, enum unreachable why);
void icmp_unreachable_datagram(struct tunnel *tunnel, const struct endpoint *source,
	const struct endpoint *destination, enum unreachable why);
/* A datagram of the container's was too big for the path. */
void icmp_too_big(struct tunnel *tunnel, const struct endpoint *source, const struct endpoint *destination,
	uint32_t mtu);
/* What an errno of connect() or send() is in ICMP; false: it is none of them (refused, timed out). */
bool icmp_reason(int error_number, enum unreachable *why);
/* An echo request to an address that the rules permit is answered, to another it is said to be prohibited. It tells whether this
 * relay would let you through, not whether the far host lives: nothing that speaks for a proxy can know that. */
void icmp_packet(struct tunnel *tunnel, const struct packet *packet, const struct relay_config *config,
	const struct names *names);
