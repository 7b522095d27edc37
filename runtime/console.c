/* See console.h. */
#include "runtime/console.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <termios.h>

static int check_devpts(int master, struct error *err)
{
	struct statfs status;

	/* A container image may hold anything at /dev/pts/ptmx. */
	if (fstatfs(master, &status) < 0)
		return error_set(err, errno, "cannot look at /dev/pts/ptmx");
	if (status.f_type != DEVPTS_SUPER_MAGIC)
		return error_set(
			err, 0, "/dev/pts is not a devpts: process.terminal needs one mounted there");
	return 0;
}

int console_new(int devpts_fd, const struct oci_console_size *size, int *slave_fd, struct error *err)
{
	_cleanup_close_ int master = openat(devpts_fd, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int slave = -1;
	struct winsize window = { 0 };
	int unlocked = 0;

	if (master < 0)
		return error_set(err, errno, "cannot open /dev/pts/ptmx");
	if (check_devpts(master, err) < 0)
		return -1;
	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return error_set(err, errno, "cannot unlock the terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return error_set(err, errno, "cannot open the terminal's other end");
	if (size && size->height.set && size->width.set) {
		window.ws_row = (unsigned short)size->height.value;
		window.ws_col = (unsigned short)size->width.value;
		if (ioctl(master, TIOCSWINSZ, &window) < 0)
			return error_set(err, errno, "process.consoleSize: cannot set it");
	}
	*slave_fd = steal_fd(&slave);
	return steal_fd(&master);
}

int console_make_controlling(int slave_fd, struct error *err)
{
	if (ioctl(slave_fd, TIOCSCTTY, 0) < 0)
		return error_set(err, errno, "cannot make the terminal the controlling one");
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (dup3(slave_fd, fd, 0) < 0)
			return error_set(err, errno, "cannot put the terminal on fd %d", fd);
	return 0;
}

int console_connect(const char *socket_path, struct error *err)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	_cleanup_close_ int directory = -1;
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	if (fd < 0)
		return error_set(err, errno, "cannot make a socket");
	if (strlen(socket_path) < sizeof(address.sun_path)) {
		strncpy(address.sun_path, socket_path, sizeof(address.sun_path) - 1);
	} else {
		/* The path in an address is short; that of an fd is too. */
		directory = open(socket_path, O_PATH | O_CLOEXEC);
		if (directory < 0)
			return error_set(err, errno, "--console-socket: cannot open %s", socket_path);
		snprintf(address.sun_path, sizeof(address.sun_path), "/proc/self/fd/%d", directory);
	}
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "--console-socket: cannot connect to %s", socket_path);
	return steal_fd(&fd);
}

int console_send(int socket_fd, int master_fd, const char *name, struct error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec part = { (void *)name, strlen(name) };
	struct msghdr header = {
		.msg_iov = &part,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);

	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cmsg), &master_fd, sizeof(int));
	if (sendmsg(socket_fd, &header, MSG_NOSIGNAL) < 0)
		return error_set(err, errno, "cannot send the terminal to the console socket");
	return 0;
}
