/* The last steps of every process that fence puts into a container, its first (init.c) and later ones (exec.c).
 *
 * In three parts, since other things happen between them: outside_rootfs() while the host's /proc can be seen; settle()
 * in the container, up to the point where everything that can fail has been tried; execute() when it is to run.
 */
#pragma once

#include "runtime/seccomp.h"
#include "spec/oci.h"

struct launch {
	struct arena *arena;
	const struct oci_config *config;       /* of the container */
	const struct oci_process *process;     /* of this process */
	const struct seccomp_program *program; /* NULL: none */
	int handshake;			       /* for the seccomp listener and late errors; or -1 */
	bool can_set_groups;
	bool own_user_namespace; /* one that the runtime has just made */
	bool makes_directory; /* process.cwd, where it is not there; a later process must not change the root */
	bool reaper;	      /* the first process of a container with the annotation dev.fence.init */
	bool has_oom_score;   /* the runtime sets it */
	unsigned int preserve_fds, listen_fds;
	int death_signal; /* when our parent dies; 0: none */
	char *executable; /* set by settle() */
	int exit_status;  /* -1 at first; 126 or 127 with an error that is about the program itself */
};

#define ANNOTATION_INIT	    "dev.fence.init"
#define ANNOTATION_LANDLOCK "dev.fence.landlock"

/* The fds that the caller passes by the socket activation protocol, 0 if they are not meant for us. */
unsigned int launch_listen_fds(void);

/* What an engine ignores or blocks is its own affair. (A command that shares its caller's session is the caller's, and keeps
 * it: nohup(1) must work.) */
void launch_reset_signals(void);

/* A container can be created without a program, but not started. */
int launch_check_program(const struct oci_process *process, struct error *err);
unsigned int launch_first_free_fd(const struct launch *launch); /* above those that the program gets */

/* So that a user who is not root can reopen /dev/stdout. Where it may not be changed, it stays as it is. A terminal's group is
 * that of all terminals (gid=5 of devpts), for programs that write to other users. */
void launch_give_streams(const struct oci_user *user);

int launch_outside_rootfs(const struct launch *launch, struct error *err);
int launch_settle(struct launch *launch, struct error *err);

/* Landlock, and the seccomp filter unless settle() has loaded it: also for a startContainer hook, in its own process. */
int launch_restrict(struct launch *launch, struct error *err);

char **launch_environment(const struct launch *launch); /* NULL-terminated */

/* Does not return if all goes well, except in the process that runs the command of a container with a reaper: never. */
int launch_execute(struct launch *launch, struct error *err);
