/* An engine's seccomp filter, tightened. See compile_container.c.
 *
 * Engines write lists of what is allowed. From those the refused calls are taken out, and where only some arguments are refused, the
 * rule that allowed all of them becomes rules for those that stay: a filter cannot say "allowed, except".
 */
#include "spec/compile_internal.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/socket.h>

#define NAMESPACE_FLAGS                                                                               \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | \
		CLONE_NEWNET)

static bool permits(const char *action)
{
	return strcmp(action, "SCMP_ACT_ALLOW") == 0 || strcmp(action, "SCMP_ACT_LOG") == 0;
}

static void remove_name(struct oci_seccomp_rule *rule, size_t index)
{
	rule->names.count--;
	memmove(&rule->names.items[index], &rule->names.items[index + 1],
		(rule->names.count - index) * sizeof(*rule->names.items));
}

static void drop_empty_rules(struct oci_seccomp *seccomp)
{
	size_t kept = 0;

	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (seccomp->syscalls.items[i].names.count)
			seccomp->syscalls.items[kept++] = seccomp->syscalls.items[i];
	seccomp->syscalls.count = kept;
}

static void take_out(struct oci_seccomp *seccomp, const struct string_list *names)
{
	for (size_t i = 0; i < seccomp->syscalls.count; i++) {
		struct oci_seccomp_rule *rule = &seccomp->syscalls.items[i];

		for (size_t j = rule->names.count; permits(rule->action) && j-- > 0;)
			if (string_list_has(names, rule->names.items[j]))
				remove_name(rule, j);
	}
}

/* One way in which a call stays allowed: arguments that have these values in their lower 32 bits, under a mask. */
struct form {
	struct form_argument {
		unsigned int index;
		uint64_t mask, value;
	} arguments[2];
	size_t count;
};

static bool holds(const struct oci_seccomp_argument *argument, uint64_t value)
{
	uint64_t given = argument->value.value;
	static const struct {
		const char *op;
		int below, equal, above;
	} comparisons[] = {
		{ "SCMP_CMP_NE", 1, 0, 1 },
		{ "SCMP_CMP_LT", 1, 0, 0 },
		{ "SCMP_CMP_LE", 1, 1, 0 },
		{ "SCMP_CMP_EQ", 0, 1, 0 },
		{ "SCMP_CMP_GE", 0, 1, 1 },
		{ "SCMP_CMP_GT", 0, 0, 1 },
	};

	if (strcmp(argument->op, "SCMP_CMP_MASKED_EQ") == 0)
		return (value & given) == argument->value_two.value;
	for (size_t i = 0; i < ARRAY_SIZE(comparisons); i++)
		if (strcmp(comparisons[i].op, argument->op) == 0)
			return value < given   ? comparisons[i].below
			       : value > given ? comparisons[i].above
					       : comparisons[i].equal;
	return false;
}

/* The engine's conditions and the form's, together. False: no call satisfies both, or it cannot be told. */
static bool join(struct arena *arena, const struct oci_seccomp_rule *rule, const struct form *form,
	struct oci_seccomp_rule *joined)
{
	for (size_t i = 0; i < rule->args.count; i++) {
		const struct oci_seccomp_argument *argument = &rule->args.items[i];
		const struct form_argument *same = NULL;

		for (size_t j = 0; j < form->count; j++)
			if (form->arguments[j].index == argument->index.value)
				same = &form->arguments[j];
		if (!same)
			PUSH(arena, &joined->args, *argument);
		else if (same->mask != UINT32_MAX) {
			/* The same bits, or more of them, must be 0 already. */
			if (strcmp(argument->op, "SCMP_CMP_MASKED_EQ") != 0 || argument->value_two.value ||
				(argument->value.value & same->mask) != same->mask || same->value)
				return false;
			PUSH(arena, &joined->args, *argument);
			return true;
		} else if (!holds(argument, same->value))
			return false;
	}
	for (size_t j = 0; j < form->count; j++)
		PUSH(arena, &joined->args,
			(struct oci_seccomp_argument){ .index = { true, form->arguments[j].index },
				.op = "SCMP_CMP_MASKED_EQ",
				.value = { true, form->arguments[j].mask },
				.value_two = { true, form->arguments[j].value } });
	return true;
}

static bool same_argument(const struct oci_seccomp_argument *a, const struct oci_seccomp_argument *b)
{
	return a->index.value == b->index.value && a->value.value == b->value.value &&
	       a->value_two.value == b->value_two.value && strcmp(a->op, b->op) == 0;
}

/* Each condition of the wide rule is one of the narrow one, too. */
static bool covers(const struct oci_seccomp_rule *wide, const struct oci_seccomp_rule *narrow)
{
	if (wide->names.count != 1 || !narrow->names.count ||
		strcmp(wide->names.items[0], narrow->names.items[0]) != 0 ||
		strcmp(wide->action, narrow->action) != 0)
		return false;
	for (size_t i = 0; i < wide->args.count; i++) {
		size_t j = 0;

		while (j < narrow->args.count && !same_argument(&wide->args.items[i], &narrow->args.items[j]))
			j++;
		if (j == narrow->args.count)
			return false;
	}
	return true;
}

/* libseccomp refuses a rule that another one covers. */
static void add_uncovered(struct arena *arena, struct oci_seccomp *seccomp, struct oci_seccomp_rule rule)
{
	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (covers(&seccomp->syscalls.items[i], &rule))
			return;
	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (seccomp->syscalls.items[i].names.count == 1 && covers(&rule, &seccomp->syscalls.items[i]))
			seccomp->syscalls.items[i].names.count = 0; /* dropped in the end */
	PUSH(arena, &seccomp->syscalls, rule);
}

/* libseccomp does not take "equal" in one rule and "equal under a mask" in another for the same argument. A refusal becomes the wider
 * by it. */
static void compare_masked(struct oci_seccomp_rule *rule)
{
	for (size_t i = 0; i < rule->args.count; i++) {
		struct oci_seccomp_argument *argument = &rule->args.items[i];

		if (strcmp(argument->op, "SCMP_CMP_EQ") != 0 || argument->value.value > UINT32_MAX)
			continue;
		argument->op = "SCMP_CMP_MASKED_EQ";
		argument->value_two = argument->value;
		argument->value.value = UINT32_MAX;
		argument->value_two.set = true;
	}
}

static void allow_only(struct arena *arena, struct oci_seccomp *seccomp, const char *name,
	const struct form *forms, size_t count)
{
	size_t rules = seccomp->syscalls.count;

	for (size_t i = 0; i < rules; i++) {
		struct oci_seccomp_rule rule = seccomp->syscalls.items[i];
		size_t at = 0;

		while (at < rule.names.count && strcmp(rule.names.items[at], name) != 0)
			at++;
		if (at == rule.names.count)
			continue;
		if (!permits(rule.action)) {
			if (rule.names.count == 1)
				compare_masked(&seccomp->syscalls.items[i]);
			continue;
		}
		remove_name(&seccomp->syscalls.items[i], at);
		for (size_t j = 0; j < count; j++) {
			struct oci_seccomp_rule joined = { .action = rule.action };

			if (!join(arena, &rule, &forms[j], &joined))
				continue;
			string_list_add(arena, &joined.names, name);
			add_uncovered(arena, seccomp, joined);
		}
	}
}

/* The refusals of a call that has become conditional, behind what allows it. */
static void move_refusals_last(struct arena *arena, struct oci_seccomp *seccomp, const char *name)
{
	size_t count = seccomp->syscalls.count;

	for (size_t i = 0; i < count; i++) {
		struct oci_seccomp_rule rule = seccomp->syscalls.items[i];

		if (permits(rule.action) || rule.names.count != 1 || strcmp(rule.names.items[0], name) != 0)
			continue;
		seccomp->syscalls.items[i].names.count = 0; /* dropped in the end */
		add_uncovered(arena, seccomp, rule);
	}
}

/* libseccomp allows socketcall(2), the 32-bit call whose arguments no filter can see, as far as any socket call is allowed. A refusal that
 * comes first goes before that, unless it is the default action, which libseccomp leaves out. */
static void answer_socketcall(struct arena *arena, struct oci_seccomp *seccomp)
{
	struct oci_seccomp_rule refusal = { .action = "SCMP_ACT_ERRNO", .errno_ret = { true, EPERM } };
	const struct optional_uint32 *by_default = &seccomp->default_errno_ret;

	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (permits(seccomp->syscalls.items[i].action) &&
			string_list_has(&seccomp->syscalls.items[i].names, "socketcall"))
			return;
	if (strcmp(seccomp->default_action, refusal.action) == 0 &&
		(!by_default->set || by_default->value == EPERM))
		refusal.errno_ret.value = ENOSYS;
	string_list_add(arena, &refusal.names, "socketcall");
	for (size_t i = 0; i < seccomp->syscalls.count; i++) /* libseccomp takes no second one */
		for (size_t j = seccomp->syscalls.items[i].names.count; j-- > 0;)
			if (strcmp(seccomp->syscalls.items[i].names.items[j], "socketcall") == 0)
				remove_name(&seccomp->syscalls.items[i], j);
	PUSH(arena, &seccomp->syscalls, refusal);
	memmove(&seccomp->syscalls.items[1], &seccomp->syscalls.items[0],
		(seccomp->syscalls.count - 1) * sizeof(*seccomp->syscalls.items));
	seccomp->syscalls.items[0] = refusal;
}

static void tighten_list(struct arena *arena, const struct policy *policy, bool refuse_unix_sockets,
	struct oci_seccomp *seccomp)
{
	static const struct form clone_forms[] = { { { { 0, NAMESPACE_FLAGS, 0 } }, 1 } };
	/* Those with fewer conditions first: libseccomp minds the order. */
	static const struct form socket_forms[] = {
		{ { { 0, UINT32_MAX, AF_UNIX } }, 1 },
		{ { { 0, UINT32_MAX, AF_INET } }, 1 },
		{ { { 0, UINT32_MAX, AF_INET6 } }, 1 },
		{ { { 0, UINT32_MAX, AF_NETLINK }, { 2, UINT32_MAX, 0 } }, 2 },
	};
	static const struct form pair_forms[] = {
		{ { { 1, 0xf, SOCK_STREAM } }, 1 },
		{ { { 1, 0xf, SOCK_SEQPACKET } }, 1 },
	};
	static const struct form memory_forms[] = { { { { 1, MFD_NOEXEC_SEAL, MFD_NOEXEC_SEAL } }, 1 } };
	struct string_list refused = denied_system_calls_of(arena, policy);
	bool namespaces = string_list_has(&policy->system_calls->allow, "unshare");

	if (!namespaces)
		string_list_add(arena, &refused, "clone3");
	if (refuse_unix_sockets || policy->governs_network)
		string_list_add(arena, &refused, "socketcall");
	take_out(seccomp, &refused);
	if (!namespaces)
		allow_only(arena, seccomp, "clone", clone_forms, ARRAY_SIZE(clone_forms));
	allow_only(arena, seccomp, "socket", socket_forms + refuse_unix_sockets,
		ARRAY_SIZE(socket_forms) - refuse_unix_sockets);
	move_refusals_last(arena, seccomp, "socket");
	if (refuse_unix_sockets)
		allow_only(arena, seccomp, "socketpair", pair_forms, ARRAY_SIZE(pair_forms));
	if (policy->filesystem->allow_execute.items)
		allow_only(arena, seccomp, "memfd_create", memory_forms, ARRAY_SIZE(memory_forms));
	answer_socketcall(arena, seccomp);
	drop_empty_rules(seccomp);
}

/* libc goes back to clone() at this answer, and at no other. */
static void answer_clone3(struct arena *arena, const struct policy *policy, struct oci_seccomp *seccomp)
{
	struct oci_seccomp_rule rule = { .action = "SCMP_ACT_ERRNO", .errno_ret = { true, ENOSYS } };

	if (string_list_has(&policy->system_calls->allow, "unshare"))
		return;
	if (strcmp(seccomp->default_action, "SCMP_ACT_ERRNO") == 0 &&
		seccomp->default_errno_ret.value == ENOSYS)
		return;
	for (size_t i = 0; i < seccomp->syscalls.count; i++)
		if (string_list_has(&seccomp->syscalls.items[i].names, "clone3"))
			return;
	string_list_add(arena, &rule.names, "clone3");
	PUSH(arena, &seccomp->syscalls, rule);
}

void tighten_seccomp(struct arena *arena, const struct policy *policy, struct oci_linux *linux)
{
	const struct policy_network *network = policy->network;
	/* Under an engine only where it is asked for: between the programs of one container they are common. */
	bool refuse_unix_sockets = network->allow_all_unix_sockets.set &&
				   !network->allow_all_unix_sockets.value &&
				   !network->allow_unix_sockets.count;
	struct string_list refused = denied_system_calls_of(arena, policy);

	if (!linux->seccomp) {
		linux->seccomp = new_seccomp_filter(arena);
	} else if (!permits(linux->seccomp->default_action)) {
		tighten_list(arena, policy, refuse_unix_sockets, linux->seccomp);
		answer_clone3(arena, policy, linux->seccomp);
		return;
	}
	take_out(linux->seccomp, &refused);
	drop_empty_rules(linux->seccomp);
	add_seccomp_refusals(arena, policy, refuse_unix_sockets, linux->seccomp);
}
