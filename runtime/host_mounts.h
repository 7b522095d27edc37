/* A container without a mount namespace of its own: what its config mounts is mounted in the host's, below the rootfs, and
 * goes when the container is deleted. Must never unmount what was at the rootfs before.
 */
#pragma once

#include "spec/oci.h"

/* Before anything is mounted: what the rootfs lies on. Not set where nothing will be mounted on the host. */
int host_mounts_note(const struct oci_config *config, const char *rootfs, struct optional_uint64 *noted,
	struct error *err);

int host_mounts_remove(const char *rootfs, const struct optional_uint64 *noted, struct error *err);
