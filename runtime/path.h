/* Paths inside a rootfs, which its image, or another container on a shared volume, may change under our feet.
 *
 * Every step is taken on an fd, and no symbolic link leads out of `root_fd` (openat2(2), Linux 5.6). What comes back is an fd
 * to be used in place of the path: the path must not be resolved again.
 */
#pragma once

#include "spec/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* openat2 with RESOLVE_IN_ROOT, without magic links; `resolve` adds to that. Returns -1 with errno. */
int path_open_in_root(int root_fd, const char *path, int flags, uint64_t resolve);

/* Opens (O_PATH) what is there; where nothing is, makes a directory (S_IFDIR) or an empty file (S_IFREG), with the directories
 * that lead to it; also at the end of a dangling symbolic link. `made` may be NULL. */
int path_make_in_root(
	int root_fd, const char *path, mode_t type, uint64_t resolve, bool *made, struct error *err);

/* The directory that holds `path`, and its name there, which is no "." or ".."; -1 with errno. */
int path_open_parent_in_root(int root_fd, const char *path, uint64_t resolve, char name[NAME_MAX + 1]);

/* The directory that holds `path`, made if missing; *name is the last part of the path, which is not looked at. */
int path_make_parent_in_root(int root_fd, const char *path, const char **name, struct error *err);
