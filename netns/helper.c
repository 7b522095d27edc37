/* See helper.h. */
#include "netns/helper.h"

#include "netns/architecture.h"
#include "netns/cell.h"
#include "spec/cleanup.h"

#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum { HELPER_SOCKET = 0, STEPS_MAX = 32 };

union control { /* one descriptor */
	struct cmsghdr header;
	uint8_t bytes[CMSG_SPACE(sizeof(int))];
};

struct program {
	struct sock_filter steps[STEPS_MAX];
	unsigned short count;
};

static void add(struct program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
	program->steps[program->count++] = (struct sock_filter){ code, if_true, if_false, value };
}

static void allow(struct program *program, unsigned int call)
{
	add(program, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
	add(program, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
}

/* x32 calls have another number, so the list needs no word about them. */
static bool set_filter(const unsigned int *calls, size_t count)
{
	static const unsigned int always[] = { __NR_recvfrom, __NR_sendmsg, __NR_close, __NR_exit_group };
	struct program program = { 0 };
	struct sock_fprog filter;

	add(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch), 0, 0);
	add(&program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	add(&program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	add(&program, BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr), 0, 0);
	for (size_t i = 0; i < ARRAY_SIZE(always); i++)
		allow(&program, always[i]);
	for (size_t i = 0; i < count; i++)
		allow(&program, calls[i]);
	add(&program, BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS, 0, 0);
	filter = (struct sock_fprog){ program.count, program.steps };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) == 0;
}

static bool keep_capabilities(uint32_t kept)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	data[0].permitted &= kept;
	data[0].effective = data[0].permitted;
	data[0].inheritable = 0;
	data[1] = (struct __user_cap_data_struct){ 0 };
	return syscall(SYS_capset, &header, data) == 0;
}

void helper_enter_cell(int socket, const char *name, const unsigned int *calls, size_t count, uint32_t kept)
{
	prctl(PR_SET_NAME, name);
	if (dup2(socket, HELPER_SOCKET) < 0 || close_range(HELPER_SOCKET + 1, ~0U, 0) < 0 ||
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
		!keep_capabilities(kept) || (!SANITIZED && !set_filter(calls, count)))
		_exit(1);
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

void helper_serve(int (*make)(void *data, uint8_t request), void *data)
{
	uint8_t request;

	while (recv(HELPER_SOCKET, &request, 1, 0) == 1) {
		int fd = make(data, request);

		answer(fd, fd < 0 ? errno : 0);
		close_fd(fd);
	}
	_exit(0);
}

int helper_request(int socket, uint8_t request)
{
	return send(socket, &request, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -1;
}

int helper_receive(int socket, int flags)
{
	union control control;
	int error_number = 0, fd;
	struct iovec piece = { &error_number, sizeof(error_number) };
	struct msghdr message = {
		.msg_iov = &piece, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)
	};
	ssize_t received = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
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
