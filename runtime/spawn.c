/* See spawn.h. */
#include "runtime/spawn.h"

#include "runtime/console.h"
#include "runtime/log.h"
#include "runtime/namespaces.h"
#include "runtime/supervise.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

static struct message incoming;

void spawned_close(struct spawned *spawned)
{
	spawned->pidfd = close_fd(spawned->pidfd);
	spawned->handshake = close_fd(spawned->handshake);
	spawned->console_master = close_fd(spawned->console_master);
	seccomp_free(&spawned->program);
}

static int take_failure(struct spawned *spawned, struct error *err)
{
	struct failure failure;

	if (incoming.length != sizeof(failure))
		return error_set(err, 0, "the container's process failed without saying why");
	memcpy(&failure, incoming.payload, sizeof(failure));
	spawned->exit_status = failure.exit_status;
	*err = failure.error;
	return -1;
}

pid_t spawn_intermediate(void (*run)(void *data), void *data, struct error *err)
{
	_cleanup_close_ int pidfd = -1;
	bool in_cgroup;
	pid_t pid = namespaces_clone(0, -1, &pidfd, &in_cgroup);

	if (pid == 0)
		run(data);
	return pid < 0 ? error_set(err, errno, "cannot clone a process") : pid;
}

static int listen_to_intermediate(struct spawned *spawned, pid_t intermediate,
	int (*write_maps)(void *data, pid_t pid, struct error *err), void *data, struct error *err)
{
	int result;

	while ((result = handshake_receive(spawned->handshake, &incoming, err)) > 0)
		switch (incoming.type) {
		case MESSAGE_NEED_MAPS:
			if (write_maps(data, intermediate, err) < 0)
				return -1;
			break;
		case MESSAGE_PID:
			memcpy(&spawned->pid, incoming.payload, sizeof(spawned->pid));
			return 0;
		case MESSAGE_ERROR:
			return take_failure(spawned, err);
		default:
			return error_set(err, 0, "the handshake is out of step: message %d", incoming.type);
		}
	return result < 0 ? -1 : error_set(err, 0, "the process that enters the namespaces has died");
}

int spawn_adopt(struct spawned *spawned, pid_t intermediate,
	int (*write_maps)(void *data, pid_t pid, struct error *err), void *data, struct error *err)
{
	int result = listen_to_intermediate(spawned, intermediate, write_maps, data, err);
	int status;

	if (result < 0)
		kill(intermediate, SIGKILL);
	while (waitpid(intermediate, &status, 0) < 0 && errno == EINTR)
		;
	if (result < 0)
		return -1;
	spawned->pidfd = pidfd_open(spawned->pid, 0);
	return spawned->pidfd < 0 ? error_set(err, errno, "cannot open the container's process") : 0;
}

int spawn_compile(struct spawned *spawned, const struct oci_seccomp *seccomp, int cache, struct error *err)
{
	if (!seccomp)
		return 0;
	if (seccomp_compile(seccomp, cache, &spawned->program, err) < 0)
		return -1;
	log_debug("seccomp filter flags: %u", spawned->program.flags);
	return 0;
}

int spawn_send_program(struct spawned *spawned, struct error *err)
{
	const struct seccomp_program *program = &spawned->program;
	size_t length = program->instructions ? sizeof(*program) + program->length : 0;
	_cleanup_free_ char *payload = malloc(length + 1);

	if (!payload || length > MESSAGE_PAYLOAD_MAX)
		return error_set(
			err, E2BIG, "linux.seccomp: the program of %zu bytes is too long", program->length);
	if (length) {
		memcpy(payload, program, sizeof(*program));
		memcpy(payload + sizeof(*program), program->instructions, program->length);
	}
	if (spawned->supervised)
		supervise_begin();
	return handshake_send(spawned->handshake, MESSAGE_PROGRAM, payload, length, -1, err);
}

static int take_listener(struct spawned *spawned, const struct spawn_service *service, struct error *err)
{
	_cleanup_close_ int listener = -1;
	int number;

	memcpy(&number, incoming.payload, sizeof(number));
	listener = pidfd_getfd(spawned->pidfd, number, 0);
	if (listener < 0)
		return error_set(err, errno, "cannot take the seccomp listener from the container's process");
	if (seccomp_send_listener(service->seccomp, listener, &service->state, spawned->pid, err) < 0)
		return -1;
	return handshake_send(spawned->handshake, MESSAGE_TAKEN, NULL, 0, -1, err);
}

static int map_source(struct spawned *spawned, const struct spawn_service *service, struct error *err)
{
	_cleanup_close_ int fd = incoming.fd;
	size_t index;

	memcpy(&index, incoming.payload, sizeof(index));
	if (service->map_source(service->data, index, fd, err) < 0)
		return -1;
	return handshake_send(spawned->handshake, MESSAGE_SOURCE_MAPPED, NULL, 0, -1, err);
}

int spawn_serve(struct spawned *spawned, const struct spawn_service *service, struct error *err)
{
	int result;

	while ((result = handshake_receive(spawned->handshake, &incoming, err)) > 0)
		switch (incoming.type) {
		case MESSAGE_SOURCE:
			if (map_source(spawned, service, err) < 0)
				return -1;
			break;
		case MESSAGE_MOUNTED:
			if (service->mounted(service->data, err) < 0)
				return -1;
			break;
		case MESSAGE_CONSOLE:
			close_fd(spawned->console_master);
			spawned->console_master = incoming.fd;
			break;
		case MESSAGE_LISTENER:
			if (take_listener(spawned, service, err) < 0)
				return -1;
			break;
		case MESSAGE_READY:
			return 1;
		case MESSAGE_ERROR:
			return take_failure(spawned, err);
		default:
			return error_set(err, 0, "the handshake is out of step: message %d", incoming.type);
		}
	return result;
}

bool spawn_hear_failure(struct spawned *spawned, struct error *err)
{
	while (handshake_receive(spawned->handshake, &incoming, err) > 0) {
		if (incoming.type == MESSAGE_ERROR)
			return take_failure(spawned, err) < 0;
		close_fd(incoming.fd);
	}
	return false;
}

int spawn_sibling(int handshake, uint64_t flags, struct error *err)
{
	int gate[2], pidfd;
	bool in_cgroup;
	ssize_t opened;
	char byte;
	pid_t pid;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot make a pipe");
	pid = namespaces_clone(flags | CLONE_PARENT, -1, &pidfd, &in_cgroup);
	if (pid < 0)
		return error_set(err, errno, "cannot clone the container's process");
	if (pid > 0) {
		if (handshake_send(handshake, MESSAGE_PID, &pid, sizeof(pid), -1, err) < 0)
			return -1;
		_exit(write(gate[1], "", 1) != 1);
	}
	close_fd(gate[1]);
	do
		opened = read(gate[0], &byte, 1);
	while (opened < 0 && errno == EINTR);
	close_fd(gate[0]);
	/* Who made us was killed before the runtime knew of us: it would wait for us, and we for it. */
	if (opened != 1)
		return error_set(
			err, opened < 0 ? errno : 0, "the process that cloned the container's has failed");
	return 0;
}

int spawn_receive_program(int handshake, struct seccomp_program *program, struct error *err)
{
	if (handshake_expect(handshake, MESSAGE_PROGRAM, &incoming, err) < 0)
		return -1;
	if (incoming.length < sizeof(*program))
		return 0;
	memcpy(program, incoming.payload, sizeof(*program));
	program->instructions = incoming.payload + sizeof(*program);
	return 1;
}

int spawn_map_source(int handshake, size_t index, int fd, struct error *err)
{
	if (handshake_send(handshake, MESSAGE_SOURCE, &index, sizeof(index), fd, err) < 0)
		return -1;
	return handshake_expect(handshake, MESSAGE_SOURCE_MAPPED, &incoming, err);
}

int spawn_open_console(int handshake, int console_socket, int devpts_fd, const struct oci_console_size *size,
	struct error *err)
{
	_cleanup_close_ int slave = -1;
	_cleanup_close_ int master = console_new(devpts_fd, size, &slave, err);

	if (master < 0)
		return -1;
	/* What we relay to a file or a pipe should look as the program wrote it. */
	if (console_socket < 0 && !isatty(STDOUT_FILENO))
		console_keep_newlines(slave);
	if (console_socket >= 0 && console_send(console_socket, master, err) < 0)
		return -1;
	if (console_socket < 0 && handshake_send(handshake, MESSAGE_CONSOLE, NULL, 0, master, err) < 0)
		return -1;
	return steal_fd(&slave);
}

void spawn_report_failure(int handshake, int exit_status, const struct error *err)
{
	struct failure failure = { .exit_status = exit_status, .error = *err };

	handshake_send(handshake, MESSAGE_ERROR, &failure, sizeof(failure), -1, NULL);
}
