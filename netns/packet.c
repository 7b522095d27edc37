/* Packets: see packet.h. Fields are read and written byte by byte, so that alignment and byte order never matter.
 */
#include "netns/packet.h"

#include <string.h>

enum {
	IPV4_HEADER = 20,
	IPV6_HEADER = 40,
	TCP_HEADER = 20,
	UDP_HEADER = 8,
	ICMP_HEADER = 8,
	HOP_LIMIT = 64,
	EXTENSION_HEADERS_MAX = 8,
};

enum {
	OPTION_END = 0,
	OPTION_NOP = 1,
	OPTION_MSS = 2,
	OPTION_SCALE = 3,
	OPTION_SACK_PERMITTED = 4,
	OPTION_SACK = 5,
	SCALE_MAX = 14,
	TCP_OPTIONS_MAX = 40,
};

static uint64_t sum_bytes(const uint8_t *bytes, size_t length, uint64_t sum)
{
	for (; length >= 4; bytes += 4, length -= 4)
		sum += get32(bytes);
	if (length >= 2) {
		sum += get16(bytes);
		bytes += 2;
		length -= 2;
	}
	return length ? sum + (uint64_t)(bytes[0] << 8) : sum;
}

static uint16_t fold(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static size_t address_length(sa_family_t family)
{
	return family == AF_INET ? 4 : 16;
}

static uint64_t sum_pseudo_header(
	const struct endpoint *source, const struct endpoint *destination, uint8_t protocol, size_t length)
{
	uint64_t sum = protocol + length;

	sum = sum_bytes(source->v6.s6_addr, address_length(source->family), sum);
	return sum_bytes(destination->v6.s6_addr, address_length(destination->family), sum);
}

static bool parse_ipv4(struct packet *packet, const uint8_t *bytes, size_t length)
{
	size_t header = (size_t)(bytes[0] & 15) * 4, total;
	uint16_t fragment;

	if (length < IPV4_HEADER || header < IPV4_HEADER)
		return false;
	total = get16(bytes + 2);
	if (total < header || total > length)
		return false;
	fragment = get16(bytes + 6);
	packet->dont_fragment = fragment & 0x4000;
	packet->more_fragments = fragment & 0x2000;
	packet->fragment_offset = (uint16_t)((fragment & 0x1fff) * 8);
	packet->fragment = packet->more_fragments || packet->fragment_offset;
	packet->identification = get16(bytes + 4);
	packet->protocol = bytes[9];
	memcpy(&packet->source.v4, bytes + 12, 4);
	memcpy(&packet->destination.v4, bytes + 16, 4);
	packet->network_length = total;
	packet->transport = bytes + header;
	packet->transport_length = total - header;
	return true;
}

static void parse_fragment_header(struct packet *packet, const uint8_t *header)
{
	uint16_t field = get16(header + 2);

	packet->more_fragments = field & 1;
	packet->fragment_offset = field & 0xfff8;
	packet->fragment = packet->more_fragments || packet->fragment_offset;
	packet->identification = get32(header + 4);
}

/* Steps over the extension headers that any host must accept; what stands behind another is "some protocol". */
static bool skip_extension_headers(struct packet *packet)
{
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		const uint8_t *header = packet->transport;
		size_t length;

		if (packet->protocol != IPPROTO_HOPOPTS && packet->protocol != IPPROTO_ROUTING &&
			packet->protocol != IPPROTO_DSTOPTS && packet->protocol != IPPROTO_FRAGMENT)
			return true;
		if (packet->transport_length < 8)
			return false;
		length = packet->protocol == IPPROTO_FRAGMENT ? 8 : (size_t)(header[1] + 1) * 8;
		if (length > packet->transport_length)
			return false;
		if (packet->protocol == IPPROTO_FRAGMENT)
			parse_fragment_header(packet, header);
		packet->protocol = header[0];
		packet->transport += length;
		packet->transport_length -= length;
		if (packet->fragment)
			return true;
	}
	return false;
}

static bool parse_ipv6(struct packet *packet, const uint8_t *bytes, size_t length)
{
	size_t payload;

	if (length < IPV6_HEADER)
		return false;
	payload = get16(bytes + 4);
	if (payload > length - IPV6_HEADER)
		return false;
	packet->dont_fragment = true;
	packet->protocol = bytes[6];
	memcpy(&packet->source.v6, bytes + 8, 16);
	memcpy(&packet->destination.v6, bytes + 24, 16);
	packet->network_length = IPV6_HEADER + payload;
	packet->transport = bytes + IPV6_HEADER;
	packet->transport_length = payload;
	return skip_extension_headers(packet);
}

/* Only a SYN's options matter: timestamps are never agreed to, and what the container has received selectively it will also say
 * by number. */
static void parse_tcp_options(struct tcp_segment *segment, const uint8_t *option, const uint8_t *end)
{
	while (option < end && *option != OPTION_END) {
		if (*option == OPTION_NOP) {
			option++;
			continue;
		}
		if (end - option < 2 || option[1] < 2 || option[1] > end - option)
			return;
		if (option[0] == OPTION_MSS && option[1] == 4)
			segment->maximum = get16(option + 2);
		if (option[0] == OPTION_SCALE && option[1] == 3)
			segment->scale = (int8_t)(option[2] > SCALE_MAX ? SCALE_MAX : option[2]);
		if (option[0] == OPTION_SACK_PERMITTED && option[1] == 2)
			segment->sack_permitted = true;
		option += option[1];
	}
}

static bool parse_tcp(struct packet *packet)
{
	const uint8_t *header = packet->transport;
	struct tcp_segment *segment = &packet->tcp;
	size_t length;

	if (packet->transport_length < TCP_HEADER)
		return false;
	length = (size_t)(header[12] >> 4) * 4;
	if (length < TCP_HEADER || length > packet->transport_length)
		return false;
	segment->sequence = get32(header + 4);
	segment->acknowledgement = get32(header + 8);
	segment->flags = header[13] & 0x3f;
	segment->window = get16(header + 14);
	segment->scale = -1;
	if (segment->flags & TCP_SYN)
		parse_tcp_options(segment, header + TCP_HEADER, header + length);
	packet->payload = header + length;
	packet->payload_length = packet->transport_length - length;
	return true;
}

static bool parse_udp(struct packet *packet)
{
	size_t length;

	if (packet->transport_length < UDP_HEADER)
		return false;
	length = get16(packet->transport + 4);
	if (length < UDP_HEADER || length > packet->transport_length)
		return false;
	packet->payload = packet->transport + UDP_HEADER;
	packet->payload_length = length - UDP_HEADER;
	return true;
}

static bool parse_icmp(struct packet *packet)
{
	if (packet->transport_length < ICMP_HEADER)
		return false;
	packet->payload = packet->transport + ICMP_HEADER;
	packet->payload_length = packet->transport_length - ICMP_HEADER;
	return true;
}

static bool parse_transport(struct packet *packet)
{
	switch (packet->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		if (packet->transport_length < UDP_HEADER)
			return false;
		packet->source.port = get16(packet->transport);
		packet->destination.port = get16(packet->transport + 2);
		return packet->protocol == IPPROTO_TCP ? parse_tcp(packet) : parse_udp(packet);
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		return parse_icmp(packet);
	default:
		return true;
	}
}

bool packet_parse(struct packet *packet, const uint8_t *bytes, size_t length)
{
	memset(packet, 0, sizeof(*packet));
	if (length < 1)
		return false;
	packet->network = bytes;
	packet->family = bytes[0] >> 4 == 6 ? AF_INET6 : AF_INET;
	packet->source.family = packet->destination.family = packet->family;
	if (bytes[0] >> 4 == 4) {
		if (!parse_ipv4(packet, bytes, length))
			return false;
	} else if (bytes[0] >> 4 != 6 || !parse_ipv6(packet, bytes, length)) {
		return false;
	}
	return packet->fragment || parse_transport(packet);
}

static bool has_checksum(uint8_t protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_ICMP ||
	       protocol == IPPROTO_ICMPV6;
}

bool packet_checksum_holds(const struct packet *packet)
{
	uint64_t sum = 0;

	if (!has_checksum(packet->protocol))
		return true;
	if (packet->protocol == IPPROTO_UDP && packet->family == AF_INET && get16(packet->transport + 6) == 0)
		return true;
	if (packet->protocol != IPPROTO_ICMP)
		sum = sum_pseudo_header(
			&packet->source, &packet->destination, packet->protocol, packet->transport_length);
	return fold(sum_bytes(packet->transport, packet->transport_length, sum)) == 0xffff;
}

static uint8_t *put_ipv4(uint8_t *transport, size_t length, const struct endpoint *source,
	const struct endpoint *destination, uint8_t protocol)
{
	uint8_t *header = transport - IPV4_HEADER;

	memset(header, 0, IPV4_HEADER);
	header[0] = 0x45;
	put16(header + 2, (uint32_t)(IPV4_HEADER + length));
	put16(header + 6, 0x4000); /* don't fragment, hence no identification */
	header[8] = HOP_LIMIT;
	header[9] = protocol;
	memcpy(header + 12, &source->v4, 4);
	memcpy(header + 16, &destination->v4, 4);
	put16(header + 10, (uint16_t)~fold(sum_bytes(header, IPV4_HEADER, 0)));
	return header;
}

static uint8_t *put_ipv6(uint8_t *transport, size_t length, const struct endpoint *source,
	const struct endpoint *destination, uint8_t protocol)
{
	uint8_t *header = transport - IPV6_HEADER;

	memset(header, 0, 4);
	header[0] = 0x60;
	put16(header + 4, (uint32_t)length);
	header[6] = protocol;
	header[7] = HOP_LIMIT;
	memcpy(header + 8, &source->v6, 16);
	memcpy(header + 24, &destination->v6, 16);
	return header;
}

uint8_t *packet_put_ip(uint8_t *transport, size_t length, const struct endpoint *source,
	const struct endpoint *destination, uint8_t protocol)
{
	return source->family == AF_INET ? put_ipv4(transport, length, source, destination, protocol)
					 : put_ipv6(transport, length, source, destination, protocol);
}

/* With CHECKSUM_PARTIAL the field holds the pseudo header's sum, not inverted: the kernel adds the rest. */
static void put_checksum(
	uint8_t *field, const uint8_t *transport, size_t length, uint64_t pseudo, enum checksum checksum)
{
	uint16_t sum;

	put16(field, 0);
	if (checksum == CHECKSUM_PARTIAL) {
		put16(field, fold(pseudo));
		return;
	}
	sum = (uint16_t)~fold(sum_bytes(transport, length, pseudo));
	put16(field, sum ? sum : 0xffff); /* 0 would say "none" in UDP, and is the same number elsewhere */
}

static uint8_t *put_option(uint8_t *at, uint8_t padding, uint8_t kind, uint8_t length)
{
	memset(at, OPTION_NOP, padding);
	at += padding;
	at[0] = kind;
	at[1] = length;
	return at + 2;
}

/* Each is padded to whole words. */
static size_t put_tcp_options(uint8_t *options, const struct tcp_segment *segment)
{
	uint8_t *at = options;

	if (segment->maximum) {
		at = put_option(at, 0, OPTION_MSS, 4);
		put16(at, segment->maximum);
		at += 2;
	}
	if ((segment->flags & TCP_SYN) && segment->scale >= 0) {
		at = put_option(at, 1, OPTION_SCALE, 3);
		*at++ = (uint8_t)segment->scale;
	}
	if (segment->sack_permitted)
		at = put_option(at, 2, OPTION_SACK_PERMITTED, 2);
	if (segment->sack_count)
		at = put_option(at, 2, OPTION_SACK, (uint8_t)(2 + 8 * segment->sack_count));
	for (size_t i = 0; i < segment->sack_count; i++, at += 8) {
		put32(at, segment->sack[i].start);
		put32(at + 4, segment->sack[i].end);
	}
	return (size_t)(at - options);
}

uint8_t *packet_put_tcp(uint8_t *payload, size_t length, const struct endpoint *source,
	const struct endpoint *destination, const struct tcp_segment *segment, enum checksum checksum)
{
	uint8_t options[TCP_OPTIONS_MAX], *header;
	size_t options_length = put_tcp_options(options, segment);
	size_t total = TCP_HEADER + options_length + length;

	header = payload - options_length - TCP_HEADER;
	put16(header, source->port);
	put16(header + 2, destination->port);
	put32(header + 4, segment->sequence);
	put32(header + 8, segment->acknowledgement);
	header[12] = (uint8_t)((TCP_HEADER + options_length) / 4 << 4);
	header[13] = segment->flags;
	put16(header + 14, segment->window);
	put16(header + 18, 0);
	memcpy(header + TCP_HEADER, options, options_length);
	put_checksum(header + 16, header, total, sum_pseudo_header(source, destination, IPPROTO_TCP, total),
		checksum);
	return packet_put_ip(header, total, source, destination, IPPROTO_TCP);
}

void packet_put_checksum(const struct packet *packet, uint8_t *transport, enum checksum checksum)
{
	put_checksum(transport + 16, transport, packet->transport_length,
		sum_pseudo_header(
			&packet->source, &packet->destination, IPPROTO_TCP, packet->transport_length),
		checksum);
}

uint8_t *packet_put_udp(uint8_t *payload, size_t length, const struct endpoint *source,
	const struct endpoint *destination, enum checksum checksum)
{
	uint8_t *header = payload - UDP_HEADER;
	size_t total = UDP_HEADER + length;

	put16(header, source->port);
	put16(header + 2, destination->port);
	put16(header + 4, (uint32_t)total);
	put_checksum(header + 6, header, total, sum_pseudo_header(source, destination, IPPROTO_UDP, total),
		checksum);
	return packet_put_ip(header, total, source, destination, IPPROTO_UDP);
}

uint8_t *packet_put_icmp(
	uint8_t *payload, size_t length, const struct endpoint *source, const struct endpoint *destination)
{
	bool v4 = source->family == AF_INET;
	uint8_t protocol = v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	uint64_t pseudo = v4 ? 0 : sum_pseudo_header(source, destination, protocol, length);

	put_checksum(payload + 2, payload, length, pseudo, CHECKSUM_WHOLE);
	return packet_put_ip(payload, length, source, destination, protocol);
}

size_t packet_tcp_overhead(sa_family_t family)
{
	return (family == AF_INET ? IPV4_HEADER : IPV6_HEADER) + TCP_HEADER;
}
