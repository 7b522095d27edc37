/* See namespaces.h. */
#include "runtime/namespaces.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/nsfs.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const struct {
	const char *type, *proc;
	unsigned int flag;
} kinds[NAMESPACE_KINDS] = {
	[NAMESPACE_USER] = { "user", "user", CLONE_NEWUSER },
	[NAMESPACE_PID] = { "pid", "pid", CLONE_NEWPID },
	[NAMESPACE_NETWORK] = { "network", "net", CLONE_NEWNET },
	[NAMESPACE_IPC] = { "ipc", "ipc", CLONE_NEWIPC },
	[NAMESPACE_UTS] = { "uts", "uts", CLONE_NEWUTS },
	[NAMESPACE_CGROUP] = { "cgroup", "cgroup", CLONE_NEWCGROUP },
	[NAMESPACE_TIME] = { "time", "time", CLONE_NEWTIME },
	[NAMESPACE_MOUNT] = { "mount", "mnt", CLONE_NEWNS },
};

static int open_namespace(const char *path, enum namespace_kind kind, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	int flag;

	if (fd < 0)
		return error_set(err, errno, "cannot open the %s namespace %s", kinds[kind].type, path);
	flag = ioctl(fd, NS_GET_NSTYPE);
	if (flag < 0)
		return error_set(err, 0, "%s is not a namespace", path);
	if ((unsigned int)flag != kinds[kind].flag)
		return error_set(err, 0, "%s is not a %s namespace", path, kinds[kind].type);
	return steal_fd(&fd);
}

static bool is_same(const struct stat *one, const struct stat *other)
{
	return one->st_dev == other->st_dev && one->st_ino == other->st_ino;
}

/* Joining one's own user namespace is an error for setns(2), and changes nothing. */
static bool is_own_user_namespace(int fd)
{
	struct stat ours, theirs;

	return stat("/proc/self/ns/user", &ours) == 0 && fstat(fd, &theirs) == 0 && is_same(&ours, &theirs);
}

static int plan_one(
	struct namespaces *namespaces, enum namespace_kind kind, const char *path, struct error *err)
{
	int fd;

	namespaces->present[kind] = true;
	if (!path && kind == NAMESPACE_CGROUP)
		namespaces->create_cgroup = true;
	else if (!path && kind == NAMESPACE_TIME)
		namespaces->create_time = true;
	else if (!path)
		namespaces->create |= kinds[kind].flag;
	if (!path)
		return 0;
	fd = open_namespace(path, kind, err);
	if (fd < 0)
		return -1;
	if (kind == NAMESPACE_USER && is_own_user_namespace(fd)) {
		namespaces->present[kind] = false;
		fd = close_fd(fd);
	}
	namespaces->join[kind] = fd;
	return 0;
}

int namespaces_plan(const struct oci_config *config, struct namespaces *namespaces, struct error *err)
{
	bool joins = false;

	*namespaces = (struct namespaces){ 0 };
	memset(namespaces->join, -1, sizeof(namespaces->join));
	for (enum namespace_kind kind = 0; kind < NAMESPACE_KINDS; kind++) {
		const struct oci_namespace *namespace = oci_namespace_find(config, kinds[kind].type);

		if (namespace && plan_one(namespaces, kind, namespace->path, err) < 0) {
			namespaces_close(namespaces);
			return -1;
		}
		joins = joins || namespaces->join[kind] >= 0;
	}
	namespaces->intermediate = namespaces->join[NAMESPACE_USER] >= 0 ||
				   namespaces->join[NAMESPACE_PID] >= 0 || namespaces->create_time ||
				   (joins && (namespaces->create & CLONE_NEWUSER));
	return 0;
}

void namespaces_listed(const struct oci_config *config, struct namespaces *namespaces)
{
	*namespaces = (struct namespaces){ 0 };
	for (enum namespace_kind kind = 0; kind < NAMESPACE_KINDS; kind++)
		namespaces->present[kind] = oci_namespace_find(config, kinds[kind].type) != NULL;
}

void namespaces_close(struct namespaces *namespaces)
{
	for (enum namespace_kind kind = 0; kind < NAMESPACE_KINDS; kind++)
		namespaces->join[kind] = close_fd(namespaces->join[kind]);
}

/* CLONE_PARENT takes the signal of the caller itself, and clone3() insists on our not naming one. */
static unsigned int exit_signal(uint64_t flags)
{
	return flags & CLONE_PARENT ? 0 : SIGCHLD;
}

/* Container engines' seccomp profiles answer clone3 with ENOSYS. */
static pid_t clone_without_clone3(uint64_t flags, int *pidfd)
{
	return (pid_t)syscall(SYS_clone, (unsigned long)(flags | CLONE_PIDFD | exit_signal(flags)), NULL,
		pidfd, NULL, NULL);
}

pid_t namespaces_clone(uint64_t flags, int cgroup_fd, int *pidfd, bool *in_cgroup)
{
	struct clone_args args = {
		.flags = flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)pidfd,
		.exit_signal = exit_signal(flags),
	};
	pid_t pid = -1;

	*in_cgroup = false;
	if (cgroup_fd >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)cgroup_fd;
		pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
		*in_cgroup = pid >= 0;
		args.flags &= ~(uint64_t)CLONE_INTO_CGROUP;
		args.cgroup = 0;
	}
	if (pid < 0)
		pid = (pid_t)syscall(SYS_clone3, &args, CLONE_ARGS_SIZE_VER0);
	if (pid < 0 && errno == ENOSYS)
		pid = clone_without_clone3(flags, pidfd);
	return pid;
}

static int join(const struct namespaces *namespaces, enum namespace_kind kind, struct error *err)
{
	if (setns(namespaces->join[kind], (int)kinds[kind].flag) < 0)
		return error_set(err, errno, "cannot join the %s namespace", kinds[kind].type);
	return 0;
}

int namespaces_join(const struct namespaces *namespaces, struct error *err)
{
	for (enum namespace_kind kind = NAMESPACE_NETWORK; kind < NAMESPACE_KINDS; kind++)
		if (namespaces->join[kind] >= 0 && join(namespaces, kind, err) < 0)
			return -1;
	return 0;
}

void namespaces_become_root(bool can_set_groups)
{
	/* Fails where 0 is not mapped: then we stay who we are, with all capabilities all the same. */
	if (can_set_groups && setgroups(0, NULL) < 0)
		errno = 0;
	if (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		errno = 0;
}

static int write_time_offset(
	int fd, const char *clock, const struct oci_time_offset *offset, struct error *err)
{
	char text[128];
	int length;

	if (!offset)
		return 0;
	length = snprintf(text, sizeof(text), "%s %lld %u\n", clock, (long long)offset->secs.value,
		offset->nanosecs.value);
	if (write(fd, text, (size_t)length) != length)
		return error_set(err, errno, "linux.timeOffsets.%s: cannot set %lld s", clock,
			(long long)offset->secs.value);
	return 0;
}

static int make_time_namespace(int offsets_fd, const struct oci_time_offsets *offsets, struct error *err)
{
	if (unshare(CLONE_NEWTIME) < 0)
		return error_set(err, errno, "cannot make a time namespace");
	if (!offsets)
		return 0;
	if (write_time_offset(offsets_fd, "monotonic", offsets->monotonic, err) < 0)
		return -1;
	return write_time_offset(offsets_fd, "boottime", offsets->boottime, err);
}

int namespaces_enter_intermediate(const struct namespaces *namespaces, const struct oci_time_offsets *offsets,
	int (*map)(void *data, struct error *err), void *data, struct error *err)
{
	bool user = namespaces->join[NAMESPACE_USER] >= 0 || (namespaces->create & CLONE_NEWUSER);
	bool joined[NAMESPACE_KINDS] = { 0 };
	_cleanup_close_ int offsets_fd = -1;

	/* Opened while it is ours: a process that changes its user namespace cannot open its own files in /proc. */
	if (namespaces->create_time && offsets) {
		offsets_fd = open("/proc/self/timens_offsets", O_WRONLY | O_CLOEXEC);
		if (offsets_fd < 0)
			return error_set(err, errno, "cannot open /proc/self/timens_offsets");
	}
	/* A namespace belongs to a user namespace, in which the caller needs CAP_SYS_ADMIN: before we change ours, or
	 * after. The kernel tells with EPERM. */
	for (enum namespace_kind kind = NAMESPACE_PID; kind < NAMESPACE_KINDS; kind++)
		if (namespaces->join[kind] >= 0) {
			joined[kind] = setns(namespaces->join[kind], (int)kinds[kind].flag) == 0;
			if (!joined[kind] && (errno != EPERM || !user))
				return error_set(
					err, errno, "cannot join the %s namespace", kinds[kind].type);
		}
	if (namespaces->create & CLONE_NEWUSER) {
		if (unshare(CLONE_NEWUSER) < 0)
			return error_set(err, errno, "cannot make a user namespace");
		if (map(data, err) < 0)
			return -1;
	}
	if (namespaces->join[NAMESPACE_USER] >= 0) {
		if (join(namespaces, NAMESPACE_USER, err) < 0)
			return -1;
		namespaces_become_root(true);
	}
	for (enum namespace_kind kind = NAMESPACE_PID; kind < NAMESPACE_KINDS; kind++)
		if (namespaces->join[kind] >= 0 && !joined[kind] && join(namespaces, kind, err) < 0)
			return -1;
	return namespaces->create_time ? make_time_namespace(offsets_fd, offsets, err) : 0;
}

int namespaces_loopback_up(struct error *err)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = { .ifr_name = "lo" };

	/* A kernel without IPv4 has other families that do for this. */
	if (fd < 0)
		fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return error_set(err, errno, "cannot open a socket to bring up lo");
	request.ifr_flags = IFF_UP | IFF_LOOPBACK | IFF_RUNNING;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return error_set(err, errno, "cannot bring up lo");
	return 0;
}

unsigned int namespaces_setns_flags(const struct namespaces *namespaces, pid_t pid)
{
	unsigned int flags = 0;

	for (enum namespace_kind kind = 0; kind < NAMESPACE_KINDS; kind++)
		if (namespaces->present[kind] && !(kind == NAMESPACE_USER && namespaces_shared(kind, pid)))
			flags |= kinds[kind].flag;
	return flags;
}

/* `pid` 0: at our own. */
static int look_at(pid_t pid, enum namespace_kind kind, struct stat *status, struct error *err)
{
	char path[64];

	if (pid)
		snprintf(path, sizeof(path), "/proc/%d/ns/%s", (int)pid, kinds[kind].proc);
	else
		snprintf(path, sizeof(path), "/proc/self/ns/%s", kinds[kind].proc);
	return stat(path, status) < 0 ? error_set(err, errno, "cannot look at %s", path) : 0;
}

bool namespaces_shared(enum namespace_kind kind, pid_t pid)
{
	struct stat ours, its;

	/* A kernel without this kind has but one. */
	if (look_at(0, kind, &ours, NULL) < 0)
		return true;
	return look_at(pid, kind, &its, NULL) == 0 && is_same(&ours, &its);
}

int namespaces_check(const struct namespaces *namespaces, pid_t pid, struct error *err)
{
	for (enum namespace_kind kind = 0; kind < NAMESPACE_KINDS; kind++) {
		bool joined = namespaces->join[kind] >= 0;
		struct stat wanted, found;

		if (!namespaces->present[kind])
			continue;
		if (look_at(pid, kind, &found, err) < 0 || (!joined && look_at(0, kind, &wanted, err) < 0))
			return -1;
		if (joined && fstat(namespaces->join[kind], &wanted) < 0)
			return error_set(err, errno, "cannot look at a namespace");
		if (is_same(&found, &wanted) != joined)
			return error_set(err, 0, "the process is not in %s %s namespace",
				joined ? "the joined" : "a new", kinds[kind].type);
	}
	return 0;
}
