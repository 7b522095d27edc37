/* Packets: reading IPv4, IPv6, TCP and UDP headers, and writing them before a payload that is already in place.
 *
 * Pure: no system call, no allocation. What is read was written by the container: every length is checked against what
 * was received before it is believed.
 */
#pragma once

#include "netns/endpoint.h"

#include <stddef.h>

enum tcp_flag { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_PSH = 8, TCP_ACK = 16, TCP_URG = 32 };

enum { TCP_BLOCKS_MAX = 4 }; /* all that the options have room for */

struct tcp_segment {
	uint32_t sequence, acknowledgement;
	uint16_t window; /* as written, not scaled */
	uint8_t flags;
	uint16_t maximum; /* the MSS option, 0: none */
	int8_t scale;	  /* the window scale option, -1: none */
	bool sack_permitted;
	uint8_t sack_count; /* of what is written; what is read has none */
	struct tcp_block {
		uint32_t start, end;
	} sack[TCP_BLOCKS_MAX];
};

struct packet {
	sa_family_t family;
	uint8_t protocol;
	bool fragment;		  /* a part of a datagram; the transport's fields are not read */
	uint16_t fragment_offset; /* in bytes */
	bool more_fragments;
	bool dont_fragment; /* on its way */
	uint32_t identification;
	struct endpoint source, destination; /* ports: TCP and UDP */
	const uint8_t *network;		     /* the whole packet */
	size_t network_length;
	const uint8_t *transport;
	size_t transport_length;
	const uint8_t *payload; /* after the TCP, UDP or 8 byte ICMP header */
	size_t payload_length;
	struct tcp_segment tcp;
};

/* False: malformed. A fragment, or a protocol that is not TCP, UDP or ICMP, is well-formed. */
bool packet_parse(struct packet *packet, const uint8_t *bytes, size_t length);
/* The transport's checksum, if it is one that the relay knows; only worth asking when the kernel did not leave it to us to compute. */
bool packet_checksum_holds(const struct packet *packet);

/* Headers are written so that they end where the payload begins; PACKET_HEADERS_MAX bytes before it must be there.
 * Each returns where the packet begins. */
enum { PACKET_HEADERS_MAX = 112, PACKET_LENGTH_MAX = 65535 };
enum checksum { CHECKSUM_WHOLE, CHECKSUM_PARTIAL /* of the pseudo header only: the kernel does the rest */ };

uint8_t *packet_put_tcp(uint8_t *payload, size_t length, const struct endpoint *source,
	const struct endpoint *destination, const struct tcp_segment *segment, enum checksum checksum);
/* Anew into the TCP header of a copy of this packet. */
void packet_put_checksum(const struct packet *packet, uint8_t *transport, enum checksum checksum);
uint8_t *packet_put_udp(uint8_t *payload, size_t length, const struct endpoint *source,
	const struct endpoint *destination, enum checksum checksum);
/* `payload` holds the whole ICMP message; its checksum is computed here. */
uint8_t *packet_put_icmp(
	uint8_t *payload, size_t length, const struct endpoint *source, const struct endpoint *destination);

/* Only the IP header, before a transport's. */
uint8_t *packet_put_ip(uint8_t *transport, size_t length, const struct endpoint *source,
	const struct endpoint *destination, uint8_t protocol);

/* The size of the headers that packet_put_tcp() writes for a segment without options. */
size_t packet_tcp_overhead(sa_family_t family);

static inline uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static inline void put16(uint8_t *bytes, uint32_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static inline void put32(uint8_t *bytes, uint32_t value)
{
	put16(bytes, value >> 16);
	put16(bytes + 2, value);
}
