/* Compiling linux.seccomp with libseccomp, loading the program, handing its listener to an agent.
 *
 * Must never yield a filter that is laxer than the profile: what cannot be expressed is an error. The one exception is the
 * name of a system call that libseccomp does not know: profiles name calls of newer kernels and other architectures, and
 * the default action holds for them.
 */
#include "runtime/seccomp.h"

#include "runtime/fd_socket.h"
#include "runtime/named.h"
#include "runtime/seccomp_cache.h"
#include "runtime/seccomp_newer.h"
#include "spec/cleanup.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

enum { ERRNO_MAX = 4095 }; /* the kernel cuts larger ones down to this */

static const struct named_value actions[] = {
	{ "SCMP_ACT_KILL", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_THREAD", SCMP_ACT_KILL_THREAD },
	{ "SCMP_ACT_KILL_PROCESS", SCMP_ACT_KILL_PROCESS },
	{ "SCMP_ACT_TRAP", SCMP_ACT_TRAP },
	{ "SCMP_ACT_ERRNO", SCMP_ACT_ERRNO(0) },
	{ "SCMP_ACT_TRACE", SCMP_ACT_TRACE(0) },
	{ "SCMP_ACT_ALLOW", SCMP_ACT_ALLOW },
	{ "SCMP_ACT_LOG", SCMP_ACT_LOG },
	{ "SCMP_ACT_NOTIFY", SCMP_ACT_NOTIFY },
};

static const struct named_value operators[] = {
	{ "SCMP_CMP_NE", SCMP_CMP_NE },
	{ "SCMP_CMP_LT", SCMP_CMP_LT },
	{ "SCMP_CMP_LE", SCMP_CMP_LE },
	{ "SCMP_CMP_EQ", SCMP_CMP_EQ },
	{ "SCMP_CMP_GE", SCMP_CMP_GE },
	{ "SCMP_CMP_GT", SCMP_CMP_GT },
	{ "SCMP_CMP_MASKED_EQ", SCMP_CMP_MASKED_EQ },
};

static const struct named_value filter_flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", 0 }, /* all threads of the process: it has one */
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV },
};

static void release_filter(scmp_filter_ctx *filter)
{
	if (*filter)
		seccomp_release(*filter);
}

/* The action with its errno; `path` is that of the object that has it, `key` and `errno_key` its properties. */
static int parse_action(const char *name, const struct optional_uint32 *errno_ret, const char *path,
	const char *key, const char *errno_key, uint32_t *action, struct error *err)
{
	unsigned long base;
	bool takes_errno;

	if (!named_value_find(actions, ARRAY_SIZE(actions), name, &base))
		return error_set(err, 0, "%s.%s: \"%s\" is not a seccomp action", path, key, name);
	*action = base;
	takes_errno = base == SCMP_ACT_ERRNO(0) || base == SCMP_ACT_TRACE(0);
	if (!takes_errno && errno_ret->set)
		return error_set(err, 0,
			"%s.%s: is only for SCMP_ACT_ERRNO and SCMP_ACT_TRACE, not %s; leave it out", path,
			errno_key, name);
	if (!takes_errno)
		return 0;
	if (errno_ret->set && errno_ret->value > ERRNO_MAX)
		return error_set(
			err, 0, "%s.%s: %u is larger than %d", path, errno_key, errno_ret->value, ERRNO_MAX);
	*action |= errno_ret->set ? errno_ret->value : EPERM;
	return 0;
}

static int add_architecture(scmp_filter_ctx filter, const char *name, size_t index, struct error *err)
{
	uint32_t token = seccomp_architecture(name);
	int result;

	if (token == 0)
		return error_set(err, 0, "linux.seccomp.architectures[%zu]: libseccomp does not know \"%s\"",
			index, name);
	result = seccomp_arch_add(filter, token);
	if (result < 0 && result != -EEXIST)
		return error_set(err, -result, "linux.seccomp.architectures[%zu]: cannot filter for \"%s\"",
			index, name);
	return 0;
}

/* The native architecture is always in the filter: without it the process would be killed at its first call. */
static int add_architectures(scmp_filter_ctx filter, const struct oci_seccomp *seccomp, struct error *err)
{
	for (size_t i = 0; i < seccomp->architectures.count; i++)
		if (add_architecture(filter, seccomp->architectures.items[i], i, err) < 0)
			return -1;
	return 0;
}

enum { ARGUMENTS_MAX = 6 };

struct conditions {
	struct scmp_arg_cmp items[ARGUMENTS_MAX];
	size_t count;
	bool alternatives; /* two for one argument: any of them will do, as engines' profiles mean it */
};

static int parse_conditions(const struct oci_seccomp_rule *rule, const char *path,
	struct conditions *conditions, struct error *err)
{
	bool used[ARGUMENTS_MAX] = { false };

	*conditions = (struct conditions){ .count = rule->args.count };
	if (rule->args.count > ARGUMENTS_MAX)
		return error_set(err, 0,
			"%s.args: has %zu conditions; a system call has at most %d arguments", path,
			rule->args.count, ARGUMENTS_MAX);
	for (size_t i = 0; i < rule->args.count; i++) {
		const struct oci_seccomp_argument *argument = &rule->args.items[i];
		struct scmp_arg_cmp *condition = &conditions->items[i];
		unsigned long operator;

		if (argument->index.value >= ARGUMENTS_MAX)
			return error_set(err, 0, "%s.args[%zu].index: %u is not between 0 and %d", path, i,
				argument->index.value, ARGUMENTS_MAX - 1);
		if (!named_value_find(operators, ARRAY_SIZE(operators), argument->op, &operator))
			return error_set(
				err, 0, "%s.args[%zu].op: \"%s\" is not an operator", path, i, argument->op);
		conditions->alternatives |= used[argument->index.value];
		used[argument->index.value] = true;
		/* MASKED_EQ: value is the mask, valueTwo what must be left; the others have no second operand. */
		*condition = (struct scmp_arg_cmp){ .arg = argument->index.value,
			.op = operator,
			.datum_a = argument->value.value,
			.datum_b = argument->value_two.value };
	}
	return 0;
}

static int add_system_call(
	scmp_filter_ctx filter, uint32_t action, int number, const struct conditions *conditions)
{
	int result = 0;

	if (!conditions->alternatives)
		return seccomp_rule_add_array(filter, action, number, conditions->count, conditions->items);
	for (size_t i = 0; i < conditions->count && result == 0; i++)
		result = seccomp_rule_add_array(filter, action, number, 1, &conditions->items[i]);
	return result;
}

static int add_rule(scmp_filter_ctx filter, const struct oci_seccomp_rule *rule, size_t index,
	uint32_t default_action, bool *notify, struct error *err)
{
	struct conditions conditions;
	uint32_t action;
	char path[64];

	snprintf(path, sizeof(path), "linux.seccomp.syscalls[%zu]", index);
	if (parse_action(rule->action, &rule->errno_ret, path, "action", "errnoRet", &action, err) < 0 ||
		parse_conditions(rule, path, &conditions, err) < 0)
		return -1;
	if (action == default_action)
		return 0; /* libseccomp refuses what changes nothing */
	for (size_t i = 0; i < rule->names.count; i++) {
		const char *name = rule->names.items[i];
		int number, result;

		/* Between loading the filter and handing its listener over, the process must be able to write(2). */
		if (action == SCMP_ACT_NOTIFY && strcmp(name, "write") == 0)
			return error_set(err, 0,
				"%s.names[%zu]: SCMP_ACT_NOTIFY cannot be used for the write syscall: the "
				"process would wait for its agent before the agent has the listener",
				path, i);
		number = seccomp_syscall_resolve_name(name);
		if (number == __NR_SCMP_ERROR)
			continue;
		result = add_system_call(filter, action, number, &conditions);
		if (result < 0)
			return error_set(
				err, -result, "%s.names[%zu]: cannot add a rule for %s", path, i, name);
		*notify |= action == SCMP_ACT_NOTIFY;
	}
	return 0;
}

int seccomp_check_refused(const struct string_list *names, struct error *err)
{
	for (size_t i = 0; i < names->count; i++)
		if (seccomp_syscall_resolve_name(names->items[i]) == __NR_SCMP_ERROR)
			return error_set(err, 0,
				"syscalls.deny: \"%s\" is no system call that this fence's libseccomp knows, "
				"so it "
				"cannot be refused; correct it, or leave it out",
				names->items[i]);
	return 0;
}

static int export_program(scmp_filter_ctx filter, struct seccomp_program *program, struct error *err)
{
	_cleanup_close_ int memory = memfd_create("seccomp", MFD_CLOEXEC);
	_cleanup_free_ void *instructions = NULL;
	off_t length;
	int result;

	if (memory < 0)
		return error_set(err, errno, "cannot make a memory file for the seccomp program");
	result = seccomp_export_bpf(filter, memory);
	if (result < 0)
		return error_set(err, -result, "linux.seccomp: cannot generate the program");
	length = lseek(memory, 0, SEEK_END);
	if (length < 0 || !(instructions = malloc(length)))
		return error_set(err, errno, "cannot read the seccomp program");
	if (pread(memory, instructions, length, 0) != length)
		return error_set(err, errno, "cannot read the seccomp program");
	program->instructions = steal_pointer(&instructions);
	program->length = length;
	return 0;
}

static int compile_program(
	const struct oci_seccomp *seccomp, struct seccomp_program *program, struct error *err)
{
	_cleanup_(release_filter) scmp_filter_ctx filter = NULL;
	uint32_t default_action;

	if (parse_action(seccomp->default_action, &seccomp->default_errno_ret, "linux.seccomp",
		    "defaultAction", "defaultErrnoRet", &default_action, err) < 0)
		return -1;
	if (default_action == SCMP_ACT_NOTIFY)
		return error_set(err, 0,
			"linux.seccomp.defaultAction: cannot be SCMP_ACT_NOTIFY: the process could not even "
			"hand the "
			"listener over; name the system calls");
	filter = seccomp_init(default_action);
	if (!filter)
		return error_set(err, ENOMEM, "linux.seccomp: cannot start a filter for \"%s\"",
			seccomp->default_action);
	if (add_architectures(filter, seccomp, err) < 0)
		return -1;
	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (add_rule(filter, &seccomp->syscalls.items[i], i, default_action, &program->notify, err) <
			0)
			return -1;
	/* A binary tree instead of a chain of comparisons: each system call that the kernel cannot decide from its
	 * bitmap takes some ten instructions, not hundreds. Since libseccomp 2.5. */
	if (seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0)
		return error_set(err, 0, "linux.seccomp: libseccomp is older than 2.5");
	if (export_program(filter, program, err) < 0)
		return -1;
	return seccomp_answer_newer(seccomp, default_action, program, err);
}

static int parse_flags(const struct oci_seccomp *seccomp, struct seccomp_program *program, struct error *err)
{
	unsigned long flag;

	/* As crun and runc have it, where the profile says nothing at all of flags: engines' profiles reckon with that. Kernels
	 * before 5.16 would slow such processes down. */
	if (!seccomp->flags.items)
		program->flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW;
	for (size_t i = 0; i < seccomp->flags.count; i++) {
		if (!named_value_find(filter_flags, ARRAY_SIZE(filter_flags), seccomp->flags.items[i], &flag))
			return error_set(err, 0,
				"linux.seccomp.flags[%zu]: \"%s\" is not a flag of seccomp filters", i,
				seccomp->flags.items[i]);
		program->flags |= flag;
	}
	/* The kernel refuses this one without a listener, for which alone it has a meaning. */
	if (!program->notify)
		program->flags &= ~SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	else
		program->flags |= SECCOMP_FILTER_FLAG_NEW_LISTENER;
	return 0;
}

static int check_listener(
	const struct oci_seccomp *seccomp, const struct seccomp_program *program, struct error *err)
{
	if (seccomp->listener_metadata && !seccomp->listener_path)
		return error_set(err, 0, "linux.seccomp.listenerMetadata: needs linux.seccomp.listenerPath");
	if (program->notify && !seccomp->listener_path)
		return error_set(err, 0,
			"linux.seccomp.listenerPath: is missing; SCMP_ACT_NOTIFY needs the socket of an "
			"agent");
	return 0;
}

/* What the program depends on beside the profile; the number after the version is of what this file makes of it. */
static void describe_compiler(char *text, size_t size)
{
	const struct scmp_version *version = seccomp_version();

	snprintf(text, size, "fence " FENCE_VERSION "-2, libseccomp %u.%u.%u, architecture %x",
		version->major, version->minor, version->micro, seccomp_arch_native());
}

int seccomp_compile(
	const struct oci_seccomp *seccomp, int cache, struct seccomp_program *program, struct error *err)
{
	_cleanup_arena_ struct arena *arena = cache < 0 ? NULL : arena_new();
	struct seccomp_key key;
	char generation[128];
	bool found = false;

	*program = (struct seccomp_program){ 0 };
	if (cache >= 0) {
		describe_compiler(generation, sizeof(generation));
		seccomp_key_make(arena, &key, seccomp, generation);
		found = seccomp_cache_get(cache, &key, program);
	}
	if ((!found && compile_program(seccomp, program, err) < 0) ||
		check_listener(seccomp, program, err) < 0 || parse_flags(seccomp, program, err) < 0) {
		seccomp_free(program);
		return -1;
	}
	if (cache >= 0 && !found)
		seccomp_cache_put(cache, &key, program);
	return 0;
}

void seccomp_free(struct seccomp_program *program)
{
	free(program->instructions);
	*program = (struct seccomp_program){ 0 };
}

int seccomp_install(const struct seccomp_program *program, int *listener, struct error *err)
{
	struct sock_fprog filter = { .len = program->length / sizeof(struct sock_filter),
		.filter = program->instructions };
	long result;

	*listener = -1;
	if (program->length / sizeof(struct sock_filter) > BPF_MAXINSNS)
		return error_set(err, E2BIG,
			"linux.seccomp: the program has %zu instructions; the kernel takes %d",
			program->length / sizeof(struct sock_filter), BPF_MAXINSNS);
	result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, program->flags, &filter);
	if (result < 0)
		return error_set(err, errno, "linux.seccomp: cannot load the filter%s",
			errno == EACCES	 ? " (needs process.noNewPrivileges or CAP_SYS_ADMIN)"
			: errno == EBUSY ? " (a process can have only one with SCMP_ACT_NOTIFY)"
			: errno == EINVAL
				? " (this kernel lacks one of linux.seccomp.flags, or seccomp itself)"
				: "");
	if (program->notify)
		*listener = result;
	return 0;
}

/* The specification's container process state. */
static char *process_state(struct arena *arena, const struct oci_seccomp *seccomp,
	const struct oci_state *state, pid_t pid, size_t *length)
{
	struct json *object = json_new_object(arena), *fds = json_new_array(arena);

	json_append(arena, fds, json_new_string(arena, "seccompFd"));
	json_set(arena, object, "ociVersion", json_new_string(arena, OCI_VERSION));
	json_set(arena, object, "fds", fds);
	json_set(arena, object, "pid", json_new_integer(arena, pid));
	if (seccomp->listener_metadata)
		json_set(arena, object, "metadata", json_new_string(arena, seccomp->listener_metadata));
	json_set(arena, object, "state", oci_state_write(arena, state));
	return json_format(arena, object, false, length);
}

int seccomp_send_listener(const struct oci_seccomp *seccomp, int listener, const struct oci_state *state,
	pid_t pid, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	_cleanup_close_ int agent =
		fd_socket_connect("linux.seccomp.listenerPath", seccomp->listener_path, err);
	struct iovec text;
	ssize_t sent;

	if (agent < 0)
		return error_wrap(err, "failed to connect with seccomp agent");
	text.iov_base = process_state(arena, seccomp, state, pid, &text.iov_len);
	sent = fd_socket_sendmsg(agent, &text, 1, listener);
	while (sent >= 0 && (size_t)sent < text.iov_len) { /* the fd went with the first byte */
		text.iov_base = (char *)text.iov_base + sent;
		text.iov_len -= sent;
		sent = send(agent, text.iov_base, text.iov_len, MSG_NOSIGNAL);
	}
	if (sent < 0)
		return error_set(err, errno, "linux.seccomp.listenerPath: cannot send the listener to \"%s\"",
			seccomp->listener_path);
	return 0;
}
