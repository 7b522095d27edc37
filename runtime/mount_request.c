/* See mount_request.h. */
#include "runtime/mount_request.h"

#include "runtime/bundle.h"
#include "runtime/cgroup.h"
#include "runtime/copy_up.h"
#include "runtime/mount.h"
#include "runtime/mount_idmap.h"
#include "runtime/path.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

const char *mount_request_source(const struct rootfs_context *context, const struct mount_request *request)
{
	return bundle_path(context->arena, context->bundle, request->mount->source);
}

/* ---- bind mounts ---- */

static int explain_clone(const struct mount_request *request, const char *source, struct error *err)
{
	if (errno == EINVAL && !request->options.recursive_bind)
		return error_set(err, EINVAL,
			"mounts[%zu].source: cannot bind %s; in a user namespace \"rbind\" may be needed",
			request->index, source);
	return error_set(err, errno, "mounts[%zu].source: cannot bind %s", request->index, source);
}

int mount_request_map_ids(
	const struct rootfs_context *context, const struct mount_request *request, int fd, struct error *err)
{
	const struct mount_options options = { .recursive_idmap = request->options.recursive_idmap };
	_cleanup_close_ int user_namespace = mount_idmap_namespace(
		context->arena, context->config, request->mount, request->options.idmap_words, err);

	if (user_namespace < 0)
		return error_wrap(err, "mounts[%zu]", request->index);
	if (mount_set(fd, &options, false, user_namespace) == 0)
		return 0;
	if (errno == ENOSYS)
		return error_set(err, 0, "mounts[%zu]: id-mapped mounts need Linux 5.12", request->index);
	return error_set(err, errno,
		"mounts[%zu].source: cannot map the ids of %s (is its file system able to, are we root?)",
		request->index, request->mount->source);
}

/* A command that runs meanwhile may turn a directory of the path into a link to where it must not come itself. */
static int open_without_symlinks(const char *source, const struct mount_options *options)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | (options->source_nofollow ? O_NOFOLLOW : 0),
		.resolve = RESOLVE_NO_SYMLINKS,
	};

	return (int)syscall(SYS_openat2, AT_FDCWD, source, &how, sizeof(how));
}

int mount_request_clone(
	const struct rootfs_context *context, const struct mount_request *request, struct error *err)
{
	const struct mount_options *options = &request->options;
	const char *source = mount_request_source(context, request);
	_cleanup_close_ int found = options->source_no_symlinks ? open_without_symlinks(source, options) : -1;
	_cleanup_close_ int fd = -1;

	if (found >= 0)
		fd = mount_clone(found, "", options->recursive_bind, true);
	else if (!options->source_no_symlinks)
		fd = mount_clone(AT_FDCWD, source, options->recursive_bind, !options->source_nofollow);
	if (fd < 0)
		return explain_clone(request, source, err);
	if (options->idmap && mount_request_map_ids(context, request, fd, err) < 0)
		return -1;
	return steal_fd(&fd);
}

/* In the child: as it is now, with what earlier entries have mounted there. */
static int clone_inside(
	const struct rootfs_context *context, const struct mount_request *request, struct error *err)
{
	const struct mount_options *options = &request->options;
	_cleanup_close_ int place = path_open_in_root(
		context->root_fd, request->inside, O_PATH | (options->source_nofollow ? O_NOFOLLOW : 0), 0);
	_cleanup_close_ int fd = place < 0 ? -1 : mount_clone(place, "", options->recursive_bind, true);

	if (fd < 0)
		return explain_clone(request, mount_request_source(context, request), err);
	if (options->idmap && context->map_source(context->map_data, request->index, fd, err) < 0)
		return -1;
	return steal_fd(&fd);
}

static int explain_set(const struct mount_request *request, struct error *err)
{
	if (errno == EPERM && (request->options.own.clear || request->options.tree.clear))
		return error_set(err, EPERM,
			"mounts[%zu].options: in a user namespace the flags that the source has cannot be "
			"cleared, nor its atime mode changed; leave out the option that does so",
			request->index);
	return error_set(err, errno, "mounts[%zu].options: cannot apply them", request->index);
}

int mount_request_attach(const struct mount_request *request, int fd, bool is_new, bool single, int target_fd,
	struct error *err)
{
	const struct mount_options rest = { .propagation = request->options.propagation };
	const struct mount_options *options = is_new ? &rest : &request->options;
	bool set = mount_set(fd, options, single, -1) == 0;

	if (!set && errno != ENOSYS)
		return explain_set(request, err);
	if (mount_attach(fd, target_fd) < 0)
		return error_set(err, errno, "mounts[%zu]: cannot mount it on %s", request->index,
			request->destination);
	if (!set && mount_set_attached(fd, options, single) < 0)
		return explain_set(request, err);
	return 0;
}

/* The place to mount on, made if missing. `made` may be NULL. */
static int open_target(const struct rootfs_context *context, const struct mount_request *request, mode_t type,
	bool *made, struct error *err)
{
	uint64_t resolve = request->options.destination_no_symlinks ? RESOLVE_NO_SYMLINKS : 0;
	int fd = -1;

	if (request->options.destination_nofollow)
		fd = path_open_in_root(context->root_fd, request->destination, O_PATH | O_NOFOLLOW, resolve);
	if (fd < 0)
		fd = path_make_in_root(context->root_fd, request->destination, type, resolve, made, err);
	return fd < 0 ? error_wrap(err, "mounts[%zu].destination", request->index) : fd;
}

/* Where v1 has the controllers, cgroup2 is a file system as any other. */
static bool is_cgroup(const struct mount_request *request)
{
	const char *type = request->mount->type;

	return type &&
	       (strcmp(type, "cgroup") == 0 || (strcmp(type, "cgroup2") == 0 && cgroup_host_is_unified()));
}

bool mount_request_takes_root(const struct mount_request *request)
{
	return request->destination[strspn(request->destination, "/")] == '\0' && !request->options.remount &&
	       (request->options.bind || !is_cgroup(request));
}

static int take_root(
	const struct rootfs_context *context, const struct mount_request *request, int fd, struct error *err)
{
	if (!mount_request_takes_root(request))
		return 0;
	if (dup3(fd, context->root_fd, O_CLOEXEC) < 0)
		return error_set(err, errno, "mounts[%zu]: cannot make it the root", request->index);
	return 0;
}

/* copy-symlink: a source that is no symbolic link is not copied but bound. */
static int copy_symlink(
	struct rootfs_context *context, const struct mount_request *request, bool *copied, struct error *err)
{
	const char *name, *destination = request->destination;
	char target[PATH_MAX] = "", present[PATH_MAX] = "";
	_cleanup_close_ int parent = -1;

	*copied = readlink(mount_request_source(context, request), target, sizeof(target) - 1) >= 0;
	if (!*copied && errno == EINVAL)
		return 0;
	if (!*copied)
		return error_set(err, errno, "mounts[%zu].source: cannot read the symbolic link %s",
			request->index, mount_request_source(context, request));
	parent = path_make_parent_in_root(context->root_fd, destination, &name, err);
	if (parent < 0)
		return error_wrap(err, "mounts[%zu].destination", request->index);
	if (symlinkat(target, parent, name) == 0)
		return 0;
	if (errno == EEXIST && readlinkat(parent, name, present, sizeof(present) - 1) >= 0 &&
		strcmp(present, target) == 0)
		return 0;
	return error_set(err, errno, "mounts[%zu].destination: cannot make the symbolic link %s",
		request->index, destination);
}

/* As with crun and runc, options that name any flag name all that the mount will have, its atime apart; with none, as with mount(8),
 * it keeps those of its source. In a user namespace those that the kernel locks there stay, also where we could clear them. */
static void clear_unnamed(const struct rootfs_context *context, struct mount_options *options)
{
	const struct mount_flags *own = &options->own, *superblock = &options->superblock;

	if (!own->set && !own->clear && !superblock->set && !superblock->clear)
		return;
	options->clear_if_allowed = MOUNT_ATTR_NOSYMFOLLOW;
	if (!context->user_namespace)
		options->clear_if_allowed |=
			MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
}

static int perform_bind(struct rootfs_context *context, struct mount_request *request, struct error *err)
{
	_cleanup_close_ int fd = steal_fd(&request->source_fd), target = -1;
	struct stat status;
	bool copied = false;

	if (request->options.copy_symlink && copy_symlink(context, request, &copied, err) < 0)
		return -1;
	if (copied)
		return 0;
	if (fd < 0)
		fd = (request->inside ? clone_inside : mount_request_clone)(context, request, err);
	if (fd < 0)
		return -1;
	if (fstat(fd, &status) < 0)
		return error_set(err, errno, "mounts[%zu].source: cannot look at it", request->index);
	target = open_target(context, request, S_ISDIR(status.st_mode) ? S_IFDIR : S_IFREG, NULL, err);
	if (target < 0)
		return -1;
	clear_unnamed(context, &request->options);
	if (mount_request_attach(request, fd, false,
		    !request->options.recursive_bind || !S_ISDIR(status.st_mode), target, err) < 0)
		return -1;
	return take_root(context, request, fd, err);
}

/* ---- new file systems ---- */

/* What holds for one type only. */
struct file_system {
	const char *type;
	bool through_no_symlink; /* whoever is led elsewhere may be shown another (CVE-2019-19921, CVE-2023-27561) */
	bool writable_first; /* others may have to be mounted in it: "ro" comes at the end */
	bool labelled;	     /* takes SELinux's context= */
	const char *mend;    /* what EPERM means */
};

static const struct file_system file_systems[] = {
	{ "proc", true, false, false,
		"a new pid namespace is needed, and in a user namespace a whole /proc outside" },
	{ "sysfs", true, false, false, "a new network namespace is needed; or bind the host's /sys" },
	{ "tmpfs", false, true, true, NULL },
	{ "mqueue", false, false, false, "a new ipc namespace is needed; or bind the host's /dev/mqueue" },
};

static const struct file_system *find_file_system(const char *type)
{
	static const struct file_system any = { .labelled = true };

	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++)
		if (strcmp(file_systems[i].type, type) == 0)
			return &file_systems[i];
	return &any;
}

static int open_ordinary_directory(
	const struct rootfs_context *context, const struct mount_request *request, struct error *err)
{
	int fd = path_make_in_root(
		context->root_fd, request->destination, S_IFDIR, RESOLVE_NO_SYMLINKS, NULL, err);

	if (fd < 0 && err->number == ELOOP)
		return error_set(err, 0,
			"mounts[%zu].destination: %s (%s) must be mounted on ordinary directory, not by way "
			"of a symbolic link",
			request->index, request->destination, request->mount->type);
	return fd < 0 ? error_wrap(err, "mounts[%zu].destination", request->index) : fd;
}

static bool has_mode(const struct mount_options *options)
{
	for (size_t i = 0; i < options->data.count; i++)
		if (strncmp(options->data.items[i], "mode=", strlen("mode=")) == 0)
			return true;
	return false;
}

/* A tmpfs looks like the directory that it covers. */
static void inherit_mode(struct rootfs_context *context, struct mount_request *request, int target_fd)
{
	struct string_list *data = &request->options.data;
	struct string_list more = { 0 };
	struct stat status;

	if (strcmp(request->mount->type, "tmpfs") != 0 || has_mode(&request->options) ||
		fstat(target_fd, &status) < 0)
		return;
	for (size_t i = 0; i < data->count; i++)
		*(const char **)arena_push(context->arena, &more.items, &more.count, sizeof(char *)) =
			data->items[i];
	*(const char **)arena_push(context->arena, &more.items, &more.count, sizeof(char *)) =
		arena_printf(context->arena, "mode=%04o", status.st_mode & 07777);
	*data = more;
}

static int explain_create(
	const struct mount_request *request, const struct file_system *file_system, struct error *err)
{
	if (err->number == EPERM && file_system->mend)
		error_wrap(err, "%s", file_system->mend);
	return error_wrap(err, "mounts[%zu]: %s", request->index, request->destination);
}

/* Detached and attached, or at once: *fd is the mount in the end. */
static int create_and_attach(struct rootfs_context *context, struct mount_request *request,
	const struct file_system *file_system, int target, int *fd, struct error *err)
{
	const struct oci_mount *mount = request->mount;
	const struct mount_options rest = { .propagation = request->options.propagation };
	const char *label =
		file_system->labelled && context->config->linux ? context->config->linux->mount_label : NULL;

	if (mount_create(mount->type, mount->source, &request->options, label, file_system->writable_first,
		    fd, err) < 0)
		return explain_create(request, file_system, err);
	if (*fd >= 0)
		return mount_request_attach(request, *fd, true, true, target, err);
	if (context->running)
		return error_set(err, 0,
			"mounts[%zu].options: iversion, acl and what is longer than 255 characters cannot be "
			"given to "
			"a container that runs",
			request->index);
	if (mount_by_call(mount->type, mount->source, &request->options, label, file_system->writable_first,
		    target, err) < 0)
		return explain_create(request, file_system, err);
	*fd = path_open_in_root(context->root_fd, request->destination, O_PATH, 0);
	if (*fd < 0 || mount_set_attached(*fd, &rest, true) < 0)
		return error_set(
			err, errno, "mounts[%zu].options: cannot set the propagation", request->index);
	return 0;
}

static int perform_file_system(
	struct rootfs_context *context, struct mount_request *request, struct error *err)
{
	const struct file_system *file_system = find_file_system(request->mount->type);
	_cleanup_close_ int fd = -1, target = -1;
	bool made = true;

	target = file_system->through_no_symlink ? open_ordinary_directory(context, request, err)
						 : open_target(context, request, S_IFDIR, &made, err);
	if (target < 0)
		return -1;
	if (!made)
		inherit_mode(context, request, target);
	if (create_and_attach(context, request, file_system, target, &fd, err) < 0)
		return -1;
	if (request->options.copy_up && copy_up(target, fd, err) < 0)
		return error_wrap(err, "mounts[%zu]: tmpcopyup of %s", request->index, request->destination);
	if (take_root(context, request, fd, err) < 0)
		return -1;
	if (file_system->writable_first && mount_options_flags(&request->options).set & MOUNT_ATTR_RDONLY)
		request->later_fd = steal_fd(&fd);
	return 0;
}

/* ---- what is there already ---- */

static int perform_remount(struct rootfs_context *context, struct mount_request *request, struct error *err)
{
	_cleanup_close_ int fd = path_open_in_root(context->root_fd, request->destination, O_PATH, 0);

	if (fd < 0)
		return error_set(err, errno, "mounts[%zu].destination: cannot remount %s", request->index,
			request->destination);
	if (mount_reconfigure(fd, &request->options, err) < 0)
		return error_wrap(err, "mounts[%zu]: %s", request->index, request->destination);
	return 0;
}

int mount_request_perform(struct rootfs_context *context, struct mount_request *request, struct error *err)
{
	_cleanup_close_ int target = -1;

	if (request->options.remount)
		return perform_remount(context, request, err);
	if (request->options.bind)
		return perform_bind(context, request, err);
	if (!is_cgroup(request))
		return perform_file_system(context, request, err);
	target = open_target(context, request, S_IFDIR, NULL, err);
	return target < 0 ? -1 : mount_cgroup(context, request, target, err);
}
