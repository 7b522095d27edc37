/* See launch.h. */
#include "netns/launch.h"

#include "netns/cell.h"
#include "netns/control.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum { FIRST_AFTER_STDIO = 3 };

static int compare_fds(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

static void close_between(int first, int last)
{
	if (first <= last)
		syscall(SYS_close_range, (unsigned int)first, (unsigned int)last, 0);
}

/* Closes what the hook had open for itself: proc files, namespaces, the network file. */
static int close_others(const struct relay_config *config, struct error *err)
{
	const int own[] = { config->out_fd, config->unix_door, config->init_pidfd, config->control_fd,
		config->ready_fd, config->log_fd, config->container_fd };
	size_t count = ARRAY_SIZE(own) + config->inbound_count;
	_cleanup_free_ int *kept = malloc(count * sizeof(*kept));
	int next = FIRST_AFTER_STDIO;

	if (!kept)
		return error_set(err, ENOMEM, "cannot start the relay");
	memcpy(kept, own, sizeof(own));
	for (size_t i = 0; i < config->inbound_count; i++)
		kept[ARRAY_SIZE(own) + i] = config->inbound[i].listen_fd;
	qsort(kept, count, sizeof(*kept), compare_fds);
	for (size_t i = 0; i < count; i++) {
		if (kept[i] < next)
			continue;
		close_between(next, kept[i] - 1);
		next = kept[i] + 1;
	}
	close_between(next, INT32_MAX);
	return 0;
}

/* The first process of a pid namespace ignores what it has no handler for. */
static void end(int signal)
{
	_exit(128 + signal);
}

/* stderr is a pipe to the hook until that has gone; writing to it later fails quietly, since SIGPIPE is ignored. */
static int settle(struct relay_config *config, int errors, struct error *err)
{
	_cleanup_close_ int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	sigset_t none;

	if (dup2(errors, STDERR_FILENO) < 0 || null < 0 || dup2(null, STDIN_FILENO) < 0 ||
		dup2(null, STDOUT_FILENO) < 0)
		return error_set(err, errno, "cannot set the relay's standard streams on /dev/null");
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, end);
	signal(SIGINT, end);
	signal(SIGHUP, end);
	umask(0077);
	prctl(PR_SET_NAME, "fence-relay");
	if (setsid() < 0 || chdir("/") < 0)
		return error_set(err, errno, "cannot start the relay's session");
	if (control_adopt(config->control_fd, err) < 0 || control_adopt(config->container_fd, err) < 0)
		return -1;
	return close_others(config, err);
}

_Noreturn static void run(struct relay_config *config, int errors)
{
	struct error error = { 0 };

	if (cell_settle(&config->cell, &error) == 0 && settle(config, errors, &error) == 0 &&
		relay_run(config, &error) == 0)
		_exit(0);
	dprintf(STDERR_FILENO, "%s", error.message);
	_exit(1);
}

static void close_start(struct relay_start *start)
{
	start->out = close_fd(start->out);
	start->ready = close_fd(start->ready);
	start->errors = close_fd(start->errors);
}

/* One byte: it serves. The end of the pipe: it has died, and why is in the other one. */
static int await_ready(const struct relay_start *start, struct error *err)
{
	char message[ERROR_MESSAGE_MAX], byte;
	size_t length = 0;
	ssize_t got;
	int status;

	do
		got = read(start->ready, &byte, 1);
	while (got < 0 && errno == EINTR);
	if (got == 1)
		return 0;
	while ((got = read(start->errors, message + length, sizeof(message) - 1 - length)) > 0)
		length += (size_t)got;
	message[length] = '\0';
	waitpid(start->process, &status, 0);
	if (length)
		return error_set(err, 0, "%s", message);
	if (WIFSIGNALED(status))
		return error_set(err, 0, "the relay was ended by signal %d (%s) before it served",
			WTERMSIG(status), strsignal(WTERMSIG(status)));
	return error_set(err, 0, "the relay ended before it served");
}

static int make_ends(struct relay_start *start, int theirs[static 3], struct error *err)
{
	int ready[2], errors[2], out[2];

	if (pipe2(ready, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot make a pipe");
	start->ready = ready[0];
	theirs[0] = ready[1];
	if (pipe2(errors, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot make a pipe");
	start->errors = errors[0];
	theirs[1] = errors[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) < 0)
		return error_set(err, errno, "cannot make a socket pair");
	start->out = out[0];
	theirs[2] = out[1];
	return 0;
}

int relay_launch(struct relay_config *config, struct relay_start *start, struct error *err)
{
	int theirs[3] = { -1, -1, -1 }, result;

	*start = (struct relay_start){ .process = -1, .out = -1, .ready = -1, .errors = -1 };
	result = make_ends(start, theirs, err);
	config->ready_fd = theirs[0];
	config->out_fd = theirs[2];
	if (result == 0) {
		start->process = cell_fork(&config->cell, err);
		if (start->process == 0)
			run(config, theirs[1]);
		result = start->process < 0 ? -1 : 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(theirs); i++)
		close_fd(theirs[i]);
	if (result < 0)
		close_start(start);
	return result;
}

int relay_complete(struct relay_start *start, struct way_out *out, struct error *err)
{
	int result;

	way_out_send(start->out, out); /* to one that has died: then its own words tell more */
	result = await_ready(start, err);
	close_start(start);
	return result;
}

void relay_abandon(struct relay_start *start)
{
	close_start(start);
	waitpid(start->process, NULL, 0);
}
