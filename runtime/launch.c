/* See launch.h. */
#include "runtime/launch.h"

#include "runtime/environment.h"
#include "runtime/handshake.h"
#include "runtime/landlock.h"
#include "runtime/process.h"
#include "runtime/reaper.h"
#include "spec/cleanup.h"

#include <ctype.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

enum { FIRST_FREE_FD = 3 };

unsigned int launch_listen_fds(void)
{
	const char *count = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");

	if (!count || !pid || strtol(pid, NULL, 10) != getpid())
		return 0;
	return (unsigned int)strtoul(count, NULL, 10);
}

unsigned int launch_first_free_fd(const struct launch *launch)
{
	return FIRST_FREE_FD + launch->preserve_fds + launch->listen_fds;
}

void launch_reset_signals(void)
{
	sigset_t none;

	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

int launch_check_program(const struct oci_process *process, struct error *err)
{
	return process->args.count
		       ? 0
		       : error_set(err, 0, "config.json: process.args: there is no program to run");
}

/* As a shell says it: 127 not found, 126 found but not to be executed. */
static int program_fault(struct launch *launch, const struct error *err)
{
	launch->exit_status = err->number == ENOENT || err->number == ENOTDIR ? 127 : 126;
	return -1;
}

/* Both write to /proc/self: done while that is the host's, which the container cannot have prepared (CVE-2019-16884,
 * CVE-2025-52881). */
int launch_outside_rootfs(const struct launch *launch, struct error *err)
{
	if (!launch->has_oom_score && process_set_oom_score(launch->process, err) < 0)
		return -1;
	return process_set_labels(launch->process, err);
}

void launch_give_streams(const struct oci_user *user)
{
	uid_t uid = user && user->uid.set ? user->uid.value : 0;
	struct stat status;

	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fstat(fd, &status) < 0 || status.st_uid == uid)
			continue;
		if (S_ISCHR(status.st_mode) && status.st_rdev == makedev(1, 3))
			continue; /* /dev/null may be the host's own */
		if (fchown(fd, uid, (gid_t)-1) < 0)
			continue;
	}
}

static int make_directory(const char *path, struct error *err)
{
	_cleanup_free_ char *copy = strdup(path);

	for (char *slash = copy ? strchr(copy + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0755) < 0 && errno != EEXIST)
			return error_set(err, errno, "cannot make process.cwd: %s", copy);
		*slash = '/';
	}
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return error_set(err, errno, "cannot make process.cwd: %s", path);
	return 0;
}

/* CVE-2024-21626: a working directory reached through a leaked fd lies outside the root, and getcwd() says so. */
static int check_working_directory(const char *path, struct error *err)
{
	_cleanup_free_ char *found = getcwd(NULL, 0);

	if (!found || found[0] != '/')
		return error_set(err, 0, "process.cwd: %s leads out of the container", path);
	return 0;
}

static int enter_working_directory(const struct launch *launch, struct error *err)
{
	const char *path = launch->process->cwd;
	int result;

	if (!path || !*path)
		path = "/";
	result = chdir(path);
	if (result < 0 && errno == ENOENT && launch->makes_directory) {
		if (make_directory(path, err) < 0)
			return -1;
		result = chdir(path);
	}
	if (result < 0)
		return error_set(err, errno, "cannot enter process.cwd: %s", path);
	return check_working_directory(path, err);
}

/* The runtime takes the listener out of this process by its number: any call but write(2) and read(2) might already wait
 * for the agent that does not have the listener yet. For that an unprivileged runtime needs us dumpable; in a user namespace
 * that it made nobody else is there to profit. */
static int hand_over_listener(const struct launch *launch, int listener, struct error *err)
{
	if (handshake_send(launch->handshake, MESSAGE_LISTENER, &listener, sizeof(listener), -1, err) < 0)
		return -1;
	return handshake_wait(launch->handshake, MESSAGE_TAKEN, err);
}

static int load_seccomp(const struct launch *launch, struct error *err)
{
	bool dumpable = launch->program->notify && launch->own_user_namespace;
	_cleanup_close_ int listener = -1;

	if (dumpable)
		prctl(PR_SET_DUMPABLE, 1);
	if (seccomp_install(launch->program, &listener, err) < 0)
		return -1;
	if (listener >= 0 && hand_over_listener(launch, listener, err) < 0)
		return -1;
	if (dumpable)
		prctl(PR_SET_DUMPABLE, 0);
	return 0;
}

/* Without no_new_privs a filter takes CAP_SYS_ADMIN, so it comes before the capabilities go. A filter with a listener must
 * come while the runtime is there to take that. Every other one is loaded last, so that it judges us least. */
static bool seccomp_is_early(const struct launch *launch)
{
	return launch->program && (!launch->process->no_new_privileges.value || launch->program->notify);
}

static bool seccomp_is_late(const struct launch *launch)
{
	return launch->program && !seccomp_is_early(launch);
}

static bool limits_cpus(const struct oci_linux *linux)
{
	return linux && linux->resources && linux->resources->cpu && linux->resources->cpu->cpus;
}

static int set_attributes(const struct launch *launch, struct error *err)
{
	const struct oci_linux *linux = launch->config->linux;

	if (linux && linux->personality && process_set_personality(linux->personality, err) < 0)
		return -1;
	if (linux && linux->memory_policy && process_set_memory_policy(linux->memory_policy, err) < 0)
		return -1;
	if (launch->process->scheduler && process_set_scheduler(launch->process, limits_cpus(linux), err) < 0)
		return -1;
	if (launch->process->io_priority && process_set_io_priority(launch->process, err) < 0)
		return -1;
	return process_set_rlimits(launch->process, err);
}

/* Whatever our caller left open; what we open ourselves is so marked from birth. Before an early filter: older profiles do not
 * know close_range(2). */
static int close_on_execute(const struct launch *launch, struct error *err)
{
	if (close_range(launch_first_free_fd(launch), ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		return error_set(err, errno, "cannot mark the other fds to be closed");
	return 0;
}

int launch_settle(struct launch *launch, struct error *err)
{
	const struct oci_process *process = launch->process;
	bool entered;

	if (close_on_execute(launch, err) < 0 || set_attributes(launch, err) < 0)
		return -1;
	launch_give_streams(process->user);
	/* Root may go, and make, where the user may not, and the user where root may not: on a network file system, or in FUSE. */
	entered = enter_working_directory(launch, err) == 0;
	if (!entered && err->number != EACCES)
		return -1;
	if (capabilities_drop_bounding(process->capabilities, err) < 0)
		return -1;
	if (process->no_new_privileges.value && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return error_set(err, errno, "cannot set no_new_privs");
	if (seccomp_is_early(launch) && load_seccomp(launch, err) < 0)
		return -1;
	if (process_set_user(process->user, launch->can_set_groups, err) < 0)
		return -1;
	if (capabilities_apply(process->capabilities, err) < 0)
		return -1;
	if (!entered && enter_working_directory(launch, err) < 0)
		return -1;
	if (process->args.count &&
		process_find_executable(process->args.items[0], &process->env, &launch->executable, err) < 0)
		return program_fault(launch, err);
	return 0;
}

static char **arguments(const struct launch *launch)
{
	const struct string_list *args = &launch->process->args;
	char **items = arena_array(launch->arena, args->count + 1, sizeof(*items));

	/* Copies: the reaper overwrites what main() was called with. */
	for (size_t i = 0; i < args->count; i++)
		items[i] = arena_strdup(launch->arena, args->items[i]);
	return items;
}

/* The kernel forgets it when the user changes, and on fork. */
static int tie_to_parent(const struct launch *launch, struct error *err)
{
	if (launch->death_signal && prctl(PR_SET_PDEATHSIG, launch->death_signal) < 0)
		return error_set(err, errno, "cannot tie the container to its supervisor");
	return 0;
}

/* As all runtimes say it, in so many words: it is looked for in their output. */
static int execution_fault(struct launch *launch, int number, struct error *err)
{
	const char *reason = strerror(number);

	error_set(err, 0, "exec %s: %c%s", launch->executable, tolower((unsigned char)*reason), reason + 1);
	err->number = number;
	return program_fault(launch, err);
}

struct execution {
	struct launch *launch;
	char **args, **env;
};

static int execute(void *data, struct error *err)
{
	const struct execution *execution = data;
	struct launch *launch = execution->launch;

	if (launch->reaper && tie_to_parent(launch, err) < 0)
		return -1;
	environment_name_listener(launch->arena, execution->env);
	execve(launch->executable, execution->args, execution->env);
	return execution_fault(launch, errno, err);
}

int launch_restrict(struct launch *launch, struct error *err)
{
	const char *landlock = oci_annotation(launch->config, ANNOTATION_LANDLOCK);

	if (landlock && landlock_apply(landlock, err) < 0)
		return -1;
	return seccomp_is_late(launch) ? load_seccomp(launch, err) : 0;
}

char **launch_environment(const struct launch *launch)
{
	return environment_make(launch->arena, &launch->process->env, launch->listen_fds);
}

int launch_execute(struct launch *launch, struct error *err)
{
	struct execution execution = { launch, arguments(launch), launch_environment(launch) };

	/* Before the filter, which may have no room for prctl(2). */
	if (tie_to_parent(launch, err) < 0 || launch_restrict(launch, err) < 0)
		return -1;
	return launch->reaper ? reaper_run(execute, &execution, err) : execute(&execution, err);
}
