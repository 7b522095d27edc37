/* The processes of a cgroup and those nested in it: listing, killing, freezing.
 *
 * Must never signal a process of a cgroup that others share.
 */
#include "runtime/cgroup_internal.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>

struct pid_list {
	struct arena *arena;
	pid_t *items;
	size_t count;
};

/* 0 stands for a process that our pid namespace cannot see. */
static bool list_one(int parent, const char *name, void *data)
{
	struct pid_list *list = data;
	const char *path = arena_printf(list->arena, "%s/cgroup.procs", name);
	int fd = openat(parent, path, O_RDONLY | O_CLOEXEC);
	_cleanup_fclose_ FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	pid_t pid;

	if (!file) {
		close_fd(fd);
		return errno == ENOENT || errno == ENODEV;
	}
	while (fscanf(file, "%d", &pid) == 1)
		if (pid > 0)
			*(pid_t *)arena_push(list->arena, &list->items, &list->count, sizeof(pid)) = pid;
	return true;
}

/* The hierarchy to look in: all have the same processes, unless one of them was moved by hand. v2 first, since no
 * container has a cgroup mount of it with write access on a hybrid host. */
static struct cgroup_directory *main_directory(struct cgroup *cgroup)
{
	struct cgroup_directory *directory = cgroup_v2_directory(cgroup);

	for (size_t i = 0; i < cgroup->count && (!directory || !cgroup_directory_open(directory)); i++)
		directory = &cgroup->directories[i];
	return directory && directory->fd >= 0 ? directory : NULL;
}

int cgroup_processes(
	struct arena *arena, struct cgroup *cgroup, pid_t **pids, size_t *count, struct error *err)
{
	struct cgroup_directory *directory = cgroup ? main_directory(cgroup) : NULL;
	struct pid_list list = { .arena = arena };

	*pids = NULL;
	*count = 0;
	if (!directory)
		return 0;
	if (!cgroup_visit_tree(directory->path, list_one, &list))
		return error_set(err, errno, "cannot list the processes of the cgroup %s", directory->path);
	*pids = list.items;
	*count = list.count;
	return 0;
}

static int refuse_joined(const struct cgroup *cgroup, const char *what, struct error *err)
{
	return error_set(err, EPERM,
		"cannot %s the cgroup %s: it had processes before this container, which are not the "
		"container's",
		what, cgroup->path);
}

static int signal_each(struct cgroup *cgroup, int number, struct error *err)
{
	size_t count;
	pid_t *pids;

	if (cgroup_processes(cgroup->arena, cgroup, &pids, &count, err) < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (kill(pids[i], number) < 0 && errno != ESRCH)
			return error_set(err, errno, "cannot send signal %d to process %d", number, pids[i]);
	return 0;
}

int cgroup_kill(struct cgroup *cgroup, int number, struct error *err)
{
	struct cgroup_directory *v2;
	int result = 0;

	if (!cgroup)
		return 0;
	if (cgroup->joined)
		return refuse_joined(cgroup, "signal", err);
	if (number != SIGKILL)
		return signal_each(cgroup, number, err);
	/* cgroup.kill (Linux 5.14) is atomic. Elsewhere a process that forks while the list is read would leave a child
	 * that nobody kills: stop them first, where there is a freezer. */
	v2 = cgroup_v2_directory(cgroup);
	if (!v2 || !cgroup_directory_open(v2) || !cgroup_write(v2->fd, "cgroup.kill", "1")) {
		cgroup_freeze(cgroup, true, NULL);
		result = signal_each(cgroup, SIGKILL, err);
	}
	/* On v1 a frozen process does not die before it is thawed. */
	if (cgroup_frozen(cgroup) && cgroup_freeze(cgroup, false, result < 0 ? NULL : err) < 0)
		return -1;
	return result;
}

/* The directory that freezes: v1's freezer, else v2's own. */
static struct cgroup_directory *freezer(struct cgroup *cgroup, bool *v2)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, "freezer");

	if (!directory || !cgroup_directory_open(directory))
		return NULL;
	*v2 = hierarchy_is_v2(directory->hierarchy);
	return directory;
}

enum { FREEZE_PATIENCE_MS = 10000 };

/* cgroup.events changes, and says so, when the last process has stopped. */
static bool wait_frozen_v2(int directory, bool freeze)
{
	_cleanup_close_ int events = openat(directory, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd event = { .fd = events, .events = POLLPRI };
	char text[256];
	int changed = 1;

	if (events < 0)
		return false;
	while (changed > 0) {
		ssize_t length = pread(events, text, sizeof(text) - 1, 0);

		if (length < 0)
			return false;
		text[length] = '\0';
		if (strstr(text, freeze ? "frozen 1" : "frozen 0"))
			return true;
		changed = poll(&event, 1, FREEZE_PATIENCE_MS);
	}
	errno = ETIMEDOUT;
	return false;
}

/* v1 has no event for it: the state stays FREEZING until somebody asks when all are frozen, and a process that was
 * forked meanwhile needs the order once more. */
static bool set_frozen_v1(int directory, bool freeze)
{
	const char *wanted = freeze ? "FROZEN" : "THAWED";
	char state[32];

	for (int waited_ms = 0; waited_ms < FREEZE_PATIENCE_MS; waited_ms++) {
		if (!cgroup_write(directory, "freezer.state", wanted) ||
			!cgroup_read(directory, "freezer.state", state, sizeof(state)))
			return false;
		if (strcmp(state, wanted) == 0)
			return true;
		poll(NULL, 0, 1);
	}
	errno = ETIMEDOUT;
	return false;
}

static bool set_frozen(const struct cgroup_directory *directory, bool v2, bool freeze)
{
	if (!v2)
		return set_frozen_v1(directory->fd, freeze);
	return cgroup_write(directory->fd, "cgroup.freeze", freeze ? "1" : "0") &&
	       wait_frozen_v2(directory->fd, freeze);
}

int cgroup_freeze(struct cgroup *cgroup, bool freeze, struct error *err)
{
	struct cgroup_directory *directory;
	bool v2;

	if (!cgroup)
		return error_set(err, 0, "the container has no cgroup, without which it cannot be paused");
	if (cgroup->joined)
		return refuse_joined(cgroup, freeze ? "pause" : "resume", err);
	directory = freezer(cgroup, &v2);
	if (!directory)
		return error_set(
			err, 0, "the container has no freezer cgroup, without which it cannot be paused");
	/* What is gone, as a systemd scope with its last process, holds nothing. */
	if (set_frozen(directory, v2, freeze) || (!freeze && (errno == ENOENT || errno == ENODEV)))
		return 0;
	error_set(err, errno, "cannot %s the cgroup %s", freeze ? "freeze" : "thaw", directory->path);
	if (freeze)
		cgroup_write(directory->fd, v2 ? "cgroup.freeze" : "freezer.state", v2 ? "0" : "THAWED");
	return -1;
}

bool cgroup_frozen(struct cgroup *cgroup)
{
	struct cgroup_directory *directory;
	char state[32];
	bool v2;

	directory = cgroup ? freezer(cgroup, &v2) : NULL;
	if (!directory ||
		!cgroup_read(directory->fd, v2 ? "cgroup.freeze" : "freezer.state", state, sizeof(state)))
		return false;
	return v2 ? strcmp(state, "1") == 0 : strcmp(state, "THAWED") != 0;
}

const char *cgroup_freezer_path(struct cgroup *cgroup)
{
	struct cgroup_directory *directory;
	bool v2;

	if (!cgroup || cgroup->joined)
		return NULL;
	directory = freezer(cgroup, &v2);
	return directory ? directory->path : NULL;
}
