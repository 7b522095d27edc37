/* The systemd driver: the container's cgroup is that of a scope, a unit which systemd makes and hands over (Delegate=yes), and
 * removes when its last process has ended. For an ordinary user it is the user's own systemd.
 *
 * Must never fall back to making the cgroup by itself.
 */
#pragma once

#include "runtime/cgroup_internal.h"

/* linux.cgroupsPath, "slice:prefix:name", to the unit's name and its path in every hierarchy. Asks systemd where its own is. */
int cgroup_systemd_locate(struct arena *arena, const char *cgroups_path, const char *id, bool rootless,
	const char **unit, const char **path, struct error *err);

/* Starts the unit, with a process of ours that does nothing, since there is no unit without one; see cgroup_settle(). */
int cgroup_systemd_start(struct cgroup *cgroup, const struct oci_resources *resources,
	const struct string_map *annotations, struct error *err);
int cgroup_systemd_update(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);

/* The calling process asks to be moved there, for whom the kernel does not allow it by itself. */
int cgroup_systemd_attach(struct cgroup *cgroup, struct error *err);

/* A unit that is gone is success. */
int cgroup_systemd_stop(struct cgroup *cgroup, struct error *err);
