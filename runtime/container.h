/* The life of a container, seen from outside: create, start, run, kill, delete.
 *
 * Everything that a container leaves on the host (state directory, cgroup, placeholders, processes) is recorded in its
 * state directory before it is made, so that container_delete() can remove it whatever was killed, and when.
 */
#pragma once

#include "runtime/cgroup.h"
#include "spec/oci.h"

#include <stdbool.h>

struct watcher;

struct container_options {
	const char *root; /* NULL: see state_root() */
	const char *id;
	const char *bundle; /* NULL: the working directory; ignored with `prepare` */
	const char *config; /* NULL: config.json; below the bundle unless it is absolute */
	const char *
		console_socket; /* NULL: none; then a terminal is relayed (foreground) or an error (detached) */
	const char *pid_file;	/* NULL: none */
	const char *pidfd_socket;  /* gets the init process; NULL: none */
	unsigned int preserve_fds; /* fds 3 … 3+n-1 are passed on */
	bool detach;		   /* container_run(): return when it is started */
	bool no_pivot;
	bool no_new_keyring;
	bool keep; /* container_run(): leave the state of a stopped container for `state` and `delete` */
	enum cgroup_manager cgroup_manager;

	bool early_hook; /* the only createRuntime hook needs the namespaces, not the mounts: it runs while those are made */

	/* For the front door, whose bundle lives in the state directory. Called once the id is taken and cleaning up is
	 * guaranteed, with the state directory's path and fd: it writes a bundle to the new
	 * directory "bundle" in it, all but config.json, and returns the config. NULL: bundle/config.json is read. */
	int (*prepare)(void *data, struct arena *arena, const char *state_directory, int state_fd,
		struct oci_config **config, struct error *err);
	void *prepare_data;
	struct watcher *
		watcher; /* container_run() in the foreground: one that was started early; NULL: it starts one */
};

/* On failure nothing is left behind. When the program cannot be run, err->number is ENOENT (not found) or EACCES, and
 * *exit_status is 127 or 126; for every other failure *exit_status is -1, and the caller knows what its users expect. */
int container_create(
	struct arena *arena, const struct container_options *options, int *exit_status, struct error *err);
int container_start(struct arena *arena, const char *root, const char *id, struct error *err);

/* create and start in one. In the foreground: signals are passed on, the terminal is relayed or handed through, and
 * *exit_status becomes the command's own, or 128+signal; afterwards all is removed, also when this process is killed. */
int container_run(
	struct arena *arena, const struct container_options *options, int *exit_status, struct error *err);

/* The same, made in another way than by creation_make(): by `restore`. */
struct creation;
typedef int container_maker(struct creation *creation, void *data, struct error *err);
int container_run_made(struct arena *arena, const struct container_options *options, container_maker *make,
	void *data, int *exit_status, struct error *err);

int container_kill(
	struct arena *arena, const char *root, const char *id, int signal, bool all, struct error *err);

/* `force` kills it first, ignores what does not exist, and cleans what a killed `create` left half-made. */
int container_delete(struct arena *arena, const char *root, const char *id, bool force, struct error *err);
