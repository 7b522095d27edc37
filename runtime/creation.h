/* Making a container, from the runtime's side: state, cgroup, init process, hooks; and taking it apart when that fails.
 */
#pragma once

#include "runtime/container.h"
#include "runtime/hooks.h"
#include "runtime/init.h"
#include "runtime/spawn.h"
#include "runtime/state.h"

struct creation {
	struct arena *arena;
	const struct container_options *options;
	bool foreground;      /* the caller stays as the container's parent */
	bool waits_for_start; /* `create` */

	struct oci_config *config;
	const char *config_text; /* as it was read, or made, for the state directory */
	size_t config_length;
	struct state_directory directory;
	struct state state;
	struct cgroup *cgroup;
	struct namespaces namespaces;
	struct rootfs_context rootfs;
	struct init_context init;
	struct spawned child;
	struct hook_call *early_hook; /* NULL: none runs */
};

void creation_begin(struct creation *creation, struct arena *arena, const struct container_options *options);

/* Reads and checks the bundle; changes nothing on the host. */
int creation_load(struct creation *creation, struct error *err);

/* Takes the id. */
int creation_take(struct creation *creation, struct error *err);

/* What creation_make() begins with, writing down what will be made, and what it does once there is an init process: for `restore`,
 * which gets that from CRIU. */
int creation_write_down(struct creation *creation, struct error *err);
int creation_write_down_pid(struct creation *creation, struct error *err);
int creation_write_down_config(struct creation *creation, struct error *err);

/* Makes it: on success the init process waits for start, or executes the command. */
int creation_make(struct creation *creation, struct error *err);

/* Undoes all of it, as far as it got; also the end of a foreground run. */
void creation_undo(struct creation *creation);

void creation_end(struct creation *creation); /* closes what is open; the container stays */
