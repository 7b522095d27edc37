/* See fragments.h. */
#include "netns/fragments.h"

#include "spec/cleanup.h"

#include <string.h>

enum {
	DATAGRAMS_MAX = 16, /* each up to 66 KiB */
	PATIENCE = 5000,    /* milliseconds: they come from the same kernel, one right after the other */
	UNIT = 8,	    /* what offsets are counted in */
	UNITS = 65536 / UNIT,
	HEADER_ROOM = 40,
	DATAGRAM_MAX = PACKET_LENGTH_MAX - 20, /* without the IP header */
};

struct datagram {
	struct endpoint source, destination;
	uint32_t identification;
	uint8_t protocol;
	uint64_t begun;
	size_t received, total;	 /* bytes; total 0: the last piece has not come */
	size_t reach;		 /* where the farthest piece ends */
	uint8_t have[UNITS / 8]; /* a bit for each unit */
	uint8_t bytes[HEADER_ROOM + 65536];
};

struct fragments {
	struct loop *loop;
	struct datagram *datagrams[DATAGRAMS_MAX];
	struct datagram *whole; /* the last one, the caller's until the next */
};

struct fragments *fragments_new(struct loop *loop)
{
	struct fragments *fragments = calloc(1, sizeof(*fragments));

	if (fragments)
		fragments->loop = loop;
	return fragments;
}

void fragments_free(struct fragments *fragments)
{
	if (!fragments)
		return;
	for (size_t i = 0; i < DATAGRAMS_MAX; i++)
		free(fragments->datagrams[i]);
	free(fragments->whole);
	free(fragments);
}

static bool is_piece_of(const struct datagram *datagram, const struct packet *piece)
{
	return datagram->identification == piece->identification && datagram->protocol == piece->protocol &&
	       endpoint_equal(&datagram->source, &piece->source) &&
	       endpoint_equal(&datagram->destination, &piece->destination);
}

/* An empty place, or that of what waits too long, or of what waits longest. */
static struct datagram **free_place(struct fragments *fragments)
{
	struct datagram **oldest = &fragments->datagrams[0];

	for (size_t i = 0; i < DATAGRAMS_MAX; i++) {
		struct datagram **place = &fragments->datagrams[i];

		if (!*place)
			return place;
		if ((*place)->begun < (*oldest)->begun)
			oldest = place;
	}
	free(*oldest);
	*oldest = NULL;
	return oldest;
}

static struct datagram **place_of(struct fragments *fragments, const struct packet *piece)
{
	struct datagram **place, *datagram;

	for (size_t i = 0; i < DATAGRAMS_MAX; i++) {
		place = &fragments->datagrams[i];
		if (*place && loop_now(fragments->loop) - (*place)->begun > PATIENCE) {
			free(*place);
			*place = NULL;
		}
		if (*place && is_piece_of(*place, piece))
			return place;
	}
	place = free_place(fragments);
	datagram = *place = calloc(1, sizeof(*datagram));
	if (!datagram)
		return NULL;
	datagram->source = piece->source;
	datagram->destination = piece->destination;
	datagram->identification = piece->identification;
	datagram->protocol = piece->protocol;
	datagram->begun = loop_now(fragments->loop);
	return place;
}

/* False: it cannot be a piece of this. */
static bool add_piece(struct datagram *datagram, const struct packet *piece)
{
	size_t offset = piece->fragment_offset, length = piece->transport_length, end = offset + length;

	if (!length || end > DATAGRAM_MAX || (piece->more_fragments && length % UNIT))
		return false;
	if (!piece->more_fragments) {
		if (datagram->total || end < datagram->reach)
			return false;
		datagram->total = end;
	}
	if (datagram->total && end > datagram->total)
		return false;
	for (size_t unit = offset / UNIT; unit * UNIT < end; unit++) {
		if (datagram->have[unit / 8] & 1u << unit % 8)
			return false;
		datagram->have[unit / 8] |= (uint8_t)(1u << unit % 8);
	}
	memcpy(datagram->bytes + HEADER_ROOM + offset, piece->transport, length);
	datagram->received += length;
	if (end > datagram->reach)
		datagram->reach = end;
	return true;
}

/* With a header as the datagram would have had undivided: without options and extension headers. What is a piece again, of yet
 * another datagram, no kernel makes. */
static bool parse_whole(struct datagram *datagram, struct packet *whole)
{
	uint8_t *transport = datagram->bytes + HEADER_ROOM;
	uint8_t *start = packet_put_ip(
		transport, datagram->total, &datagram->source, &datagram->destination, datagram->protocol);

	if (!packet_parse(whole, start, (size_t)(transport - start) + datagram->total) || whole->fragment)
		return false;
	whole->dont_fragment = false;
	return packet_checksum_holds(whole);
}

static bool finish(struct fragments *fragments, struct datagram **place, struct packet *whole)
{
	free(fragments->whole);
	fragments->whole = *place;
	*place = NULL;
	return parse_whole(fragments->whole, whole);
}

bool fragments_take(struct fragments *fragments, const struct packet *piece, struct packet *whole)
{
	struct datagram **place = place_of(fragments, piece);

	if (!place)
		return false;
	if (!add_piece(*place, piece)) {
		free(*place);
		*place = NULL;
		return false;
	}
	return (*place)->total && (*place)->received == (*place)->total && finish(fragments, place, whole);
}
