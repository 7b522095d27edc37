/* UDP from the container: DNS is answered here; other datagrams go out from a socket of their flow's own, or through the
 * proxy's UDP ASSOCIATE; where neither can be, port unreachable is said at once, so that QUIC's clients fall back to TCP.
 */
#pragma once

#include "netns/dial.h"
#include "netns/dns.h"
#include "netns/names.h"
#include "netns/tunnel.h"

struct udp;

struct udp *udp_new(struct loop *loop, const struct relay_config *config, struct dialer *dialer,
	struct dns *dns, struct names *names, size_t flows_max, struct error *err);
void udp_set_tunnel(struct udp *udp, struct tunnel *tunnel); /* before the first packet */
void udp_free(struct udp *udp);
/* `segment`: the packet is a train of datagrams of that size, 0: a single one. */
void udp_packet(struct udp *udp, const struct packet *packet, size_t segment);
void udp_flush(struct udp *udp); /* after a batch of packets */
