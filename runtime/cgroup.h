/* cgroups: v1, hybrid (v1 controllers beside a bare v2 hierarchy) and v2, with the cgroupfs driver.
 *
 * Must never touch a cgroup that it did not create, except to join it.
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

enum cgroup_manager { CGROUP_MANAGER_CGROUPFS, CGROUP_MANAGER_SYSTEMD, CGROUP_MANAGER_DISABLED };

struct cgroup;

/* Works out where the container's cgroup is: linux.cgroupsPath, or a default made of the id; relative paths as in crun
 * and runc. Creates nothing. `systemd` paths are "slice:prefix:name". *cgroup is NULL for the DISABLED manager. */
int cgroup_locate(struct arena *arena, enum cgroup_manager manager, const char *cgroups_path, const char *id,
	bool rootless, struct cgroup **cgroup, struct error *err);

/* Makes the directories. A cgroup that exists and has processes is joined, not owned. Rootless without a delegated
 * cgroup: succeeds with a cgroup that is "absent" when `resources` asks for nothing, else an error that says so. */
int cgroup_create(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);

/* Writes the limits and device rules; also `update`. `devices` false leaves the device rules alone. */
int cgroup_apply(struct cgroup *cgroup, const struct oci_resources *resources, bool devices, struct error *err);

int cgroup_clone_fd(struct cgroup *cgroup); /* v2: a fd for CLONE_INTO_CGROUP, owned by the cgroup; else -1 */
int cgroup_attach(struct cgroup *cgroup, pid_t pid, struct error *err);

/* The path below each hierarchy ("/a/b"), for state files; the controller's mount points, for cgroup mounts (v1: each
 * controller's; v2: one entry, ""). */
const char *cgroup_path(const struct cgroup *cgroup);
struct cgroup_hierarchy {
	const char *controllers; /* "cpu,cpuacct", "name=systemd", or "" for v2 */
	const char *mount_point; /* on the host */
	const char *path;	 /* the container's path in it, from the hierarchy's root as the runtime sees it */
};
size_t cgroup_hierarchies(const struct cgroup *cgroup, const struct cgroup_hierarchy **hierarchies);

int cgroup_processes(struct arena *arena, struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err);
int cgroup_kill(struct cgroup *cgroup, int signal, struct error *err); /* all processes, children included */
int cgroup_freeze(struct cgroup *cgroup, bool freeze, struct error *err);
bool cgroup_frozen(struct cgroup *cgroup);
int cgroup_destroy(struct cgroup *cgroup, struct error *err); /* also what is nested in it; ENOENT is success */
