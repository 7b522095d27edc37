/* Mounts of type "cgroup": what a container sees of its cgroup.
 *
 * With a cgroup namespace the hierarchies are mounted anew, and their root is the container's own cgroup. Without one, as with crun
 * and runc: of v1 the container's directory of each is bound; v2 is shown whole, as its /proc/self/cgroup tells, by which systemd
 * finds itself there. See mount_request.h.
 */
#include "runtime/mount.h"
#include "runtime/mount_request.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>

/* Only the mount's own options: its data, as with engines that write "cgroup", is about none of the hierarchies. */
static struct mount_options options_for(const struct mount_request *request)
{
	struct mount_options options = request->options;

	options.data = (struct string_list){ 0 };
	return options;
}

static int new_hierarchy(const struct rootfs_context *context, const struct mount_request *request,
	const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	struct mount_options options = options_for(request);
	char *list = arena_strdup(context->arena, hierarchy->controllers), *word;
	int fd;

	while ((word = strsep(&list, ",")))
		if (*word)
			*(const char **)arena_push(context->arena, &options.data.items, &options.data.count,
				sizeof(char *)) = word;
	/* A hierarchy without controllers has a name, and says so. */
	if (strncmp(hierarchy->controllers, "name=", strlen("name=")) == 0)
		*(const char **)arena_push(
			context->arena, &options.data.items, &options.data.count, sizeof(char *)) = "none";
	if (mount_create(hierarchy_is_v2(hierarchy) ? "cgroup2" : "cgroup", "cgroup", &options, NULL, false,
		    &fd, err) < 0)
		return -1;
	return fd;
}

static int bound_hierarchy(
	const struct rootfs_context *context, const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	const char *path = arena_printf(context->arena, "%s%s", hierarchy->mount_point, hierarchy->path);
	int fd = mount_clone(AT_FDCWD, path, false, false);

	return fd < 0 ? error_set(err, errno, "cannot bind the container's cgroup %s", path) : fd;
}

static int hierarchy_mount(const struct rootfs_context *context, const struct mount_request *request,
	const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	return context->cgroup_namespace ? new_hierarchy(context, request, hierarchy, err)
					 : bound_hierarchy(context, hierarchy, err);
}

static const char *name_of(const struct cgroup_hierarchy *hierarchy)
{
	return strrchr(hierarchy->mount_point, '/') + 1;
}

/* "cpu" and "cpuacct" where both are one hierarchy, "cpu,cpuacct". */
static int link_controllers(const struct rootfs_context *context, int directory,
	const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	char *list = arena_strdup(context->arena, hierarchy->controllers), *word;

	if (!strchr(list, ','))
		return 0;
	while ((word = strsep(&list, ",")))
		if (strchr(word, '=') == NULL && strcmp(word, name_of(hierarchy)) != 0 &&
			symlinkat(name_of(hierarchy), directory, word) < 0 && errno != EEXIST)
			return error_set(err, errno, "cannot make the link %s", word);
	return 0;
}

/* Rootless, no cgroup could be made for the container in some or all hierarchies: it sees none there. */
static bool is_absent(const struct error *err)
{
	return err->number == ENOENT;
}

static int add_hierarchy(const struct rootfs_context *context, const struct mount_request *request,
	int directory, const struct cgroup_hierarchy *hierarchy, struct error *err)
{
	const char *name = name_of(hierarchy);
	_cleanup_close_ int fd = hierarchy_mount(context, request, hierarchy, err), target = -1;

	if (fd < 0)
		return is_absent(err) ? 0 : -1;
	if (mkdirat(directory, name, 0755) < 0)
		return error_set(err, errno, "cannot make the directory %s", name);
	target = openat(directory, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return error_set(err, errno, "cannot open the directory %s", name);
	if (mount_request_attach(request, fd, context->cgroup_namespace, true, target, err) < 0)
		return -1;
	return link_controllers(context, directory, hierarchy, err);
}

/* v1 and hybrid: a directory with one mount for each hierarchy. */
static int mount_each(
	const struct rootfs_context *context, struct mount_request *request, int target_fd, struct error *err)
{
	static const char *mode[] = { "mode=755" };
	struct mount_options options = options_for(request);
	const struct cgroup_hierarchy *hierarchies;
	size_t count = cgroup_hierarchies(context->cgroup, &hierarchies);
	_cleanup_close_ int fd = -1;

	options.data = (struct string_list){ mode, ARRAY_SIZE(mode) };
	if (mount_create("tmpfs", "cgroup", &options, NULL, true, &fd, err) < 0)
		return -1;
	if (mount_attach(fd, target_fd) < 0)
		return error_set(err, errno, "cannot mount a tmpfs on it");
	for (size_t i = 0; i < count; i++)
		if (add_hierarchy(context, request, fd, &hierarchies[i], err) < 0)
			return -1;
	if (mount_options_flags(&options).set & MOUNT_ATTR_RDONLY)
		request->later_fd = steal_fd(&fd);
	return 0;
}

/* Pure v2. Where the kernel refuses a new mount, in a user namespace, the container's directory is bound. */
static int mount_unified(const struct rootfs_context *context, const struct mount_request *request,
	int target_fd, struct error *err)
{
	static const struct cgroup_hierarchy whole = { "", "/sys/fs/cgroup", "/" };
	const struct cgroup_hierarchy *own = &whole;
	_cleanup_close_ int fd = -1;
	bool is_new = context->cgroup_namespace;

	if (context->cgroup)
		cgroup_hierarchies(context->cgroup, &own);
	fd = hierarchy_mount(context, request, is_new ? own : &whole, err);
	if (fd < 0 && (err->number == EPERM || err->number == EBUSY)) {
		is_new = false;
		fd = bound_hierarchy(context, own, err);
	}
	if (fd < 0 && is_absent(err))
		fd = bound_hierarchy(context, &whole, err);
	return fd < 0 ? -1 : mount_request_attach(request, fd, is_new, true, target_fd, err);
}

int mount_cgroup(
	struct rootfs_context *context, struct mount_request *request, int target_fd, struct error *err)
{
	bool unified = context->cgroup ? cgroup_is_unified(context->cgroup) : cgroup_host_is_unified();
	int result = unified ? mount_unified(context, request, target_fd, err)
			     : mount_each(context, request, target_fd, err);

	return result < 0 ? error_wrap(err, "mounts[%zu]: %s", request->index, request->destination) : 0;
}
