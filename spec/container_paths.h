/* Patterns in a container's policy: which of its files they match, found through the config's root and bind mounts before it runs.
 *
 * Reads names of directories, nothing else; never follows a link that a pattern matches.
 */
#pragma once

#include "spec/oci.h"

/* Appends the container's paths that match the absolute `pattern`. `bundle` is where a relative root.path begins; may be NULL where it
 * is absolute. */
int container_paths_expand(struct arena *arena, const struct oci_config *config, const char *bundle,
	const char *pattern, struct string_list *paths, struct error *err);

/* A volume, or another file or directory of the host's. */
bool container_mount_is_bind(const struct oci_mount *mount);
