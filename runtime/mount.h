/* Mounts by file descriptor: made detached, given their attributes, and only then attached to a place that is an fd too.
 *
 * So nobody ever sees a mount without its attributes, and no path is resolved twice. Where the mount API lacks something,
 * mount(2) is called on /proc/self/fd/N, the fd's place: for mount_setattr on kernels before 5.12, and for options that
 * fsconfig(2) cannot carry. Knows nothing of containers.
 */
#pragma once

#include "runtime/mount_options.h"

/* A detached mount of a new file system; *fd is -1 if the options need mount_by_call(). `label`: of SELinux, or NULL.
 * `writable`: "ro" is left for later. */
int mount_create(const char *type, const char *source, const struct mount_options *options, const char *label,
	bool writable, int *fd, struct error *err);

/* The other way: mounts it on `target_fd` at once. */
int mount_by_call(const char *type, const char *source, const struct mount_options *options,
	const char *label, bool writable, int target_fd, struct error *err);

/* A detached copy of the mount at `path` below `directory` ("": the fd itself), from there on. -1 with errno. */
int mount_clone(int directory, const char *path, bool recursive, bool follow);

/* Gives a mount its attributes and propagation; `single`: nothing is mounted below it. `user_namespace`: an fd, for idmap,
 * or -1. Returns -1 with errno; ENOSYS: mount_setattr is missing, see mount_set_attached(). */
int mount_set(int fd, const struct mount_options *options, bool single, int user_namespace);

/* The same for a mount that is attached already, also on old kernels. */
int mount_set_attached(int fd, const struct mount_options *options, bool single);

/* Shorthand: MOUNT_ATTR_* to set, on one mount that is attached. */
int mount_restrict(int fd, uint64_t attributes);

int mount_set_propagation(int fd, uint64_t type, bool recursive); /* -1 with errno */

/* Attaches the mount to the place that `target_fd` is. -1 with errno. */
int mount_attach(int fd, int target_fd);

/* Changes the file system that is mounted at `fd`: options "remount". */
int mount_reconfigure(int fd, const struct mount_options *options, struct error *err);
