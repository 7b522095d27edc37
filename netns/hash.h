/* SipHash-1-3: where the container chooses what is hashed, it must not be able to choose where it lands.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct hash_key {
	uint64_t words[2];
};

uint64_t hash_bytes(const struct hash_key *key, const void *bytes, size_t length);
