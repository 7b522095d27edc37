/* cgroups: v1, hybrid (v1 controllers beside a v2 hierarchy with few or none) and v2, with the cgroupfs or the systemd driver.
 *
 * Must never touch a cgroup that it did not create, except to join it (and, on v2, to enable controllers for its children).
 *
 * How a process gets in, and what it costs: writing its pid to cgroup.procs waits for an RCU grace period, some 10 ms.
 * Free of that are CLONE_INTO_CGROUP (v2) and a single-threaded process that writes "0" to a v1 `tasks` file. So:
 *
 *	parent:	cgroup_create(), or for `exec` cgroup_open_entries(); clone3() with cgroup_clone_fd()
 *	child:	cgroup_enter(cgroup, was_cloned_into), before it makes its cgroup namespace; it needs no message and no right
 *		beyond the fds that it inherits. Meanwhile the parent does cgroup_apply().
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

enum cgroup_manager { CGROUP_MANAGER_CGROUPFS, CGROUP_MANAGER_SYSTEMD, CGROUP_MANAGER_DISABLED };

struct cgroup;

/* Works out where the container's cgroup is: linux.cgroupsPath, or the id; a relative one is below our own cgroup (on
 * pure v2 beside it, since a cgroup with processes cannot have children with controllers). Creates nothing. `systemd`
 * paths are "slice:prefix:name". *cgroup is NULL for the DISABLED manager; every function here takes NULL for a cgroup and
 * then does nothing. A cgroup that has processes already is joined, not owned. */
int cgroup_locate(struct arena *arena, enum cgroup_manager manager, const char *cgroups_path, const char *id,
	bool rootless, struct cgroup **cgroup, struct error *err);

/* For the state file: cgroup_recall() makes of cgroup_save()'s text the same cgroup, whatever cgroup the calling process is
 * in. To be saved before cgroup_create(). */
const char *cgroup_save(struct arena *arena, struct cgroup *cgroup);
int cgroup_recall(struct arena *arena, const char *saved, struct cgroup **cgroup, struct error *err);

/* Makes the directories, or the systemd unit, with the properties that annotations name. Rootless without a delegated cgroup: succeeds with a cgroup that is absent when `resources` asks
 * for nothing, else an error that says so. */
int cgroup_create(struct cgroup *cgroup, const struct oci_resources *resources,
	const struct string_map *annotations, struct error *err);

/* The container's first process is in it: nothing else needs to keep it alive any more. */
void cgroup_settle(struct cgroup *cgroup);

/* Writes the limits and device rules. */
int cgroup_apply(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);
/* For a container with a cgroup namespace of its own: on v2, where it may write its cgroup mount, its user owns the cgroup. */
int cgroup_delegate(struct cgroup *cgroup, const struct oci_config *config, struct error *err);
/* Of a container that is there: the limits that it names, no device rules. */
int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);

/* For CLONE_INTO_CGROUP (v2, and hybrid hosts, where cgroup_enter() does the rest); owned by the cgroup; -1 where there is no
 * v2. */
int cgroup_clone_fd(struct cgroup *cgroup);

/* The calling process, which has one thread, puts itself in. `cloned`: it was cloned into cgroup_clone_fd(). */
int cgroup_open_entries(struct cgroup *cgroup, struct error *err);
int cgroup_enter(struct cgroup *cgroup, bool cloned, struct error *err);

/* Both change where the two above lead to, and nothing else may follow. For `exec --cgroup`: "[CONTROLLER,…:]PATH", below the
 * container's cgroup, which must be there. */
int cgroup_descend(struct cgroup *cgroup, const struct string_list *places, struct error *err);
/* On v2, where the container's cgroup is gone, or takes no process since it has enabled controllers for its children: to the
 * one that its init process is in. */
int cgroup_follow_init(struct cgroup *cgroup, pid_t init, struct error *err);

/* The controllers' mount points, for cgroup mounts (v1: each hierarchy's; hybrid: those and the v2 one; v2: one). */
struct cgroup_hierarchy {
	const char *controllers; /* "cpu,cpuacct", "name=systemd", or "" for v2 */
	const char *mount_point; /* on the host */
	const char
		*path; /* the container's directory is mount_point followed by path, which begins with "/" */
};
static inline bool hierarchy_is_v2(const struct cgroup_hierarchy *hierarchy)
{
	return *hierarchy->controllers == '\0';
}
size_t cgroup_hierarchies(const struct cgroup *cgroup, const struct cgroup_hierarchy **hierarchies);
bool cgroup_is_shared(const struct cgroup *cgroup);  /* it had processes before us */
bool cgroup_is_unified(const struct cgroup *cgroup); /* pure v2 */
bool cgroup_host_is_unified(void);		     /* v2 is mounted at /sys/fs/cgroup */

/* All processes, also those in nested cgroups. */
int cgroup_processes(
	struct arena *arena, struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err);

/* These two refuse a cgroup that is not owned: others are in it. */
int cgroup_kill(struct cgroup *cgroup, int signal, struct error *err);
int cgroup_freeze(struct cgroup *cgroup, bool freeze, struct error *err); /* returns when it is done */
bool cgroup_frozen(struct cgroup *cgroup);
const char *cgroup_freezer_path(
	struct cgroup *cgroup); /* the directory that does it; NULL: none, or not ours to freeze */

/* What it has used, for `events`. */
struct json *cgroup_statistics(struct arena *arena, struct cgroup *cgroup);

/* For poll(2): `fd`, for cgroup_oom_events(). Then cgroup_oom_happened() tells whether a process of it was killed. */
struct cgroup_oom {
	int fd, directory;
	bool v2;
	uint64_t kills;
};
int cgroup_oom_watch(struct cgroup *cgroup, struct cgroup_oom *oom, struct error *err);
short cgroup_oom_events(const struct cgroup_oom *oom);
bool cgroup_oom_happened(struct cgroup_oom *oom);

/* Waits for killed processes to go, then removes it and what is nested in it. ENOENT is success; not owned: nothing. */
int cgroup_destroy(struct cgroup *cgroup, struct error *err);
