/* linux.maskedPaths and linux.readonlyPaths, and before them the annotation dev.fence.pinned (compile.h).
 *
 * A path that is not there is not an error. Everything is done on fds; what masks is the host's /dev/null, verified, and never
 * what the rootfs calls by that name (CVE-2025-31133).
 */
#pragma once

#include "runtime/rootfs.h"

/* Before pivot_root, while the host's /dev/null can be reached. */
int mask_paths(const struct rootfs_context *context, struct error *err);
