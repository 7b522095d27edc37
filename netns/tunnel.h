/* The tunnel: packets from the container, and packets to it, through the TUN descriptor.
 *
 * A few buffers for each direction, made once. With offload a packet may be 64 KiB of TCP that the kernel cuts up, and checksums are the
 * kernel's to compute; without it each packet fits the MTU and is whole.
 */
#pragma once

#include "netns/batch.h"
#include "netns/loop.h"
#include "netns/packet.h"
#include "netns/relay.h"

enum {
	UDP_SEGMENTS_MAX = 64, /* of one train: what every kernel with UDP_SEGMENT takes */
	TUNNEL_PACKETS_KEPT = 4,
	TUNNEL_PACKETS_HELD = BATCH_MAX,
};

struct tunnel;

struct tunnel_handlers {
	/* `segment` is the datagram size when the packet is a train of UDP datagrams (USO), else 0. */
	void (*packet)(void *data, const struct packet *packet, size_t segment);
	void (*flush)(
		void *data); /* after a batch of packets: acknowledge, and send what has become possible */
	void *data;
};

struct tunnel *tunnel_new(struct loop *loop, const struct relay_config *config,
	const struct tunnel_handlers *handlers, struct error *err);
void tunnel_free(struct tunnel *tunnel);

/* The packet that is being handled stays where it is until TUNNEL_PACKETS_KEPT more are kept. One that was put together elsewhere cannot. */
bool tunnel_can_keep(const struct tunnel *tunnel, const struct packet *packet);
void tunnel_keep(struct tunnel *tunnel);

/* Where to put the payload of the next packet to the container: PACKET_LENGTH_MAX bytes. Until the next tunnel_send… */
uint8_t *tunnel_payload(struct tunnel *tunnel);
/* Several packets of TCP that are written at once: where to put `length` bytes of payload for packets of `each`. The number of places is
 * returned, which are as many as can be held. Then they are sent in that order, between tunnel_hold() and tunnel_release(). */
size_t tunnel_payloads(
	struct tunnel *tunnel, size_t each, size_t length, struct iovec places[TUNNEL_PACKETS_HELD]);
void tunnel_hold(struct tunnel *tunnel);
void tunnel_release(struct tunnel *tunnel);
/* The most payload that one tunnel_send_tcp() may carry to a peer with this MSS: whole segments. */
size_t tunnel_tcp_room(const struct tunnel *tunnel, sa_family_t family, uint16_t mss);
uint16_t tunnel_mss(const struct tunnel *tunnel, sa_family_t family); /* what the MTU leaves */

/* False: the packet was not taken; the network may lose packets. `mss` cuts up a longer payload. */
bool tunnel_send_tcp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination, const struct tcp_segment *segment, uint16_t mss);
/* Writes a TCP packet of the container's back, as it came. */
bool tunnel_return_tcp(struct tunnel *tunnel, const struct packet *packet);
bool tunnel_send_udp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination);
/* From a buffer of the caller's, with PACKET_HEADERS_MAX bytes before the payload. `segment`: it is a train of datagrams of that size,
 * the last perhaps shorter; 0: a single one. What stands before a datagram is overwritten. */
bool tunnel_send_udp_train(struct tunnel *tunnel, uint8_t *payload, size_t length, size_t segment,
	const struct endpoint *source, const struct endpoint *destination);
bool tunnel_send_icmp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination);
