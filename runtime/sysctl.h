/* linux.sysctl: kernel settings of the container's namespaces.
 *
 * Written through the host's /proc, or a new procfs that is mounted nowhere, and never through the container's, where an
 * image or another container may have put something else (CVE-2025-52881).
 */
#pragma once

#include "spec/oci.h"

/* Before pivot_root, in the container's namespaces. */
int sysctl_write(const struct oci_linux *linux, struct error *err);
