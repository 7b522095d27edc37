/* See control.h. */
#include "netns/control.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

enum {
	BACKLOG = 64,
	JOIN_MILLISECONDS = 10000, /* the relay may be just starting */
	AFTER_KILL_MILLISECONDS = 2000,
	ANSWER_MILLISECONDS = 5000,
};

void control_name_of_namespace(dev_t device, ino_t inode, char name[static CONTROL_NAME_MAX])
{
	snprintf(name, CONTROL_NAME_MAX, "fence-network/namespace/%llx-%llu", (unsigned long long)device,
		(unsigned long long)inode);
}

/* FNV-1a. Two containers of one user that met would only wait for each other's end. */
static uint64_t hash(uint64_t value, const char *text)
{
	do {
		value = (value ^ (unsigned char)*text) * 0x100000001b3u;
	} while (*text++);
	return value;
}

void control_name_of_container(const char *bundle, const char *id, char name[static CONTROL_NAME_MAX])
{
	uint64_t first = hash(hash(0xcbf29ce484222325u, bundle), id);
	uint64_t second = hash(hash(first, id), bundle);

	snprintf(name, CONTROL_NAME_MAX, "fence-network/container/%u-%016llx%016llx", (unsigned int)geteuid(),
		(unsigned long long)first, (unsigned long long)second);
}

static socklen_t abstract_address(const char *name, struct sockaddr_un *address)
{
	size_t length = strlen(name);

	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(address->sun_path + 1, name, length);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length);
}

/* A connection to whoever holds the name; -1 with ECONNREFUSED when nobody does. */
static int connect_to(const char *name, struct ucred *peer, struct error *err)
{
	struct sockaddr_un address;
	socklen_t length = abstract_address(name, &address), size = sizeof(*peer);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0 || connect(fd, (struct sockaddr *)&address, length) < 0 ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, peer, &size) < 0)
		return error_set(err, errno, "cannot reach the relay by its socket @%s", name);
	return steal_fd(&fd);
}

/* Is it one of ours, or somebody else's who took the name first? */
static bool is_ours(const struct ucred *peer)
{
	return peer->uid == geteuid() || peer->uid == 0;
}

int control_listen(const char *name, bool *taken, struct error *err)
{
	struct sockaddr_un address;
	socklen_t length = abstract_address(name, &address);
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	_cleanup_close_ int holder = -1;
	struct ucred peer;

	*taken = false;
	if (fd < 0)
		return error_set(err, errno, "cannot make the relay's control socket");
	if (bind(fd, (struct sockaddr *)&address, length) == 0 && listen(fd, BACKLOG) == 0)
		return steal_fd(&fd);
	if (errno != EADDRINUSE)
		return error_set(err, errno, "cannot bind the relay's control socket @%s", name);
	holder = connect_to(name, &peer, err);
	if (holder < 0)
		return -1;
	if (!is_ours(&peer))
		return error_set(err, EADDRINUSE, "user %u holds the relay's control socket @%s",
			(unsigned int)peer.uid, name);
	*taken = true;
	return -1;
}

int control_adopt(int fd, struct error *err)
{
	return listen(fd, BACKLOG) < 0 ? error_set(err, errno, "cannot listen on the relay's control socket")
				       : 0;
}

/* The end of a process (pidfd), or a word from or the end of a socket's peer. True when it came within the time. */
static bool await(int fd, int milliseconds)
{
	struct pollfd end = { .fd = fd, .events = POLLIN | POLLRDHUP };
	int ready;

	do
		ready = poll(&end, 1, milliseconds);
	while (ready < 0 && errno == EINTR);
	return ready > 0;
}

/* The peer itself, not whoever has its number by now: from the socket (Linux 6.5), or else by number, checked by
 * seeing the socket still open afterwards. -1: it cannot be named, only its socket watched. */
static int open_peer(int fd, pid_t pid)
{
	socklen_t size = sizeof(int);
	int pidfd;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &size) == 0)
		return pidfd;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (pidfd >= 0 && await(fd, 0))
		pidfd = close_fd(pidfd);
	return pidfd;
}

static bool send_newcomer(int socket, int fd, struct control_newcomer newcomer)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { .header = { .cmsg_level = SOL_SOCKET,
			      .cmsg_type = SCM_RIGHTS,
			      .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec data = { .iov_base = &newcomer, .iov_len = sizeof(newcomer) };
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };

	memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	return sendmsg(socket, &message, MSG_NOSIGNAL) == sizeof(newcomer);
}

int control_join(const char *name, int init_pidfd, uint64_t rules, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct error unreachable;
	struct ucred peer;
	char answer;

	fd = connect_to(name, &peer, &unreachable);
	if (fd < 0 && unreachable.number == ECONNREFUSED)
		return 0;
	if (fd < 0)
		return *err = unreachable, -1;
	if (!send_newcomer(fd, init_pidfd, (struct control_newcomer){ rules }))
		return 0;
	if (!await(fd, JOIN_MILLISECONDS))
		return error_set(err, ETIMEDOUT, "the relay of this network (process %d) does not answer",
			(int)peer.pid);
	if (recv(fd, &answer, 1, 0) != 1)
		return 0;
	return answer == CONTROL_TAKEN
		       ? 1
		       : error_set(err, 0,
				 "the container shares the network of one with other network rules, and "
				 "there can be one set of "
				 "rules only: give them the same policy, or networks of their own");
}

/* A piece. 0: that was the end. */
static int pass_on(int from, int out, struct error *err)
{
	char piece[4096];
	ssize_t length;

	if (!await(from, ANSWER_MILLISECONDS))
		return error_set(err, ETIMEDOUT, "the relay does not answer");
	length = recv(from, piece, sizeof(piece), 0);
	if (length < 0)
		return error_set(err, errno, "cannot hear the relay");
	for (ssize_t written = 0, more; written < length; written += more) {
		more = write(out, piece + written, (size_t)(length - written));
		if (more < 0)
			return error_set(err, errno, "cannot write what the relay says");
	}
	return length > 0;
}

int control_flows(const char *name, int out, struct error *err)
{
	_cleanup_close_ int fd = -1;
	struct error unreachable;
	struct ucred peer;
	bool told = false;
	int more;

	fd = connect_to(name, &peer, &unreachable);
	if (fd < 0 && unreachable.number == ECONNREFUSED)
		return 0;
	if (fd < 0)
		return *err = unreachable, -1;
	/* A relay of an ordinary user's cannot see that it is root who asks: it knows no user but its own. */
	if (geteuid() == 0 && peer.uid != 0) {
		fd = close_fd(fd);
		if (seteuid(peer.uid) < 0)
			return error_set(err, errno, "cannot become user %u", (unsigned int)peer.uid);
		fd = connect_to(name, &peer, err);
		if (fd < 0)
			return -1;
	}
	if (!is_ours(&peer))
		return error_set(err, EPERM, "user %u holds the relay's control socket @%s",
			(unsigned int)peer.uid, name);
	if (send(fd, "", 1, MSG_NOSIGNAL) != 1)
		return errno == EPIPE ? 0 : error_set(err, errno, "cannot ask the relay");
	for (more = pass_on(fd, out, err); more > 0; more = pass_on(fd, out, err))
		told = true;
	if (more < 0 && err->number == ECONNRESET && !told) /* it was just ending */
		return 0;
	return more < 0 ? -1 : 1;
}

int control_await_end(const char *name, int milliseconds, bool kill, struct error *err)
{
	_cleanup_close_ int fd = -1, pidfd = -1;
	struct error unreachable;
	struct ucred peer;

	fd = connect_to(name, &peer, &unreachable);
	if (fd < 0 && unreachable.number == ECONNREFUSED)
		return 0;
	if (fd < 0)
		return *err = unreachable, -1;
	if (!is_ours(&peer))
		return error_set(err, EPERM, "user %u holds the relay's control socket @%s",
			(unsigned int)peer.uid, name);
	pidfd = open_peer(fd, peer.pid); /* while the relay lives: later its number may be another's */
	if (await(fd, milliseconds))
		return 0;
	if (!kill)
		return error_set(
			err, ETIMEDOUT, "the relay of this container (process %d) still runs", (int)peer.pid);
	if (pidfd >= 0 && syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return error_set(err, errno, "the relay (process %d) does not end and cannot be killed",
			(int)peer.pid);
	if (!await(fd, AFTER_KILL_MILLISECONDS))
		return error_set(err, ETIMEDOUT, "the relay (process %d) does not end", (int)peer.pid);
	return 0;
}
