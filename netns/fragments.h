/* Datagrams that the container has sent in pieces, put together again: a program may send more than the MTU.
 *
 * Bounded in number, and so in memory, and in time; pieces that overlap are an attack, and cost the whole datagram (RFC 5722).
 */
#pragma once

#include "netns/loop.h"
#include "netns/packet.h"

struct fragments;

struct fragments *fragments_new(struct loop *loop); /* NULL: no memory */
void fragments_free(struct fragments *fragments);

/* True: with this piece a datagram is whole, and `whole` is it until the next call. */
bool fragments_take(struct fragments *fragments, const struct packet *piece, struct packet *whole);
