/* Mounts of a container that runs: more of them, or fewer.
 *
 * A process of ours enters the container's namespaces for it, as `exec` does: opaque, and with what is of the host's opened before.
 * Nothing in there is to be trusted, not even /proc: every place is an fd, resolved in the container's root.
 */
#pragma once

#include "spec/arena.h"
#include "spec/error.h"

#include <stdbool.h>

struct live_mounts_options {
	const char *root, *id;
	const char
		*file; /* JSON: an array as `mounts` in config.json; to remove, only the destinations count */
	bool remove;
};

/* All or none: where one cannot be added or removed, those before it are taken back, or put back. */
int live_mounts_change(struct arena *arena, const struct live_mounts_options *options, struct error *err);
