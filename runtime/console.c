/* See console.h. */
#include "runtime/console.h"

#include "runtime/fd_socket.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <linux/magic.h>
#include <termios.h>

static const char console_option[] = "--console-socket";

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

void console_keep_newlines(int slave_fd)
{
	struct termios settings;

	if (tcgetattr(slave_fd, &settings) < 0)
		return;
	settings.c_oflag &= ~(tcflag_t)ONLCR;
	tcsetattr(slave_fd, TCSANOW, &settings);
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
	return fd_socket_connect(console_option, socket_path, err);
}

int console_send(int socket_fd, int master_fd, struct error *err)
{
	/* The name is what runc sends; engines do not look at it. */
	return fd_socket_send(console_option, socket_fd, master_fd, "/dev/ptmx", err);
}
