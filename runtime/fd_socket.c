/* See fd_socket.h. */
#include "runtime/fd_socket.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

int fd_socket_connect(const char *option, const char *path, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int directory = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return error_set(err, errno, "cannot make a socket");
	if (strlen(path) < sizeof(address.sun_path)) {
		strncpy(address.sun_path, path, sizeof(address.sun_path) - 1);
	} else {
		/* The path in an address is short; that of an fd is too. */
		directory = open(path, O_PATH | O_CLOEXEC);
		if (directory < 0)
			return error_set(err, errno, "%s: cannot open %s", option, path);
		snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", directory);
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "%s: cannot connect to %s", option, path);
	return steal_fd(&fd);
}

ssize_t fd_socket_sendmsg(int socket_fd, struct iovec *parts, size_t count, int fd)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct msghdr header = {
		.msg_iov = parts,
		.msg_iovlen = count,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &fd, sizeof(int));
	return sendmsg(socket_fd, &header, MSG_NOSIGNAL);
}

int fd_socket_send(const char *option, int socket_fd, int fd, const char *name, struct error *err)
{
	struct iovec part = { (void *)name, strlen(name) };

	return fd_socket_sendmsg(socket_fd, &part, 1, fd) < 0
		       ? error_set(err, errno, "%s: cannot send %s", option, name)
		       : 0;
}

int fd_socket_pass(const char *option, const char *path, int fd, const char *name, struct error *err)
{
	_cleanup_close_ int connection = path ? fd_socket_connect(option, path, err) : -1;

	if (connection < 0)
		return path ? -1 : 0;
	return fd_socket_send(option, connection, fd, name, err);
}
