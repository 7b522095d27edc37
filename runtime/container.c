/* See container.h. */
#include "runtime/container.h"

#include "runtime/creation.h"
#include "runtime/handshake.h"
#include "runtime/hooks.h"
#include "runtime/log.h"
#include "runtime/removal.h"
#include "runtime/supervise.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

int container_create(
	struct arena *arena, const struct container_options *options, int *exit_status, struct error *err)
{
	struct creation creation;
	int result = -1;

	creation_begin(&creation, arena, options);
	creation.waits_for_start = true;
	if (creation_load(&creation, err) == 0 && creation_take(&creation, err) == 0) {
		result = creation_make(&creation, err);
		if (result < 0)
			creation_undo(&creation);
	}
	*exit_status = creation.child.exit_status;
	creation_end(&creation);
	return result;
}

static int run_poststart(const struct state *state, const struct oci_config *config, struct error *err)
{
	struct oci_state oci = state_oci(state, CONTAINER_RUNNING);

	return config->hooks ? hooks_run(&config->hooks->poststart, "poststart", &oci, NULL, err) : 0;
}

static int run_in_foreground(struct creation *creation, int *exit_status, struct error *err)
{
	struct supervised child = {
		.pid = creation->child.pid,
		.pidfd = creation->child.pidfd,
		.console_master = creation->child.console_master,
		.shares_session = !creation->init.own_session,
	};

	if (run_poststart(&creation->state, creation->config, err) < 0)
		return -1;
	if (supervise(&child, exit_status, err) < 0)
		return -1;
	creation->child.pid = -1;
	return 0;
}

static int make_and_run(struct creation *creation, container_maker *make, void *data, struct watcher *watcher,
	int *exit_status, struct error *err)
{
	const struct container_options *options = creation->options;
	int result;

	if (watcher && watcher_name(watcher, options->root, options->id, err) < 0)
		return -1;
	if (creation_take(creation, err) < 0)
		return -1;
	if (watcher)
		watcher_id_taken(watcher);
	result = make(creation, data, err);
	if (result == 0 && creation->foreground)
		result = run_in_foreground(creation, exit_status, err);
	else if (result == 0)
		result = run_poststart(&creation->state, creation->config, err);
	if (result < 0)
		*exit_status = creation->child.exit_status;
	if (result < 0 || (creation->foreground && !options->keep))
		creation_undo(creation);
	return result;
}

int container_run_made(struct arena *arena, const struct container_options *options, container_maker *make,
	void *data, int *exit_status, struct error *err)
{
	bool watched = !options->detach && !options->keep;
	struct watcher *watcher = options->watcher, own;
	struct creation creation;
	int result;

	*exit_status = -1;
	if (watched && !watcher) {
		if (watcher_start(&own, err) < 0)
			return -1;
		watcher = &own;
	}
	creation_begin(&creation, arena, options);
	creation.foreground = !options->detach;
	result = creation_load(&creation, err);
	if (result == 0)
		result = make_and_run(&creation, make, data, watcher, exit_status, err);
	if (result == 0 && options->detach)
		*exit_status = 0;
	creation_end(&creation);
	if (watcher == &own)
		watcher_end(&own);
	return result;
}

static int make_by_cloning(struct creation *creation, void *data, struct error *err)
{
	(void)data;
	return creation_make(creation, err);
}

int container_run(
	struct arena *arena, const struct container_options *options, int *exit_status, struct error *err)
{
	return container_run_made(arena, options, make_by_cloning, NULL, exit_status, err);
}

/* The ends of the fifo that the init process waits at; it has both open. */
struct start_gate {
	int writer, reader;
};

static void close_gate(struct start_gate *gate)
{
	gate->writer = close_fd(gate->writer);
	gate->reader = close_fd(gate->reader);
}

static int claim_start(const struct existing *existing, struct start_gate *gate, struct error *err)
{
	enum { FLAGS = O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC };
	int directory = existing->directory.fd;

	if (existing->status == CONTAINER_STOPPED)
		return error_set(err, 0, "cannot start a container that has stopped");
	gate->writer = openat(directory, STATE_START_FIFO, O_WRONLY | FLAGS);
	gate->reader = gate->writer < 0 ? -1 : openat(directory, STATE_START_FIFO, O_RDONLY | FLAGS);
	if (existing->status != CONTAINER_CREATED || gate->reader < 0)
		return error_set(err, 0, "cannot start a container that is %s already",
			container_status_name(existing->status));
	/* Of two that start it at once, one removes it. */
	if (unlinkat(directory, STATE_START_FIFO, 0) < 0)
		return error_set(err, 0, "cannot start a container that is being started already");
	return 0;
}

static const char
	start_bytes[2]; /* one to go on with, one to be taken right before the program is executed */

/* An init process that reaps for its command executes nothing itself. */
static bool ended_before_execution(const struct existing *existing)
{
	const struct state *state = existing->state;
	struct process_status status;

	return process_status((pid_t)state->pid.value, &status) == 0 &&
	       status.start_time == state->pid_start_time.value && status.ends_as_forked &&
	       !oci_annotation(existing->config, ANNOTATION_INIT);
}

/* The init process has the fifo open until it executes the command, or dies: poll(2) sees that in any case. What it has left in it are
 * bytes that it has not come to, and why it failed. */
static int wait_for_execution(const struct existing *existing, int fifo, struct error *err)
{
	struct pollfd poll_fd = { .fd = fifo };
	char rest[sizeof(start_bytes) + sizeof(struct failure)];
	struct failure failure;
	ssize_t length;

	while (poll(&poll_fd, 1, -1) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "cannot wait for the container to start");
	length = read(fifo, rest, sizeof(rest));
	if (length >= (ssize_t)sizeof(failure)) {
		memcpy(&failure, rest + length - sizeof(failure), sizeof(failure));
		*err = failure.error;
		return -1;
	}
	if (length != 0 || ended_before_execution(existing))
		return error_set(
			err, 0, "the container's init process was killed before it executed its program");
	return 0;
}

/* On v1 a frozen process takes its death only when it is thawed. */
static int thaw(const struct existing *existing, struct error *err)
{
	return existing->cgroup && existing->status == CONTAINER_PAUSED
		       ? cgroup_freeze(existing->cgroup, false, err)
		       : 0;
}

static int kill_and_wait(const struct existing *existing, struct error *err)
{
	_cleanup_close_ int pidfd = state_pidfd(existing->state);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };

	if (pidfd < 0 && errno == ESRCH)
		return 0;
	if (pidfd < 0 || (pidfd_send_signal(pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH))
		return error_set(err, errno, "cannot kill the container's first process, %lld",
			(long long)existing->state->pid.value);
	if (thaw(existing, err) < 0)
		return -1;
	while (poll(&poll_fd, 1, -1) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "cannot wait for the container's end");
	return 0;
}

int container_start(struct arena *arena, const char *root, const char *id, struct error *err)
{
	_cleanup_existing_ struct existing existing = NO_CONTAINER;
	_cleanup_(close_gate) struct start_gate gate = { -1, -1 };

	if (state_look_up(arena, root, id, &existing, err) < 0 ||
		state_load_config(arena, &existing.directory, existing.state, &existing.config, err) < 0 ||
		claim_start(&existing, &gate, err) < 0)
		return -1;
	if (write(gate.writer, start_bytes, sizeof(start_bytes)) != sizeof(start_bytes))
		return error_set(err, errno, "cannot tell the container to start");
	gate.writer = close_fd(gate.writer);
	if (wait_for_execution(&existing, gate.reader, err) == 0 &&
		run_poststart(existing.state, existing.config, err) == 0)
		return 0;
	kill_and_wait(&existing, NULL); /* it may be at its end already: now it has stopped for everybody */
	return -1;
}

/* Where the first process is not pid 1 of a pid namespace of the container's own, the others do not die with it: as with runc,
 * killing it is then killing all. */
static bool outlives_its_init(struct arena *arena, struct existing *existing)
{
	const struct oci_namespace *namespace;
	struct cgroup *cgroup = existing->cgroup;
	struct error err = { 0 };
	size_t count;
	pid_t *pids;

	if (state_load_config(arena, &existing->directory, existing->state, &existing->config, &err) < 0)
		return false;
	namespace = oci_namespace_find(existing->config, "pid");
	if ((namespace && !namespace->path) || cgroup_is_shared(cgroup))
		return false;
	return cgroup_processes(arena, cgroup, &pids, &count, &err) == 0 && count > 0;
}

int container_kill(
	struct arena *arena, const char *root, const char *id, int signal, bool all, struct error *err)
{
	_cleanup_existing_ struct existing existing = NO_CONTAINER;
	_cleanup_close_ int pidfd = -1;

	if (state_look_up(arena, root, id, &existing, err) < 0)
		return -1;
	if (all && existing.cgroup)
		return cgroup_kill(existing.cgroup, signal, err);
	if (signal == SIGKILL && existing.cgroup && outlives_its_init(arena, &existing))
		return cgroup_kill(existing.cgroup, signal, err);
	pidfd = state_pidfd(existing.state);
	if (pidfd < 0)
		return error_set(err, 0, "container not running");
	if (pidfd_send_signal(pidfd, signal, NULL, 0) < 0)
		return error_set(err, errno, "cannot send signal %d to the container", signal);
	return signal == SIGKILL ? thaw(&existing, err) : 0;
}

/* A create that was killed may have left no state, and then neither a process nor a cgroup; and half of a config, and then no
 * hook has run. What is there and just now cannot be read may name all of that. */
static bool was_not_written(const struct error *err)
{
	return err->number == 0 || err->number == ENOENT || err->number == EISDIR;
}

/* State is written whole: it was there, and nobody knows any more what it named. */
static int delete_without_state(
	struct arena *arena, const struct state_directory *directory, struct error *err)
{
	if (!was_not_written(err))
		return -1;
	if (err->number != ENOENT)
		log_warning("%s is removed, but not what it may have left, processes and cgroups: %s",
			directory->path, err->message);
	return removal_run(arena, directory, NULL, NULL, NULL, err);
}

static int delete_by_force(
	struct arena *arena, const char *root, const char *id, struct existing *existing, struct error *err)
{
	if (state_open(arena, root, id, &existing->directory, err) < 0)
		return err->number == ENOENT ? 0 : -1;
	if (state_load(arena, &existing->directory, &existing->state, err) < 0)
		return delete_without_state(arena, &existing->directory, err);
	if (state_cgroup(arena, existing->state, &existing->cgroup, err) < 0)
		return -1;
	existing->status = state_status(&existing->directory, existing->state, existing->cgroup);
	/* CRIU, which is in there, does not see it die, and would never reap what the first process waits for. */
	if (existing->state->restoring.value)
		cgroup_kill(existing->cgroup, SIGKILL, NULL);
	if (kill_and_wait(existing, err) < 0)
		return -1;
	if (state_load_config(arena, &existing->directory, existing->state, &existing->config, err) < 0) {
		if (!was_not_written(err))
			return -1;
		existing->config = NULL;
	}
	return removal_run(
		arena, &existing->directory, existing->state, existing->cgroup, existing->config, err);
}

int container_delete(struct arena *arena, const char *root, const char *id, bool force, struct error *err)
{
	_cleanup_existing_ struct existing existing = NO_CONTAINER;

	if (force)
		return delete_by_force(arena, root, id, &existing, err);
	if (state_look_up(arena, root, id, &existing, err) < 0)
		return -1;
	if (existing.status != CONTAINER_STOPPED)
		return error_set(err, 0,
			"cannot delete container \"%s\" that is not stopped: it is %s (use --force)", id,
			container_status_name(existing.status));
	if (state_load_config(arena, &existing.directory, existing.state, &existing.config, err) < 0)
		return -1;
	return removal_run(arena, &existing.directory, existing.state, existing.cgroup, existing.config, err);
}
