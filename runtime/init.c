/* See init.h. */
#include "runtime/init.h"

#include "runtime/console.h"
#include "runtime/handshake.h"
#include "runtime/hooks.h"
#include "runtime/process.h"
#include "runtime/spawn.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/keyctl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static struct message incoming;

static void __attribute__((noreturn)) report_and_exit(struct init_context *context, const struct error *err)
{
	struct failure failure = { .exit_status = context->launch.exit_status, .error = *err };
	ssize_t written;

	if (context->handshake >= 0)
		spawn_report_failure(context->handshake, failure.exit_status, err);
	else {
		written = write(context->start_fifo, &failure, sizeof(failure));
		(void)written;
	}
	_exit(1);
}

static int receive_maps(struct init_context *context, struct error *err)
{
	struct mapped mapped;

	if (handshake_expect(context->handshake, MESSAGE_MAPPED, &incoming, err) < 0)
		return -1;
	memcpy(&mapped, incoming.payload, sizeof(mapped));
	context->launch.can_set_groups = mapped.can_set_groups;
	namespaces_become_root(mapped.can_set_groups);
	return 0;
}

/* From here on nobody in the container can look into us. A hook of an unprivileged runtime's has to, to find our
 * namespaces: it may until it is done, in a user namespace that is as yet empty. */
static int become_opaque(const struct init_context *context, bool hooks_are_done, struct error *err)
{
	if (context->launch.own_user_namespace && context->waits_for_hooks && !hooks_are_done)
		return 0;
	if (prctl(PR_SET_DUMPABLE, 0) < 0)
		return error_set(err, errno, "cannot make the init process opaque");
	return 0;
}

static bool is_given(const char *name)
{
	return name && *name;
}

static int set_host_names(const struct oci_config *config, struct error *err)
{
	if (is_given(config->hostname) && sethostname(config->hostname, strlen(config->hostname)) < 0)
		return error_set(err, errno, "cannot set hostname \"%s\"", config->hostname);
	if (is_given(config->domainname) && setdomainname(config->domainname, strlen(config->domainname)) < 0)
		return error_set(err, errno, "cannot set domainname \"%s\"", config->domainname);
	return 0;
}

/* The namespace's root is the cgroup that we are in when it is made. */
static int enter_cgroup(struct init_context *context, struct error *err)
{
	if (cgroup_enter(context->cgroup, context->in_cgroup, err) < 0)
		return -1;
	if (context->own_session)
		process_reset_cpu_affinity();
	if (!context->namespaces->create_cgroup)
		return 0;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return error_set(err, errno, "cannot make a cgroup namespace");
	return 0;
}

int init_new_keyring(struct arena *arena, const char *id, struct error *err)
{
	/* Kernels without keys, and engines' seccomp profiles, answer ENOSYS. */
	if (syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, arena_printf(arena, "_ses.%s", id)) < 0 &&
		errno != ENOSYS)
		return error_set(err, errno, "cannot make a session keyring (see --no-new-keyring)");
	return 0;
}

/* A controlling one, which the front door's command shares with its caller, as one job. Without it they must not even share a process
 * group: kill(0, …) reaches all of a group, in whatever pid namespace they are. */
static bool has_terminal(void)
{
	_cleanup_close_ int fd = open("/dev/tty", O_RDONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	return fd >= 0;
}

static int leave_caller(const struct init_context *context, struct error *err)
{
	if (context->own_session)
		return setsid() < 0 && errno != EPERM ? error_set(err, errno, "cannot make a session") : 0;
	if (!has_terminal() && setpgid(0, 0) < 0)
		return error_set(err, errno, "cannot make a process group");
	return 0;
}

static int enter_namespaces(struct init_context *context, struct error *err)
{
	const struct namespaces *namespaces = context->namespaces;

	if ((namespaces->create & CLONE_NEWUSER) && !context->maps_written && receive_maps(context, err) < 0)
		return -1;
	if (become_opaque(context, false, err) < 0)
		return -1;
	if (leave_caller(context, err) < 0)
		return -1;
	if (!namespaces->intermediate && namespaces_join(namespaces, err) < 0)
		return -1;
	if ((namespaces->create & CLONE_NEWNET) && namespaces_loopback_up(err) < 0)
		return -1;
	if (set_host_names(context->config, err) < 0 || enter_cgroup(context, err) < 0)
		return -1;
	return context->new_keyring ? init_new_keyring(context->arena, context->id, err) : 0;
}

static int run_hooks(struct init_context *context, struct error *err)
{
	if (!context->waits_for_hooks)
		return 0;
	if (handshake_send(context->handshake, MESSAGE_MOUNTED, NULL, 0, -1, err) < 0 ||
		handshake_expect(context->handshake, MESSAGE_HOOKED, &incoming, err) < 0)
		return -1;
	context->state.pid.set = true;
	context->state.pid.value = *(pid_t *)(void *)incoming.payload;
	if (become_opaque(context, true, err) < 0)
		return -1;
	if (!context->config->hooks)
		return 0;
	/* As with runc, a hook that names files of the rootfs need not know where that is. */
	if (fchdir(context->rootfs->root_fd) < 0)
		return error_set(err, errno, "cannot enter the rootfs");
	return hooks_run(
		&context->config->hooks->create_container, "createContainer", &context->state, NULL, err);
}

static int restrict_hook(void *data, struct error *err)
{
	return launch_restrict(data, err);
}

/* Their programs are the container's, and so are held by what holds it. */
static int run_start_hooks(struct init_context *context, struct error *err)
{
	const struct oci_hooks *hooks = context->config->hooks;
	struct hook_place place = { .enter = restrict_hook, .data = &context->launch };

	if (!hooks || !hooks->start_container.count)
		return 0;
	place.environment = (const char *const *)launch_environment(&context->launch);
	return hooks_run(&hooks->start_container, "startContainer", &context->state, &place, err);
}

/* The slave, or -1. */
static int open_console(struct init_context *context, struct error *err)
{
	struct open_how how = { .flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT };
	_cleanup_close_ int devpts =
		(int)syscall(SYS_openat2, context->rootfs->root_fd, "dev/pts", &how, sizeof(how));
	_cleanup_close_ int slave = -1;

	if (devpts < 0)
		return error_set(err, errno, "process.terminal needs a devpts at /dev/pts");
	slave = spawn_open_console(context->handshake, context->console_socket, devpts,
		context->launch.process->console_size, err);
	if (slave < 0 || rootfs_mount_console(context->rootfs, slave, err) < 0)
		return -1;
	return steal_fd(&slave);
}

/* A terminal that is passed on as it is belongs to the host's devpts. As with bubblewrap it gets a name inside, /dev/console, which
 * ttyname(3) finds. */
static int name_terminal(struct init_context *context, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct stat passed, named;
	char path[PATH_MAX];

	if (ttyname_r(STDIN_FILENO, path, sizeof(path)) != 0)
		return 0;
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &named) < 0 || fstat(STDIN_FILENO, &passed) < 0 ||
		named.st_dev != passed.st_dev || named.st_ino != passed.st_ino)
		return 0;
	return rootfs_mount_console(context->rootfs, fd, err);
}

static int map_source(void *data, size_t index, int fd, struct error *err)
{
	const struct init_context *context = data;

	return spawn_map_source(context->handshake, index, fd, err);
}

static int set_up_files(struct init_context *context, struct error *err)
{
	_cleanup_close_ int console = -1;

	context->rootfs->map_source = map_source;
	context->rootfs->map_data = context;
	if (rootfs_mount(context->rootfs, err) < 0 || run_hooks(context, err) < 0)
		return -1;
	if (context->launch.process->terminal.value) {
		console = open_console(context, err);
		if (console < 0)
			return -1;
	} else if (context->launch.reaper && name_terminal(context, err) < 0) {
		return -1;
	}
	if (rootfs_enter(context->rootfs, err) < 0)
		return -1;
	return console < 0 ? 0 : console_make_controlling(console, err);
}

static void end_by_signal(int number)
{
	_exit(128 + number);
}

/* The kernel spares pid 1 every signal that it has no handler for. Execution makes them the default again. */
static void end_when_asked(void)
{
	static const int signals[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		signal(signals[i], end_by_signal);
}

/* It can take long until somebody calls `start`, or for ever: what the caller and the runtime had open is let go of. */
static void close_others(const struct init_context *context)
{
	unsigned int kept = (unsigned int)context->start_fifo, next = launch_first_free_fd(&context->launch);

	if (kept > next)
		close_range(next, kept - 1, 0);
	close_range(kept >= next ? kept + 1 : next, ~0U, 0);
}

static int take_start_byte(const struct init_context *context, struct error *err)
{
	ssize_t length;
	char byte;

	do
		length = read(context->start_fifo, &byte, 1);
	while (length < 0 && errno == EINTR);
	return length == 1 ? 0 : error_set(err, errno, "cannot wait for `start`");
}

/* `start` writes two bytes to the fifo, and sees it close at exec, or at our end: what is in it then tells which. */
static int wait_for_start(struct init_context *context, struct error *err)
{
	if (context->start_fifo < 0)
		return 0;
	end_when_asked();
	if (handshake_send(context->handshake, MESSAGE_READY, NULL, 0, -1, err) < 0)
		return -1;
	context->handshake = context->launch.handshake = close_fd(context->handshake);
	close_others(context);
	return take_start_byte(context, err);
}

/* By read(2) alone, which every seccomp filter that may be loaded by now allows. */
static int say_that_we_start(struct init_context *context, struct error *err)
{
	return context->start_fifo < 0 ? 0 : take_start_byte(context, err);
}

static int run(struct init_context *context, struct error *err)
{
	struct seccomp_program program;
	int has_program;

	if (launch_outside_rootfs(&context->launch, err) < 0 || enter_namespaces(context, err) < 0 ||
		set_up_files(context, err) < 0)
		return -1;
	has_program = spawn_receive_program(context->handshake, &program, err);
	if (has_program < 0)
		return -1;
	context->launch.program = has_program ? &program : NULL;
	if (launch_settle(&context->launch, err) < 0 || wait_for_start(context, err) < 0 ||
		launch_check_program(context->launch.process, err) < 0)
		return -1;
	if (run_start_hooks(context, err) < 0 || say_that_we_start(context, err) < 0)
		return -1;
	return launch_execute(&context->launch, err);
}

void init_main(struct init_context *context)
{
	struct error err = { 0 };

	context->runtime_end = close_fd(context->runtime_end);
	if (context->launch.death_signal)
		prctl(PR_SET_PDEATHSIG, context->launch.death_signal);
	if (context->own_session)
		launch_reset_signals();
	run(context, &err);
	report_and_exit(context, &err);
}

static int ask_for_maps(void *data, struct error *err)
{
	struct init_context *context = data;

	if (handshake_send(context->handshake, MESSAGE_NEED_MAPS, NULL, 0, -1, err) < 0)
		return -1;
	if (receive_maps(context, err) < 0)
		return -1;
	context->maps_written = true;
	return 0;
}

void init_intermediate(void *data)
{
	struct init_context *context = data;
	const struct namespaces *namespaces = context->namespaces;
	struct error err = { 0 };

	context->runtime_end = close_fd(context->runtime_end);
	if (namespaces_enter_intermediate(
		    namespaces, context->config->linux->time_offsets, ask_for_maps, context, &err) == 0 &&
		spawn_sibling(context->handshake, namespaces->create & ~(uint64_t)CLONE_NEWUSER, &err) == 0)
		init_main(context);
	report_and_exit(context, &err);
}
