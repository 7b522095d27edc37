/* See criu.h. */
#include "runtime/criu.h"

#include "runtime/fd_socket.h"
#include "runtime/hook_path.h"
#include "runtime/launch.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

/* The first that has all fields of enum criu_option: an older one would ignore them without a word. */
enum { VERSION_MAJOR = 3, VERSION_MINOR = 17 };

enum { STATUS_NOT_EXECUTED = 127 };

#define NOT_INSTALLED "there is no `criu` in PATH: install the package criu"

bool criu_is_installed(void)
{
	_cleanup_arena_ struct arena *arena = arena_new();

	return program_in_path(arena, "criu");
}

/* ---- one packet ---- */

static int send_bytes(int socket, struct criu_bytes message, struct error *err)
{
	if (send(socket, message.bytes, message.length, MSG_NOSIGNAL) < 0)
		return error_set(err, errno, "cannot speak to CRIU");
	return 0;
}

/* 0 when CRIU is gone. */
static ssize_t receive(const struct criu *criu, void *bytes, size_t size, int *fd, struct error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec part = { bytes, size };
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct pollfd fds[] = {
		{ .fd = criu->socket, .events = POLLIN },
		{ .fd = criu->pidfd, .events = POLLIN },
	};
	struct cmsghdr *cmsg;
	ssize_t length;

	*fd = -1;
	while (poll(fds, ARRAY_SIZE(fds), -1) < 0)
		if (errno != EINTR)
			return error_set(err, errno, "cannot wait for CRIU");
	length = recvmsg(criu->socket, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	/* Nothing, and it has ended; or it has left unread what we said. */
	if (length < 0 && (errno == EAGAIN || errno == ECONNRESET))
		return 0;
	if (length < 0)
		return error_set(err, errno, "cannot hear from CRIU");
	cmsg = CMSG_FIRSTHDR(&header);
	if (cmsg && cmsg->cmsg_level == SOL_SOCKET && cmsg->cmsg_type == SCM_RIGHTS &&
		cmsg->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(fd, CMSG_DATA(cmsg), sizeof(*fd));
	return length;
}

static int receive_response(
	const struct criu *criu, struct criu_response *response, int *fd, const char *log, struct error *err)
{
	static char bytes[64 * 1024];
	ssize_t length = receive(criu, bytes, sizeof(bytes), fd, err);

	if (length < 0)
		return -1;
	if (length == 0)
		return error_set(
			err, EPIPE, "CRIU ended without an answer%s%s", log ? "; see " : "", log ? log : "");
	if (!criu_read_response(response, bytes, (size_t)length))
		return error_set(err, 0, "CRIU's answer makes no sense");
	return 0;
}

/* ---- starting it ---- */

/* An error in place of a fd ends it. */
static int pass_prepared(int socket, criu_prepare *prepare, void *data)
{
	struct error err = { 0 };
	struct iovec part = { &err, sizeof(err) };
	int fds[CRIU_PREPARED_FDS] = { -1, -1 };

	if (prepare(data, fds, &err) < 0) {
		send(socket, &err, sizeof(err), MSG_NOSIGNAL);
		return -1;
	}
	for (size_t i = 0; i < CRIU_PREPARED_FDS; i++)
		if (fd_socket_sendmsg(socket, &part, 1, fds[i]) < 0)
			return -1;
	return 0;
}

static void __attribute__((noreturn))
execute(const struct criu_request *request, int socket, criu_prepare *prepare, void *data)
{
	const char *number = arena_printf(request->arena, "%d", socket);

	launch_reset_signals();
	if (request->tied)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (prepare && pass_prepared(socket, prepare, data) < 0)
		_exit(1);
	close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	for (size_t i = 0; i < request->inherited_count; i++)
		fcntl(request->inherited[i], F_SETFD, 0);
	fcntl(socket, F_SETFD, 0);
	execlp("criu", "criu", "swrk", number, NULL);
	_exit(STATUS_NOT_EXECUTED);
}

static int take_prepared(struct criu *criu, struct error *err)
{
	for (size_t i = 0; i < CRIU_PREPARED_FDS; i++) {
		struct error its;
		ssize_t length = receive(criu, &its, sizeof(its), &criu->fds[i], err);

		if (length < 0)
			return -1;
		if (length != sizeof(its) || (criu->fds[i] < 0 && !*its.message))
			return error_set(err, 0, "the process for CRIU was killed");
		if (criu->fds[i] < 0) {
			*err = its;
			return -1;
		}
	}
	return 0;
}

bool criu_is_at_least(const struct criu *criu, int major, int minor)
{
	return criu->major > major || (criu->major == major && criu->minor >= minor);
}

static int check_version(struct criu *criu, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct criu_response response;

	if (send_bytes(criu->socket, criu_write_version_request(criu->arena), err) < 0 ||
		receive_response(criu, &response, &fd, NULL, err) < 0)
		return -1;
	if (response.type != CRIU_VERSION || !response.success)
		return error_set(err, 0, "CRIU does not tell its version");
	criu->major = (int)response.major;
	criu->minor = (int)response.minor;
	if (criu_is_at_least(criu, VERSION_MAJOR, VERSION_MINOR))
		return 0;
	return error_set(err, 0, "the package criu is too old: version %d.%d or later is needed",
		VERSION_MAJOR, VERSION_MINOR);
}

int criu_start(struct criu *criu, const struct criu_request *request, criu_prepare *prepare, void *data,
	struct error *err)
{
	int sockets[2];

	*criu = (struct criu){
		.arena = request->arena, .pid = -1, .pidfd = -1, .socket = -1, .fds = { -1, -1 }
	};
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0)
		return error_set(err, errno, "cannot make a socket pair for CRIU");
	criu->socket = sockets[0];
	criu->pid = fork();
	if (criu->pid == 0)
		execute(request, sockets[1], prepare, data);
	close_fd(sockets[1]);
	if (criu->pid < 0)
		return error_set(err, errno, "cannot fork for CRIU");
	criu->pidfd = pidfd_open(criu->pid, 0);
	if (criu->pidfd < 0)
		return error_set(err, errno, "cannot open the process for CRIU");
	if (prepare && take_prepared(criu, err) < 0)
		return -1;
	return check_version(criu, err);
}

void criu_end(struct criu *criu, struct error *err)
{
	int status = 0;

	criu->socket = close_fd(criu->socket);
	criu->pidfd = close_fd(criu->pidfd);
	for (size_t i = 0; i < CRIU_PREPARED_FDS; i++)
		criu->fds[i] = close_fd(criu->fds[i]);
	if (criu->pid < 0)
		return;
	while (waitpid(criu->pid, &status, 0) < 0 && errno == EINTR)
		;
	criu->pid = -1;
	if (!err || err->number != EPIPE)
		return;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NOT_EXECUTED)
		error_set(err, 0, NOT_INSTALLED);
	else if (WIFSIGNALED(status))
		error_wrap(err, "killed by signal %d", WTERMSIG(status));
}

/* ---- the conversation ---- */

static int answer_stage(struct criu *criu, const struct criu_response *response, int fd, criu_notify *notify,
	void *data, struct error *err)
{
	int result = notify(data, response->stage, response->pid, fd, err);

	if (send_bytes(criu->socket, criu_write_notified(criu->arena, result == 0), result < 0 ? NULL : err) <
		0)
		return -1;
	return result;
}

/* "(00.001589)      1: Error (criu/mount.c:42): mnt: what" without the place in its source. */
static bool find_complaint(char *line)
{
	static const char word[] = "Error (", end[] = "): ";
	char *begin = strstr(line, word), *text = begin ? strstr(begin, end) : NULL;

	line[strcspn(line, "\n")] = '\0';
	/* It goes on without that. */
	if (!text || strstr(text, "rlimit: Can't setup RLIMIT_NOFILE for self"))
		return false;
	memmove(line, text + strlen(end), strlen(text + strlen(end)) + 1);
	return true;
}

/* The first complaint is the reason, and the others follow from it. */
static int refused(struct criu_response *response, const char *log, struct error *err)
{
	_cleanup_fclose_ FILE *file = fopen(log, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (file && getline(&line, &size, file) > 0)
		if (find_complaint(line))
			return error_set(err, 0, "CRIU could not do it: %s (more is in %s)", line, log);
	response->message[strcspn(response->message, "\n")] = '\0';
	return error_set(err, 0, "CRIU could not do it: %s (%s may say more)",
		*response->message ? response->message : "it does not say why", log);
}

int criu_call(struct criu *criu, const struct criu_request *request, enum criu_request_type type,
	criu_notify *notify, void *data, const char *log, pid_t *pid, struct error *err)
{
	struct criu_response response;

	if (send_bytes(criu->socket, criu_write_request(request, type), err) < 0)
		return -1;
	for (;;) {
		_cleanup_close_ int fd = -1;

		if (receive_response(criu, &response, &fd, log, err) < 0)
			return -1;
		if (response.type != CRIU_NOTIFY)
			break;
		if (answer_stage(criu, &response, fd, notify, data, err) < 0)
			return -1;
	}
	if (!response.success)
		return refused(&response, log, err);
	if (response.type != type)
		return error_set(err, 0, "CRIU answered what was not asked; %s may say more", log);
	*pid = response.pid;
	return 0;
}
