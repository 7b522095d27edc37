/* The container's directories in the cgroup hierarchies: making, entering, reading, writing and removing them.
 *
 * Must never remove a cgroup that was there with processes before us.
 */
#include "runtime/cgroup_internal.h"
#include "runtime/cgroup_systemd.h"
#include "runtime/clock.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

static const char no_controller[] = "this host has no cgroup controller for it";

struct cgroup_directory *cgroup_v2_directory(struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++)
		if (hierarchy_is_v2(&cgroup->hierarchies[i]))
			return &cgroup->directories[i];
	return NULL;
}

struct cgroup_directory *cgroup_controller(struct cgroup *cgroup, const char *controller)
{
	for (size_t i = 0; i < cgroup->count; i++)
		if (cgroup_list_has(cgroup->hierarchies[i].controllers, controller))
			return &cgroup->directories[i];
	return cgroup_v2_directory(cgroup);
}

bool cgroup_directory_open(struct cgroup_directory *directory)
{
	if (directory->fd < 0) {
		directory->fd = open(directory->path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (directory->fd < 0 && directory->fault)
			errno = directory->fault;
	}
	return directory->fd >= 0;
}

bool cgroup_read(int directory, const char *file, char *text, size_t size)
{
	_cleanup_close_ int fd = openat(directory, file, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, text, size - 1);

	if (length < 0)
		return false;
	while (length > 0 && text[length - 1] == '\n')
		length--;
	text[length] = '\0';
	return true;
}

bool cgroup_write(int directory, const char *file, const char *text)
{
	_cleanup_close_ int fd = openat(directory, file, O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, text, strlen(text)) >= 0;
}

bool cgroup_try(struct cgroup *cgroup, const char *controller, const char *file, const char *text)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, controller);

	if (!directory) {
		errno = ENODEV;
		return false;
	}
	return cgroup_directory_open(directory) && cgroup_write(directory->fd, file, text);
}

int cgroup_set_failed(struct cgroup *cgroup, const char *controller, const char *file, const char *property,
	const char *text, struct error *err)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, controller);
	int number = errno;

	if (!directory)
		return error_set(err, 0, "linux.resources.%s: %s (%s)", property, no_controller, controller);
	if (directory->fd < 0)
		return error_set(err, number,
			"linux.resources.%s: the container has no %s cgroup: cannot make %s", property,
			controller, directory->path);
	if (number == ENOENT)
		return error_set(err, 0, "linux.resources.%s: %s: there is no %s/%s", property, no_controller,
			directory->path, file);
	return error_set(err, number, "linux.resources.%s: cannot write \"%s\" to %s/%s", property, text,
		directory->path, file);
}

int cgroup_set(struct cgroup *cgroup, const char *controller, const char *file, const char *property,
	struct error *err, const char *format, ...)
{
	_cleanup_free_ char *text = NULL;
	va_list arguments;
	int length;

	va_start(arguments, format);
	length = vasprintf(&text, format, arguments);
	va_end(arguments);
	if (length < 0)
		return error_set(err, ENOMEM, "linux.resources.%s", property);
	if (!cgroup_try(cgroup, controller, file, text))
		return cgroup_set_failed(cgroup, controller, file, property, text, err);
	return 0;
}

bool cgroup_has(struct cgroup *cgroup, const char *controller, const char *file)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, controller);

	if (!directory) {
		errno = ENODEV;
		return false;
	}
	return cgroup_directory_open(directory) && faccessat(directory->fd, file, F_OK, 0) == 0;
}

/* Makes `path` and those above it that are missing, below the mount point. *existed: it was there. */
static int make_path(
	const struct cgroup_hierarchy *hierarchy, const char *path, bool *existed, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path);
	bool cpuset = cgroup_list_has(hierarchy->controllers, "cpuset");
	char *end;

	if (!copy)
		return error_set(err, ENOMEM, "cannot make the cgroup %s", path);
	for (end = copy + strlen(hierarchy->mount_point); end;) {
		end = strchr(end + 1, '/');
		if (end)
			*end = '\0';
		*existed = mkdir(copy, 0755) < 0;
		if (*existed && errno != EEXIST)
			return error_set(err, errno, "cannot make the cgroup %s", copy);
		if (!*existed && cpuset && cgroup_v1_inherit_cpuset(hierarchy, copy, err) < 0)
			return -1;
		if (end)
			*end = '/';
	}
	return 0;
}

/* Nothing was delegated to us, or all is read-only: not an error yet, but cgroup_apply() has one if something was to be
 * limited there. */
static bool is_denied(int number)
{
	return number == EACCES || number == EPERM || number == EROFS;
}

static int make_directory(struct cgroup *cgroup, struct cgroup_directory *directory,
	const struct oci_resources *resources, struct error *err)
{
	if (make_path(directory->hierarchy, directory->path, &directory->existed, err) < 0) {
		directory->fault = err->number;
		return is_denied(err->number) ? 0 : -1;
	}
	if (hierarchy_is_v2(directory->hierarchy))
		cgroup_v2_enable(cgroup, directory, resources);
	return 0;
}

/* A v1 `tasks` file moves one thread, the writer, without the lock that stops all forks and exits and waits for a grace
 * period of RCU. v2 has nothing of the kind: there CLONE_INTO_CGROUP spares it. */
int cgroup_open_entries(struct cgroup *cgroup, struct error *err)
{
	for (size_t i = 0; cgroup && i < cgroup->count; i++) {
		struct cgroup_directory *directory = &cgroup->directories[i];
		const char *file = hierarchy_is_v2(directory->hierarchy) ? "cgroup.procs" : "tasks";

		if (directory->fault || directory->entry >= 0)
			continue;
		if (!cgroup_directory_open(directory))
			return error_set(err, errno, "cannot open the cgroup %s", directory->path);
		directory->entry = openat(directory->fd, file, O_WRONLY | O_CLOEXEC);
		if (directory->entry < 0)
			return error_set(err, errno, "cannot open %s/%s", directory->path, file);
	}
	return 0;
}

/* Nothing that enters such a one would ever go on. It is somebody else's, and stays. */
static int refuse_frozen(struct cgroup *cgroup, struct error *err)
{
	if (!cgroup_frozen(cgroup))
		return 0;
	cgroup->joined = true;
	return error_set(err, 0,
		"container's cgroup unexpectedly frozen: %s was there before and is not thawed",
		cgroup->path);
}

static int refuse_frozen_among(struct cgroup *cgroup, struct error *err)
{
	bool existed = false;

	for (size_t i = 0; i < cgroup->count; i++)
		existed = existed || cgroup->directories[i].existed;
	if (!existed || refuse_frozen(cgroup, err) == 0)
		return 0;
	for (size_t i = 0; i < cgroup->count; i++)
		if (!cgroup->directories[i].existed)
			rmdir(cgroup->directories[i].path);
	return -1;
}

/* Before systemd makes a unit of it, with which it would end. */
static int start_unit(struct cgroup *cgroup, const struct oci_resources *resources,
	const struct string_map *annotations, struct error *err)
{
	if (refuse_frozen(cgroup, err) < 0)
		return -1;
	for (size_t i = 0; i < cgroup->count; i++)
		cgroup->directories[i].fd = close_fd(cgroup->directories[i].fd);
	return cgroup_systemd_start(cgroup, resources, annotations, err);
}

int cgroup_create(struct cgroup *cgroup, const struct oci_resources *resources,
	const struct string_map *annotations, struct error *err)
{
	if (!cgroup)
		return 0;
	if (cgroup->unit && start_unit(cgroup, resources, annotations, err) < 0)
		return -1;
	cgroup_examine(cgroup);
	for (size_t i = 0; i < cgroup->count; i++)
		if (make_directory(cgroup, &cgroup->directories[i], resources, err) < 0)
			return -1;
	return refuse_frozen_among(cgroup, err) < 0 ? -1 : cgroup_open_entries(cgroup, err);
}

static int apply(
	struct cgroup *cgroup, const struct oci_resources *resources, bool devices, struct error *err)
{
	if (!cgroup)
		return 0;
	if (cgroup->unified)
		return cgroup_v2_apply(cgroup, resources, devices, err);
	return cgroup_v1_apply(cgroup, resources, devices, err);
}

int cgroup_apply(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	if (cgroup && cgroup_check_usage(cgroup, resources, err) < 0)
		return -1;
	return apply(cgroup, resources, true, err);
}

/* systemd first: its figures are rounded. */
int cgroup_update(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	if (!cgroup)
		return 0;
	if (cgroup->unit)
		resources = cgroup_v2_complete_quota(cgroup, resources);
	if (cgroup_check_usage(cgroup, resources, err) < 0 ||
		(cgroup->unit && cgroup_systemd_update(cgroup, resources, err) < 0))
		return -1;
	return apply(cgroup, resources, false, err);
}

int cgroup_clone_fd(struct cgroup *cgroup)
{
	struct cgroup_directory *directory = cgroup ? cgroup_v2_directory(cgroup) : NULL;

	return directory && cgroup_directory_open(directory) ? directory->fd : -1;
}

static int enter_failed(const struct cgroup_directory *directory, struct error *err)
{
	return error_set(err, errno, "cannot join the cgroup %s%s", directory->path,
		errno == ENOSPC ? ": its cpuset.cpus or cpuset.mems is empty" : "");
}

int cgroup_enter(struct cgroup *cgroup, bool cloned, struct error *err)
{
	for (size_t i = 0; cgroup && i < cgroup->count; i++) {
		struct cgroup_directory *directory = &cgroup->directories[i];

		if (directory->fault || (cloned && hierarchy_is_v2(directory->hierarchy)))
			continue;
		if (directory->entry >= 0 && write(directory->entry, "0", 1) >= 0)
			continue;
		/* A user may not move out of a session's cgroup, but systemd moves them. */
		if (errno == EACCES && cgroup->unit)
			return cgroup_systemd_attach(cgroup, err);
		return enter_failed(directory, err);
	}
	return 0;
}

bool cgroup_is_shared(const struct cgroup *cgroup)
{
	return cgroup && cgroup->joined;
}

bool cgroup_is_unified(const struct cgroup *cgroup)
{
	return cgroup && cgroup->unified;
}

size_t cgroup_hierarchies(const struct cgroup *cgroup, const struct cgroup_hierarchy **hierarchies)
{
	*hierarchies = cgroup ? cgroup->hierarchies : NULL;
	return cgroup ? cgroup->count : 0;
}

static bool remove_one(int parent, const char *name, void *data)
{
	(void)data;
	return unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

/* Most have nothing below them. */
static bool remove_tree(const char *path)
{
	return remove_one(AT_FDCWD, path, NULL) ||
	       (errno == EBUSY && cgroup_visit_tree(path, remove_one, NULL));
}

enum { DESTROY_PATIENCE_MS = 10000 };

/* For poll(2), which takes less than 0 for for ever. */
static int time_left(int64_t deadline)
{
	int64_t left = deadline - monotonic_ms();

	return left > 0 ? (int)left : 0;
}

/* Until each of them is gone, or the time is over. Killed processes need a moment to die. */
static void wait_for_exit(const pid_t *pids, size_t count, int64_t deadline)
{
	for (size_t i = 0; i < count; i++) {
		_cleanup_close_ int pidfd = pids[i] > 0 ? pidfd_open(pids[i], 0) : -1;
		struct pollfd event = { .fd = pidfd, .events = POLLIN };

		if (pidfd >= 0)
			poll(&event, 1, time_left(deadline));
	}
}

/* A process leaves its cgroups in the last steps of its exit, which since Linux 6.19 is after its pidfd became readable.
 * The v2 hierarchy, which is there on hybrid hosts too, tells when. */
static void wait_until_empty(struct cgroup *cgroup, int64_t deadline)
{
	struct cgroup_directory *directory = cgroup_v2_directory(cgroup);
	_cleanup_close_ int events = -1;
	char text[256];

	if (directory && cgroup_directory_open(directory))
		events = openat(directory->fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
	while (events >= 0 && monotonic_ms() < deadline) {
		struct pollfd event = { .fd = events, .events = POLLPRI };
		ssize_t length = pread(events, text, sizeof(text) - 1, 0);

		if (length < 0)
			return;
		text[length] = '\0';
		if (strstr(text, "populated 0"))
			return;
		poll(&event, 1, time_left(deadline));
	}
}

/* 0, or why one of them, *busy, is still there. */
static int remove_all(struct cgroup *cgroup, const struct cgroup_directory **busy)
{
	int fault = 0;

	for (size_t i = 0; i < cgroup->count; i++) {
		struct cgroup_directory *directory = &cgroup->directories[i];

		if (directory->fault)
			continue;
		if (!remove_tree(directory->path)) {
			fault = errno;
			*busy = directory;
		}
	}
	return fault;
}

int cgroup_destroy(struct cgroup *cgroup, struct error *err)
{
	int64_t deadline = monotonic_ms() + DESTROY_PATIENCE_MS;
	const struct cgroup_directory *busy;
	pid_t *pids;
	size_t count;
	int fault;

	cgroup_settle(cgroup);
	if (!cgroup || cgroup->joined)
		return 0;
	if (cgroup->unit && cgroup_systemd_stop(cgroup, err) < 0)
		return -1;
	while ((fault = remove_all(cgroup, &busy))) {
		if (fault != EBUSY)
			return error_set(err, fault, "cannot remove the cgroup %s", busy->path);
		if (cgroup_processes(cgroup->arena, cgroup, &pids, &count, err) < 0)
			return -1;
		if (monotonic_ms() >= deadline)
			return error_set(err, EBUSY,
				"cannot remove the cgroup %s: %zu processes are still in it", busy->path,
				count);
		wait_for_exit(pids, count, deadline);
		wait_until_empty(cgroup, deadline);
	}
	return 0;
}
