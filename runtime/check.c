/* See check.h. A probe tries the thing itself, in a child process of its own: version numbers lie (backports, sysctls,
 * AppArmor, containers round us). Must never change the host.
 */
#include "runtime/check.h"

#include "runtime/landlock.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/mount.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>

#include <linux/magic.h>

enum { DETAIL_MAX = 160 };

struct probe {
	const char *name;
	/* In the parent: true if it is there; `detail` says more. */
	bool (*probe)(const struct probe *probe, char detail[static DETAIL_MAX]);
	uint64_t argument;
	const char *lack; /* what it costs when it is not there */
	bool needed;	  /* the front door cannot work without it */
};

/* Runs `work` in a child; 0 is success, else its errno. */
static int in_child(int (*work)(uint64_t), uint64_t argument)
{
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(work(argument) & 0xff);
	if (pid < 0)
		return errno;
	if (waitpid(pid, &status, 0) < 0)
		return errno;
	return WIFEXITED(status) ? WEXITSTATUS(status) : EFAULT;
}

static bool tell(int number, char detail[static DETAIL_MAX])
{
	if (number)
		snprintf(detail, DETAIL_MAX, "%s", strerror(number));
	return number == 0;
}

static bool probe_kernel(const struct probe *probe, char detail[static DETAIL_MAX])
{
	struct utsname name;
	unsigned int major = 0, minor = 0;

	(void)probe;
	uname(&name);
	snprintf(detail, DETAIL_MAX, "%.64s", name.release);
	if (sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return false;
	return major > 5 || (major == 5 && minor >= 12);
}

static int unshare_as_caller(uint64_t flags)
{
	/* An ordinary user has every other namespace only inside a user namespace of its own. */
	if (geteuid() != 0)
		flags |= CLONE_NEWUSER;
	return unshare((int)flags) < 0 ? errno : 0;
}

static bool probe_namespace(const struct probe *probe, char detail[static DETAIL_MAX])
{
	return tell(in_child(unshare_as_caller, probe->argument), detail);
}

static int try_mount_api(uint64_t unused)
{
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	int number = unshare_as_caller(CLONE_NEWNS);
	long fd;

	(void)unused;
	if (number)
		return number;
	/* Recursive: in a user namespace nothing that mounts cover may be uncovered. */
	fd = syscall(SYS_open_tree, AT_FDCWD, "/", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	if (fd < 0)
		return errno;
	return syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | AT_RECURSIVE, &attributes,
		       sizeof(attributes)) < 0
		       ? errno
		       : 0;
}

static bool probe_mount_api(const struct probe *probe, char detail[static DETAIL_MAX])
{
	return tell(in_child(try_mount_api, probe->argument), detail);
}

static int try_seccomp(uint64_t flags)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = { .len = 1, .filter = &allow };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return errno;
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) < 0 ? errno : 0;
}

static bool probe_seccomp(const struct probe *probe, char detail[static DETAIL_MAX])
{
	return tell(in_child(try_seccomp, probe->argument), detail);
}

static bool probe_seccomp_action(const struct probe *probe, char detail[static DETAIL_MAX])
{
	uint32_t action = (uint32_t)probe->argument;

	return tell(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &action) < 0 ? errno : 0, detail);
}

static bool probe_landlock(const struct probe *probe, char detail[static DETAIL_MAX])
{
	int abi = landlock_abi();

	if (abi > 0)
		snprintf(detail, DETAIL_MAX, "ABI %d", abi);
	return abi >= (int)probe->argument;
}

static bool is_cgroup2(const char *path)
{
	struct statfs status;

	return statfs(path, &status) == 0 && status.f_type == CGROUP2_SUPER_MAGIC;
}

static bool probe_cgroups(const struct probe *probe, char detail[static DETAIL_MAX])
{
	bool unified = is_cgroup2("/sys/fs/cgroup");
	const char *layout = unified				    ? "v2"
			     : is_cgroup2("/sys/fs/cgroup/unified") ? "hybrid (v1 controllers)"
			     : access("/sys/fs/cgroup", F_OK) == 0  ? "v1"
								    : NULL;
	const char *writable = unified ? "/sys/fs/cgroup/cgroup.procs" : "/sys/fs/cgroup/pids/cgroup.procs";

	(void)probe;
	if (!layout) {
		snprintf(detail, DETAIL_MAX, "not mounted");
		return false;
	}
	snprintf(detail, DETAIL_MAX, "%s%s", layout,
		access(writable, W_OK) == 0 ? "" : ", not writable by this user");
	return access(writable, W_OK) == 0;
}

static int try_raise_limit(uint64_t unused)
{
	struct rlimit limit;

	(void)unused;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return errno;
	limit.rlim_max++;
	return setrlimit(RLIMIT_NOFILE, &limit) < 0 ? errno : 0;
}

static bool probe_limits(const struct probe *probe, char detail[static DETAIL_MAX])
{
	return tell(in_child(try_raise_limit, probe->argument), detail);
}

static bool probe_bpf(const struct probe *probe, char detail[static DETAIL_MAX])
{
	/* BPF_PROG_GET_NEXT_ID reads only; it needs the same capability as loading a device program. */
	uint32_t attribute[3] = { 0 };

	(void)probe;
	if (syscall(SYS_bpf, 11, attribute, sizeof(attribute)) == 0 || errno == ENOENT)
		return true;
	return tell(errno, detail);
}

static bool probe_file(const struct probe *probe, char detail[static DETAIL_MAX])
{
	const char *path = (const char *)(uintptr_t)probe->argument;

	return tell(access(path, X_OK) < 0 ? errno : 0, detail);
}

static bool probe_identity_helpers(const struct probe *probe, char detail[static DETAIL_MAX])
{
	(void)probe;
	return tell(
		access("/usr/bin/newuidmap", X_OK) < 0 || access("/usr/bin/newgidmap", X_OK) < 0 ? errno : 0,
		detail);
}

static bool probe_tun(const struct probe *probe, char detail[static DETAIL_MAX])
{
	_cleanup_close_ int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	(void)probe;
	return tell(fd < 0 ? errno : 0, detail);
}

/* The hook tries it, which knows netlink, and says in a line what is missing. */
static bool probe_hook(const struct probe *probe, char detail[static DETAIL_MAX])
{
	const char *path = (const char *)(uintptr_t)probe->argument;
	int pipe_fds[2], status = -1;
	ssize_t got = 0;
	pid_t pid;

	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return tell(errno, detail);
	pid = fork();
	if (pid == 0) {
		dup2(pipe_fds[1], STDOUT_FILENO);
		execl(path, path, "check", NULL);
		_exit(127);
	}
	close(pipe_fds[1]);
	if (pid > 0) {
		got = read(pipe_fds[0], detail, DETAIL_MAX - 1);
		waitpid(pid, &status, 0);
	}
	close(pipe_fds[0]);
	detail[got > 0 ? got : 0] = '\0';
	detail[strcspn(detail, "\n")] = '\0';
	return status == 0;
}

/* False if the front door cannot do without. */
static bool tell_of(const struct probe *probe)
{
	char detail[DETAIL_MAX] = "";
	bool there = probe->probe(probe, detail);

	printf("%-4s %s%s%s%s", there ? "yes" : "no", probe->name, *detail ? " (" : "", detail,
		*detail ? ")" : "");
	if (there)
		printf("\n");
	else
		printf(": %s\n", probe->lack);
	return there || !probe->needed;
}

#define POINTER(text) ((uint64_t)(uintptr_t)(text))

int check_host(const char *hook)
{
	const struct probe probes[] = {
		{ "kernel", probe_kernel, 0,
			"older than 5.12: no mount_setattr, recursive read-only mounts can't be made", true },
		{ "user namespace", probe_namespace, CLONE_NEWUSER,
			"only root can fence a command (see user.max_user_namespaces, "
			"kernel.apparmor_restrict_unprivileged_userns)",
			geteuid() != 0 },
		{ "mount namespace", probe_namespace, CLONE_NEWNS, "files can't be hidden: fence can't run",
			true },
		{ "pid namespace", probe_namespace, CLONE_NEWPID,
			"processes can't be hidden: fence can't run", true },
		{ "network namespace", probe_namespace, CLONE_NEWNET,
			"the network can't be fenced: fence can't run", true },
		{ "ipc namespace", probe_namespace, CLONE_NEWIPC,
			"System V IPC can't be separated: fence can't run", true },
		{ "uts namespace", probe_namespace, CLONE_NEWUTS,
			"the host name can't be separated: fence can't run", true },
		{ "cgroup namespace", probe_namespace, CLONE_NEWCGROUP,
			"cgroup paths can't be hidden: fence can't run", true },
		{ "time namespace", probe_namespace, 0x80 /* CLONE_NEWTIME, 5.6 */,
			"linux.timeOffsets is refused", false },
		{ "mount by fd", probe_mount_api, 0,
			"mounts are made by path, recursive attributes are refused", true },
		{ "seccomp filter", probe_seccomp, 0, "system calls can't be refused: fence can't run",
			true },
		{ "seccomp log", probe_seccomp_action, SECCOMP_RET_LOG, "refused calls can't be logged",
			false },
		{ "seccomp notify", probe_seccomp_action, SECCOMP_RET_USER_NOTIF,
			"SCMP_ACT_NOTIFY is refused", false },
		{ "Landlock", probe_landlock, 1, "the mounts are the only wall round files", false },
		{ "Landlock scopes", probe_landlock, 6,
			"signals and abstract sockets are kept in by the pid and network namespaces alone",
			false },
		{ "/dev/net/tun", probe_tun, 0,
			"no transparent network: programs must use the proxy variables (\"tun\": "
			"\"required\" is refused)",
			false },
		{ "network hook", probe_file, POINTER(hook),
			"no way out at all: policies with a proxy or rules are refused", false },
		{ "spliced TCP", probe_hook, POINTER(hook),
			"TCP is translated also where a policy asks for \"auto\": large uploads cost the "
			"relay twice the CPU",
			false },
		{ "cgroups", probe_cgroups, 0, "resource limits are refused", false },
		{ "cgroup device eBPF", probe_bpf, 0, "device rules on cgroup v2 are refused", false },
		{ "raise hard limits", probe_limits, 0, "rlimits above the present hard limit are refused",
			false },
		{ "newuidmap, newgidmap", probe_identity_helpers, 0,
			"an ordinary user's container has one uid, its own (package uidmap)", false },
	};
	bool viable = true;

	for (size_t i = 0; i < ARRAY_SIZE(probes); i++)
		viable = tell_of(&probes[i]) && viable;
	printf("%s\n",
		viable ? "fence -- COMMAND works here." : "fence -- COMMAND can't work here: see above.");
	return viable ? 0 : 1;
}
