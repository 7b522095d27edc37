/* See restore_mounts.h. A place can be in something that is mounted itself: so all is mounted, in order, and then taken off. Only what is
 * bound from the host stays: in place of a new file system there is an empty one, which goes with what was made in it. */
#include "runtime/restore_mounts.h"

#include "runtime/bundle.h"
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
	const char *source;
	int fd;

	if (!options->bind)
		return mount_create("tmpfs", "tmpfs", &none, NULL, true, &fd, err) < 0 ? -1 : fd;
	source = bundle_path(arena, bundle, mount->source);
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

/* ---- sources ---- */

/* Every kernel has this directory, to be mounted on, and CRIU does not use it. With a mount over any other one in /proc the container
 * could not mount a procfs. */
#define OPEN_PLACE "/proc/fs/nfsd"

struct sources {
	struct arena *arena;
	const char *bundle;
	int place;
	size_t count;
};

const char *restore_mounts_open_source(struct arena *arena, size_t index)
{
	return arena_printf(arena, OPEN_PLACE "/%zu", index);
}

static int mount_source(void *data, const struct checkpoint_mount *mount, struct error *err)
{
	struct sources *sources = data;
	const char *source = bundle_path(sources->arena, sources->bundle, mount->source),
		   *name = arena_printf(sources->arena, "%zu", sources->count++);
	_cleanup_close_ int fd = -1, target = -1;
	struct stat status;

	fd = mount_clone(AT_FDCWD, source, true, true);
	if (fd < 0 && errno == ENOENT)
		return 0; /* it may not be in the images */
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot bind %s for CRIU", source);
	target = path_make_in_root(
		sources->place, name, S_ISDIR(status.st_mode) ? S_IFDIR : S_IFREG, 0, NULL, err);
	if (target < 0)
		return -1;
	return mount_attach(fd, target) < 0 ? error_set(err, errno, "cannot bind %s for CRIU", source) : 0;
}

int restore_mounts_prepare_sources(struct arena *arena, const struct oci_config *config,
	struct cgroup *cgroup, const char *bundle, struct error *err)
{
	struct sources sources = { .arena = arena, .bundle = bundle, .place = -1 };
	int result;

	if (call_mount("tmpfs", OPEN_PLACE, "tmpfs", 0, "mode=755") < 0)
		return error_set(err, errno, "cannot mount a tmpfs for CRIU");
	sources.place = open(OPEN_PLACE, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sources.place < 0)
		return error_set(err, errno, "cannot open " OPEN_PLACE);
	result = checkpoint_visit_mounts(arena, config, cgroup, mount_source, &sources, err);
	close_fd(sources.place);
	return result;
}
