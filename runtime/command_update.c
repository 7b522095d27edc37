/* update: limits from a file (resources, as in config.json) or from options. */
#include "runtime/command.h"
#include "runtime/device_rules.h"
#include "runtime/resctrl.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <string.h>

struct update_words {
	const char *resources, *cpus, *mems, *l3_cache_schema, *memory_bandwidth_schema;
	struct optional_uint64 blkio_weight, cpu_burst, cpu_period, cpu_rt_period, cpu_share;
	struct optional_int64 cpu_quota, cpu_rt_runtime, cpu_idle, memory, reservation, swap, kernel,
		kernel_tcp, pids;
};

#define UPDATE(member, ...) OPTION(struct update_words, member, __VA_ARGS__)
static const struct option update_options[] = {
	UPDATE(resources, "resources", 'r', STRING, "FILE",
		"as linux.resources of config.json; - is standard input"),
	UPDATE(blkio_weight, "blkio-weight", 0, UNSIGNED, "N", "weight of block i/o, 10 to 1000"),
	UPDATE(cpu_period, "cpu-period", 0, UNSIGNED, "MICROSECONDS", "the period of --cpu-quota"),
	UPDATE(cpu_quota, "cpu-quota", 0, INTEGER, "MICROSECONDS", "CPU time in a period"),
	UPDATE(cpu_burst, "cpu-burst", 0, UNSIGNED, "MICROSECONDS", "unused CPU time that may be saved up"),
	UPDATE(cpu_share, "cpu-share", 0, UNSIGNED, "N", "weight of CPU time"),
	UPDATE(cpu_rt_period, "cpu-rt-period", 0, UNSIGNED, "MICROSECONDS", "the period of --cpu-rt-runtime"),
	UPDATE(cpu_rt_runtime, "cpu-rt-runtime", 0, INTEGER, "MICROSECONDS",
		"real-time CPU time in a period"),
	UPDATE(cpu_idle, "cpu-idle", 0, INTEGER, "0|1", "run only when nobody else wants to"),
	UPDATE(cpus, "cpuset-cpus", 0, STRING, "LIST", "CPUs to use"),
	UPDATE(mems, "cpuset-mems", 0, STRING, "LIST", "memory nodes to use"),
	UPDATE(memory, "memory", 0, SIZE, "BYTES", "memory"),
	UPDATE(reservation, "memory-reservation", 0, SIZE, "BYTES", "memory that is not reclaimed first"),
	UPDATE(swap, "memory-swap", 0, SIZE, "BYTES", "memory and swap; -1 is no limit"),
	UPDATE(kernel, "kernel-memory", 0, SIZE, "BYTES", "kernel memory"),
	UPDATE(kernel_tcp, "kernel-memory-tcp", 0, SIZE, "BYTES", "kernel memory of TCP buffers"),
	UPDATE(pids, "pids-limit", 0, INTEGER, "N", "number of processes; -1 is no limit"),
	UPDATE(l3_cache_schema, "l3-cache-schema", 0, STRING, "L3:…", "L3 cache, of Intel RDT"),
	UPDATE(memory_bandwidth_schema, "mem-bw-schema", 0, STRING, "MB:…", "memory bandwidth, of Intel RDT"),
};

static int from_file(
	struct arena *arena, const char *path, struct oci_resources **resources, struct error *err)
{
	struct json *tree;
	int result;

	if (strcmp(path, "-") == 0)
		result = json_parse_fd(arena, STDIN_FILENO, "standard input", JSON_STRICT, &tree, err);
	else
		result = json_parse_file(arena, path, JSON_STRICT, &tree, err);
	if (result < 0)
		return -1;
	return oci_resources_read(arena, tree, path, resources, err);
}

static int from_words(struct arena *arena, const struct update_words *words, struct oci_resources **resources,
	struct error *err)
{
	struct oci_resources *new = arena_alloc(arena, sizeof(*new));

	new->memory = arena_alloc(arena, sizeof(*new->memory));
	new->cpu = arena_alloc(arena, sizeof(*new->cpu));
	*new->memory = (struct oci_memory){
		.limit = words->memory,
		.reservation = words->reservation,
		.swap = words->swap,
		.kernel = words->kernel,
		.kernel_tcp = words->kernel_tcp,
	};
	*new->cpu = (struct oci_cpu){
		.shares = words->cpu_share,
		.period = words->cpu_period,
		.quota = words->cpu_quota,
		.burst = words->cpu_burst,
		.realtime_period = words->cpu_rt_period,
		.realtime_runtime = words->cpu_rt_runtime,
		.idle = words->cpu_idle,
		.cpus = words->cpus,
		.mems = words->mems,
	};
	if (words->pids.set) {
		new->pids = arena_alloc(arena, sizeof(*new->pids));
		new->pids->limit = words->pids;
	}
	if (words->blkio_weight.set) {
		if (words->blkio_weight.value > UINT16_MAX)
			return error_set(err, 0, "--blkio-weight: at most %u", UINT16_MAX);
		new->block_io = arena_alloc(arena, sizeof(*new->block_io));
		new->block_io->weight = (struct optional_uint16){ true, (uint16_t)words->blkio_weight.value };
	}
	*resources = new;
	return 0;
}

static int update_resctrl(
	struct arena *arena, struct existing *existing, const struct update_words *words, struct error *err)
{
	if (!words->l3_cache_schema && !words->memory_bandwidth_schema)
		return 0;
	if (state_load_config(arena, &existing->directory, existing->state, &existing->config, err) < 0)
		return -1;
	return resctrl_update(existing->config->linux->intel_rdt, existing->state->id, words->l3_cache_schema,
		words->memory_bandwidth_schema, err);
}

/* Engines hand over all that they know of a container's resources: nothing is wrong with devices that are to stay as they are. */
static int check_devices(
	struct arena *arena, struct existing *existing, const struct oci_resources *asked, struct error *err)
{
	struct device_rules present, wanted;

	if (!asked->devices.count)
		return 0;
	if (state_load_config(arena, &existing->directory, existing->state, &existing->config, err) < 0 ||
		device_rules_make(arena, existing->config->linux->resources, &present, err) < 0 ||
		device_rules_make(arena, asked, &wanted, err) < 0)
		return -1;
	return device_rules_equal(&present, &wanted)
		       ? 0
		       : error_set(err, 0,
				 "linux.resources.devices: cannot be changed while the container runs; leave "
				 "them out, or as they are in its config.json");
}

int command_update(struct invocation_context *context)
{
	static const char *const container_only[] = { "CONTAINER", NULL };
	_cleanup_existing_ struct existing existing = NO_CONTAINER;
	struct update_words words = { 0 };
	struct oci_resources *resources;
	struct string_list arguments;
	int result = COMMAND_PARSE(context, update_options, &words, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (state_look_up(
		    context->arena, context->global->root, arguments.items[0], &existing, &context->err) < 0)
		return -1;
	if (existing.status == CONTAINER_STOPPED)
		return error_set(&context->err, 0, "container not running");
	if (!existing.cgroup)
		return error_set(
			&context->err, 0, "the container has no cgroup, so it has no limits to change");
	result = words.resources ? from_file(context->arena, words.resources, &resources, &context->err)
				 : from_words(context->arena, &words, &resources, &context->err);
	if (result < 0 || check_devices(context->arena, &existing, resources, &context->err) < 0 ||
		cgroup_update(existing.cgroup, resources, &context->err) < 0)
		return -1;
	return update_resctrl(context->arena, &existing, &words, &context->err);
}
