/* /dev of a container: the default devices, those of linux.devices, and the links that programs expect.
 *
 * A device that is there already is kept if it is the right one; anything else in its place is an error.
 */
#pragma once

#include "runtime/rootfs.h"

/* In the parent of a container with a user namespace: makes what is asked for and the host has no node of. Where that is not
 * allowed it does nothing, and devices_make() has an error. */
void devices_make_outside(struct rootfs_context *context);
void devices_close(struct rootfs_context *context);

int devices_make(const struct rootfs_context *context, struct error *err);

/* Binds the pty over /dev/console (CVE-2025-52565: on a file that is opened without following anything). */
int devices_mount_console(const struct rootfs_context *context, int pty_fd, struct error *err);

/* The devices of a container with a user namespace are the host's, bound: each one's place, and its path on the host. */
typedef int devices_visitor(void *data, const char *path, const char *host_path, struct error *err);
int devices_visit_bound(struct arena *arena, const struct oci_config *config, devices_visitor *visit,
	void *data, struct error *err);
