/* Fuzzes packets: whatever is read is within what was received, and what is written from it reads the same. */
#include "netns/packet.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PAYLOAD_MAX = 2048 };

static uint8_t buffer[PACKET_HEADERS_MAX + PAYLOAD_MAX];
static uint8_t *const payload = buffer + PACKET_HEADERS_MAX;

static size_t sum_of(const uint8_t *bytes, size_t length)
{
	size_t sum = 0;

	while (length)
		sum += bytes[--length];
	return sum;
}

static void check_bounds(const struct packet *packet, const uint8_t *data, size_t size)
{
	volatile size_t sink = sum_of(packet->network, packet->network_length) +
			       sum_of(packet->transport, packet->transport_length);

	(void)sink;
	assert(packet->network == data && packet->network_length <= size);
	assert(packet->transport >= data && packet->transport + packet->transport_length <= data + size);
	if (packet->payload)
		assert(packet->payload + packet->payload_length <=
			packet->transport + packet->transport_length);
}

static void check_same(const uint8_t *start, size_t length, const struct packet *was)
{
	struct packet packet;

	assert(start >= buffer);
	assert(packet_parse(&packet, start, (size_t)(payload - start) + length));
	assert(!packet.fragment && packet.protocol == was->protocol && packet.payload_length == length);
	assert(packet_checksum_holds(&packet));
	if (was->protocol == IPPROTO_TCP || was->protocol == IPPROTO_UDP)
		assert(endpoint_equal(&packet.source, &was->source) &&
			endpoint_equal(&packet.destination, &was->destination));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct packet packet;
	size_t length;

	if (!packet_parse(&packet, data, size))
		return 0;
	check_bounds(&packet, data, size);
	if (packet.fragment || !packet.payload)
		return 0;
	packet_checksum_holds(&packet);
	length = packet.payload_length < PAYLOAD_MAX ? packet.payload_length : PAYLOAD_MAX;
	memcpy(payload, packet.payload, length);
	if (packet.protocol == IPPROTO_TCP) {
		assert(packet.tcp.scale <= 14);
		check_same(packet_put_tcp(payload, length, &packet.source, &packet.destination, &packet.tcp,
				   CHECKSUM_WHOLE),
			length, &packet);
	} else if (packet.protocol == IPPROTO_UDP) {
		check_same(
			packet_put_udp(payload, length, &packet.source, &packet.destination, CHECKSUM_WHOLE),
			length, &packet);
	} else if (length >= 8) {
		packet_put_icmp(payload, length, &packet.source, &packet.destination);
	}
	return 0;
}
