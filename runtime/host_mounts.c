/* See host_mounts.h. Everything lies on the bind mount of the rootfs on itself: with that, all is gone. */
#include "runtime/host_mounts.h"

#include "runtime/mount_calls.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/stat.h>
#include <sys/stat.h>

/* Whether the config asks for anything that has to be mounted. */
static bool is_wanted(const struct oci_config *config)
{
	const struct oci_linux *linux = config->linux;

	return config->mounts.count || config->root->readonly.value ||
	       (linux && (linux->masked_paths.count || linux->readonly_paths.count));
}

static int look(const char *path, uint64_t *mount, bool *is_root, struct error *err)
{
	struct statx status;

	if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &status) < 0)
		return error_set(err, errno, "root.path: %s", path);
	if (!(status.stx_mask & STATX_MNT_ID))
		return error_set(
			err, 0, "mounts: without a mount namespace for them Linux 5.8 or later is needed");
	*mount = status.stx_mnt_id;
	*is_root = status.stx_attributes & STATX_ATTR_MOUNT_ROOT;
	return 0;
}

int host_mounts_note(
	const struct oci_config *config, const char *rootfs, struct optional_uint64 *noted, struct error *err)
{
	bool is_root;

	if (oci_namespace_find(config, "mount") || !is_wanted(config))
		return 0;
	noted->set = true;
	return look(rootfs, &noted->value, &is_root, err);
}

int host_mounts_remove(const char *rootfs, const struct optional_uint64 *noted, struct error *err)
{
	uint64_t mount;
	bool is_root;

	if (!noted->set)
		return 0;
	for (;;) {
		if (look(rootfs, &mount, &is_root, err) < 0)
			return err->number == ENOENT ? 0 : -1;
		if (mount == noted->value || !is_root)
			return 0;
		if (call_umount(rootfs, UNMOUNT_DETACH) < 0)
			return error_set(err, errno, "cannot unmount the container's root %s", rootfs);
	}
}
