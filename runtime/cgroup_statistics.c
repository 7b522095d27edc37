/* What a container has used of what its cgroups count, as JSON in the shape of runc's `events --stats`: the units and names of
 * v1, into which v2's are converted. What the host's kernel does not count is left out.
 */
#include "runtime/cgroup_internal.h"
#include "spec/json.h"

#include <string.h>

enum { TEXT_SIZE = 65536 };

/* One number: in a file of its own, or the one after a key ("nr_periods 3"). */
struct statistic {
	const char *path; /* in the JSON */
	const char *controller, *v1_file, *v1_key, *v2_file, *v2_key;
	uint64_t v2_unit;    /* v2 counts microseconds, v1 nanoseconds; 0 is 1 */
	bool max_is_nothing; /* "max" is left out; elsewhere it is the largest number */
};

static const struct statistic statistics[] = {
	{ "cpu.usage.total", "cpuacct", "cpuacct.usage", NULL, "cpu.stat", "usage_usec", 1000 },
	{ "cpu.usage.kernel", "cpuacct", "cpuacct.usage_sys", NULL, "cpu.stat", "system_usec", 1000 },
	{ "cpu.usage.user", "cpuacct", "cpuacct.usage_user", NULL, "cpu.stat", "user_usec", 1000 },
	{ "cpu.throttling.periods", "cpu", "cpu.stat", "nr_periods", "cpu.stat", "nr_periods" },
	{ "cpu.throttling.throttledPeriods", "cpu", "cpu.stat", "nr_throttled", "cpu.stat", "nr_throttled" },
	{ "cpu.throttling.throttledTime", "cpu", "cpu.stat", "throttled_time", "cpu.stat", "throttled_usec",
		1000 },
	{ "cpuset.cpu_exclusive", "cpuset", "cpuset.cpu_exclusive" },
	{ "cpuset.mem_hardwall", "cpuset", "cpuset.mem_hardwall" },
	{ "cpuset.mem_exclusive", "cpuset", "cpuset.mem_exclusive" },
	{ "cpuset.memory_migrate", "cpuset", "cpuset.memory_migrate" },
	{ "cpuset.memory_spread_page", "cpuset", "cpuset.memory_spread_page" },
	{ "cpuset.memory_spread_slab", "cpuset", "cpuset.memory_spread_slab" },
	{ "cpuset.memory_pressure", "cpuset", "cpuset.memory_pressure" },
	{ "cpuset.sched_load_balance", "cpuset", "cpuset.sched_load_balance" },
	{ "memory.cache", "memory", "memory.stat", "cache", "memory.stat", "file" },
	{ "memory.usage.limit", "memory", "memory.limit_in_bytes", NULL, "memory.max" },
	{ "memory.usage.usage", "memory", "memory.usage_in_bytes", NULL, "memory.current" },
	{ "memory.usage.max", "memory", "memory.max_usage_in_bytes", NULL, "memory.peak" },
	{ "memory.usage.failcnt", "memory", "memory.failcnt", NULL, "memory.events", "max" },
	{ "memory.swap.limit", "memory", "memory.memsw.limit_in_bytes" },
	{ "memory.swap.usage", "memory", "memory.memsw.usage_in_bytes" },
	{ "memory.swap.max", "memory", "memory.memsw.max_usage_in_bytes" },
	{ "memory.swap.failcnt", "memory", "memory.memsw.failcnt" },
	{ "memory.kernel.limit", "memory", "memory.kmem.limit_in_bytes" },
	{ "memory.kernel.usage", "memory", "memory.kmem.usage_in_bytes", NULL, "memory.stat", "kernel" },
	{ "memory.kernel.max", "memory", "memory.kmem.max_usage_in_bytes" },
	{ "memory.kernel.failcnt", "memory", "memory.kmem.failcnt" },
	{ "memory.kernelTCP.limit", "memory", "memory.kmem.tcp.limit_in_bytes" },
	{ "memory.kernelTCP.usage", "memory", "memory.kmem.tcp.usage_in_bytes", NULL, "memory.stat", "sock" },
	{ "memory.kernelTCP.max", "memory", "memory.kmem.tcp.max_usage_in_bytes" },
	{ "memory.kernelTCP.failcnt", "memory", "memory.kmem.tcp.failcnt" },
	{ "pids.current", "pids", "pids.current", NULL, "pids.current" },
	{ "pids.limit", "pids", "pids.max", NULL, "pids.max", .max_is_nothing = true },
};

struct reading {
	struct arena *arena;
	struct cgroup *cgroup;
	struct json *root;
	char text[TEXT_SIZE]; /* of the file that is looked at */
};

/* Puts the value at "a.b.c", making the objects on the way. */
static void put(struct reading *reading, const char *path, struct json *value)
{
	char *rest = arena_strdup(reading->arena, path), *key = strsep(&rest, ".");
	struct json *object = reading->root;

	for (; rest; key = strsep(&rest, ".")) {
		struct json *inner = json_get(object, key);

		if (!inner) {
			inner = json_new_object(reading->arena);
			json_set(reading->arena, object, key, inner);
		}
		object = inner;
	}
	json_set(reading->arena, object, key, value);
}

/* Reads a file of the controller's directory into reading->text. *v2: which of the two names it was. */
static bool read_file(
	struct reading *reading, const char *controller, const char *v1_file, const char *v2_file, bool *v2)
{
	struct cgroup_directory *directory = cgroup_controller(reading->cgroup, controller);
	const char *file;

	if (!directory || !cgroup_directory_open(directory))
		return false;
	*v2 = hierarchy_is_v2(directory->hierarchy);
	file = *v2 ? v2_file : v1_file;
	return file && cgroup_read(directory->fd, file, reading->text, sizeof(reading->text));
}

/* The word after `key` at the beginning of a line. */
static const char *value_of(const char *text, const char *key)
{
	size_t length = strlen(key);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, key, length) == 0 && line[length] == ' ')
			return line + length + 1;
	}
	return NULL;
}

static bool read_number(struct reading *reading, const struct statistic *statistic, uint64_t *number)
{
	const char *key, *text = reading->text;
	bool v2;

	if (!read_file(reading, statistic->controller, statistic->v1_file, statistic->v2_file, &v2))
		return false;
	key = v2 ? statistic->v2_key : statistic->v1_key;
	if (key)
		text = value_of(text, key);
	if (!text)
		return false;
	if (strncmp(text, "max", 3) == 0) {
		*number = UINT64_MAX;
		return !statistic->max_is_nothing;
	}
	*number = strtoull(text, NULL, 10) * (v2 && statistic->v2_unit ? statistic->v2_unit : 1);
	return true;
}

static void put_number(struct reading *reading, const char *path, uint64_t number)
{
	put(reading, path, json_new_unsigned(reading->arena, number));
}

static void read_numbers(struct reading *reading)
{
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(statistics); i++)
		if (read_number(reading, &statistics[i], &number))
			put_number(reading, statistics[i].path, number);
}

/* v1 counts memory and swap together. */
static void read_v2_swap(struct reading *reading)
{
	static const struct {
		const char *path;
		struct statistic swap, memory;
	} sums[] = {
		{ "memory.swap.limit", { .controller = "memory", .v2_file = "memory.swap.max" },
			{ .controller = "memory", .v2_file = "memory.max" } },
		{ "memory.swap.usage", { .controller = "memory", .v2_file = "memory.swap.current" },
			{ .controller = "memory", .v2_file = "memory.current" } },
	};
	uint64_t swap, memory;

	for (size_t i = 0; i < ARRAY_SIZE(sums); i++)
		if (read_number(reading, &sums[i].swap, &swap) &&
			read_number(reading, &sums[i].memory, &memory))
			put_number(reading, sums[i].path,
				swap == UINT64_MAX || memory == UINT64_MAX ? UINT64_MAX : swap + memory);
}

/* "0-3,7" as numbers. */
static void read_set(struct reading *reading, const char *path, const char *v1_file, const char *v2_file)
{
	struct json *numbers = json_new_array(reading->arena);
	unsigned long first, last;
	char *text = reading->text;
	bool v2;

	if (!read_file(reading, "cpuset", v1_file, v2_file, &v2))
		return;
	while (*text) {
		first = last = strtoul(text, &text, 10);
		if (*text == '-')
			last = strtoul(text + 1, &text, 10);
		for (; first <= last; first++)
			json_append(reading->arena, numbers, json_new_unsigned(reading->arena, first));
		text += *text != '\0';
	}
	put(reading, path, numbers);
}

/* By CPU: numbers in one line; and, after a line of titles, lines of "CPU USER SYSTEM". */
static void read_per_cpu(struct reading *reading)
{
	struct json *total = json_new_array(reading->arena), *user = json_new_array(reading->arena),
		    *kernel = json_new_array(reading->arena);
	uint64_t in_user, in_kernel;
	char *rest = reading->text;
	bool v2;

	if (!read_file(reading, "cpuacct", "cpuacct.usage_percpu", NULL, &v2))
		return;
	for (; *rest >= '0' && *rest <= '9'; rest += strspn(rest, " "))
		json_append(
			reading->arena, total, json_new_unsigned(reading->arena, strtoull(rest, &rest, 10)));
	put(reading, "cpu.usage.percpu", total);
	if (!read_file(reading, "cpuacct", "cpuacct.usage_all", NULL, &v2))
		return;
	for (rest = strchr(reading->text, '\n'); rest; rest = strchr(rest + 1, '\n')) {
		if (sscanf(rest, "%*u %" SCNu64 " %" SCNu64, &in_user, &in_kernel) != 2)
			continue;
		json_append(reading->arena, user, json_new_unsigned(reading->arena, in_user));
		json_append(reading->arena, kernel, json_new_unsigned(reading->arena, in_kernel));
	}
	put(reading, "cpu.usage.percpu_user", user);
	put(reading, "cpu.usage.percpu_kernel", kernel);
}

/* All of memory.stat. */
static void read_raw_memory(struct reading *reading)
{
	struct json *raw = json_new_object(reading->arena);
	char *rest, *line;
	bool v2;

	if (!read_file(reading, "memory", "memory.stat", "memory.stat", &v2))
		return;
	rest = arena_strdup(reading->arena, reading->text);
	while ((line = strsep(&rest, "\n"))) {
		char *key = strsep(&line, " ");

		if (line)
			json_set(reading->arena, raw, key,
				json_new_unsigned(reading->arena, strtoull(line, NULL, 10)));
	}
	put(reading, "memory.raw", raw);
}

struct json *cgroup_statistics(struct arena *arena, struct cgroup *cgroup)
{
	struct reading *reading = arena_alloc(arena, sizeof(*reading));

	reading->arena = arena;
	reading->cgroup = cgroup;
	reading->root = json_new_object(arena);
	read_numbers(reading);
	read_v2_swap(reading);
	read_per_cpu(reading);
	read_set(reading, "cpuset.cpus", "cpuset.cpus", "cpuset.cpus.effective");
	read_set(reading, "cpuset.mems", "cpuset.mems", "cpuset.mems.effective");
	read_raw_memory(reading);
	cgroup_statistics_io(arena, cgroup, reading->root);
	cgroup_statistics_hugepages(arena, cgroup, reading->root);
	cgroup_statistics_pressure(arena, cgroup, reading->root);
	return reading->root;
}
