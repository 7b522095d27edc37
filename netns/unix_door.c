/* See unix_door.h. */
#include "netns/unix_door.h"

#include "netns/helper.h"
#include "spec/cleanup.h"

#include <linux/capability.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>

enum { PATIENCE_SECONDS = 2 /* the helper only ever makes calls that do not wait */ };

struct paths {
	const char *const *items;
	size_t count;
};

static int open_path(void *data, uint8_t index)
{
	const struct paths *paths = data;
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = -1;

	if (index >= paths->count) {
		errno = EINVAL;
		return -1;
	}
	strncpy(address.sun_path, paths->items[index], sizeof(address.sun_path) - 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return steal_fd(&fd);
	if (errno == EAGAIN) /* its backlog is full */
		errno = ECONNREFUSED;
	return -1;
}

/* Root may connect to any socket, as it could without a cell. */
_Noreturn static void serve(int socket_to_relay, struct paths paths)
{
	static const unsigned int calls[] = { __NR_socket, __NR_connect };

	setsid();
	helper_enter_cell(socket_to_relay, "fence-door", calls, ARRAY_SIZE(calls), 1u << CAP_DAC_OVERRIDE);
	helper_serve(open_path, &paths);
}

int unix_door_start(const char *const *paths, size_t count, int *door, struct error *err)
{
	static const struct timeval patience = { .tv_sec = PATIENCE_SECONDS };
	_cleanup_close_ int ours = -1;
	int pair[2];
	pid_t child;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0 ||
		setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) < 0)
		return error_set(err, errno, "cannot make a socket pair");
	ours = pair[0];
	child = fork();
	if (child == 0)
		serve(pair[1], (struct paths){ paths, count });
	close_fd(pair[1]);
	if (child < 0)
		return error_set(err, errno, "cannot start the process that opens the proxies' Unix sockets");
	*door = steal_fd(&ours);
	return 0;
}

/* An answer that came too late would be the next request's: after one, the helper is given up. */
int unix_door_open(int door, size_t path)
{
	int fd = helper_request(door, (uint8_t)path) < 0 ? -1 : helper_receive(door, 0);

	if (fd < 0 && errno == EAGAIN)
		shutdown(door, SHUT_RDWR);
	return fd;
}
