/* The system calls that are refused, as linux.seccomp: everything else is allowed, since a list of what is allowed would be
 * outdated by each new kernel.
 *
 * Arguments that the kernel takes as 32 bits are compared as 32 bits: a call with something in the upper half would otherwise
 * pass the filter, and the kernel would not see the difference.
 */
#include "spec/compile_internal.h"
#include "spec/limits.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#define LOW_32 UINT32_MAX

enum comparison { EQUAL_32, MASKED, NOT_EQUAL, GREATER };

struct condition {
	unsigned int index;
	enum comparison comparison;
	uint64_t value, mask;
};

struct conditional_rule {
	const char *name;
	const char *lifted_by; /* allowing this call lifts the rule, too */
	bool unix_sockets;     /* only where Unix sockets are refused */
	bool execution;	       /* only where the policy says what may be executed */
	struct condition conditions[2];
	size_t count;
};

#define WHEN(call, ...)                                                                         \
	{                                                                                       \
		.name = (call), .conditions = { __VA_ARGS__ },                                  \
		.count = sizeof((struct condition[]){ __VA_ARGS__ }) / sizeof(struct condition) \
	}
#define LIFTED_BY(call, by, ...)                                                                \
	{                                                                                       \
		.name = (call), .lifted_by = (by), .conditions = { __VA_ARGS__ },               \
		.count = sizeof((struct condition[]){ __VA_ARGS__ }) / sizeof(struct condition) \
	}
#define UNIX_SOCKETS(call, ...)                                                                 \
	{                                                                                       \
		.name = (call), .unix_sockets = true, .conditions = { __VA_ARGS__ },            \
		.count = sizeof((struct condition[]){ __VA_ARGS__ }) / sizeof(struct condition) \
	}
#define EXECUTION(call, ...)                                                                    \
	{                                                                                       \
		.name = (call), .execution = true, .conditions = { __VA_ARGS__ },               \
		.count = sizeof((struct condition[]){ __VA_ARGS__ }) / sizeof(struct condition) \
	}

/* Families 4 to 7 are { 0, MASKED, 4, ~3 }, and so on: one rule for a block of numbers. */
#define FAMILIES(first, block)                                      \
	{                                                           \
		0, MASKED, (first), LOW_32 & ~((uint64_t)(block)-1) \
	}
#define FLAG(position, flag)                       \
	{                                          \
		(position), MASKED, (flag), (flag) \
	}

static const struct conditional_rule conditional_rules[] = {
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWNS)),
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWCGROUP)),
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWUTS)),
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWIPC)),
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWUSER)),
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWPID)),
	LIFTED_BY("clone", "unshare", FLAG(0, CLONE_NEWNET)),
	/* Typing into the terminal that the caller goes on using (CVE-2017-5226), and pasting by the console's selection. */
	WHEN("ioctl", { 1, EQUAL_32, TIOCSTI, 0 }),
	WHEN("ioctl", { 1, EQUAL_32, TIOCLINUX, 0 }),
	/* Of socket families, Unix, IPv4, IPv6, and of netlink what asks about interfaces and routes (getifaddrs() needs it). */
	WHEN("socket", FAMILIES(0, 1)),
	WHEN("socket", FAMILIES(3, 1)),
	WHEN("socket", FAMILIES(4, 4)),
	WHEN("socket", FAMILIES(8, 2)),
	WHEN("socket", FAMILIES(11, 1)),
	WHEN("socket", FAMILIES(12, 4)),
	WHEN("socket", { 0, GREATER, AF_NETLINK, 0 }),
	WHEN("socket", { 0, EQUAL_32, AF_NETLINK, 0 }, { 2, NOT_EQUAL, 0, 0 }),
	/* On 32-bit x86 socket() is also a call whose arguments no filter can see. */
	WHEN("socketcall", { 0, EQUAL_32, 1, 0 }),
	UNIX_SOCKETS("socket", { 0, EQUAL_32, AF_UNIX, 0 }),
	/* A pair is harmless, but a datagram socket of a pair can be connected to something else. SOCK_RAW, 3, is one by another name. */
	UNIX_SOCKETS("socketpair", { 1, MASKED, SOCK_DGRAM, 0xe }),
	UNIX_SOCKETS("socketcall", { 0, EQUAL_32, 8, 0 }),
	/* A file in memory is on no path, so Landlock lets it be executed. */
	EXECUTION("memfd_create", { 1, MASKED, 0, MFD_NOEXEC_SEAL }),
};

#if defined(__x86_64__)
static const char *const architectures[] = { "SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32" };
#elif defined(__aarch64__)
static const char *const architectures[] = { "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM" };
#elif defined(__riscv) && __riscv_xlen == 64
static const char *const architectures[] = { "SCMP_ARCH_RISCV64" };
#else
#error "which architectures can this machine's kernel run? The filter must cover each of them"
#endif

static struct oci_seccomp_rule *add_rule(
	struct arena *arena, struct oci_seccomp *seccomp, const char *action, uint32_t number)
{
	PUSH(arena, &seccomp->syscalls, (struct oci_seccomp_rule){ .action = action });
	if (strcmp(action, "SCMP_ACT_ERRNO") == 0)
		seccomp->syscalls.items[seccomp->syscalls.count - 1].errno_ret =
			(struct optional_uint32){ true, number };
	return &seccomp->syscalls.items[seccomp->syscalls.count - 1];
}

static void add_condition(
	struct arena *arena, struct oci_seccomp_rule *rule, const struct condition *condition)
{
	static const char *const operators[] = { "SCMP_CMP_MASKED_EQ", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
		"SCMP_CMP_GT" };
	struct oci_seccomp_argument argument = {
		.index = { true, condition->index },
		.value = { true, condition->value },
		.op = operators[condition->comparison],
	};

	if (condition->comparison <= MASKED) {
		argument.value.value = condition->comparison == MASKED ? condition->mask : LOW_32;
		argument.value_two = (struct optional_uint64){ true, condition->value };
	}
	PUSH(arena, &rule->args, argument);
}

static bool applies(
	const struct conditional_rule *rule, const struct policy *policy, bool refuse_unix_sockets)
{
	if ((rule->unix_sockets && !refuse_unix_sockets) ||
		(rule->execution && !policy->filesystem->allow_execute.items))
		return false;
	return !rule->lifted_by || !string_list_has(&policy->system_calls->allow, rule->lifted_by);
}

struct string_list denied_system_calls_of(struct arena *arena, const struct policy *policy)
{
	const struct policy_system_calls *calls = policy->system_calls;
	struct string_list names = { 0 };

	for (size_t i = 0; i < denied_system_call_count; i++) {
		const struct denied_system_call *denied = &denied_system_calls[i];

		if (denied->mandatory || !string_list_has(&calls->allow, denied->name))
			string_list_add(arena, &names, denied->name);
	}
	for (size_t i = 0; i < calls->deny.count; i++)
		string_list_add(arena, &names, calls->deny.items[i]);
	return names;
}

/* The refusals, for a filter that allows what it does not name. */
void add_seccomp_refusals(struct arena *arena, const struct policy *policy, bool refuse_unix_sockets,
	struct oci_seccomp *seccomp)
{
	const struct policy_system_calls *calls = policy->system_calls;
	bool kills = calls->action && strcmp(calls->action, "kill") == 0;
	struct oci_seccomp_rule *rule =
		add_rule(arena, seccomp, kills ? "SCMP_ACT_KILL_PROCESS" : "SCMP_ACT_ERRNO", EPERM);

	rule->names = denied_system_calls_of(arena, policy);
	/* Its flags are in memory, where no filter can see them. To this answer libc goes back to clone(). */
	if (!string_list_has(&calls->allow, "unshare") && !string_list_has(&calls->deny, "clone3")) {
		rule = add_rule(arena, seccomp, "SCMP_ACT_ERRNO", ENOSYS);
		string_list_add(arena, &rule->names, "clone3");
	}
	for (size_t i = 0; i < ARRAY_SIZE(conditional_rules); i++) {
		const struct conditional_rule *conditional = &conditional_rules[i];

		if (!applies(conditional, policy, refuse_unix_sockets) ||
			string_list_has(&calls->deny, conditional->name))
			continue;
		/* Not "kill": programs ask for other families to see whether the kernel has them, and cope with this answer. */
		rule = add_rule(arena, seccomp, "SCMP_ACT_ERRNO",
			strcmp(conditional->name, "socket") == 0 ? EAFNOSUPPORT : EPERM);
		string_list_add(arena, &rule->names, conditional->name);
		for (size_t j = 0; j < conditional->count; j++)
			add_condition(arena, rule, &conditional->conditions[j]);
	}
}

struct oci_seccomp *new_seccomp_filter(struct arena *arena)
{
	struct oci_seccomp *seccomp = arena_alloc(arena, sizeof(*seccomp));

	seccomp->default_action = "SCMP_ACT_ALLOW";
	/* None, and said so: SECCOMP_FILTER_FLAG_SPEC_ALLOW is what runtimes make of silence. */
	seccomp->flags.items = arena_alloc(arena, sizeof(*seccomp->flags.items));
	for (size_t i = 0; i < ARRAY_SIZE(architectures); i++)
		string_list_add(arena, &seccomp->architectures, architectures[i]);
	return seccomp;
}

struct oci_seccomp *compile_seccomp(struct arena *arena, const struct policy *policy)
{
	const struct policy_network *network = policy->network;
	struct oci_seccomp *seccomp = new_seccomp_filter(arena);

	add_seccomp_refusals(arena, policy,
		!network->allow_all_unix_sockets.value && !network->allow_unix_sockets.count, seccomp);
	return seccomp;
}
