/* How the process is scheduled: CPU policy and affinity, I/O priority, memory policy, execution domain.
 *
 * Called by number where libc has no wrapper. Must never fall back to another policy than the one asked for.
 */
#include "runtime/process.h"

#include "runtime/named.h"
#include "spec/cleanup.h"

#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/sched.h>
#include <sched.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/syscall.h>

#ifndef MPOL_WEIGHTED_INTERLEAVE /* Linux 6.9 */
#define MPOL_WEIGHTED_INTERLEAVE 6
#endif

/* A set of CPUs or memory nodes. The kernel's own limit for CPUs is 8192, for nodes 1024. */
enum { NUMBERS_MAX = 8192, BITS_PER_LONG = 8 * sizeof(unsigned long) };
struct number_set {
	unsigned long bits[NUMBERS_MAX / BITS_PER_LONG];
};

static bool read_number(const char **text, unsigned long *number)
{
	char *end;

	if (**text < '0' || **text > '9')
		return false;
	*number = strtoul(*text, &end, 10);
	*text = end;
	return *number < NUMBERS_MAX;
}

/* "0-3,7", with spaces allowed after a comma. */
static int parse_numbers(
	const char *text, const char *path, const char *what, struct number_set *set, struct error *err)
{
	const char *rest = text;
	unsigned long first, last;

	memset(set, 0, sizeof(*set));
	for (;;) {
		rest += strspn(rest, " ");
		if (!read_number(&rest, &first))
			break;
		last = first;
		if (*rest == '-') {
			rest++;
			if (!read_number(&rest, &last) || last < first)
				break;
		}
		for (unsigned long number = first; number <= last; number++)
			set->bits[number / BITS_PER_LONG] |= 1UL << (number % BITS_PER_LONG);
		rest += strspn(rest, " ");
		if (*rest == '\0')
			return 0;
		if (*rest++ != ',')
			break;
	}
	return error_set(err, 0,
		"%s: \"%s\" has an invalid %s; write numbers below %d and ranges, such as \"0-3,7\"", path,
		text, what, NUMBERS_MAX);
}

/* struct sched_attr of sched_setattr(2): libc has it only since glibc 2.41, and the kernel's header clashes with <sched.h>.
 * The last two are since 5.3; older kernels take them as long as they are zero. */
struct scheduling_attributes {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
	uint32_t utilization_minimum, utilization_maximum;
};

static const struct named_value scheduler_policies[] = {
	{ "SCHED_OTHER", SCHED_OTHER },
	{ "SCHED_FIFO", SCHED_FIFO },
	{ "SCHED_RR", SCHED_RR },
	{ "SCHED_BATCH", SCHED_BATCH },
	{ "SCHED_ISO", 4 }, /* reserved; no kernel has it, and says EINVAL */
	{ "SCHED_IDLE", SCHED_IDLE },
	{ "SCHED_DEADLINE", SCHED_DEADLINE },
};

static const struct named_value scheduler_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
};

/* The union of named bits. */
static int parse_flags(const struct string_list *list, const struct named_value *table, size_t count,
	const char *path, unsigned long *flags, struct error *err)
{
	unsigned long flag;

	*flags = 0;
	for (size_t i = 0; i < list->count; i++) {
		if (!named_value_find(table, count, list->items[i], &flag))
			return error_set(err, 0, "%s[%zu]: \"%s\" is not a flag that is known here", path, i,
				list->items[i]);
		*flags |= flag;
	}
	return 0;
}

static const char *scheduler_needs(unsigned long policy, bool limited_cpus)
{
	if (policy == SCHED_DEADLINE && limited_cpus)
		return " (needs CAP_SYS_NICE and all CPUs: this process scheduler can't be used together "
		       "with "
		       "AllowedCPUs, linux.resources.cpu.cpus)";
	return " (needs CAP_SYS_NICE)";
}

int process_set_scheduler(const struct oci_process *process, bool limited_cpus, struct error *err)
{
	const struct oci_scheduler *scheduler = process->scheduler;
	struct scheduling_attributes attributes = { .size = sizeof(attributes) };
	unsigned long policy, flags;

	if (!scheduler)
		return 0;
	if (!named_value_find(scheduler_policies, ARRAY_SIZE(scheduler_policies), scheduler->policy, &policy))
		return error_set(err, 0, "process.scheduler.policy: \"%s\" is not a scheduling policy",
			scheduler->policy);
	if (parse_flags(&scheduler->flags, scheduler_flags, ARRAY_SIZE(scheduler_flags),
		    "process.scheduler.flags", &flags, err) < 0)
		return -1;
	attributes.policy = policy;
	attributes.flags = flags;
	attributes.nice = scheduler->nice.value;
	attributes.priority = scheduler->priority.value;
	attributes.runtime = scheduler->runtime.value;
	attributes.deadline = scheduler->deadline.value;
	attributes.period = scheduler->period.value;
	if (syscall(SYS_sched_setattr, 0, &attributes, 0) < 0)
		return error_set(err, errno, "process.scheduler: cannot set %s%s", scheduler->policy,
			errno == EPERM ? scheduler_needs(policy, limited_cpus) : "");
	return 0;
}

static const struct named_value io_classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
};

int process_set_io_priority(const struct oci_process *process, struct error *err)
{
	const struct oci_io_priority *priority = process->io_priority;
	unsigned long class;

	if (!priority)
		return 0;
	if (!named_value_find(io_classes, ARRAY_SIZE(io_classes), priority->class, &class))
		return error_set(err, 0, "process.ioPriority.class: \"%s\" is not an I/O scheduling class",
			priority->class);
	if (priority->priority.value < 0 || priority->priority.value >= IOPRIO_NR_LEVELS)
		return error_set(err, 0, "process.ioPriority.priority: %d is not between 0 and %d",
			priority->priority.value, IOPRIO_NR_LEVELS - 1);
	if (syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0,
		    (int)class << IOPRIO_CLASS_SHIFT | priority->priority.value) < 0)
		return error_set(err, errno, "process.ioPriority: cannot set %s, priority %d%s",
			priority->class, priority->priority.value,
			errno == EPERM ? " (needs CAP_SYS_NICE or CAP_SYS_ADMIN)" : "");
	return 0;
}

static const struct named_value personalities[] = {
	{ "LINUX", PER_LINUX },
	{ "LINUX32", PER_LINUX32 },
};

int process_set_personality(const struct oci_personality *domain, struct error *err)
{
	unsigned long persona;

	if (!domain || !domain->domain)
		return 0;
	if (!named_value_find(personalities, ARRAY_SIZE(personalities), domain->domain, &persona))
		return error_set(err, 0, "linux.personality.domain: \"%s\" is not \"LINUX\" or \"LINUX32\"",
			domain->domain);
	if (domain->flags.count)
		return error_set(err, 0,
			"linux.personality.flags[0]: \"%s\": the specification has no flag for it; leave the "
			"list out",
			domain->flags.items[0]);
	if (personality(persona) < 0)
		return error_set(err, errno, "linux.personality: cannot set %s", domain->domain);
	return 0;
}

static const struct named_value memory_modes[] = {
	{ "MPOL_DEFAULT", MPOL_DEFAULT },
	{ "MPOL_PREFERRED", MPOL_PREFERRED },
	{ "MPOL_BIND", MPOL_BIND },
	{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE },
	{ "MPOL_LOCAL", MPOL_LOCAL },
	{ "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
	{ "MPOL_WEIGHTED_INTERLEAVE", MPOL_WEIGHTED_INTERLEAVE },
};

static const struct named_value memory_flags[] = {
	{ "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
	{ "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
	{ "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
};

/* set_mempolicy(2) takes a mask of one bit more than the highest; longer ones are refused when they exceed a page. */
static size_t highest_number(const struct number_set *set)
{
	for (size_t number = NUMBERS_MAX; number > 0; number--)
		if (set->bits[(number - 1) / BITS_PER_LONG] >> ((number - 1) % BITS_PER_LONG) & 1)
			return number - 1;
	return 0;
}

static size_t count_numbers(const struct number_set *set)
{
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(set->bits); i++)
		count += (size_t)__builtin_popcountl(set->bits[i]);
	return count;
}

int process_set_memory_policy(const struct oci_memory_policy *policy, struct error *err)
{
	struct number_set nodes;
	unsigned long mode, flags;
	bool has_nodes;
	size_t bits = 0;

	if (!policy)
		return 0;
	if (!policy->mode)
		return error_set(
			err, 0, "linux.memoryPolicy.mode: is missing; say for example \"MPOL_BIND\"");
	if (!named_value_find(memory_modes, ARRAY_SIZE(memory_modes), policy->mode, &mode))
		return error_set(
			err, 0, "linux.memoryPolicy.mode: \"%s\" is not a memory policy", policy->mode);
	if (parse_flags(&policy->flags, memory_flags, ARRAY_SIZE(memory_flags), "linux.memoryPolicy.flags",
		    &flags, err) < 0)
		return -1;
	has_nodes = policy->nodes && *policy->nodes;
	if (has_nodes) {
		if (parse_numbers(
			    policy->nodes, "linux.memoryPolicy.nodes", "memory policy node", &nodes, err) < 0)
			return -1;
		if (mode == MPOL_DEFAULT || mode == MPOL_LOCAL)
			return error_set(err, 0,
				"linux.memoryPolicy.nodes: %s mode requires 0 nodes but got %zu",
				policy->mode, count_numbers(&nodes));
		bits = highest_number(&nodes) + 2; /* the kernel ignores the last one */
	}
	if (syscall(SYS_set_mempolicy, (int)(mode | flags), has_nodes ? nodes.bits : NULL, bits) < 0)
		return error_set(err, errno, "linux.memoryPolicy: cannot set %s with nodes \"%s\"",
			policy->mode, has_nodes ? policy->nodes : "");
	return 0;
}

int process_set_cpu_affinity(const char *cpus, struct error *err)
{
	struct number_set set;

	if (!cpus || !*cpus)
		return 0;
	if (parse_numbers(cpus, "process.execCPUAffinity", "CPU", &set, err) < 0)
		return -1;
	if (sched_setaffinity(0, sizeof(set.bits), (const cpu_set_t *)set.bits) < 0)
		return error_set(err, errno, "process.execCPUAffinity: cannot run on CPUs \"%s\"%s", cpus,
			errno == EINVAL ? " (none of them is in the container's cpuset)" : "");
	return 0;
}

void process_reset_cpu_affinity(void)
{
	struct number_set all;

	memset(&all, 0xff, sizeof(all));
	/* Where a sandbox around us refuses it, what we have is kept: it allows less. */
	if (sched_setaffinity(0, sizeof(all.bits), (const cpu_set_t *)all.bits) < 0)
		errno = 0;
}
