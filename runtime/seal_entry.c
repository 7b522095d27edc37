/* The program's entry point: what seal_self() (seal.h) does as a rule, done before the C library starts.
 *
 * Where the kernel is virtualized, the C library's start costs several times what execve itself does (each `cpuid` is a trap), and
 * sealing needs the program to be started twice: this way the library starts once. It is a short cut and decides nothing: whatever
 * is not plainly the common case, and every failure, is left to seal_self(), which always checks.
 *
 * Must never use the C library, a pointer in static data, or the stack protector: nothing is relocated and there is no
 * thread-local storage yet.
 */
#include "runtime/seal.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <stdbool.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

/* For every function here. */
#define BARE __attribute__((no_stack_protector))

#if defined(__x86_64__)

BARE static inline long raw_call(long number, long a, long b, long c, long d, long e)
{
	register long fourth __asm__("r10") = d;
	register long fifth __asm__("r8") = e;
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c), "r"(fourth), "r"(fifth)
			 : "rcx", "r11", "memory");
	return result;
}

/* rdx is the dynamic linker's function for exit, which _start takes. */
__asm__(".pushsection .text.seal_entry,\"ax\",@progbits\n"
	".globl seal_entry\n"
	".type seal_entry, @function\n"
	"seal_entry:\n"
	"	mov %rsp, %rbx\n"
	"	mov %rdx, %r12\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call seal_before_start\n"
	"	mov %r12, %rdx\n"
	"	mov %rbx, %rsp\n"
	"	xor %ebp, %ebp\n"
	"	jmp _start\n"
	".size seal_entry, . - seal_entry\n"
	".popsection\n");

/* As the kernel leaves them on the stack: argc, the arguments, NULL, the environment, NULL. */
void seal_before_start(char **stack);

/* One of these among the first words: the program is about to enter a container. No pointers, they would need relocation. */
static const char entering_words[][8] = { "--", "-c", "run", "create", "exec" };

BARE static inline bool same(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

BARE static inline bool enters_container(char *const *words)
{
	for (; *words; words++)
		for (unsigned long i = 0; i < sizeof(entering_words) / sizeof(*entering_words); i++)
			if (same(*words, entering_words[i]))
				return true;
	return false;
}

BARE static inline bool is_read_only(const char *path)
{
	struct statfs status;

	return raw_call(SYS_statfs, (long)path, (long)&status, 0, 0, 0) < 0 || status.f_flags & ST_RDONLY;
}

BARE __attribute__((used)) void seal_before_start(char **stack)
{
	static const struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };
	static const char self[] = "/proc/self/exe";
	char **argv = stack + 1, **environment = argv + (long)stack[0] + 1;
	long view;

	if (!stack[0] || !enters_container(argv + 1) || raw_call(SYS_geteuid, 0, 0, 0, 0, 0) != 0 ||
		is_read_only(self))
		return;
	view = raw_call(SYS_open_tree, AT_FDCWD, (long)self, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC, 0, 0);
	if (view < 0)
		return;
	if (raw_call(SYS_mount_setattr, view, (long)"", AT_EMPTY_PATH, (long)&attributes,
		    sizeof(attributes)) == 0)
		raw_call(SYS_execveat, view, (long)"", (long)argv, (long)environment, AT_EMPTY_PATH);
	raw_call(SYS_close, view, 0, 0, 0, 0);
}

#endif
