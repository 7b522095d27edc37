/* See exec.h. The container's processes may be hostile: they see ours as soon as it is in their namespaces, so it is opaque
 * before that, and holds nothing of the host's that they could use. */
#include "runtime/exec.h"

#include "runtime/console.h"
#include "runtime/fd_socket.h"
#include "runtime/handshake.h"
#include "runtime/idmap.h"
#include "runtime/launch.h"
#include "runtime/namespaces.h"
#include "runtime/process.h"
#include "runtime/resctrl.h"
#include "runtime/spawn.h"
#include "runtime/state.h"
#include "runtime/supervise.h"
#include "spec/cleanup.h"
#include "spec/compile.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>

struct execution {
	struct arena *arena;
	const struct exec_options *options;
	struct state_directory directory;
	struct state *state;
	struct oci_config *config;
	struct oci_process *process;
	struct cgroup *cgroup;
	bool in_cgroup; /* cloned into its v2 directory */
	struct launch launch;
	struct exec_target target;
	bool user_namespace;
	int theirs; /* the child's end of the handshake */
	int console_socket;
	struct spawned child;
};

/* The reaper of a container of ours lets nobody look at it, not even its own user; its child, the command, does. */
static pid_t first_child(pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64];
	int child;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", pid, pid);
	file = fopen(path, "re");
	return file && fscanf(file, "%d", &child) == 1 ? child : pid;
}

int exec_target_open(const struct state *state, const struct oci_config *config, struct exec_target *target,
	struct error *err)
{
	struct namespaces listed;
	pid_t first = (pid_t)state->pid.value, pid = first;
	_cleanup_close_ int init = state_pidfd(state);

	if (init < 0)
		return error_set(err, 0, "container not running");
	if (oci_annotation(config, ANNOTATION_INIT))
		pid = first_child(first);
	target->pidfd = pidfd_open(pid, 0);
	if (target->pidfd < 0)
		return error_set(err, errno, "cannot open process %d of the container", pid);
	namespaces_listed(config, &listed);
	listed.present[NAMESPACE_TIME] = listed.present[NAMESPACE_TIME] || state->time_namespace.value;
	target->flags = namespaces_setns_flags(&listed, pid);
	target->can_set_groups = idmap_can_set_groups(pid);
	/* The command may have ended before it was opened, and its pid be a stranger's by then. */
	if (pid != first && first_child(first) != pid)
		return error_set(err, 0, "container not running");
	return 0;
}

static int check_status(const struct execution *execution, struct error *err)
{
	enum container_status status =
		state_status(&execution->directory, execution->state, execution->cgroup);

	if (status == CONTAINER_STOPPED || status == CONTAINER_CREATING)
		return error_set(
			err, 0, "cannot exec in a container that is %s", container_status_name(status));
	/* Until it executes its program nobody can look into the first process, but root. */
	if (status == CONTAINER_CREATED && execution->state->rootless.value)
		return error_set(err, 0,
			"cannot exec in a container that is created: an ordinary user's has to be started "
			"first");
	if (status == CONTAINER_PAUSED && !execution->options->ignore_paused)
		return error_set(err, 0, "cannot exec in a paused container (see --ignore-paused)");
	return 0;
}

static int load(struct execution *execution, struct error *err)
{
	const struct exec_options *options = execution->options;

	if (state_open(execution->arena, options->root, options->id, &execution->directory, err) < 0 ||
		state_load(execution->arena, &execution->directory, &execution->state, err) < 0 ||
		state_load_config(execution->arena, &execution->directory, execution->state,
			&execution->config, err) < 0 ||
		state_cgroup(execution->arena, execution->state, &execution->cgroup, err) < 0 ||
		check_status(execution, err) < 0)
		return -1;
	if (options->process(options->process_data, execution->arena, execution->config->process,
		    &execution->process, err) < 0 ||
		compile_exec(execution->arena, execution->config, execution->process, err) < 0)
		return -1;
	if (execution->process->terminal.value && options->detach && !options->console_socket)
		return error_set(
			err, 0, "a terminal and --detach need a --console-socket that takes the terminal");
	if (options->console_socket && !execution->process->terminal.value)
		return error_set(err, 0, "--console-socket is of no use without --tty");
	execution->launch = (struct launch){
		.arena = execution->arena,
		.config = execution->config,
		.process = execution->process,
		.preserve_fds = options->preserve_fds,
		.listen_fds = launch_listen_fds(),
		.exit_status = -1,
	};
	if (exec_target_open(execution->state, execution->config, &execution->target, err) < 0)
		return -1;
	execution->user_namespace = (execution->target.flags & CLONE_NEWUSER) != 0;
	execution->launch.can_set_groups = execution->target.can_set_groups;
	return 0;
}

/* ---- in the new process ---- */

static int open_console(struct execution *execution, struct error *err)
{
	_cleanup_close_ int devpts = -1, slave = -1;

	if (!execution->process->terminal.value)
		return 0;
	devpts = open("/dev/pts", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (devpts < 0)
		return error_set(err, errno, "a terminal needs a devpts at /dev/pts");
	slave = spawn_open_console(
		execution->theirs, execution->console_socket, devpts, execution->process->console_size, err);
	return slave < 0 ? -1 : console_make_controlling(slave, err);
}

static int enter_cgroup(const struct execution *execution, struct error *err)
{
	const struct oci_cpu_affinity *affinity = execution->process->exec_cpu_affinity;

	if (affinity && process_set_cpu_affinity(affinity->initial, err) < 0)
		return -1;
	if (cgroup_enter(execution->cgroup, execution->in_cgroup, err) < 0)
		return -1;
	if (affinity)
		return process_set_cpu_affinity(affinity->final, err);
	process_reset_cpu_affinity();
	return 0;
}

static int enter(struct execution *execution, struct error *err)
{
	execution->child.handshake = close_fd(execution->child.handshake);
	/* /proc is the host's, and nobody in the container sees us yet. */
	if (launch_outside_rootfs(&execution->launch, err) < 0)
		return -1;
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_set(err, errno, "cannot make the process opaque");
	if (enter_cgroup(execution, err) < 0)
		return -1;
	/* All at once: the kernel checks the rights for all of them before it changes anything. */
	if (execution->target.flags && setns(execution->target.pidfd, (int)execution->target.flags) < 0)
		return error_set(err, errno, "cannot join the container's namespaces");
	if (execution->user_namespace)
		namespaces_become_root(execution->launch.can_set_groups);
	return 0;
}

static int run_process(struct execution *execution, struct error *err)
{
	struct seccomp_program program;
	int has_program;

	launch_reset_signals();
	if (setsid() < 0 && errno != EPERM)
		return error_set(err, errno, "cannot make a session");
	if (open_console(execution, err) < 0)
		return -1;
	has_program = spawn_receive_program(execution->theirs, &program, err);
	if (has_program < 0)
		return -1;
	execution->launch.program = has_program ? &program : NULL;
	if (launch_settle(&execution->launch, err) < 0)
		return -1;
	return launch_execute(&execution->launch, err);
}

static void __attribute__((noreturn)) report_and_exit(struct execution *execution, const struct error *err)
{
	spawn_report_failure(execution->theirs, execution->launch.exit_status, err);
	_exit(1);
}

static void __attribute__((noreturn)) enter_and_run(struct execution *execution)
{
	struct error err = { 0 };

	if (enter(execution, &err) == 0)
		run_process(execution, &err);
	report_and_exit(execution, &err);
}

/* A pid namespace is joined by those born afterwards; with a user namespace to be joined first that takes one more. */
static void __attribute__((noreturn)) enter_and_clone(void *data)
{
	struct execution *execution = data;
	struct error err = { 0 };

	if (enter(execution, &err) == 0 && spawn_sibling(execution->theirs, 0, &err) == 0)
		run_process(execution, &err);
	report_and_exit(execution, &err);
}

/* ---- in the runtime ---- */

static int clone_by_intermediate(struct execution *execution, struct error *err)
{
	pid_t intermediate = spawn_intermediate(enter_and_clone, execution, err);

	if (intermediate < 0)
		return -1;
	execution->theirs = close_fd(execution->theirs);
	return spawn_adopt(&execution->child, intermediate, NULL, NULL, err);
}

static int clone_process(struct execution *execution, struct error *err)
{
	struct spawned *child = &execution->child;

	if (handshake_pair(&child->handshake, &execution->theirs, err) < 0)
		return -1;
	execution->launch.handshake = execution->theirs;
	child->supervised = !execution->options->detach;
	if (execution->user_namespace) {
		process_raise_rlimits(execution->process);
		return clone_by_intermediate(execution, err);
	}
	/* This is for children alone, and no other is made after this one. There is no way back for root of a user namespace
	 * that is not our pid namespace's, as under a rootless engine. */
	if (execution->target.flags & CLONE_NEWPID && setns(execution->target.pidfd, CLONE_NEWPID) < 0)
		return error_set(err, errno, "cannot join the container's pid namespace");
	execution->target.flags &= ~(unsigned int)CLONE_NEWPID;
	child->pid =
		namespaces_clone(0, cgroup_clone_fd(execution->cgroup), &child->pidfd, &execution->in_cgroup);
	if (child->pid == 0)
		enter_and_run(execution);
	if (child->pid < 0)
		return error_set(err, errno, "cannot clone the process");
	execution->theirs = close_fd(execution->theirs);
	return 0;
}

static int open_cgroup(struct execution *execution, struct error *err)
{
	const struct string_list *places = &execution->options->cgroups;

	if (places->count) {
		if (!execution->cgroup)
			return error_set(err, 0, "--cgroup: the container has none");
		if (cgroup_descend(execution->cgroup, places, err) < 0)
			return -1;
		return cgroup_open_entries(execution->cgroup, err) < 0
			       ? error_wrap(err, "error adding pid to cgroups")
			       : 0;
	}
	if (cgroup_follow_init(execution->cgroup, (pid_t)execution->state->pid.value, err) < 0)
		return -1;
	if (cgroup_open_entries(execution->cgroup, err) == 0)
		return 0;
	/* A user's container has none where the user may not make one. */
	if (err->number != ENOENT || !execution->state->rootless.value)
		return -1;
	execution->cgroup = NULL;
	return 0;
}

static int start_process(struct execution *execution, struct error *err)
{
	const struct oci_seccomp *seccomp = execution->config->linux->seccomp;
	struct spawn_service service = {
		.seccomp = seccomp,
		.state = state_oci(execution->state, CONTAINER_RUNNING),
	};
	_cleanup_close_ int cache = seccomp ? state_open_cache(&execution->directory) : -1;

	if (execution->options->console_socket) {
		execution->console_socket = console_connect(execution->options->console_socket, err);
		if (execution->console_socket < 0)
			return -1;
	}
	if (open_cgroup(execution, err) < 0 || clone_process(execution, err) < 0)
		return -1;
	if (resctrl_join(execution->config->linux->intel_rdt, execution->options->id, execution->child.pid,
		    err) < 0)
		return -1;
	if (spawn_compile(&execution->child, seccomp, cache, err) < 0 ||
		spawn_send_program(&execution->child, err) < 0)
		return -1;
	if (spawn_serve(&execution->child, &service, err) < 0)
		return -1;
	if (fd_socket_pass("--pidfd-socket", execution->options->pidfd_socket, execution->child.pidfd,
		    "pidfd", err) < 0)
		return -1;
	return pid_file_write(execution->arena, execution->options->pid_file, execution->child.pid, err);
}

static void end_process(struct execution *execution)
{
	int status;

	if (execution->child.pid > 0) {
		kill(execution->child.pid, SIGKILL);
		waitpid(execution->child.pid, &status, 0);
	}
}

static int run(struct execution *execution, int *exit_status, struct error *err)
{
	struct supervised child;

	if (load(execution, err) < 0)
		return -1;
	if (start_process(execution, err) < 0) {
		end_process(execution);
		*exit_status = execution->child.exit_status;
		return -1;
	}
	*exit_status = 0;
	if (execution->options->detach)
		return 0;
	child = (struct supervised){
		.pid = execution->child.pid,
		.pidfd = execution->child.pidfd,
		.console_master = execution->child.console_master,
	};
	return supervise(&child, exit_status, err);
}

int exec_run(struct arena *arena, const struct exec_options *options, int *exit_status, struct error *err)
{
	struct execution execution = {
		.arena = arena,
		.options = options,
		.directory.fd = -1,
		.target.pidfd = -1,
		.theirs = -1,
		.console_socket = -1,
		.child = SPAWNED_NONE,
	};
	int result;

	*exit_status = -1;
	result = run(&execution, exit_status, err);
	spawned_close(&execution.child);
	close_fd(execution.target.pidfd);
	close_fd(execution.theirs);
	close_fd(execution.console_socket);
	cleanup_state_directory(&execution.directory);
	return result;
}
