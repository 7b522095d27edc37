/* See rootfs.h. */
#include "runtime/rootfs.h"

#include "runtime/bundle.h"
#include "runtime/devices.h"
#include "runtime/mask.h"
#include "runtime/mount.h"
#include "runtime/mount_calls.h"
#include "runtime/mount_request.h"
#include "runtime/path.h"
#include "runtime/sysctl.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* ---- before clone ---- */

static bool root_is_shared(const struct oci_config *config)
{
	const char *propagation = config->linux ? config->linux->rootfs_propagation : NULL;

	return propagation && (strcmp(propagation, "shared") == 0 || strcmp(propagation, "rshared") == 0);
}

/* config.json's root.path, absolute. */
static const char *rootfs_path(const struct rootfs_context *context)
{
	return bundle_path(context->arena, context->bundle, context->config->root->path);
}

/* What follows the rootfs' own path on the host; NULL if `path` is not below it. */
static const char *below(const char *root, const char *path)
{
	size_t length = strlen(root);

	return strncmp(path, root, length) == 0 && path[length] == '/' ? path + length : NULL;
}

static bool has_parent_component(const char *path)
{
	for (const char *dots = path; (dots = strstr(dots, "/..")); dots += 3)
		if (dots[3] == '/' || dots[3] == '\0')
			return true;
	return false;
}

/* In the rootfs itself a source may be something that is yet to be mounted. */
static const char *source_inside(
	const struct rootfs_context *context, const struct mount_request *request, const char *root)
{
	const char *source, *inside;

	if (!request->options.bind || request->options.remount)
		return NULL;
	source = mount_request_source(context, request);
	inside = below(root, source);
	return inside && !has_parent_component(inside) ? inside : NULL;
}

/* What the child is not allowed to open, or would find unshared. */
static bool is_for_parent(const struct rootfs_context *context, const struct mount_request *request)
{
	const struct mount_options *options = &request->options;

	if (!options->bind || options->remount || options->copy_symlink || request->inside)
		return false;
	return context->running || options->idmap || context->user_namespace ||
	       root_is_shared(context->config);
}

/* What is mounted on it later is the container's own affair. */
static int leave_host(const struct rootfs_context *context, int fd, const char *what, struct error *err)
{
	if (root_is_shared(context->config) || mount_set_propagation(fd, MS_SLAVE, true) == 0 ||
		errno == ENOSYS)
		return 0;
	return error_set(err, errno, "%s: cannot make it a slave", what);
}

/* Where we are not allowed to either, the child tries: `refused` then, and for all others too. */
static int open_source(
	struct rootfs_context *context, struct mount_request *request, bool *refused, struct error *err)
{
	if (*refused && !request->options.idmap)
		return 0;
	request->source_fd = mount_request_clone(context, request, err);
	*refused = request->source_fd < 0 && err->number == EPERM;
	if (request->source_fd < 0)
		return *refused && !request->options.idmap && !context->running ? 0 : -1;
	return leave_host(context, request->source_fd,
		arena_printf(context->arena, "mounts[%zu].source", request->index), err);
}

/* A destination that begins with the rootfs' path on the host is one inside: callers of runc's rely on that. */
static struct mount_request request_for(const struct rootfs_context *context, size_t index, const char *root)
{
	const struct oci_mount *mount = &context->config->mounts.items[index];
	const char *inside = below(root, mount->destination);

	return (struct mount_request){
		.mount = mount,
		.index = index,
		.destination = inside ? inside : mount->destination,
		.source_fd = -1,
		.later_fd = -1,
	};
}

/* The user namespace's root may have no way to it: directories of root's own are often 0700. */
static int open_root(struct rootfs_context *context, const char *path, bool *refused, struct error *err)
{
	if (!context->user_namespace || !context->mount_namespace)
		return 0;
	context->root_fd = mount_clone(AT_FDCWD, path, true, true);
	*refused = context->root_fd < 0 && errno == EPERM;
	if (context->root_fd < 0)
		return *refused ? 0 : error_set(err, errno, "root.path: cannot open %s", path);
	return leave_host(context, context->root_fd, "root.path", err);
}

static int open_sources(struct rootfs_context *context, const char *root, bool refused, struct error *err)
{
	size_t count = context->config->mounts.count;

	context->requests = arena_array(context->arena, count, sizeof(*context->requests));
	for (size_t i = 0; i < count; i++)
		context->requests[i] = request_for(context, i, root);
	for (size_t i = 0; i < count; i++) {
		struct mount_request *request = &context->requests[i];

		if (mount_options_read(context->arena, request->mount, i, &request->options, err) == 0) {
			request->inside = source_inside(context, request, root);
			if (!is_for_parent(context, request) ||
				open_source(context, request, &refused, err) == 0)
				continue;
		}
		rootfs_close_sources(context);
		return -1;
	}
	return 0;
}

int rootfs_open_sources(struct rootfs_context *context, struct error *err)
{
	const char *root = rootfs_path(context);
	bool refused = false;

	if (open_root(context, root, &refused, err) < 0 || open_sources(context, root, refused, err) < 0)
		return -1;
	devices_make_outside(context);
	return 0;
}

int rootfs_open_added_sources(struct rootfs_context *context, struct error *err)
{
	return open_sources(context, rootfs_path(context), false, err);
}

bool rootfs_maps_sources(const struct rootfs_context *context)
{
	for (size_t i = 0; i < context->config->mounts.count; i++)
		if (context->requests[i].inside && context->requests[i].options.idmap)
			return true;
	return false;
}

int rootfs_map_source(struct rootfs_context *context, size_t index, int fd, struct error *err)
{
	if (index >= context->config->mounts.count)
		return error_set(err, 0, "the handshake is out of step: there is no mounts[%zu]", index);
	return mount_request_map_ids(context, &context->requests[index], fd, err);
}

void rootfs_close_sources(struct rootfs_context *context)
{
	devices_close(context);
	for (size_t i = 0; context->requests && i < context->config->mounts.count; i++)
		context->requests[i].source_fd = close_fd(context->requests[i].source_fd);
	context->root_fd = close_fd(context->root_fd);
}

/* ---- the container's mounts ---- */

/* Nothing that happens here may reach the host, and pivot_root wants it unshared. Slave, not private, unless asked for: the
 * host's later mounts below a bind mount show up. */
static int leave_peers(const struct oci_config *config, struct error *err)
{
	const char *propagation = config->linux ? config->linux->rootfs_propagation : NULL;
	bool private =
		propagation && (strcmp(propagation, "private") == 0 || strcmp(propagation, "rprivate") == 0);

	if (call_mount(NULL, "/", NULL, MS_REC | (private ? MS_PRIVATE : MS_SLAVE), NULL) < 0)
		return error_set(err, errno, "cannot part the new mount namespace from the host's");
	return 0;
}

static int mount_root(struct rootfs_context *context, struct error *err)
{
	const unsigned int flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_SYMLINKS;
	const char *path = rootfs_path(context);
	bool given = context->root_fd >= 0;

	/* What takes its place is mounted right on the directory. */
	if (!given && context->config->mounts.count && mount_request_takes_root(&context->requests[0])) {
		context->root_fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		return context->root_fd < 0 ? error_set(err, errno, "root.path: cannot open %s", path) : 0;
	}
	if (!given)
		context->root_fd = mount_clone(AT_FDCWD, path, true, true);
	if (context->root_fd < 0)
		return error_set(err, errno, "root.path: cannot mount %s", path);
	if (call_move_mount(context->root_fd, "", AT_FDCWD, path, flags) == 0)
		return 0;
	/* Any place will do, until it becomes the root. */
	if (given && errno == EACCES && call_move_mount(context->root_fd, "", AT_FDCWD, "/", flags) == 0)
		return 0;
	return error_set(err, errno, "root.path: cannot mount %s", path);
}

/* It must be no peer of what it covers, or that would be unmounted along with it; and attached to a shared mount it becomes shared
 * itself, and must not be for what comes upon it. */
static int mount_root_on_host(struct rootfs_context *context, struct error *err)
{
	const char *path = rootfs_path(context);

	context->root_fd = mount_clone(AT_FDCWD, path, true, true);
	if (context->root_fd < 0 || mount_set_propagation(context->root_fd, MS_PRIVATE, true) < 0)
		return error_set(err, errno, "root.path: cannot mount %s", path);
	if (mount_root(context, err) < 0)
		return -1;
	if (mount_set_propagation(context->root_fd, MS_PRIVATE, true) < 0)
		return error_set(err, errno, "root.path: cannot make its mount private");
	return 0;
}

static bool mounts_a_procfs(const struct oci_config *config)
{
	for (size_t i = 0; i < config->mounts.count; i++)
		if (strcmp(config->mounts.items[i].destination, "/proc") == 0 &&
			config->mounts.items[i].type && strcmp(config->mounts.items[i].type, "proc") == 0)
			return true;
	return false;
}

/* CVE-2019-16884: a volume over /proc would make what we and others write there go nowhere. */
static int check_proc(const struct rootfs_context *context, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct statfs status;

	if (!mounts_a_procfs(context->config))
		return 0;
	fd = path_open_in_root(context->root_fd, "/proc", O_PATH, 0);
	if (fd < 0 || fstatfs(fd, &status) < 0)
		return error_set(err, errno, "cannot open the container's /proc");
	if (status.f_type != PROC_SUPER_MAGIC)
		return error_set(err, 0, "mounts: something else is mounted over /proc; leave it out");
	return 0;
}

static int mount_all(struct rootfs_context *context, struct error *err)
{
	if (context->mount_namespace && leave_peers(context->config, err) < 0)
		return -1;
	if ((context->mount_namespace ? mount_root : mount_root_on_host)(context, err) < 0)
		return -1;
	for (size_t i = 0; i < context->config->mounts.count; i++)
		if (mount_request_perform(context, &context->requests[i], err) < 0)
			return -1;
	if (check_proc(context, err) < 0)
		return -1;
	return devices_make(context, err);
}

/* Nothing is mounted: chroot is all. */
static int open_root_only(struct rootfs_context *context, struct error *err)
{
	context->root_fd = open(rootfs_path(context), O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (context->root_fd < 0)
		return error_set(err, errno, "root.path: cannot open %s", rootfs_path(context));
	return 0;
}

int rootfs_mount(struct rootfs_context *context, struct error *err)
{
	mode_t mask;
	int result;

	if (!context->mounts)
		return open_root_only(context, err);
	mask = umask(0);
	result = mount_all(context, err);
	umask(mask);
	return result;
}

int rootfs_mount_console(struct rootfs_context *context, int pty_fd, struct error *err)
{
	return devices_mount_console(context, pty_fd, err);
}

/* ---- inside ---- */

static int restrict_mounts(struct rootfs_context *context, struct error *err)
{
	for (size_t i = 0; i < context->config->mounts.count; i++) {
		struct mount_request *request = &context->requests[i];

		if (request->later_fd < 0)
			continue;
		if (mount_restrict(request->later_fd, MOUNT_ATTR_RDONLY) < 0)
			return error_set(
				err, errno, "mounts[%zu]: cannot make %s read-only", i, request->destination);
		request->later_fd = close_fd(request->later_fd);
	}
	if (context->config->root->readonly.value && mount_restrict(context->root_fd, MOUNT_ATTR_RDONLY) < 0)
		return error_set(err, errno, "root.readonly: cannot make the root read-only");
	return 0;
}

static int change_root(const struct rootfs_context *context, struct error *err)
{
	if (fchdir(context->root_fd) < 0)
		return error_set(err, errno, "cannot enter the rootfs");
	if (!context->mount_namespace)
		return chroot(".") < 0 ? error_set(err, errno, "cannot make the rootfs the root") : 0;
	/* The old root ends up on top of the new one, where it can be taken off: no directory is needed for it. */
	if (call_pivot_root(".", ".") < 0)
		return error_set(
			err, errno, "cannot make the rootfs the root by pivot_root (on a ramfs: --no-pivot)");
	if (call_umount(".", UNMOUNT_DETACH) < 0)
		return error_set(err, errno, "cannot unmount the host's root");
	return 0;
}

/* The host's own /proc and /sys must not stay in the namespace: with them there, a user namespace in the container could
 * mount new ones that hide nothing. */
static int hide_host(const char *path, struct error *err)
{
	if (call_umount(path, UNMOUNT_DETACH) == 0 || errno == ENOENT)
		return 0;
	if (call_mount("tmpfs", path, "tmpfs", MS_RDONLY, NULL) < 0)
		return error_set(err, errno, "--no-pivot: cannot hide the host's %s", path);
	return 0;
}

static int move_root(const struct rootfs_context *context, struct error *err)
{
	if (hide_host("/proc", err) < 0 || hide_host("/sys", err) < 0)
		return -1;
	if (call_move_mount(context->root_fd, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0)
		return error_set(err, errno, "--no-pivot: cannot move the rootfs to /");
	if (fchdir(context->root_fd) < 0 || chroot(".") < 0)
		return error_set(err, errno, "--no-pivot: cannot make the rootfs the root");
	return 0;
}

static int propagate(const struct rootfs_context *context, struct error *err)
{
	const char *asked = context->config->linux ? context->config->linux->rootfs_propagation : NULL;
	struct mount_propagation propagation;

	if (!context->mount_namespace || !asked || !*asked)
		return 0;
	if (!mount_propagation_find(asked, &propagation))
		return error_set(err, 0, "linux.rootfsPropagation: \"%s\" is unknown", asked);
	if (call_mount(NULL, "/", NULL, propagation.type | (propagation.recursive ? MS_REC : 0), NULL) < 0)
		return error_set(err, errno, "linux.rootfsPropagation: cannot make the root %s", asked);
	return 0;
}

int rootfs_enter(struct rootfs_context *context, struct error *err)
{
	if (sysctl_write(context->config->linux, err) < 0)
		return -1;
	if (context->mounts && (mask_paths(context, err) < 0 || restrict_mounts(context, err) < 0))
		return -1;
	if ((context->mount_namespace && context->no_pivot ? move_root : change_root)(context, err) < 0)
		return -1;
	if (chdir("/") < 0)
		return error_set(err, errno, "cannot enter the new root");
	context->root_fd = close_fd(context->root_fd);
	return propagate(context, err);
}
