/* See restore_mounts.h. A place can be in something that is mounted itself: so all is mounted, in order, and then taken off. Only what is
 * bound from the host stays: in place of a new file system there is an empty one, which goes with what was made in it. */
#include "runtime/restore_mounts.h"

#include "runtime/mount.h"
#include "runtime/mount_calls.h"
#include "runtime/path.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static int mount_root(const char *root, struct error *err)
{
	return call_mount(root, root, NULL, MS_BIND | MS_REC, NULL) < 0
		       ? error_set(err, errno, "root.path: cannot mount %s for CRIU", root)
		       : 0;
}

/* -1 with errno, or with err. */
static int open_source(struct arena *arena, const struct oci_mount *mount,
	const struct mount_options *options, const char *bundle, struct error *err)
{
	static const struct mount_options none = { 0 };
	const char *source = mount->source;
	int fd;

	if (!options->bind)
		return mount_create("tmpfs", "tmpfs", &none, NULL, true, &fd, err) < 0 ? -1 : fd;
	if (source[0] != '/')
		source = arena_printf(arena, "%s/%s", bundle, source);
	fd = mount_clone(AT_FDCWD, source, options->recursive_bind, !options->source_nofollow);
	return fd < 0 ? error_set(err, errno, "cannot bind %s", source) : fd;
}

static int prepare_one(struct arena *arena, const struct oci_mount *mount, size_t index, const char *bundle,
	int root_fd, struct error *err)
{
	_cleanup_close_ int fd = -1, target = -1;
	struct mount_options options;
	struct stat status;

	if (mount_options_read(arena, mount, index, &options, err) < 0)
		return -1;
	if (options.remount || options.copy_symlink)
		return 0;
	fd = open_source(arena, mount, &options, bundle, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot look at its source");
	target = path_make_in_root(
		root_fd, mount->destination, S_ISDIR(status.st_mode) ? S_IFDIR : S_IFREG, 0, NULL, err);
	if (target < 0)
		return -1;
	return mount_attach(fd, target) < 0 ? error_set(err, errno, "cannot mount it") : 0;
}

int restore_mounts_prepare(struct arena *arena, const struct oci_config *config, const char *bundle,
	const char *root, struct error *err)
{
	_cleanup_close_ int root_fd = -1;

	if (mount_root(root, err) < 0)
		return -1;
	root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return error_set(err, errno, "root.path: cannot open %s", root);
	for (size_t i = 0; i < config->mounts.count; i++)
		if (prepare_one(arena, &config->mounts.items[i], i, bundle, root_fd, err) < 0)
			return error_wrap(err, "mounts[%zu]: %s", i, config->mounts.items[i].destination);
	if (call_umount(root, UNMOUNT_DETACH) < 0)
		return error_set(err, errno, "root.path: cannot unmount %s", root);
	return mount_root(root, err);
}
