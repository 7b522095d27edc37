/* See cell_filter.h. Written as BPF by hand, from a table: the relay does without libseccomp. */
#include "netns/cell_filter.h"

#include "netns/architecture.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PROGRAM_MAX = 256, X32 = 0x40000000 };

/* In the order of use: the kernel answers the unconditional ones from a bitmap (Linux 5.11), but not before. */
static const unsigned int plain_calls[] = {
	/* the loop and the bytes */
	__NR_epoll_pwait, __NR_epoll_ctl, __NR_read, __NR_write, __NR_readv, __NR_writev, __NR_recvfrom,
	__NR_sendto, __NR_recvmsg, __NR_sendmsg, __NR_recvmmsg, __NR_sendmmsg, __NR_splice, __NR_io_submit,
	__NR_io_getevents, /* batch.h */
#ifdef __NR_epoll_wait
	__NR_epoll_wait,
#endif
#ifdef __NR_poll
	__NR_poll,
#endif
	__NR_epoll_pwait2, __NR_ppoll,
	/* sockets */
	__NR_connect, __NR_accept4, __NR_shutdown, __NR_setsockopt, __NR_getsockopt, __NR_getsockname,
	__NR_close, __NR_pipe2,
	/* memory, time, chance */
	__NR_munmap, __NR_mremap, __NR_brk, __NR_madvise, __NR_futex, __NR_clock_gettime, __NR_gettimeofday,
	__NR_getrandom, __NR_sysinfo,
	/* the end, also by abort() */
	__NR_close_range, __NR_exit, __NR_exit_group, __NR_rt_sigreturn, __NR_rt_sigprocmask,
	__NR_restart_syscall, __NR_getpid, __NR_gettid
};

/* Calls of which only some are allowed, by the low half of an argument (the kernel ignores the other, they are ints). The rows of one call stand
 * together, and all must hold: a socket of another type or protocol (SCTP, SMC, Multipath TCP, raw) is more of the kernel to be attacked, and one
 * datagram socket of a pair can send to others that have a name. */
static const struct conditional {
	unsigned int call, argument;
	enum { ONE_OF, NONE_OF_BITS } test;
	uint32_t values[4];
	unsigned int count;
} conditional_calls[] = {
	{ __NR_socket, 0, ONE_OF, { AF_INET, AF_INET6 }, 2 },
	{ __NR_socket, 1, ONE_OF,
		{ SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			SOCK_STREAM | SOCK_CLOEXEC },
		3 },
	{ __NR_socket, 2, ONE_OF, { 0 }, 1 },
	{ __NR_socketpair, 0, ONE_OF, { AF_UNIX }, 1 },
	{ __NR_socketpair, 1, ONE_OF, { SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK }, 1 },
	{ __NR_fcntl, 1, ONE_OF, { F_SETPIPE_SZ }, 1 },
	{ __NR_ioctl, 1, ONE_OF, { SIOCOUTQ, SIOCINQ, SIOCOUTQNSD }, 3 },
	{ __NR_mmap, 2, NONE_OF_BITS, { PROT_EXEC }, 1 },
	{ __NR_mprotect, 2, NONE_OF_BITS, { PROT_EXEC }, 1 },
};

struct program {
	struct sock_filter steps[PROGRAM_MAX];
	unsigned short count;
};

static void add(struct program *program, uint16_t code, uint32_t value, uint8_t if_true, uint8_t if_false)
{
	program->steps[program->count++] = (struct sock_filter){ code, if_true, if_false, value };
}

static void load(struct program *program, size_t offset)
{
	add(program, BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset, 0, 0);
}

static void finish_with(struct program *program, uint32_t action)
{
	add(program, BPF_RET | BPF_K, action, 0, 0);
}

static size_t argument_offset(unsigned int argument)
{
	size_t low = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 0 : sizeof(uint32_t);

	return offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) + low;
}

static void allow_plain(struct program *program, unsigned int call)
{
	add(program, BPF_JMP | BPF_JEQ | BPF_K, call, 0, 1);
	finish_with(program, SECCOMP_RET_ALLOW);
}

/* Skipped as a whole by another call. */
static void allow_conditional(struct program *program, const struct conditional *row, bool last)
{
	uint8_t count = (uint8_t)row->count;

	load(program, offsetof(struct seccomp_data, nr));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, row->call, 0, (uint8_t)(2 + count + last));
	load(program, argument_offset(row->argument));
	for (uint8_t i = 0; i < count; i++) {
		if (row->test == ONE_OF)
			add(program, BPF_JMP | BPF_JEQ | BPF_K, row->values[i], (uint8_t)(count - i), 0);
		else
			add(program, BPF_JMP | BPF_JSET | BPF_K, row->values[i], (uint8_t)(count - i - 1),
				i + 1 == count);
	}
	finish_with(program, SECCOMP_RET_KILL_PROCESS);
	if (last)
		finish_with(program, SECCOMP_RET_ALLOW);
}

static void write_program(struct program *program)
{
	const struct conditional itself = { __NR_tgkill, 0, ONE_OF, { (uint32_t)getpid() }, 1 }; /* abort() */
	const size_t count = ARRAY_SIZE(conditional_calls);

	load(program, offsetof(struct seccomp_data, arch));
	add(program, BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0);
	finish_with(program, SECCOMP_RET_KILL_PROCESS);
	load(program, offsetof(struct seccomp_data, nr));
#ifdef __x86_64__
	add(program, BPF_JMP | BPF_JGE | BPF_K, X32, 0, 1);
	finish_with(program, SECCOMP_RET_KILL_PROCESS);
#endif
	for (size_t i = 0; i < ARRAY_SIZE(plain_calls); i++)
		allow_plain(program, plain_calls[i]);
	for (size_t i = 0; i < count; i++)
		allow_conditional(program, &conditional_calls[i],
			i + 1 == count || conditional_calls[i + 1].call != conditional_calls[i].call);
	allow_conditional(program, &itself, true);
	finish_with(program, SECCOMP_RET_KILL_PROCESS);
}

int cell_filter_install(struct error *err)
{
	struct program program = { 0 };
	struct sock_fprog filter;

	write_program(&program);
	filter = (struct sock_fprog){ .len = program.count, .filter = program.steps };
	if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) < 0)
		return error_set(err, errno, "cannot set the relay's seccomp filter (CONFIG_SECCOMP_FILTER)");
	return 0;
}
