/* Fuzzes what is answered by ICMP, to packets and to those put together of pieces: the input is packets, each after its length. Whatever is said
 * is a well-formed message, no longer than what asked for it or than an error may be, and never about an error.
 */
#include "netns/icmp.h"
#include "netns/egress.h"
#include "netns/flows.h"
#include "netns/fragments.h"
#include "netns/names.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ERROR_MAX = 1280, ECHO_REPLY_V4 = 0, ECHO_REPLY_V6 = 129 };

static struct {
	size_t asked; /* the length of the message that is answered */
	unsigned int answers;
	uint8_t buffer[PACKET_HEADERS_MAX + PACKET_LENGTH_MAX];
} world;

uint64_t loop_now(const struct loop *loop)
{
	(void)loop;
	return 1;
}

const char *names_find(const struct names *names, const struct endpoint *address)
{
	(void)names, (void)address;
	return NULL;
}

bool names_is_stand_in(const struct endpoint *address)
{
	return address->v6.s6_addr[0] == 198;
}

/* Every second address. */
bool egress_permits(const struct egress *egress, enum egress_protocol protocol, const char *name,
	const struct endpoint *address, const char **rule)
{
	(void)egress, (void)protocol, (void)name, (void)rule;
	return address->v6.s6_addr[3] & 1;
}

struct flow_record *flows_begin(struct flows *flows, const struct flow_description *description)
{
	(void)flows, (void)description;
	return NULL;
}

void flows_end(struct flow_record *record)
{
	(void)record;
}

void flows_deny(struct flows *flows, const struct flow_description *description)
{
	(void)flows, (void)description;
}

uint8_t *tunnel_payload(struct tunnel *tunnel)
{
	(void)tunnel;
	return world.buffer + PACKET_HEADERS_MAX;
}

bool tunnel_send_icmp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination)
{
	uint8_t *message = tunnel_payload(tunnel);
	uint8_t *start = packet_put_icmp(message, length, source, destination);
	size_t total = (size_t)(message - start) + length;
	struct packet packet;

	assert(packet_parse(&packet, start, total) && packet_checksum_holds(&packet));
	if (message[0] == (source->family == AF_INET ? ECHO_REPLY_V4 : ECHO_REPLY_V6))
		assert(length == world.asked);
	else
		assert(total <= ERROR_MAX);
	world.answers++;
	return true;
}

static void take(struct fragments *fragments, const uint8_t *bytes, size_t length)
{
	const struct relay_config config = { 0 };
	struct packet packet, whole;

	if (!packet_parse(&packet, bytes, length))
		return;
	if (packet.fragment) {
		if (!fragments_take(fragments, &packet, &whole))
			return;
		packet = whole;
	}
	world.asked = packet.transport_length;
	world.answers = 0;
	if (packet.protocol == IPPROTO_ICMP || packet.protocol == IPPROTO_ICMPV6)
		icmp_packet(NULL, &packet, &config, NULL);
	else
		icmp_unreachable(NULL, &packet, UNREACHABLE_PROHIBITED);
	assert(world.answers <= 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fragments *fragments = fragments_new(NULL);

	while (size >= 2) {
		size_t length = get16(data) % (size - 1);
		uint8_t *bytes = malloc(length + 1); /* its end is guarded */

		memcpy(bytes, data + 2, length);
		take(fragments, bytes, length);
		free(bytes);
		data += 2 + length;
		size -= 2 + length;
	}
	fragments_free(fragments);
	return 0;
}
