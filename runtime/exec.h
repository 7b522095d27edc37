/* `exec`: one more process in a container that runs.
 */
#pragma once

#include "runtime/cgroup.h"
#include "runtime/state.h"
#include "spec/oci.h"

struct exec_options {
	const char *root, *id;
	const char *console_socket, *pid_file, *pidfd_socket; /* NULL: none */
	struct string_list cgroups; /* where in the container's cgroup: see cgroup_descend() */
	unsigned int preserve_fds;
	bool detach;
	bool ignore_paused;
	/* What is to run: given the container's own process, which it may take parts of. */
	int (*process)(void *data, struct arena *arena, const struct oci_process *container,
		struct oci_process **process, struct error *err);
	void *process_data;
};

/* The process whose namespaces are joined, and which those are: CLONE_NEW*. */
struct exec_target {
	int pidfd;
	unsigned int flags;
	bool can_set_groups;
};
int exec_target_open(const struct state *state, const struct oci_config *config, struct exec_target *target,
	struct error *err);

/* *exit_status: the process's own or 128+signal; on failure 126, 127 or -1, as in container_create(). */
int exec_run(struct arena *arena, const struct exec_options *options, int *exit_status, struct error *err);
