/* What CRIU needs to mount: places in the rootfs, which `create` makes as it mounts and CRIU does not, and sources that it can reach.
 */
#pragma once

#include "runtime/checkpoint_internal.h"

/* Makes those that are missing, and mounts the root on itself, as CRIU wants it. The caller is in a mount namespace of its own that
 * nobody else sees. */
int restore_mounts_prepare(struct arena *arena, const struct oci_config *config, const char *bundle,
	const char *root, struct error *err);

/* With a user namespace CRIU looks for sources as the container's root, whom directories on the way may be closed to: there they are
 * mounted once more, in the order of checkpoint_visit_mounts(), where everybody gets. */
const char *restore_mounts_open_source(struct arena *arena, size_t index);
int restore_mounts_prepare_sources(struct arena *arena, const struct oci_config *config,
	struct cgroup *cgroup, const char *bundle, struct error *err);
