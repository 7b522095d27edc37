/* The container's file systems: mounts, devices, masked and read-only paths, pivot_root.
 *
 * Runs in the container's init process, in its new mount namespace. Paths inside the rootfs are resolved only with
 * openat2(RESOLVE_IN_ROOT) and used through the fd (CVE-2021-30465, CVE-2025-31133, -52565, -52881): a path of the
 * rootfs must never be passed to mount(2) as a string, nor checked and then used again.
 */
#pragma once

#include "runtime/cgroup.h"
#include "spec/oci.h"

struct mount_request;

struct rootfs_context {
	const struct oci_config *config;
	const char *bundle;	     /* absolute; relative sources and root.path are relative to it */
	const struct cgroup *cgroup; /* for "cgroup" mounts; may be NULL */
	bool user_namespace;	     /* the container has one of its own: mknod and some mounts cannot work */
	bool cgroup_namespace;
	bool mount_namespace; /* false: the config has none; then we chroot, and its mounts are the host's (host_mounts.h) */
	bool mounts; /* there is something to mount, and a place for it */
	bool no_pivot;
	bool running; /* what its processes do must not be trusted: /proc is theirs */
	int root_fd;  /* O_PATH of the mounted rootfs, set by rootfs_mount() */
	struct arena *arena;
	struct mount_request *requests; /* one per config->mounts, by rootfs_open_sources() */
	int *devices;			/* one per linux.devices, by devices_make_outside(); or NULL */
	/* In the child: has the runtime map the ids of the detached mount `fd`, the source of mounts[index]. */
	int (*map_source)(void *data, size_t index, int fd, struct error *err);
	void *map_data;
};

/* In the parent, before clone: reads the mounts' options, and opens (open_tree) what the child could not, e.g. bind sources
 * under a directory that its user namespace cannot search, id-mapped mounts, and devices. The fds are inherited. */
int rootfs_open_sources(struct rootfs_context *context, struct error *err);
void rootfs_close_sources(struct rootfs_context *context);

/* The same for mounts that a running container gets: there the child could open nothing of the host's. */
int rootfs_open_added_sources(struct rootfs_context *context, struct error *err);

/* Of what is mounted in the rootfs first the child opens the source; only the parent may map the ids of that. */
bool rootfs_maps_sources(const struct rootfs_context *context);
int rootfs_map_source(struct rootfs_context *context, size_t index, int fd, struct error *err);

/* In the child, as root of its user namespace: propagation, the rootfs, every mount, devices, /dev links. */
int rootfs_mount(struct rootfs_context *context, struct error *err);

/* Binds the pty `fd` (of the container's devpts) over /dev/console, by fd. */
int rootfs_mount_console(struct rootfs_context *context, int pty_fd, struct error *err);

/* sysctl, masked and read-only paths, read-only root, pivot_root (or chroot with no_pivot), final propagation. Afterwards
 * "/" is the container's. */
int rootfs_enter(struct rootfs_context *context, struct error *err);
