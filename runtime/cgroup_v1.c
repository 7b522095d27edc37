/* linux.resources on v1 hierarchies.
 *
 * A property that has no file here is an error, never ignored; the exceptions say why.
 */
#include "runtime/cgroup_internal.h"
#include "runtime/device_rules.h"

#include <fcntl.h>
#include <string.h>

/* Zero stands for "not set" where the kernel has no use for a zero: engines write it so. */
static bool is_given(int64_t value)
{
	return value != 0;
}

/* The directory above; -1 at the top of what is mounted. */
static int open_parent(const struct cgroup_hierarchy *hierarchy, int directory, const char *path)
{
	return strlen(path) > strlen(hierarchy->mount_point)
		       ? openat(directory, "..", O_PATH | O_DIRECTORY | O_CLOEXEC)
		       : -1;
}

static bool inherit(const struct cgroup_hierarchy *hierarchy, char *path, const char *file)
{
	_cleanup_close_ int directory = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	_cleanup_close_ int parent = open_parent(hierarchy, directory, path);
	char text[4096], *slash = strrchr(path, '/');
	bool done;

	if (!cgroup_read(directory, file, text, sizeof(text)))
		return false;
	if (*text || parent < 0)
		return true; /* cgroup.clone_children is on */
	if (!cgroup_read(parent, file, text, sizeof(text)))
		return false;
	if (!*text) {
		*slash = '\0';
		done = inherit(hierarchy, path, file) && cgroup_read(parent, file, text, sizeof(text));
		*slash = '/';
		if (!done)
			return false;
	}
	return cgroup_write(directory, file, text);
}

int cgroup_v1_inherit_cpuset(const struct cgroup_hierarchy *hierarchy, const char *path, struct error *err)
{
	static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
	_cleanup_free_ char *copy = strdup(path);

	for (size_t i = 0; copy && i < ARRAY_SIZE(files); i++)
		if (!inherit(hierarchy, copy, files[i]))
			return error_set(err, errno, "cannot give %s/%s its parent's value", path, files[i]);
	return copy ? 0 : error_set(err, ENOMEM, "cannot make the cgroup %s", path);
}

static int set_memory_limit(struct cgroup *cgroup, int64_t limit, struct error *err)
{
	char usage[32] = "?";
	struct cgroup_directory *directory;

	if (cgroup_set(cgroup, "memory", "memory.limit_in_bytes", "memory.limit", err, "%" PRId64, limit) ==
		0)
		return 0;
	directory = cgroup_controller(cgroup, "memory");
	if (err->number != EBUSY ||
		!cgroup_read(directory->fd, "memory.usage_in_bytes", usage, sizeof(usage)))
		return -1;
	return error_set(err, EBUSY,
		"linux.resources.memory.limit: cannot limit to %" PRId64 ", since %s bytes are in use", limit,
		usage);
}

static int set_swap_limit(struct cgroup *cgroup, int64_t swap, struct error *err)
{
	return cgroup_set(
		cgroup, "memory", "memory.memsw.limit_in_bytes", "memory.swap", err, "%" PRId64, swap);
}

/* The kernel insists on limit ≤ swap at every moment: which comes first depends on where they were. */
static int set_memory_and_swap(struct cgroup *cgroup, int64_t limit, int64_t swap, struct error *err)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, "memory");
	char text[32];
	bool swap_first;

	swap_first =
		swap < 0 || (directory && cgroup_directory_open(directory) &&
				    cgroup_read(directory->fd, "memory.limit_in_bytes", text, sizeof(text)) &&
				    strtoull(text, NULL, 10) < (uint64_t)swap);
	if (swap_first)
		return set_swap_limit(cgroup, swap, err) < 0 ? -1 : set_memory_limit(cgroup, limit, err);
	return set_memory_limit(cgroup, limit, err) < 0 ? -1 : set_swap_limit(cgroup, swap, err);
}

static int apply_memory_limits(struct cgroup *cgroup, const struct oci_memory *memory, struct error *err)
{
	int64_t limit = memory->limit.value, swap = memory->swap.value;

	/* "No limit" on memory alone would fail against a lower one on both together. */
	if (limit < 0 && !is_given(swap) && cgroup_has(cgroup, "memory", "memory.memsw.limit_in_bytes"))
		swap = -1;
	if (is_given(limit) && is_given(swap))
		return set_memory_and_swap(cgroup, limit, swap, err);
	if (is_given(limit))
		return set_memory_limit(cgroup, limit, err);
	return is_given(swap) ? set_swap_limit(cgroup, swap, err) : 0;
}

/* Limits of kernel memory alone: Linux 5.16 and 6.12 took them away, and what they counted counts as memory, so that
 * memory.limit holds for it. The specification advises against them. */
static int set_kernel_limit(
	struct cgroup *cgroup, const char *file, const char *property, int64_t limit, struct error *err)
{
	char text[32];

	if (!is_given(limit))
		return 0;
	snprintf(text, sizeof(text), "%" PRId64, limit);
	if (cgroup_try(cgroup, "memory", file, text) || errno == ENOENT || errno == EOPNOTSUPP)
		return 0;
	return cgroup_set_failed(cgroup, "memory", file, property, text, err);
}

static int apply_memory(struct cgroup *cgroup, const struct oci_memory *memory, struct error *err)
{
	if (!memory)
		return 0;
	if (memory->use_hierarchy.set &&
		cgroup_set(cgroup, "memory", "memory.use_hierarchy", "memory.useHierarchy", err, "%d",
			memory->use_hierarchy.value) < 0)
		return -1;
	if (apply_memory_limits(cgroup, memory, err) < 0 ||
		set_kernel_limit(cgroup, "memory.kmem.limit_in_bytes", "memory.kernel", memory->kernel.value,
			err) < 0 ||
		set_kernel_limit(cgroup, "memory.kmem.tcp.limit_in_bytes", "memory.kernelTCP",
			memory->kernel_tcp.value, err) < 0)
		return -1;
	if (is_given(memory->reservation.value) &&
		cgroup_set(cgroup, "memory", "memory.soft_limit_in_bytes", "memory.reservation", err,
			"%" PRId64, memory->reservation.value) < 0)
		return -1;
	if (memory->swappiness.set && cgroup_set(cgroup, "memory", "memory.swappiness", "memory.swappiness",
					      err, "%" PRIu64, memory->swappiness.value) < 0)
		return -1;
	if (memory->disable_oom_killer.set)
		return cgroup_set(cgroup, "memory", "memory.oom_control", "memory.disableOOMKiller", err,
			"%d", memory->disable_oom_killer.value);
	return 0;
}

/* Period, burst and quota: the kernel refuses (EINVAL) a period or burst that does not go with the quota that holds, so
 * one that is refused is tried again when the new quota is there. */
static int apply_bandwidth(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err)
{
	char period[32], burst[32];
	bool period_set = !is_given(cpu->period.value), burst_set = !cpu->burst.set;
	bool again;

	snprintf(period, sizeof(period), "%" PRIu64, cpu->period.value);
	snprintf(burst, sizeof(burst), "%" PRIu64, cpu->burst.value);
	again = is_given(cpu->quota.value);
	period_set = period_set || cgroup_try(cgroup, "cpu", "cpu.cfs_period_us", period);
	if (!period_set && !(errno == EINVAL && again))
		return cgroup_set_failed(cgroup, "cpu", "cpu.cfs_period_us", "cpu.period", period, err);
	burst_set = burst_set || cgroup_try(cgroup, "cpu", "cpu.cfs_burst_us", burst);
	if (!burst_set && !(errno == EINVAL && again))
		return cgroup_set_failed(cgroup, "cpu", "cpu.cfs_burst_us", "cpu.burst", burst, err);
	if (again && cgroup_set(cgroup, "cpu", "cpu.cfs_quota_us", "cpu.quota", err, "%" PRId64,
			     cpu->quota.value) < 0)
		return -1;
	if (!period_set &&
		cgroup_set(cgroup, "cpu", "cpu.cfs_period_us", "cpu.period", err, "%s", period) < 0)
		return -1;
	return burst_set ? 0 : cgroup_set(cgroup, "cpu", "cpu.cfs_burst_us", "cpu.burst", err, "%s", burst);
}

/* As with the quota, what does not go with the value that holds is tried again after the other one. */
static int apply_realtime(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err)
{
	bool period_set = !is_given(cpu->realtime_period.value),
	     has_runtime = is_given(cpu->realtime_runtime.value);
	char period[32];

	snprintf(period, sizeof(period), "%" PRIu64, cpu->realtime_period.value);
	period_set = period_set || cgroup_try(cgroup, "cpu", "cpu.rt_period_us", period);
	if (!period_set && !(errno == EINVAL && has_runtime))
		return cgroup_set_failed(
			cgroup, "cpu", "cpu.rt_period_us", "cpu.realtimePeriod", period, err);
	if (has_runtime && cgroup_set(cgroup, "cpu", "cpu.rt_runtime_us", "cpu.realtimeRuntime", err,
				   "%" PRId64, cpu->realtime_runtime.value) < 0)
		return -1;
	return period_set ? 0
			  : cgroup_set(cgroup, "cpu", "cpu.rt_period_us", "cpu.realtimePeriod", err, "%s",
				    period);
}

static int apply_cpu(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err)
{
	if (!cpu)
		return 0;
	/* A group that is idle has no shares: the order of the two depends on the direction. */
	if (cpu->idle.set && cpu->idle.value == 0 &&
		cgroup_set(cgroup, "cpu", "cpu.idle", "cpu.idle", err, "0") < 0)
		return -1;
	if (is_given(cpu->shares.value) &&
		cgroup_set(cgroup, "cpu", "cpu.shares", "cpu.shares", err, "%" PRIu64, cpu->shares.value) < 0)
		return -1;
	if (cpu->idle.value != 0 &&
		cgroup_set(cgroup, "cpu", "cpu.idle", "cpu.idle", err, "%" PRId64, cpu->idle.value) < 0)
		return -1;
	if (apply_bandwidth(cgroup, cpu, err) < 0 || apply_realtime(cgroup, cpu, err) < 0)
		return -1;
	return cgroup_apply_cpuset(cgroup, cpu, err);
}

static int apply_throttle(struct cgroup *cgroup, const oci_throttle_list *list, const char *file,
	const char *property, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		const struct oci_throttle_device *device = &list->items[i];

		if (cgroup_set(cgroup, "blkio", file, property, err, "%" PRId64 ":%" PRId64 " %" PRIu64,
			    device->major.value, device->minor.value, device->rate.value) < 0)
			return -1;
	}
	return 0;
}

/* The I/O scheduler decides what the file is called. */
static const char *weight_file(struct cgroup *cgroup, const char *cfq, const char *bfq)
{
	return cgroup_has(cgroup, "blkio", bfq) ? bfq : cfq;
}

static int apply_weights(struct cgroup *cgroup, const struct oci_block_io *block_io, struct error *err)
{
	const char *file = weight_file(cgroup, "blkio.weight_device", "blkio.bfq.weight_device");

	if (is_given(block_io->weight.value) &&
		cgroup_set(cgroup, "blkio", weight_file(cgroup, "blkio.weight", "blkio.bfq.weight"),
			"blockIO.weight", err, "%u", block_io->weight.value) < 0)
		return -1;
	if (is_given(block_io->leaf_weight.value) &&
		cgroup_set(cgroup, "blkio", "blkio.leaf_weight", "blockIO.leafWeight", err, "%u",
			block_io->leaf_weight.value) < 0)
		return -1;
	for (size_t i = 0; i < block_io->weight_device.count; i++) {
		const struct oci_weight_device *device = &block_io->weight_device.items[i];

		if (is_given(device->weight.value) &&
			cgroup_set(cgroup, "blkio", file, "blockIO.weightDevice", err,
				"%" PRId64 ":%" PRId64 " %u", device->major.value, device->minor.value,
				device->weight.value) < 0)
			return -1;
		if (is_given(device->leaf_weight.value) &&
			cgroup_set(cgroup, "blkio", "blkio.leaf_weight_device", "blockIO.weightDevice", err,
				"%" PRId64 ":%" PRId64 " %u", device->major.value, device->minor.value,
				device->leaf_weight.value) < 0)
			return -1;
	}
	return 0;
}

static int apply_block_io(struct cgroup *cgroup, const struct oci_block_io *block_io, struct error *err)
{
	if (!block_io)
		return 0;
	if (apply_weights(cgroup, block_io, err) < 0 ||
		apply_throttle(cgroup, &block_io->throttle_read_bps, "blkio.throttle.read_bps_device",
			"blockIO.throttleReadBpsDevice", err) < 0 ||
		apply_throttle(cgroup, &block_io->throttle_write_bps, "blkio.throttle.write_bps_device",
			"blockIO.throttleWriteBpsDevice", err) < 0 ||
		apply_throttle(cgroup, &block_io->throttle_read_iops, "blkio.throttle.read_iops_device",
			"blockIO.throttleReadIOPSDevice", err) < 0)
		return -1;
	return apply_throttle(cgroup, &block_io->throttle_write_iops, "blkio.throttle.write_iops_device",
		"blockIO.throttleWriteIOPSDevice", err);
}

static int apply_network(struct cgroup *cgroup, const struct oci_network *network, struct error *err)
{
	if (!network)
		return 0;
	if (is_given(network->class_id.value) &&
		cgroup_set(cgroup, "net_cls", "net_cls.classid", "network.classID", err, "%u",
			network->class_id.value) < 0)
		return -1;
	for (size_t i = 0; i < network->priorities.count; i++)
		if (cgroup_set(cgroup, "net_prio", "net_prio.ifpriomap", "network.priorities", err, "%s %u",
			    network->priorities.items[i].name,
			    network->priorities.items[i].priority.value) < 0)
			return -1;
	return 0;
}

/* "-1" for any becomes "*". */
static const char *number_text(int64_t number, char text[static 24])
{
	if (number < 0)
		return "*";
	snprintf(text, 24, "%" PRId64, number);
	return text;
}

static int write_device_rule(struct cgroup *cgroup, const struct device_rule *rule, struct error *err)
{
	const char *file = rule->allow ? "devices.allow" : "devices.deny";
	char access[4], major[24], minor[24];

	return cgroup_set(cgroup, "devices", file, "devices", err, "%c %s:%s %s", rule->type,
		number_text(rule->major, major), number_text(rule->minor, minor),
		device_access_text(rule->access, access));
}

static int apply_devices(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	struct device_rules rules, flat;

	if (device_rules_make(cgroup->arena, resources, &rules, err) < 0)
		return -1;
	if (!cgroup_devices_matter(cgroup))
		return 0;
	if (device_rules_flatten(cgroup->arena, &rules, &flat, err) < 0)
		return -1;
	for (size_t i = 0; i < flat.count; i++)
		if (write_device_rule(cgroup, &flat.items[i], err) < 0)
			return -1;
	return 0;
}

int cgroup_v1_apply(
	struct cgroup *cgroup, const struct oci_resources *resources, bool devices, struct error *err)
{
	if (devices && apply_devices(cgroup, resources, err) < 0)
		return -1;
	if (!resources)
		return 0;
	if (apply_memory(cgroup, resources->memory, err) < 0 || apply_cpu(cgroup, resources->cpu, err) < 0 ||
		cgroup_apply_pids(cgroup, resources->pids, err) < 0 ||
		apply_block_io(cgroup, resources->block_io, err) < 0 ||
		apply_network(cgroup, resources->network, err) < 0 ||
		cgroup_apply_hugepages(cgroup, resources, err) < 0 ||
		cgroup_apply_rdma(cgroup, resources, err) < 0)
		return -1;
	return cgroup_apply_unified(cgroup, resources, err);
}
