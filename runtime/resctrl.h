/* linux.intelRdt: a class of cache and memory bandwidth, in the resctrl file system at /sys/fs/resctrl.
 *
 * Every function does nothing, and opens nothing, where `rdt` is NULL. Must never remove a class that it has not made.
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

/* Makes or checks the class, writes its schemata, makes the monitoring group. err->number is EEXIST where one of the container's name
 * is there already, that must not be removed. */
int resctrl_prepare(const struct oci_intel_rdt *rdt, const char *id, struct error *err);
int resctrl_join(const struct oci_intel_rdt *rdt, const char *id, pid_t pid, struct error *err);
int resctrl_remove(const struct oci_intel_rdt *rdt, const char *id, struct error *err);
