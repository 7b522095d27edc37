/* linux.intelRdt: a class of cache and memory bandwidth, in the resctrl file system at /sys/fs/resctrl.
 *
 * Every function but resctrl_update() does nothing, and opens nothing, where `rdt` is NULL. Must never remove a class that it has not made.
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

/* Makes or checks the class, writes its schemata, makes the monitoring group. err->number is EEXIST where one of the container's name
 * is there already, that must not be removed. */
int resctrl_prepare(const struct oci_intel_rdt *rdt, const char *id, struct error *err);

/* Writes these to the schemata of the class that was made for the container; NULL: none. */
int resctrl_update(const struct oci_intel_rdt *rdt, const char *id, const char *l3_cache_schema,
	const char *memory_bandwidth_schema, struct error *err);
int resctrl_join(const struct oci_intel_rdt *rdt, const char *id, pid_t pid, struct error *err);
int resctrl_remove(const struct oci_intel_rdt *rdt, const char *id, struct error *err);
