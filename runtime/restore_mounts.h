/* Places in the rootfs for what CRIU is to mount: `create` makes them as it mounts, CRIU does not.
 */
#pragma once

#include "spec/oci.h"

/* Makes those that are missing, and mounts the root on itself, as CRIU wants it. The caller is in a mount namespace of its own that
 * nobody else sees. */
int restore_mounts_prepare(struct arena *arena, const struct oci_config *config, const char *bundle,
	const char *root, struct error *err);
