/* Fuzzes datagrams in pieces. The input is a list of pieces, each six bytes: which datagram it is of, where it lies in that and how
 * long it is, and how much later it comes. Whatever is put together again is what was divided, to the byte, however its pieces came.
 */
#include "netns/fragments.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_BYTES = 6, DATAGRAMS = 64, LENGTH_MAX = 65535 };

static const uint8_t protocols[8] = { 50 /* no checksum: always whole in the end */, IPPROTO_UDP, IPPROTO_TCP,
	IPPROTO_ICMP, 51, IPPROTO_FRAGMENT, IPPROTO_DSTOPTS, IPPROTO_ICMPV6 };
static uint64_t now;

uint64_t loop_now(const struct loop *loop)
{
	(void)loop;
	return now;
}

/* Each second word is the one before it inverted, so that ICMP's checksum holds where the length is a multiple of four. */
static uint8_t byte_at(unsigned int datagram, size_t position)
{
	uint8_t byte = (uint8_t)(datagram * 31 + (position >> 2) * 2 + (position & 1) + (position >> 8) * 7);

	return position & 2 ? (uint8_t)~byte : byte;
}

static void read_piece(const uint8_t *data, unsigned int datagram, struct packet *piece, uint8_t *bytes)
{
	size_t offset = (size_t)(get16(data + 2) >> 3) * 8,
	       length = data[1] & 1 ? (size_t)data[4] * 256 : data[4];

	if (offset + length > LENGTH_MAX)
		length = LENGTH_MAX - offset;
	for (size_t i = 0; i < length; i++)
		bytes[i] = byte_at(datagram, offset + i);
	*piece = (struct packet){ .family = datagram & 8 ? AF_INET6 : AF_INET,
		.protocol = protocols[datagram & 7],
		.fragment = true,
		.fragment_offset = (uint16_t)offset,
		.more_fragments = data[1] & 2,
		.identification = datagram >> 4,
		.transport = bytes,
		.transport_length = length };
	piece->source.family = piece->destination.family = piece->family;
	piece->source.v4.s_addr = piece->destination.v4.s_addr = htonl(0xcb007107);
}

/* Extension headers that were divided, too, are stepped over in the whole. */
static void check_whole(const struct packet *whole, const struct packet *piece, unsigned int datagram)
{
	size_t header = (size_t)(whole->transport - whole->network) - (whole->family == AF_INET ? 20 : 40);

	assert(!whole->fragment && (header || whole->protocol == piece->protocol) &&
		whole->family == piece->family);
	assert(header + whole->transport_length >= piece->fragment_offset + piece->transport_length);
	for (size_t i = 0; i < whole->transport_length; i++)
		assert(whole->transport[i] == byte_at(datagram, header + i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fragments *fragments = fragments_new(NULL);

	for (now = 0; size >= PIECE_BYTES; data += PIECE_BYTES, size -= PIECE_BYTES) {
		unsigned int datagram = data[0] % DATAGRAMS;
		uint8_t *bytes = malloc(LENGTH_MAX);
		struct packet piece, whole;
		bool done;

		read_piece(data, datagram, &piece, bytes);
		bytes = realloc(
			bytes, piece.transport_length + !piece.transport_length); /* its end is guarded */
		piece.transport = bytes;
		now += (uint64_t)data[5] * 40;
		done = fragments_take(fragments, &piece, &whole);
		free(bytes);
		if (done)
			check_whole(&whole, &piece, datagram);
	}
	fragments_free(fragments);
	return 0;
}
