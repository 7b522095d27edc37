/* See live_mounts.h. */
#include "runtime/live_mounts.h"

#include "runtime/exec.h"
#include "runtime/mount.h"
#include "runtime/mount_calls.h"
#include "runtime/mount_request.h"
#include "runtime/namespaces.h"
#include "runtime/path.h"
#include "runtime/spawn.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { UNMOUNT_NOFOLLOW = 8 }; /* UMOUNT_NOFOLLOW */

struct change {
	const struct live_mounts_options *options;
	struct arena *arena;
	struct state_directory directory;
	struct state *state;
	struct oci_config *config; /* of the container, with the mounts of the file in the place of its own */
	struct rootfs_context rootfs;
	struct exec_target target;
	struct spawned child;
	int theirs; /* the child's end of the handshake */
};

/* ---- in the container ---- */

static int map_source(void *data, size_t index, int fd, struct error *err)
{
	const struct change *change = data;

	return spawn_map_source(change->theirs, index, fd, err);
}

/* By the name in its directory, which no link can lead elsewhere. (umount2(2) takes no fd; a place where something is mounted cannot be
 * renamed.) */
static int remove_one(const struct rootfs_context *rootfs, size_t index, struct error *err)
{
	const char *path = rootfs->config->mounts.items[index].destination;
	char name[NAME_MAX + 1];
	_cleanup_close_ int directory =
		path_open_parent_in_root(rootfs->root_fd, path, RESOLVE_NO_SYMLINKS, name);

	if (directory < 0 || fchdir(directory) < 0)
		return error_set(err, errno,
			"mounts[%zu].destination: cannot open the directory of %s (by way of no symbolic "
			"link)",
			index, path);
	if (call_umount(name, UNMOUNT_DETACH | UNMOUNT_NOFOLLOW) < 0)
		return error_set(err, errno, "mounts[%zu].destination: cannot unmount %s", index, path);
	return 0;
}

/* `count` of them from `first` on, the last one first, since one may lie in another. */
static void take_back(const struct rootfs_context *rootfs, size_t first, size_t count, struct error *err)
{
	while (count-- > 0)
		if (remove_one(rootfs, first + count, NULL) < 0)
			error_wrap(err, "mounts[%zu] was added, and cannot be taken back", first + count);
}

static int add_one(struct rootfs_context *rootfs, struct mount_request *request, struct error *err)
{
	_cleanup_close_ int writable = -1;

	if (mount_request_perform(rootfs, request, err) < 0)
		return -1;
	writable = request->later_fd;
	if (writable < 0 || mount_restrict(writable, MOUNT_ATTR_RDONLY) == 0)
		return 0;
	error_set(err, errno, "mounts[%zu]: cannot make %s read-only", request->index, request->destination);
	take_back(rootfs, request->index, 1, err);
	return -1;
}

static int add_all(struct rootfs_context *rootfs, struct error *err)
{
	for (size_t i = 0; i < rootfs->config->mounts.count; i++)
		if (add_one(rootfs, &rootfs->requests[i], err) < 0) {
			take_back(rootfs, 0, i, err);
			return -1;
		}
	return 0;
}

static int open_place(const struct rootfs_context *rootfs, size_t index)
{
	return path_open_in_root(rootfs->root_fd, rootfs->config->mounts.items[index].destination,
		O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS);
}

/* What is no mount is found before anything is removed. */
static int check_mounted(const struct rootfs_context *rootfs, size_t index, struct error *err)
{
	const char *path = rootfs->config->mounts.items[index].destination;
	_cleanup_close_ int place = open_place(rootfs, index);
	struct statx status;

	if (place < 0 || statx(place, "", AT_EMPTY_PATH, 0, &status) < 0)
		return error_set(err, errno,
			"mounts[%zu].destination: cannot open %s (by way of no symbolic link)", index, path);
	/* Linux 5.8 tells. */
	if ((status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT) &&
		!(status.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return error_set(err, 0, "mounts[%zu].destination: nothing is mounted at %s", index, path);
	return 0;
}

/* Of the first `count`, the last one first, since that may lie in another. */
static void put_back(const struct rootfs_context *rootfs, const int *copies, size_t count, struct error *err)
{
	while (count-- > 0) {
		_cleanup_close_ int place = open_place(rootfs, count);

		if (place < 0 || mount_attach(copies[count], place) < 0)
			error_wrap(err, "mounts[%zu] was removed, and cannot be put back", count);
	}
}

/* The copies go with this process. After the last one nothing can fail any more. */
static int remove_all(const struct rootfs_context *rootfs, struct error *err)
{
	size_t count = rootfs->config->mounts.count;
	int *copies = arena_array(rootfs->arena, count, sizeof(*copies));

	for (size_t i = 0; i < count; i++)
		if (check_mounted(rootfs, i, err) < 0)
			return -1;
	for (size_t i = 0; i < count; i++) {
		_cleanup_close_ int place = i + 1 < count ? open_place(rootfs, i) : -1;

		copies[i] = place < 0 ? -1 : mount_clone(place, "", true, false);
		if (i + 1 < count && copies[i] < 0)
			error_set(err, errno,
				"mounts[%zu].destination: cannot copy %s, to put it back if another cannot "
				"be "
				"removed; remove it alone",
				i, rootfs->config->mounts.items[i].destination);
		else if (remove_one(rootfs, i, err) == 0)
			continue;
		put_back(rootfs, copies, i, err);
		return -1;
	}
	return 0;
}

static int change_mounts(struct change *change, struct error *err)
{
	struct rootfs_context *rootfs = &change->rootfs;

	rootfs->root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (rootfs->root_fd < 0)
		return error_set(err, errno, "cannot open the container's root");
	umask(0);
	return change->options->remove ? remove_all(rootfs, err) : add_all(rootfs, err);
}

static int enter(struct change *change, struct error *err)
{
	change->child.handshake = close_fd(change->child.handshake);
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_set(err, errno, "cannot make the process opaque");
	if (setns(change->target.pidfd, (int)change->target.flags) < 0)
		return error_set(err, errno, "cannot join the container's namespaces");
	if (change->target.flags & CLONE_NEWUSER)
		namespaces_become_root(change->target.can_set_groups);
	return 0;
}

/* A procfs shows the pid namespace of the process that makes it: one that was born in there. */
static void __attribute__((noreturn)) enter_and_change(void *data)
{
	struct change *change = data;
	struct error err = { 0 };

	if (enter(change, &err) == 0 && spawn_sibling(change->theirs, 0, &err) == 0 &&
		change_mounts(change, &err) == 0)
		_exit(0);
	spawn_report_failure(change->theirs, -1, &err);
	_exit(1);
}

/* ---- in the runtime ---- */

static int load(struct change *change, struct error *err)
{
	const struct live_mounts_options *options = change->options;
	struct oci_config list = { 0 };
	struct json *tree;

	if (state_open(change->arena, options->root, options->id, &change->directory, err) < 0 ||
		state_load(change->arena, &change->directory, &change->state, err) < 0 ||
		state_load_config(change->arena, &change->directory, change->state, &change->config, err) < 0)
		return -1;
	if (json_parse_file(change->arena, options->file, JSON_STRICT, &tree, err) < 0 ||
		oci_mounts_read(change->arena, tree, options->file, &list, err) < 0)
		return -1;
	change->config->mounts.items = list.mounts.items;
	change->config->mounts.count = list.mounts.count;
	if (exec_target_open(change->state, change->config, &change->target, err) < 0)
		return -1;
	if (!(change->target.flags & CLONE_NEWNS))
		return error_set(err, 0, "the container has no mount namespace of its own");
	return 0;
}

static int check(const struct mount_request *request, struct error *err)
{
	const char *type = request->mount->type;

	if (mount_request_takes_root(request))
		return error_set(err, 0, "mounts[%zu].destination: the root cannot be replaced any more",
			request->index);
	if (request->options.copy_symlink)
		return error_set(err, 0,
			"mounts[%zu].options: \"copy-symlink\" cannot be given to a container that runs",
			request->index);
	if (!request->options.bind && type && strncmp(type, "cgroup", strlen("cgroup")) == 0)
		return error_set(err, 0, "mounts[%zu].type: \"%s\" cannot be added to a container that runs",
			request->index, type);
	return 0;
}

static int open_sources(struct change *change, struct error *err)
{
	change->rootfs = (struct rootfs_context){
		.config = change->config,
		.bundle = change->state->bundle,
		.user_namespace = (change->target.flags & CLONE_NEWUSER) != 0,
		.running = true,
		.root_fd = -1,
		.arena = change->arena,
		.map_source = map_source,
		.map_data = change,
	};
	if (change->options->remove)
		return 0;
	if (mount_set(-1, &(struct mount_options){ .own.set = MOUNT_ATTR_RDONLY }, true, -1) < 0 &&
		errno == ENOSYS)
		return error_set(err, 0, "mounts can be added to a container that runs since Linux 5.12");
	if (rootfs_open_added_sources(&change->rootfs, err) < 0)
		return -1;
	for (size_t i = 0; i < change->config->mounts.count; i++)
		if (check(&change->rootfs.requests[i], err) < 0)
			return -1;
	return 0;
}

static int map_for_child(void *data, size_t index, int fd, struct error *err)
{
	struct change *change = data;

	return rootfs_map_source(&change->rootfs, index, fd, err);
}

static int wait_for_child(const struct change *change, struct error *err)
{
	int status;

	while (waitpid(change->child.pid, &status, 0) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "cannot wait for the process that changes the mounts");
	return status == 0 ? 0 : error_set(err, 0, "the process that changes the mounts was killed");
}

static int run(struct change *change, struct error *err)
{
	const struct spawn_service service = { .map_source = map_for_child, .data = change };
	pid_t intermediate;
	int result;

	if (load(change, err) < 0 || open_sources(change, err) < 0 ||
		handshake_pair(&change->child.handshake, &change->theirs, err) < 0)
		return -1;
	intermediate = spawn_intermediate(enter_and_change, change, err);
	change->theirs = close_fd(change->theirs);
	if (intermediate < 0 || spawn_adopt(&change->child, intermediate, NULL, NULL, err) < 0)
		return -1;
	result = spawn_serve(&change->child, &service, err);
	change->child.handshake = close_fd(change->child.handshake);
	return wait_for_child(change, result < 0 ? NULL : err) < 0 || result < 0 ? -1 : 0;
}

int live_mounts_change(struct arena *arena, const struct live_mounts_options *options, struct error *err)
{
	struct change change = {
		.options = options,
		.arena = arena,
		.directory.fd = -1,
		.target.pidfd = -1,
		.child = SPAWNED_NONE,
		.theirs = -1,
	};
	int result = run(&change, err);

	if (change.rootfs.requests)
		rootfs_close_sources(&change.rootfs);
	spawned_close(&change.child);
	close_fd(change.target.pidfd);
	cleanup_state_directory(&change.directory);
	return result;
}
