/* User namespaces that only lend their maps to an id-mapped mount.
 */
#pragma once

#include "spec/oci.h"

/* An fd of a user namespace with the mount's own mappings, or else the container's; -1. `words` ("uids=0-1-10#10-11-5;gids=…", or
 * NULL) give the mappings as an option: from, to, how many; after "@" the second is an id in the container. */
int mount_idmap_namespace(struct arena *arena, const struct oci_config *config, const struct oci_mount *mount,
	const char *words, struct error *err);
