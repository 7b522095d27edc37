/* User namespaces that only lend their maps to an id-mapped mount.
 */
#pragma once

#include "spec/oci.h"

/* An fd of a user namespace with the mount's own mappings, or else the container's; -1. */
int mount_idmap_namespace(const struct oci_config *config, const struct oci_mount *mount, struct error *err);
