/* The helper inside the container's network namespace, and the relay's side of it: see inner.h.
 */
#include "netns/inner.h"
#include "netns/architecture.h"
#include "spec/cleanup.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
/* x32 calls have another number, so the list needs no word about them. */
#define ALLOW_CALL(name) \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

enum { HELPER_SOCKET = 0 };

static const struct {
	int family, type;
} kinds[INNER_KINDS] = {
	[INNER_TCP_IPV4] = { AF_INET, SOCK_STREAM },
	[INNER_TCP_IPV6] = { AF_INET6, SOCK_STREAM },
	[INNER_UDP_IPV4] = { AF_INET, SOCK_DGRAM },
	[INNER_UDP_IPV6] = { AF_INET6, SOCK_DGRAM },
};

union control { /* one descriptor */
	struct cmsghdr header;
	uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

static bool enter_cell(void)
{
	static struct sock_filter steps[] = {
		LOAD(arch),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
		ALLOW_CALL(socket),
		ALLOW_CALL(recvfrom),
		ALLOW_CALL(sendmsg),
		ALLOW_CALL(close),
		ALLOW_CALL(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog filter = { ARRAY_SIZE(steps), steps };
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && syscall(SYS_capset, &header, none) == 0 &&
	       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

static void answer(int fd, int error_number)
{
	union control control = { .header = {
					  .cmsg_len = CMSG_LEN(sizeof(int)),
					  .cmsg_level = SOL_SOCKET,
					  .cmsg_type = SCM_RIGHTS,
				  } };
	struct iovec piece = { &error_number, sizeof(error_number) };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };

	if (fd >= 0) {
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
	}
	sendmsg(HELPER_SOCKET, &message, MSG_NOSIGNAL);
}

void inner_serve(int socket_to_relay)
{
	uint8_t kind;

	prctl(PR_SET_NAME, "fence-inner");
	if (dup2(socket_to_relay, HELPER_SOCKET) < 0 || close_range(HELPER_SOCKET + 1, ~0U, 0) < 0 ||
		!enter_cell())
		_exit(1);
	while (recv(HELPER_SOCKET, &kind, 1, 0) == 1) {
		int fd = -1;

		if (kind < INNER_KINDS)
			fd = socket(kinds[kind].family, kinds[kind].type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		answer(fd, fd < 0 ? errno : 0);
		close_fd(fd);
	}
	_exit(0);
}

int inner_request(int socket, enum inner_kind kind)
{
	uint8_t byte = (uint8_t)kind;

	return send(socket, &byte, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -1;
}

int inner_receive(int socket)
{
	union control control;
	int error_number = 0, fd;
	struct iovec piece = { &error_number, sizeof(error_number) };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t received = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	struct cmsghdr *header;

	if (received < 0)
		return -1;
	header = CMSG_FIRSTHDR(&message);
	if (received == sizeof(error_number) && header && header->cmsg_type == SCM_RIGHTS) {
		memcpy(&fd, CMSG_DATA(header), sizeof(fd));
		return fd;
	}
	errno = received == 0 ? EPIPE : error_number;
	return -1;
}
