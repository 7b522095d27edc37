/* See seccomp_newer.h. Kernels give new calls the next free number, so a profile knows of those up to the largest that it names. */
#include "runtime/seccomp_newer.h"

#include "spec/cleanup.h"

#include <ctype.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>

enum {
	X32_BIT = 0x40000000, /* in the number of a call; the architecture is the same as x86-64's */
	BLOCK_LENGTH = 6,
};

uint32_t seccomp_architecture(const char *name)
{
	static const char prefix[] = "SCMP_ARCH_";
	char lower[32] = "";

	/* libseccomp's names are the same in lower case, without the prefix. */
	if (strncmp(name, prefix, strlen(prefix)) != 0)
		return 0;
	for (size_t i = 0; i < sizeof(lower) - 1 && name[strlen(prefix) + i]; i++)
		lower[i] = (char)tolower((unsigned char)name[strlen(prefix) + i]);
	return seccomp_arch_resolve_name(lower);
}

/* -1: it names none that this architecture has. */
static int largest_number(const struct oci_seccomp *seccomp, uint32_t architecture)
{
	int largest = -1;

	for (size_t i = 0; i < seccomp->syscalls.count; i++) {
		const struct string_list *names = &seccomp->syscalls.items[i].names;

		for (size_t j = 0; j < names->count; j++) {
			int number = seccomp_syscall_resolve_name_arch(architecture, names->items[j]);

			if (number > largest)
				largest = number;
		}
	}
	return largest;
}

/* Falls through where the architecture is another, and where the number is not too large. On x86-64 the calls of x32, which have
 * that bit, are left to x32's own block, or to libseccomp's program if x32 is not filtered. */
static void add_block(struct seccomp_program *prefix, uint32_t architecture, uint32_t largest)
{
	const bool x32 = architecture == SCMP_ARCH_X32;
	const uint32_t audit = x32 ? AUDIT_ARCH_X86_64 : architecture;
	const struct sock_filter code[BLOCK_LENGTH] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, audit, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, audit == AUDIT_ARCH_X86_64 ? X32_BIT : 0, x32 ? 0 : 2,
			x32 ? 2 : 0),
		BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, largest, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
	};

	memcpy((char *)prefix->instructions + prefix->length, code, sizeof(code));
	prefix->length += sizeof(code);
}

static void add_architecture(
	struct seccomp_program *prefix, const struct oci_seccomp *seccomp, uint32_t architecture)
{
	int largest = largest_number(seccomp, architecture);

	if (largest >= 0)
		add_block(prefix, architecture, (uint32_t)largest);
}

int seccomp_answer_newer(const struct oci_seccomp *seccomp, uint32_t default_action,
	struct seccomp_program *program, struct error *err)
{
	const size_t room = (seccomp->architectures.count + 1) * BLOCK_LENGTH * sizeof(struct sock_filter);
	_cleanup_free_ void *instructions = NULL;
	struct seccomp_program prefix = { 0 };

	if ((default_action & ~(uint32_t)SECCOMP_RET_DATA) != SCMP_ACT_ERRNO(0) ||
		default_action == SCMP_ACT_ERRNO(ENOSYS))
		return 0;
	instructions = malloc(room + program->length);
	if (!instructions)
		return error_set(err, ENOMEM, "cannot extend the seccomp program");
	prefix.instructions = instructions;
	add_architecture(&prefix, seccomp, seccomp_arch_native());
	for (size_t i = 0; i < seccomp->architectures.count; i++) {
		uint32_t architecture = seccomp_architecture(seccomp->architectures.items[i]);

		if (architecture != seccomp_arch_native())
			add_architecture(&prefix, seccomp, architecture);
	}
	memcpy((char *)instructions + prefix.length, program->instructions, program->length);
	free(program->instructions);
	program->instructions = steal_pointer(&instructions);
	program->length += prefix.length;
	return 0;
}
