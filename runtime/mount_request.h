/* One entry of `mounts`: what is to be mounted, and on what. Shared by the files that make the rootfs; nobody else includes
 * this.
 */
#pragma once

#include "runtime/mount_options.h"
#include "runtime/rootfs.h"

struct mount_request {
	const struct oci_mount *mount;
	size_t index;		 /* in `mounts` */
	const char *destination; /* in the rootfs */
	const char *inside;	 /* a bind mount's source, if that is in the rootfs, or NULL */
	struct mount_options options;
	int source_fd; /* a detached mount that the parent made, or -1 */
	int later_fd;  /* a mount that becomes read-only when all others are in place, or -1 */
};

/* The source of a bind mount, absolute. */
const char *mount_request_source(const struct rootfs_context *context, const struct mount_request *request);

/* Opens it as a detached mount, with its id mappings; -1 with errno and a message. */
int mount_request_clone(
	const struct rootfs_context *context, const struct mount_request *request, struct error *err);

/* Maps the ids of its source, the detached mount `fd`. */
int mount_request_map_ids(
	const struct rootfs_context *context, const struct mount_request *request, int fd, struct error *err);

/* It is mounted on the root itself, in whose place it is from then on. */
bool mount_request_takes_root(const struct mount_request *request);

/* Makes it. */
int mount_request_perform(struct rootfs_context *context, struct mount_request *request, struct error *err);

/* Attaches a detached mount to `target_fd`. `is_new`: it was made with its attributes, and lacks only its propagation;
 * `single`: nothing is mounted below it. */
int mount_request_attach(const struct mount_request *request, int fd, bool is_new, bool single, int target_fd,
	struct error *err);

/* The types "cgroup" and "cgroup2" (mount_cgroup.c). */
int mount_cgroup(
	struct rootfs_context *context, struct mount_request *request, int target_fd, struct error *err);
