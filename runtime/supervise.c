/* See supervise.h. */
#include "runtime/supervise.h"

#include "runtime/console.h"
#include "runtime/container.h"
#include "runtime/log.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>

/* Not SIGTSTP, SIGTTIN, SIGTTOU and SIGCONT: we stop and go on as any program does, and the terminal sees to the rest. */
static const int forwarded[] = { SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH };

struct supervision {
	const struct supervised *child;
	struct console_relay *relay;
	int signals;
	bool asked_to_end;
};

static sigset_t forwarded_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < ARRAY_SIZE(forwarded); i++)
		sigaddset(&set, forwarded[i]);
	return set;
}

void supervise_begin(void)
{
	sigset_t set = forwarded_set();

	sigprocmask(SIG_BLOCK, &set, NULL);
}

static int open_signals(struct supervision *supervision, struct error *err)
{
	sigset_t set = forwarded_set();

	supervision->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return supervision->signals < 0 ? error_set(err, errno, "cannot make a signal fd") : 0;
}

static void forward(struct supervision *supervision, const struct signalfd_siginfo *info)
{
	const struct supervised *child = supervision->child;
	int number = (int)info->ssi_signo;
	bool from_terminal = info->ssi_code == SI_KERNEL;
	bool asks_to_end = number == SIGINT || number == SIGTERM;

	if (number == SIGWINCH) {
		if (supervision->relay)
			console_relay_resize(supervision->relay);
		return;
	}
	if (from_terminal && child->shares_session)
		return;
	/* Pid 1 without a handler ignores everything but SIGKILL: who asks twice means it. */
	if (asks_to_end && supervision->asked_to_end)
		number = SIGKILL;
	supervision->asked_to_end = supervision->asked_to_end || asks_to_end;
	pidfd_send_signal(child->pidfd, number, NULL, 0);
}

static void read_signals(struct supervision *supervision)
{
	struct signalfd_siginfo info;

	while (read(supervision->signals, &info, sizeof(info)) == sizeof(info))
		forward(supervision, &info);
}

/* 1 while the child lives. */
static int step(struct supervision *supervision, struct error *err)
{
	struct pollfd fds[] = {
		{ .fd = supervision->child->pidfd, .events = POLLIN },
		{ .fd = supervision->signals, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};

	if (supervision->relay)
		console_relay_fds(supervision->relay, &fds[2], &fds[3]);
	if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		return errno == EINTR ? 1 : error_set(err, errno, "cannot wait for the container");
	if (fds[1].revents)
		read_signals(supervision);
	if (supervision->relay)
		console_relay_step(supervision->relay, &fds[2], &fds[3]);
	return !fds[0].revents;
}

static int wait_until_gone(struct supervision *supervision, int *exit_status, struct error *err)
{
	int status, result;

	do
		result = step(supervision, err);
	while (result > 0);
	if (result < 0)
		return -1;
	if (supervision->relay)
		console_relay_drain(supervision->relay);
	if (waitpid(supervision->child->pid, &status, 0) < 0)
		return error_set(err, errno, "cannot read the container's exit status");
	*exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return 0;
}

int supervise(const struct supervised *child, int *exit_status, struct error *err)
{
	struct supervision supervision = { .child = child, .signals = -1 };
	int result;

	if (open_signals(&supervision, err) < 0)
		return -1;
	if (child->console_master >= 0 &&
		console_relay_start(&supervision.relay, child->console_master, err) < 0) {
		close_fd(supervision.signals);
		return -1;
	}
	result = wait_until_gone(&supervision, exit_status, err);
	console_restore(supervision.relay);
	close_fd(supervision.signals);
	return result;
}

/* ---- the watcher ---- */

enum { WATCH_TAKEN = 'T', WATCH_DONE = 'D' };

static void __attribute__((noreturn)) watch(int pipe, const char *root, const char *id)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	struct error err = { 0 };
	bool taken = false;
	ssize_t length;
	char byte;

	/* Our caller may kill its whole process group, and must see its own fds close. */
	setsid();
	dup2(pipe, STDIN_FILENO);
	dup2(STDERR_FILENO, STDOUT_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	for (;;) {
		length = read(STDIN_FILENO, &byte, 1);
		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0 || byte == WATCH_DONE)
			break;
		taken = true;
	}
	if (length == 1)
		_exit(0);
	/* Killed between mkdir and telling us: an empty directory then, and never anybody else's container. */
	if (!taken && state_root(arena, root, &root, NULL) == 0)
		rmdir(arena_printf(arena, "%s/%s", root, id));
	else if (container_delete(arena, root, id, true, &err) < 0)
		log_error(&err);
	_exit(0);
}

int watcher_start(struct watcher *watcher, const char *root, const char *id, struct error *err)
{
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot make a pipe");
	watcher->pid = fork();
	if (watcher->pid < 0) {
		close_fd(ends[0]);
		close_fd(ends[1]);
		return error_set(err, errno, "cannot fork the watcher");
	}
	if (watcher->pid == 0) {
		close_fd(ends[1]);
		watch(ends[0], root, id);
	}
	close_fd(ends[0]);
	watcher->pipe = ends[1];
	return 0;
}

static void tell(struct watcher *watcher, char byte)
{
	ssize_t written = write(watcher->pipe, &byte, 1);

	(void)written; /* it was killed: then we are the one who survives */
}

void watcher_id_taken(struct watcher *watcher)
{
	tell(watcher, WATCH_TAKEN);
}

void watcher_end(struct watcher *watcher)
{
	int status;

	tell(watcher, WATCH_DONE);
	watcher->pipe = close_fd(watcher->pipe);
	waitpid(watcher->pid, &status, 0);
}
