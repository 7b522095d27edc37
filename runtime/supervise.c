/* See supervise.h. */
#include "runtime/supervise.h"

#include "runtime/console.h"
#include "runtime/container.h"
#include "runtime/log.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
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

/* What it is told, the first byte of a packet. After WATCH_NAME come the root (empty: the default one) and the id, with a null
 * byte each. */
enum { WATCH_NAME = 'N', WATCH_TAKEN = 'T', WATCH_DONE = 'D' };

enum { PACKET_MAX = 2 * PATH_MAX };

struct heard {
	char name[PACKET_MAX];
	bool taken, done;
};

/* Our caller may kill its whole process group, and must see its own fds close. */
static int part_from_caller(int socket, struct error *err)
{
	if (setsid() < 0 || dup2(socket, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0 ||
		close_range(STDERR_FILENO + 1, ~0U, 0) < 0)
		return error_set(err, errno, "cannot set up the watcher");
	return 0;
}

/* Until the supervisor is done, or gone. */
static int listen_to_supervisor(struct heard *heard, struct error *err)
{
	static char packet[PACKET_MAX];
	ssize_t length;

	do {
		length = read(STDIN_FILENO, packet, sizeof(packet));
		if (length < 0 && errno != EINTR)
			return error_set(err, errno, "the watcher cannot listen to the supervisor");
		if (length <= 0)
			continue;
		heard->done = *packet == WATCH_DONE;
		heard->taken = *packet == WATCH_TAKEN;
		if (*packet == WATCH_NAME)
			memcpy(heard->name, packet + 1, (size_t)length - 1);
	} while (length != 0 && !heard->done);
	return 0;
}

static int watch(int socket, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	static struct heard heard;
	const char *root, *id;

	if (part_from_caller(socket, err) < 0 || listen_to_supervisor(&heard, err) < 0)
		return -1;
	root = *heard.name ? heard.name : NULL;
	id = heard.name + strlen(heard.name) + 1;
	if (heard.done || !*id)
		return 0;
	if (heard.taken)
		return container_delete(arena, root, id, true, err);
	/* Killed between mkdir and telling us: an empty directory then, and never anybody else's container. */
	if (state_root(arena, root, &root, err) < 0)
		return -1;
	rmdir(arena_printf(arena, "%s/%s", root, id));
	return 0;
}

int watcher_start(struct watcher *watcher, struct error *err)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return error_set(err, errno, "cannot make a socket pair");
	watcher->pid = fork();
	if (watcher->pid < 0) {
		close_fd(ends[0]);
		close_fd(ends[1]);
		return error_set(err, errno, "cannot fork the watcher");
	}
	if (watcher->pid == 0) {
		close_fd(ends[1]);
		if (watch(ends[0], err) < 0)
			log_error(err);
		_exit(0);
	}
	close_fd(ends[0]);
	watcher->socket = ends[1];
	return 0;
}

static void tell(struct watcher *watcher, const char *packet, size_t length)
{
	ssize_t sent = send(watcher->socket, packet, length, MSG_NOSIGNAL);

	(void)sent; /* it was killed: then we are the one who survives */
}

int watcher_name(struct watcher *watcher, const char *root, const char *id, struct error *err)
{
	char packet[PACKET_MAX];
	int length = snprintf(packet, sizeof(packet), "%c%s%c%s", WATCH_NAME, root ? root : "", 0, id);

	if (length >= PACKET_MAX)
		return error_set(err, ENAMETOOLONG, "the state directory's path is too long");
	tell(watcher, packet, (size_t)length + 1);
	return 0;
}

void watcher_id_taken(struct watcher *watcher)
{
	static const char packet = WATCH_TAKEN;

	tell(watcher, &packet, 1);
}

void watcher_end(struct watcher *watcher)
{
	static const char packet = WATCH_DONE;
	int status;

	tell(watcher, &packet, 1);
	watcher->socket = close_fd(watcher->socket);
	waitpid(watcher->pid, &status, 0);
}
