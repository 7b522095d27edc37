/* The process itself: user and groups, resource limits, OOM score, and finding its executable.
 *
 * Everything here acts on the caller, which becomes the container's process; must never act on another.
 */
#include "runtime/process.h"

#include "runtime/named.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

int process_open_proc(const char *path, int flags, struct error *err)
{
	/* Both could be a trap: what lies at /proc is a container's in `exec`, and a bind mount over one of its files
	 * would redirect a write (CVE-2019-16884, CVE-2019-19921, CVE-2025-52881). */
	struct open_how how = {
		.flags = flags | O_CLOEXEC | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS,
	};
	_cleanup_close_ int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs file_system;
	int fd;

	if (proc < 0 || fstatfs(proc, &file_system) < 0)
		return error_set(err, errno, "cannot open /proc");
	if (file_system.f_type != PROC_SUPER_MAGIC)
		return error_set(err, 0, "/proc is not a proc file system; mount one, to use /proc/%s", path);
	fd = syscall(SYS_openat2, proc, path, &how, sizeof(how));
	if (fd < 0)
		return error_set(err, errno, "cannot open /proc/%s", path);
	return fd;
}

static uint32_t id_or_root(const struct optional_uint32 *id)
{
	return id->set ? id->value : 0;
}

static int set_groups(const struct oci_user *user, bool can_set_groups, struct error *err)
{
	const struct uint32_list *groups = &user->additional_gids;

	_Static_assert(sizeof(gid_t) == sizeof(uint32_t), "the list is passed as it is");
	if (!can_set_groups) {
		if (groups->count == 0)
			return 0;
		return error_set(err, 0,
			"process.user.additionalGids: supplementary groups cannot be set without more than "
			"one mapped "
			"group id; map them in linux.gidMappings (newgidmap) or leave the list out");
	}
	if (setgroups(groups->count, groups->items) < 0)
		return error_set(err, errno,
			"process.user.additionalGids: cannot set the supplementary groups%s",
			errno == EINVAL ? " (each must be mapped in linux.gidMappings)" : "");
	return 0;
}

int process_set_user(const struct oci_user *user, bool can_set_groups, struct error *err)
{
	static const struct oci_user root;
	uid_t uid;
	gid_t gid;

	if (!user)
		user = &root;
	uid = id_or_root(&user->uid);
	gid = id_or_root(&user->gid);
	if (set_groups(user, can_set_groups, err) < 0)
		return -1;
	/* Until capabilities_apply() sets the final ones; execve(2) clears the flag. */
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "cannot keep capabilities while changing user");
	if (setresgid(gid, gid, gid) < 0)
		return error_set(err, errno, "process.user.gid: cannot become group %u%s", gid,
			errno == EINVAL ? ", which linux.gidMappings does not map" : "");
	if (setresuid(uid, uid, uid) < 0)
		return error_set(err, errno, "process.user.uid: cannot become user %u%s", uid,
			errno == EINVAL ? ", which linux.uidMappings does not map" : "");
	if (user->umask.set)
		umask(user->umask.value & 0777);
	return 0;
}

static const struct named_value rlimits[] = {
	{ "RLIMIT_AS", RLIMIT_AS },
	{ "RLIMIT_CORE", RLIMIT_CORE },
	{ "RLIMIT_CPU", RLIMIT_CPU },
	{ "RLIMIT_DATA", RLIMIT_DATA },
	{ "RLIMIT_FSIZE", RLIMIT_FSIZE },
	{ "RLIMIT_LOCKS", RLIMIT_LOCKS },
	{ "RLIMIT_MEMLOCK", RLIMIT_MEMLOCK },
	{ "RLIMIT_MSGQUEUE", RLIMIT_MSGQUEUE },
	{ "RLIMIT_NICE", RLIMIT_NICE },
	{ "RLIMIT_NOFILE", RLIMIT_NOFILE },
	{ "RLIMIT_NPROC", RLIMIT_NPROC },
	{ "RLIMIT_RSS", RLIMIT_RSS },
	{ "RLIMIT_RTPRIO", RLIMIT_RTPRIO },
	{ "RLIMIT_RTTIME", RLIMIT_RTTIME },
	{ "RLIMIT_SIGPENDING", RLIMIT_SIGPENDING },
	{ "RLIMIT_STACK", RLIMIT_STACK },
};

static int set_rlimit(const struct oci_rlimit *rlimit, size_t index, struct error *err)
{
	struct rlimit wanted = { .rlim_cur = rlimit->soft.value, .rlim_max = rlimit->hard.value };
	struct rlimit current = { 0 };
	unsigned long resource;

	if (!named_value_find(rlimits, ARRAY_SIZE(rlimits), rlimit->type, &resource))
		return error_set(err, 0, "process.rlimits[%zu].type: \"%s\" is not a resource limit", index,
			rlimit->type);
	if (setrlimit(resource, &wanted) == 0)
		return 0;
	if (errno != EPERM || getrlimit(resource, &current) < 0)
		return error_set(err, errno,
			"process.rlimits[%zu]: cannot set %s to soft %" PRIu64 ", hard %" PRIu64, index,
			rlimit->type, rlimit->soft.value, rlimit->hard.value);
	return error_set(err, EPERM,
		"process.rlimits[%zu]: cannot raise the hard limit of %s from %" PRIu64 " to %" PRIu64
		" without CAP_SYS_RESOURCE, which is missing here; ask for at most %" PRIu64,
		index, rlimit->type, (uint64_t)current.rlim_max, rlimit->hard.value,
		(uint64_t)current.rlim_max);
}

int process_set_rlimits(const struct oci_process *process, struct error *err)
{
	for (size_t i = 0; i < process->rlimits.count; i++)
		if (set_rlimit(&process->rlimits.items[i], i, err) < 0)
			return -1;
	return 0;
}

void process_raise_rlimits(const struct oci_process *process)
{
	for (size_t i = 0; i < process->rlimits.count; i++) {
		const struct oci_rlimit *rlimit = &process->rlimits.items[i];
		struct rlimit current;
		unsigned long resource;

		if (!named_value_find(rlimits, ARRAY_SIZE(rlimits), rlimit->type, &resource) ||
			getrlimit(resource, &current) < 0 || current.rlim_max >= rlimit->hard.value)
			continue;
		current.rlim_max = rlimit->hard.value;
		setrlimit(resource, &current);
	}
}

int process_set_oom_score(const struct oci_process *process, struct error *err)
{
	return process_set_oom_score_of(0, process, err);
}

int process_set_oom_score_of(pid_t pid, const struct oci_process *process, struct error *err)
{
	char path[64] = "self/oom_score_adj";
	_cleanup_close_ int fd = -1;

	if (!process->oom_score_adj.set)
		return 0;
	if (pid)
		snprintf(path, sizeof(path), "%d/oom_score_adj", pid);
	fd = process_open_proc(path, O_WRONLY, err);
	if (fd < 0)
		return error_wrap(err, "process.oomScoreAdj");
	if (dprintf(fd, "%d", process->oom_score_adj.value) < 0)
		return error_set(err, errno, "process.oomScoreAdj: cannot set it to %d%s",
			process->oom_score_adj.value,
			errno == EACCES ? " (lowering it needs CAP_SYS_RESOURCE, which is missing here)"
					: "");
	return 0;
}

/* What execvp(3) searches where the environment has no PATH is not enough for a container that has none: these are the
 * directories that engines put in it. */
static const char default_search_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* The last one wins, as in a shell that reads the same environment. */
static const char *search_path(const struct string_list *env)
{
	for (size_t i = env->count; i > 0; i--)
		if (strncmp(env->items[i - 1], "PATH=", 5) == 0)
			return env->items[i - 1] + 5;
	return default_search_path;
}

/* An errno value, 0 if it can be executed. execve(2) has the last word: this is only to find it and to be able to say why
 * not before the container is created. */
static int executable_fault(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return errno;
	if (!S_ISREG(status.st_mode))
		return EACCES;
	if (faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return 0;
	/* linux.seccomp is at work by now where noNewPrivileges is not set, and its profile may be older than
	 * faccessat2(2). */
	return errno == EPERM ? 0 : errno;
}

static int search_executable(const char *file, const char *directories, char **path, struct error *err)
{
	int fault = ENOENT;

	for (const char *directory = directories; directory; directory = strchr(directory, ':')) {
		_cleanup_free_ char *candidate = NULL;
		size_t length;
		int reason;

		directory += directory != directories; /* the colon */
		length = strcspn(directory, ":");
		if (asprintf(&candidate, "%.*s%s%s", (int)length, directory, length ? "/" : "./", file) < 0)
			return error_set(err, ENOMEM, "cannot search for the executable");
		reason = executable_fault(candidate);
		if (reason == 0) {
			*path = steal_pointer(&candidate);
			return 0;
		}
		if (reason == EACCES)
			fault = EACCES;
	}
	if (fault == EACCES)
		return error_set(err, EACCES,
			"process.args[0]: executable file `%s` in $PATH cannot be executed", file);
	return error_set(err, ENOENT, "process.args[0]: executable file `%s` not found in $PATH", file);
}

int process_find_executable(const char *file, const struct string_list *env, char **path, struct error *err)
{
	int fault;

	if (!*file)
		return error_set(err, ENOENT, "process.args[0]: the executable's name is empty");
	if (!strchr(file, '/'))
		return search_executable(file, search_path(env), path, err);
	fault = executable_fault(file);
	if (fault)
		return error_set(err, fault, "process.args[0]: cannot open executable `%s`", file);
	*path = strdup(file);
	if (!*path)
		return error_set(err, ENOMEM, "process.args[0]");
	return 0;
}
