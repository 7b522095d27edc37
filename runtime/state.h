/* The state directory: <root>/<id>, with state.json, the config in effect, and the object that `start` opens.
 *
 * mkdir of <root>/<id> is the lock for the id. state.json is always whole: written aside and renamed. It is fence's own
 * format; what the OCI calls state is made from it by state_oci().
 */
#pragma once

#include "runtime/cgroup.h"
#include "spec/cleanup.h"
#include "spec/oci.h"

struct state {
	const char *oci_version, *id, *bundle, *rootfs, *created;
	const char *cgroup; /* of cgroup_save(); NULL: it has none */
	const char *config; /* the config in effect, relative to the state directory */
	struct optional_int64 pid;
	struct optional_uint64 pid_start_time; /* of /proc/PID/stat: tells a reused pid */
	struct optional_uint32 owner;	       /* the uid of who created it */
	struct optional_bool rootless;
	struct optional_uint64 root_mount;   /* see host_mounts.h */
	struct optional_bool foreground;     /* its first process is killed when its supervisor ends */
	struct optional_bool restoring;	     /* CRIU is at work on it */
	struct optional_bool time_namespace; /* it has one that its config does not list: it was restored */
	struct optional_bool resctrl;	     /* what linux.intelRdt made is to be removed */
	struct string_map annotations;
};

enum container_status {
	CONTAINER_CREATING,
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_STOPPED
};
const char *container_status_name(enum container_status status);

extern const char *const cgroup_manager_names[]; /* by enum cgroup_manager; NULL-terminated */

struct state_directory {
	const char *root, *id, *path;
	int fd;
};
static inline void cleanup_state_directory(struct state_directory *directory)
{
	if (directory->fd >= 0)
		close(directory->fd);
}
#define _cleanup_state_directory_ __attribute__((cleanup(cleanup_state_directory)))

#define STATE_START_FIFO "exec.fifo"
#define STATE_BUNDLE	 "bundle"
#define STATE_CACHE	 ".seccomp" /* beside the containers: no id begins with a dot */

/* Not root, or root of a user namespace that somebody made, as in rootless podman. */
bool state_is_rootless(void);
enum state_rootless { STATE_ROOTLESS_AUTO, STATE_ROOTLESS, STATE_ROOTFUL };
void state_set_rootless(enum state_rootless answer); /* --rootless: what it says, whoever we are */

/* --root, or /run/fence, $XDG_RUNTIME_DIR/fence, /tmp/fence-UID; made if it is missing. */
int state_root(struct arena *arena, const char *given, const char **root, struct error *err);

/* Takes the id: the directory must not exist. */
int state_take(struct arena *arena, const char *root, const char *id, struct state_directory *directory,
	struct error *err);

/* err->number is ENOENT where there is no such container. */
int state_open(struct arena *arena, const char *root, const char *id, struct state_directory *directory,
	struct error *err);

int state_save(struct arena *arena, const struct state_directory *directory, const struct state *state,
	struct error *err);
int state_load(struct arena *arena, const struct state_directory *directory, struct state **state,
	struct error *err);
int state_load_config(struct arena *arena, const struct state_directory *directory, const struct state *state,
	struct oci_config **config, struct error *err);

/* Opens the init process, or -1 with ESRCH when it is gone (its pid may be somebody else's by now). */
int state_pidfd(const struct state *state);
enum container_status state_status(
	const struct state_directory *directory, const struct state *state, struct cgroup *cgroup);
int state_cgroup(struct arena *arena, const struct state *state, struct cgroup **cgroup, struct error *err);

/* A container that exists. */
struct existing {
	struct state_directory directory;
	struct state *state;
	struct cgroup *cgroup; /* NULL: it has none */
	enum container_status status;
	struct oci_config *config; /* NULL: not loaded yet */
};
#define NO_CONTAINER ((struct existing){ .directory.fd = -1 })
static inline void cleanup_existing(struct existing *existing)
{
	cleanup_state_directory(&existing->directory);
}
#define _cleanup_existing_ __attribute__((cleanup(cleanup_existing)))

/* All of it but the config. */
int state_look_up(
	struct arena *arena, const char *root, const char *id, struct existing *existing, struct error *err);

struct oci_state state_oci(const struct state *state, enum container_status status);

int state_remove(const struct state_directory *directory, struct error *err);

/* Of /proc/PID/stat; -1 where there is no such process. */
struct process_status {
	uint64_t start_time;
	bool zombie;
	bool ends_as_forked; /* it is ending, and has never executed a program */
};
int process_status(pid_t pid, struct process_status *status);

/* Compiled seccomp programs are kept beside the containers, where only we can write; -1 is no error. */
int state_open_cache(const struct state_directory *directory);

/* --pid-file; NULL: nothing. */
int pid_file_write(struct arena *arena, const char *path, pid_t pid, struct error *err);
