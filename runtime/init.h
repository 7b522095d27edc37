/* The container's first process, from clone to exec.
 *
 * It runs with the runtime's memory but in the container's namespaces. It must keep nothing of the host open at exec, and
 * be opaque (PR_SET_DUMPABLE 0, CVE-2016-9962) to whoever is in those namespaces already.
 */
#pragma once

#include "runtime/launch.h"
#include "runtime/namespaces.h"
#include "runtime/rootfs.h"
#include "spec/oci.h"

struct init_context {
	struct arena *arena;
	const struct oci_config *config;
	const char *id;
	struct namespaces *namespaces;
	struct rootfs_context *rootfs;
	struct launch launch;
	struct oci_state state; /* for the hooks that run here */
	int handshake;		/* our end */
	int runtime_end;	/* the other one, which this process closes */
	int console_socket;	/* connected, or -1: the terminal goes to the runtime */
	int start_fifo;		/* -1: run at once. What fails after `create` has gone is written to it */
	struct cgroup *cgroup;
	bool in_cgroup; /* cloned into its v2 directory */
	bool waits_for_hooks;
	bool maps_written; /* by way of an intermediate process */
	bool own_session, new_keyring;
};

void init_main(struct init_context *context) __attribute__((noreturn));

/* A session keyring of its own for the caller. */
int init_new_keyring(struct arena *arena, const char *id, struct error *err);

/* The process that makes the init process where one clone() cannot: it enters namespaces, and its child is our sibling. */
void init_intermediate(void *context) __attribute__((noreturn));
