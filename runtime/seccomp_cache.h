/* Compiled seccomp programs, kept in a directory: compiling an engine's default profile takes as long as everything else
 * that it takes to start a container.
 *
 * A file holds the whole input that it was compiled from, which is compared byte by byte: the hash in its name only finds
 * it. Must never trust a file that another user could have written.
 */
#pragma once

#include "runtime/seccomp.h"

/* The input, as bytes: equal for equal profiles (and for the same build of the compiler). */
struct seccomp_key {
	struct arena *arena;
	unsigned char *bytes;
	size_t length, capacity;
};

/* Describes `seccomp`; `generation` names whatever else the result depends on. */
void seccomp_key_make(struct arena *arena, struct seccomp_key *key, const struct oci_seccomp *seccomp,
	const char *generation);

/* True if it was found: then `program` has the instructions and notify, and nothing else. */
bool seccomp_cache_get(int directory, const struct seccomp_key *key, struct seccomp_program *program);

/* Keeps it. There is no error: a cache that cannot be written costs time and nothing else. */
void seccomp_cache_put(int directory, const struct seccomp_key *key, const struct seccomp_program *program);
