/* ICMP and ICMPv6: see icmp.h. Never answers an ICMP error, a multicast address or a fragment with an error (RFC 1122, 4443).
 */
#include "netns/icmp.h"
#include "netns/egress.h"
#include "netns/flows.h"
#include "netns/names.h"

#include <errno.h>
#include <string.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>

enum {
	ICMP_HEADER = 8,
	/* RFC 1812: as much as fits in 576 bytes; RFC 4443: in 1280. */
	QUOTE_V4 = 576 - 20 - ICMP_HEADER,
	QUOTE_V6 = 1280 - 40 - ICMP_HEADER,
};

static const struct {
	uint8_t v4, v6; /* codes */
	int number, alias;
} reasons[] = {
	[UNREACHABLE_NETWORK] = { ICMP_NET_UNREACH, ICMP6_DST_UNREACH_NOROUTE, ENETUNREACH, ENETDOWN },
	[UNREACHABLE_HOST] = { ICMP_HOST_UNREACH, ICMP6_DST_UNREACH_ADDR, EHOSTUNREACH, EHOSTDOWN },
	[UNREACHABLE_PORT] = { ICMP_PORT_UNREACH, ICMP6_DST_UNREACH_NOPORT, ECONNREFUSED, ECONNREFUSED },
	[UNREACHABLE_PROHIBITED] = { ICMP_PKT_FILTERED, ICMP6_DST_UNREACH_ADMIN, EACCES, EPERM },
};

bool icmp_reason(int error_number, enum unreachable *why)
{
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (reasons[i].number == error_number || reasons[i].alias == error_number) {
			*why = (enum unreachable)i;
			return true;
		}
	}
	return false;
}

static uint8_t *put_header(struct tunnel *tunnel, uint8_t type, uint8_t code)
{
	uint8_t *message = tunnel_payload(tunnel);

	memset(message, 0, ICMP_HEADER);
	message[0] = type;
	message[1] = code;
	return message;
}

/* The error comes from the address that could not be reached, to the address that tried. */
static void quote(struct tunnel *tunnel, const struct packet *packet)
{
	size_t length = packet->network_length, most = packet->family == AF_INET ? QUOTE_V4 : QUOTE_V6;

	if (length > most)
		length = most;
	memcpy(tunnel_payload(tunnel) + ICMP_HEADER, packet->network, length);
	tunnel_send_icmp(tunnel, ICMP_HEADER + length, &packet->destination, &packet->source);
}

static void put_unreachable(struct tunnel *tunnel, sa_family_t family, enum unreachable why)
{
	if (family == AF_INET)
		put_header(tunnel, ICMP_UNREACH, reasons[why].v4);
	else
		put_header(tunnel, ICMP6_DST_UNREACH, reasons[why].v6);
}

void icmp_unreachable(struct tunnel *tunnel, const struct packet *packet, enum unreachable why)
{
	put_unreachable(tunnel, packet->family, why);
	quote(tunnel, packet);
}

void icmp_unreachable_syn(struct tunnel *tunnel, const struct endpoint *source,
	const struct endpoint *destination, uint32_t sequence, enum unreachable why)
{
	struct tcp_segment syn = { .sequence = sequence, .flags = TCP_SYN, .scale = -1 };
	size_t length = packet_tcp_overhead(source->family);

	put_unreachable(tunnel, source->family, why);
	packet_put_tcp(
		tunnel_payload(tunnel) + ICMP_HEADER + length, 0, source, destination, &syn, CHECKSUM_WHOLE);
	tunnel_send_icmp(tunnel, ICMP_HEADER + length, destination, source);
}

/* Only the headers: they are what finds the socket that is to be told. */
static void quote_datagram(
	struct tunnel *tunnel, const struct endpoint *source, const struct endpoint *destination)
{
	size_t length = (source->family == AF_INET ? 20 : 40) + 8;

	packet_put_udp(tunnel_payload(tunnel) + ICMP_HEADER + length, 0, source, destination, CHECKSUM_WHOLE);
	tunnel_send_icmp(tunnel, ICMP_HEADER + length, destination, source);
}

void icmp_unreachable_datagram(struct tunnel *tunnel, const struct endpoint *source,
	const struct endpoint *destination, enum unreachable why)
{
	put_unreachable(tunnel, source->family, why);
	quote_datagram(tunnel, source, destination);
}

void icmp_too_big(struct tunnel *tunnel, const struct endpoint *source, const struct endpoint *destination,
	uint32_t mtu)
{
	if (source->family == AF_INET)
		put16(put_header(tunnel, ICMP_UNREACH, ICMP_UNREACH_NEEDFRAG) + 6, mtu);
	else
		put32(put_header(tunnel, ICMP6_PACKET_TOO_BIG, 0) + 4, mtu);
	quote_datagram(tunnel, source, destination);
}

/* Each ping is a flow of its own in the record. */
static bool may_ping(
	const struct packet *packet, const struct relay_config *config, const struct names *names)
{
	const struct endpoint *address = &packet->destination;
	struct flow_description ping = { .protocol = "icmp", .name = names_find(names, address) };
	struct flow_record *record;

	if (!ping.name && names_is_stand_in(address))
		return false;
	if (!ping.name)
		ping.address = *address;
	if (!egress_permits(config->egress, EGRESS_TCP, ping.name, &ping.address, &ping.rule) &&
		!egress_permits(config->egress, EGRESS_UDP, ping.name, &ping.address, &ping.rule)) {
		flows_deny(config->flows, &ping);
		return false;
	}
	record = flows_begin(config->flows, &ping);
	if (record)
		record->sent = record->received = packet->payload_length;
	flows_end(record);
	return true;
}

void icmp_packet(struct tunnel *tunnel, const struct packet *packet, const struct relay_config *config,
	const struct names *names)
{
	bool v4 = packet->family == AF_INET;
	uint8_t *message;

	if (packet->transport[0] != (v4 ? ICMP_ECHO : ICMP6_ECHO_REQUEST))
		return;
	if (!may_ping(packet, config, names)) {
		icmp_unreachable(tunnel, packet, UNREACHABLE_PROHIBITED);
		return;
	}
	message = put_header(tunnel, v4 ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY, 0);
	memcpy(message + 4, packet->transport + 4, packet->transport_length - 4);
	tunnel_send_icmp(tunnel, packet->transport_length, &packet->destination, &packet->source);
}
