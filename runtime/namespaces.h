/* Namespaces: which are made, which are joined, and in what order the kernel allows it.
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

enum namespace_kind {
	NAMESPACE_USER,
	NAMESPACE_PID,
	NAMESPACE_NETWORK,
	NAMESPACE_IPC,
	NAMESPACE_UTS,
	NAMESPACE_CGROUP,
	NAMESPACE_TIME,
	NAMESPACE_MOUNT, /* the last to be joined: paths change their meaning */
	NAMESPACE_KINDS,
};

struct namespaces {
	uint64_t create;	       /* CLONE_NEW* of those that clone makes */
	int join[NAMESPACE_KINDS];     /* fds of those with a path, or -1 */
	bool present[NAMESPACE_KINDS]; /* the config lists it: made or joined */
	/* Made later than by clone: a cgroup namespace's root is the cgroup that its maker is in, so it comes after the
	 * process was attached; a time namespace takes offsets only while nobody is in it. */
	bool create_cgroup, create_time;
	/* One process cannot do it: see namespaces_enter_intermediate(). */
	bool intermediate;
};

/* Reads the config and opens the paths. */
int namespaces_plan(const struct oci_config *config, struct namespaces *namespaces, struct error *err);

/* Only which kinds it lists: sets `present`. */
void namespaces_listed(const struct oci_config *config, struct namespaces *namespaces);
void namespaces_close(struct namespaces *namespaces);

/* clone3() with the flags: like fork(). *in_cgroup tells whether the child started in `cgroup_fd`; where the kernel or the
 * hierarchy refuses that, or has no clone3, the child is made without it. */
pid_t namespaces_clone(uint64_t flags, int cgroup_fd, int *pidfd, bool *in_cgroup);

/* Joins those with a path, except user and pid. */
int namespaces_join(const struct namespaces *namespaces, struct error *err);

/* For a process that will clone the init process with CLONE_PARENT, in this order: join what belongs to our own user
 * namespace; enter the user namespace (`map` is called when a new one wants its maps); join what belongs to that; make
 * the time namespace. */
int namespaces_enter_intermediate(const struct namespaces *namespaces, const struct oci_time_offsets *offsets,
	int (*map)(void *data, struct error *err), void *data, struct error *err);

/* Root of the user namespace that we have just entered, if it has a root. */
void namespaces_become_root(bool can_set_groups);

/* Brings up `lo` in the network namespace we are in. */
int namespaces_loopback_up(struct error *err);

/* What setns(2) takes for the kinds in `present`, the caller's own user namespace left out. */
unsigned int namespaces_setns_flags(const struct namespaces *namespaces, pid_t pid);

/* Whether `pid`, which somebody else has put there, is where the config wants it: in namespaces of its own, or in those with a path. */
int namespaces_check(const struct namespaces *namespaces, pid_t pid, struct error *err);
bool namespaces_shared(enum namespace_kind kind, pid_t pid); /* `pid` is in the same as we are */
