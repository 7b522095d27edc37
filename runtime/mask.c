/* See mask.h. */
#include "runtime/mask.h"

#include "runtime/mount.h"
#include "runtime/path.h"
#include "spec/cleanup.h"
#include "spec/compile.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* What lies over the masked paths: one mount of each kind, of which all others are copies. -1 until it is needed. */
struct masks {
	int file, directory;
};

static void masks_close(struct masks *masks)
{
	close_fd(masks->file);
	close_fd(masks->directory);
}

static int file_mask(struct error *err)
{
	_cleanup_close_ int fd = mount_clone(AT_FDCWD, "/dev/null", false, false);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot open the host's /dev/null");
	if (!S_ISCHR(status.st_mode) || status.st_rdev != makedev(1, 3))
		return error_set(err, 0, "the host's /dev/null is not the null device");
	return steal_fd(&fd);
}

static int directory_mask(struct error *err)
{
	static const char *size[] = { "size=0k", "nr_inodes=1" };
	static const struct mount_options options = {
		.own.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
		.data = { size, ARRAY_SIZE(size) },
	};
	int fd;

	return mount_create("tmpfs", "tmpfs", &options, NULL, false, &fd, err) < 0 ? -1 : fd;
}

/* The first use attaches the mask itself; each further one a copy of that. Read-only, so that the mode and owner of the
 * null device, which are the host's, cannot be changed; one can still write to it. */
static int cover(int *mask, int (*make)(struct error *err), int target_fd, struct error *err)
{
	bool first = *mask < 0;
	_cleanup_close_ int copy = -1;

	if (first)
		*mask = make(err);
	else
		copy = mount_clone(*mask, "", false, true);
	if (*mask < 0)
		return -1;
	if ((!first && copy < 0) || mount_attach(first ? *mask : copy, target_fd) < 0)
		return error_set(err, errno, "cannot cover it");
	if (first && mount_restrict(*mask, MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC) < 0)
		return error_set(err, errno, "cannot make what covers it read-only");
	return 0;
}

static int mask_one(
	const struct rootfs_context *context, const char *path, struct masks *masks, struct error *err)
{
	_cleanup_close_ int target = path_open_in_root(context->root_fd, path, O_PATH, 0);
	struct stat status;

	/* What leads nowhere, or may not be searched, shows nothing. */
	if (target < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return 0;
	if (target < 0 || fstat(target, &status) < 0)
		return error_set(err, errno, "cannot open it");
	if (S_ISDIR(status.st_mode))
		return cover(&masks->directory, directory_mask, target, err);
	return cover(&masks->file, file_mask, target, err);
}

static int make_read_only(const struct rootfs_context *context, const char *path, struct error *err)
{
	static const struct mount_options options = { .own.set = MOUNT_ATTR_RDONLY };
	_cleanup_close_ int target = path_open_in_root(context->root_fd, path, O_PATH, 0), fd = -1;
	bool set;

	if (target < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return 0;
	if (target < 0)
		return error_set(err, errno, "cannot open it");
	fd = mount_clone(target, "", true, true);
	if (fd < 0)
		return error_set(err, errno, "cannot make a mount of it");
	set = mount_set(fd, &options, false, -1) == 0;
	if (!set && errno != ENOSYS)
		return error_set(err, errno, "cannot make it read-only");
	if (mount_attach(fd, target) < 0)
		return error_set(err, errno, "cannot mount it");
	if (!set && mount_set_attached(fd, &options, false) < 0)
		return error_set(err, errno, "cannot make it read-only");
	return 0;
}

/* Mounted over itself, a directory can be neither renamed nor removed. */
static int pin(const struct rootfs_context *context, const char *path, struct error *err)
{
	_cleanup_close_ int target = path_open_in_root(context->root_fd, path, O_PATH | O_DIRECTORY, 0),
			    fd = -1;

	if (target < 0 && (errno == ENOENT || errno == ENOTDIR || errno == EACCES))
		return 0;
	fd = target < 0 ? -1 : mount_clone(target, "", true, true);
	if (fd < 0 || mount_attach(fd, target) < 0)
		return error_set(err, errno, "cannot mount %s over itself", path);
	return 0;
}

static int pin_paths(const struct rootfs_context *context, struct error *err)
{
	const char *annotation = oci_annotation(context->config, ANNOTATION_PINNED);
	struct json *paths;

	if (!annotation)
		return 0;
	if (json_parse(context->arena, annotation, strlen(annotation), ANNOTATION_PINNED, JSON_STRICT, &paths,
		    err) < 0)
		return -1;
	if (paths->type != JSON_ARRAY)
		return error_set(err, 0, ANNOTATION_PINNED " is not a list of paths");
	for (size_t i = 0; i < paths->array.count; i++) {
		const struct json *path = paths->array.items[i];

		if (path->type != JSON_STRING || path->string[0] != '/')
			return error_set(err, 0, ANNOTATION_PINNED "[%zu] is not an absolute path", i);
		if (pin(context, path->string, err) < 0)
			return error_wrap(err, ANNOTATION_PINNED);
	}
	return 0;
}

static bool is_repeated(const struct string_list *paths, size_t index)
{
	for (size_t i = 0; i < index; i++)
		if (strcmp(paths->items[i], paths->items[index]) == 0)
			return true;
	return false;
}

int mask_paths(const struct rootfs_context *context, struct error *err)
{
	_cleanup_(masks_close) struct masks masks = { -1, -1 };
	const struct oci_linux *linux = context->config->linux;

	if (pin_paths(context, err) < 0)
		return -1;
	if (!linux)
		return 0;
	for (size_t i = 0; i < linux->readonly_paths.count; i++)
		if (!is_repeated(&linux->readonly_paths, i) &&
			make_read_only(context, linux->readonly_paths.items[i], err) < 0)
			return error_wrap(
				err, "linux.readonlyPaths[%zu]: %s", i, linux->readonly_paths.items[i]);
	for (size_t i = 0; i < linux->masked_paths.count; i++)
		if (!is_repeated(&linux->masked_paths, i) &&
			mask_one(context, linux->masked_paths.items[i], &masks, err) < 0)
			return error_wrap(err, "linux.maskedPaths[%zu]: %s", i, linux->masked_paths.items[i]);
	return 0;
}
