/* The `options` of a mount in config.json: the table of all that are known, and what they come to together.
 *
 * Must never do anything but read: mount.c makes it so.
 */
#pragma once

#include "spec/oci.h"

#include <stdint.h>

/* MOUNT_ATTR_* to be set and cleared; what is in neither stays as it is (a bind mount) or is off (a new file system). */
struct mount_flags {
	uint64_t set, clear;
};

struct mount_propagation {
	uint64_t type; /* MS_SHARED, MS_PRIVATE, MS_SLAVE, MS_UNBINDABLE */
	bool recursive;
};

struct mount_options {
	struct mount_flags own;	       /* of this mount */
	struct mount_flags tree;       /* of this mount and those below it: rro, rnosuid, … */
	struct mount_flags superblock; /* MS_*, of the file system itself: sync, lazytime, … */
	uint64_t clear_if_allowed;     /* MOUNT_ATTR_*, of this mount; where they are locked, they stay */
	LIST_OF(struct mount_propagation) propagation; /* in the order given */
	struct string_list data;		       /* everything else: the file system's own */

	bool bind, recursive_bind, remount;
	bool idmap, recursive_idmap;
	const char *idmap_words; /* "uids=0-1-10;gids=…" of "idmap=…", or NULL */
	bool copy_up;		 /* tmpcopyup: a tmpfs begins with what it covers */
	bool copy_symlink;	 /* a source that is a symbolic link is copied, not followed */
	bool source_nofollow;	 /* … is bound itself */
	bool destination_nofollow;
	bool source_no_symlinks, destination_no_symlinks; /* none on the way, either */
};

/* `index` is the mount's place in `mounts`, for messages. */
int mount_options_read(struct arena *arena, const struct oci_mount *mount, size_t index,
	struct mount_options *options, struct error *err);

/* Its own and those of its tree together, for a mount that has nothing below it. */
struct mount_flags mount_options_flags(const struct mount_options *options);

/* One of shared, rslave, …: linux.rootfsPropagation. */
bool mount_propagation_find(const char *name, struct mount_propagation *propagation);

/* For `features`. */
const char *const *mount_option_names(size_t *count);
