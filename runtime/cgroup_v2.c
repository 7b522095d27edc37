/* linux.resources on cgroup v2: enabling controllers, and v1's units converted to v2's.
 *
 * A property that v2 has no counterpart for is an error, never ignored; the exceptions say why.
 */
#include "runtime/cgroup_internal.h"
#include "runtime/device_filter.h"
#include "runtime/log.h"
#include "runtime/systemd_properties.h"

#include <fcntl.h>
#include <math.h>
#include <string.h>

/* The controllers that must be there on a hybrid host, or beside those that systemd knows and delegates: where nothing more is
 * needed, nothing is changed. */
static bool is_needed(const struct oci_resources *resources, const char *controller)
{
	size_t length = strlen(controller);

	if (!resources)
		return false;
	if (strcmp(controller, "hugetlb") == 0 && resources->hugepage_limits.count)
		return true;
	if (strcmp(controller, "rdma") == 0 && resources->rdma.count)
		return true;
	for (size_t i = 0; i < resources->unified.count; i++)
		if (strncmp(resources->unified.items[i].key, controller, length) == 0 &&
			resources->unified.items[i].key[length] == '.')
			return true;
	return false;
}

/* Enables, for the children of `directory`, what is available there: on pure v2 all, since `update` can ask for any later.
 * One by one: the kernel takes a list as a whole or not at all. What is refused shows as a missing file later. */
static void enable_for_children(
	const struct cgroup *cgroup, int directory, const struct oci_resources *resources)
{
	char available[512], enabled[512], *rest = available, *controller, word[64];

	if (!cgroup_read(directory, "cgroup.controllers", available, sizeof(available)) ||
		!cgroup_read(directory, "cgroup.subtree_control", enabled, sizeof(enabled)))
		return;
	while ((controller = strsep(&rest, " "))) {
		if (!*controller || cgroup_list_has(enabled, controller))
			continue;
		if ((!cgroup->unified || cgroup->unit) && !is_needed(resources, controller))
			continue;
		snprintf(word, sizeof(word), "+%s", controller);
		cgroup_write(directory, "cgroup.subtree_control", word);
	}
}

void cgroup_v2_enable(const struct cgroup *cgroup, const struct cgroup_directory *directory,
	const struct oci_resources *resources)
{
	char *path = arena_strdup(cgroup->arena, directory->path);
	char *end = path + strlen(directory->hierarchy->mount_point);

	/* Each ancestor, from the root: all but the container's own. */
	for (; end; end = strchr(end + 1, '/')) {
		_cleanup_close_ int ancestor = -1;

		*end = '\0';
		ancestor = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		*end = '/';
		if (ancestor >= 0)
			enable_for_children(cgroup, ancestor, resources);
	}
}

/* memory.swap.max is swap alone; linux.resources.memory.swap is memory and swap together. */
static int apply_swap(struct cgroup *cgroup, const struct oci_memory *memory, struct error *err)
{
	int64_t limit = memory->limit.value, swap = memory->swap.value;

	if (swap == 0 && limit >= 0)
		return 0;
	if (swap <= 0 || (limit < 0 && !memory->swap.set)) {
		/* "No limit", said or implied by that on memory: also right without swap accounting. */
		if (cgroup_try(cgroup, "memory", "memory.swap.max", "max") || errno == ENOENT)
			return 0;
		return cgroup_set_failed(cgroup, "memory", "memory.swap.max", "memory.swap", "max", err);
	}
	if (limit == 0)
		return error_set(err, 0,
			"linux.resources.memory.swap: needs linux.resources.memory.limit, since it is the "
			"sum of both");
	if (limit > 0 && swap < limit)
		return error_set(err, 0,
			"linux.resources.memory.swap: %" PRId64
			" is less than linux.resources.memory.limit, which it includes",
			swap);
	return cgroup_set(cgroup, "memory", "memory.swap.max", "memory.swap", err, "%" PRId64,
		limit > 0 ? swap - limit : swap);
}

static int set_memory(
	struct cgroup *cgroup, const char *file, const char *property, int64_t value, struct error *err)
{
	if (value == 0)
		return 0;
	if (value < 0)
		return cgroup_set(cgroup, "memory", file, property, err, "max");
	return cgroup_set(cgroup, "memory", file, property, err, "%" PRId64, value);
}

static int apply_memory(struct cgroup *cgroup, const struct oci_memory *memory, struct error *err)
{
	if (!memory)
		return 0;
	if (memory->swappiness.set)
		return error_set(err, 0,
			"linux.resources.memory.swappiness: cgroup v2 has no swappiness of its own; leave it "
			"out");
	if (memory->disable_oom_killer.value)
		return error_set(err, 0,
			"linux.resources.memory.disableOOMKiller: cannot be had with cgroup v2; leave it "
			"out");
	/* memory.kernel and memory.kernelTCP: that memory counts in memory.max, and has no limit of its own.
	 * memory.useHierarchy: v2 always does. */
	if (apply_swap(cgroup, memory, err) < 0 ||
		set_memory(cgroup, "memory.max", "memory.limit", memory->limit.value, err) < 0)
		return -1;
	return set_memory(cgroup, "memory.low", "memory.reservation", memory->reservation.value, err);
}

/* 2 … 262144 shares become a weight of 1 … 10000, so that the usual 1024 is the usual 100: the curve that crun
 * and runc agree on since 2025 (a straight line made it 39). */
uint64_t cgroup_v2_cpu_weight(uint64_t shares)
{
	double exponent = log2((double)shares);

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	return (uint64_t)(exp10((exponent * exponent + 125 * exponent) / 612 - 7.0 / 34) + 0.99);
}

/* cpu.max holds quota and period; one that is not given stays as it is. */
static struct oci_cpu complete_quota(struct cgroup *cgroup, const struct oci_cpu *cpu)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, "cpu");
	char text[64] = "max 100000", *rest = text, *quota;
	struct oci_cpu whole = *cpu;

	if ((cpu->quota.value == 0) == (cpu->period.value == 0))
		return whole;
	if (directory && cgroup_directory_open(directory))
		cgroup_read(directory->fd, "cpu.max", text, sizeof(text));
	quota = strsep(&rest, " ");
	if (cpu->quota.value == 0)
		whole.quota.value = strcmp(quota, "max") == 0 ? -1 : strtoll(quota, NULL, 10);
	else if (rest)
		whole.period.value = strtoull(rest, NULL, 10);
	return whole;
}

const struct oci_resources *cgroup_v2_complete_quota(
	struct cgroup *cgroup, const struct oci_resources *resources)
{
	struct oci_resources *whole = arena_alloc(cgroup->arena, sizeof(*whole));

	if (!cgroup->unified || !resources->cpu)
		return resources;
	*whole = *resources;
	whole->cpu = arena_alloc(cgroup->arena, sizeof(*whole->cpu));
	*whole->cpu = complete_quota(cgroup, resources->cpu);
	return whole;
}

static int apply_quota(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err)
{
	struct oci_cpu whole = complete_quota(cgroup, cpu);
	uint64_t quota = (uint64_t)whole.quota.value, period = whole.period.value;

	if (whole.quota.value == 0 && period == 0)
		return 0;
	if (whole.quota.value <= 0)
		return cgroup_set(cgroup, "cpu", "cpu.max", "cpu.quota", err, "max %" PRIu64, period);
	if (cgroup->unit)
		quota = systemd_round_quota(quota, period);
	return cgroup_set(cgroup, "cpu", "cpu.max", "cpu.quota", err, "%" PRIu64 " %" PRIu64, quota, period);
}

/* A burst above the quota that holds is refused (EINVAL), as is a quota below the burst: either order can be right. */
static int apply_bandwidth(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err)
{
	char burst[32];
	bool done;

	snprintf(burst, sizeof(burst), "%" PRIu64, cpu->burst.value);
	done = !cpu->burst.set || cgroup_try(cgroup, "cpu", "cpu.max.burst", burst);
	if (!done && errno != EINVAL)
		return cgroup_set_failed(cgroup, "cpu", "cpu.max.burst", "cpu.burst", burst, err);
	if (apply_quota(cgroup, cpu, err) < 0)
		return -1;
	return done ? 0 : cgroup_set(cgroup, "cpu", "cpu.max.burst", "cpu.burst", err, "%s", burst);
}

struct optional_int64 cgroup_v2_idle(const struct oci_resources *resources)
{
	const char *unified = cgroup_unified_value(resources, "cpu.idle");

	if (unified)
		return (struct optional_int64){ true, strtoll(unified, NULL, 10) };
	return resources->cpu ? resources->cpu->idle : (struct optional_int64){ 0 };
}

/* A group that is idle has no weight. */
static void warn_of_idle(const struct oci_resources *resources)
{
	const struct oci_cpu *cpu = resources->cpu;

	if (cgroup_v2_idle(resources).value == 1 &&
		((cpu && cpu->shares.value) || cgroup_unified_value(resources, "cpu.weight")))
		log_warning("linux.resources: unable to apply both cpu.idle and a weight (cpu.shares or "
			    "unified's cpu.weight); ignoring the weight");
}

static int apply_cpu(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	const struct oci_cpu *cpu = resources->cpu;

	if (!cpu)
		return 0;
	if (cpu->realtime_period.value || cpu->realtime_runtime.value)
		return error_set(err, 0,
			"linux.resources.cpu.realtimeRuntime: cgroup v2 has no realtime bandwidth; leave it "
			"out");
	if (cpu->idle.set && cpu->idle.value == 0 &&
		cgroup_set(cgroup, "cpu", "cpu.idle", "cpu.idle", err, "0") < 0)
		return -1;
	if (cpu->shares.value && cgroup_v2_idle(resources).value != 1 &&
		cgroup_set(cgroup, "cpu", "cpu.weight", "cpu.shares", err, "%" PRIu64,
			cgroup_v2_cpu_weight(cpu->shares.value)) < 0)
		return -1;
	if (cpu->idle.value != 0 &&
		cgroup_set(cgroup, "cpu", "cpu.idle", "cpu.idle", err, "%" PRId64, cpu->idle.value) < 0)
		return -1;
	return apply_bandwidth(cgroup, cpu, err) < 0 ? -1 : cgroup_apply_cpuset(cgroup, cpu, err);
}

/* 10 … 1000 become 1 … 10000. */
unsigned int cgroup_v2_io_weight(unsigned int weight)
{
	return weight < 10 ? 1 : 1 + (weight - 10) * 9999 / 990;
}

/* BFQ takes 1 … 1000 as they are. */
static unsigned int io_weight(unsigned int weight, bool bfq)
{
	return bfq ? weight : cgroup_v2_io_weight(weight);
}

static int apply_io_weights(struct cgroup *cgroup, const struct oci_block_io *io, struct error *err)
{
	bool bfq = cgroup_has(cgroup, "io", "io.bfq.weight");
	const char *file = bfq ? "io.bfq.weight" : "io.weight";

	if (io->leaf_weight.value)
		return error_set(
			err, 0, "linux.resources.blockIO.leafWeight: cgroup v2 has none; leave it out");
	if (io->weight.value && cgroup_set(cgroup, "io", file, "blockIO.weight", err, "%u",
					io_weight(io->weight.value, bfq)) < 0)
		return -1;
	for (size_t i = 0; i < io->weight_device.count; i++) {
		const struct oci_weight_device *device = &io->weight_device.items[i];

		if (device->leaf_weight.value)
			return error_set(err, 0,
				"linux.resources.blockIO.weightDevice[%zu].leafWeight: cgroup v2 has none; "
				"leave it out",
				i);
		if (device->weight.value &&
			cgroup_set(cgroup, "io", file, "blockIO.weightDevice", err,
				"%" PRId64 ":%" PRId64 " %u", device->major.value, device->minor.value,
				io_weight(device->weight.value, bfq)) < 0)
			return -1;
	}
	return 0;
}

static int apply_throttle(struct cgroup *cgroup, const oci_throttle_list *list, const char *key,
	const char *property, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct oci_throttle_device *device = &list->items[i];
		char rate[32] = "max"; /* what v1 means by 0 */

		if (device->rate.value)
			snprintf(rate, sizeof(rate), "%" PRIu64, device->rate.value);
		if (cgroup_set(cgroup, "io", "io.max", property, err, "%" PRId64 ":%" PRId64 " %s=%s",
			    device->major.value, device->minor.value, key, rate) < 0)
			return -1;
	}
	return 0;
}

static int apply_block_io(struct cgroup *cgroup, const struct oci_block_io *io, struct error *err)
{
	if (!io)
		return 0;
	if (apply_io_weights(cgroup, io, err) < 0 ||
		apply_throttle(cgroup, &io->throttle_read_bps, "rbps", "blockIO.throttleReadBpsDevice", err) <
			0 ||
		apply_throttle(
			cgroup, &io->throttle_write_bps, "wbps", "blockIO.throttleWriteBpsDevice", err) < 0 ||
		apply_throttle(
			cgroup, &io->throttle_read_iops, "riops", "blockIO.throttleReadIOPSDevice", err) < 0)
		return -1;
	return apply_throttle(
		cgroup, &io->throttle_write_iops, "wiops", "blockIO.throttleWriteIOPSDevice", err);
}

static int apply_devices(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	struct cgroup_directory *directory = cgroup_v2_directory(cgroup);
	struct device_rules rules;

	if (device_rules_make(cgroup->arena, resources, &rules, err) < 0)
		return -1;
	if (!cgroup_devices_matter(cgroup))
		return 0;
	if (!directory || !cgroup_directory_open(directory))
		return error_set(
			err, errno, "linux.resources.devices: the container has no cgroup to limit them in");
	return device_filter_attach(directory->fd, &rules, err);
}

int cgroup_v2_apply(
	struct cgroup *cgroup, const struct oci_resources *resources, bool devices, struct error *err)
{
	if (devices && apply_devices(cgroup, resources, err) < 0)
		return -1;
	if (!resources)
		return 0;
	if (resources->network &&
		(resources->network->class_id.value || resources->network->priorities.count))
		return error_set(err, 0,
			"linux.resources.network: cgroup v2 has neither net_cls nor net_prio; leave it out");
	warn_of_idle(resources);
	if (apply_memory(cgroup, resources->memory, err) < 0 || apply_cpu(cgroup, resources, err) < 0 ||
		cgroup_apply_pids(cgroup, resources->pids, err) < 0 ||
		apply_block_io(cgroup, resources->block_io, err) < 0 ||
		cgroup_apply_hugepages(cgroup, resources, err) < 0 ||
		cgroup_apply_rdma(cgroup, resources, err) < 0)
		return -1;
	return cgroup_apply_unified(cgroup, resources, err);
}
