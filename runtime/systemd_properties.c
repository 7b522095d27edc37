/* See systemd_properties.h. The same limits are written to the cgroup's files as well; systemd is told so that it shows them, and
 * does not replace them by its own when it next looks after the unit. */
#include "runtime/systemd_properties.h"

#include "runtime/device_rules.h"
#include "spec/cleanup.h"

#include <stdio.h>
#include <string.h>

/* ---- one property ---- */

static void begin(struct dbus_body *body, const char *name, const char *type)
{
	dbus_put_struct(body);
	dbus_put_string(body, name);
	dbus_put_signature(body, type);
}

void systemd_put_string(struct dbus_body *body, const char *name, const char *value)
{
	begin(body, name, "s");
	dbus_put_string(body, value);
}

void systemd_put_bool(struct dbus_body *body, const char *name, bool value)
{
	begin(body, name, "b");
	dbus_put_bool(body, value);
}

void systemd_put_pid(struct dbus_body *body, const char *name, pid_t pid)
{
	size_t list;

	begin(body, name, "au");
	list = dbus_begin_array(body, 4);
	dbus_put_uint32(body, (uint32_t)pid);
	dbus_end_array(body, 4, list);
}

static void put_uint64(struct dbus_body *body, const char *name, uint64_t value)
{
	begin(body, name, "t");
	dbus_put_uint64(body, value);
}

/* 0: nothing is said about it; below: no limit, which systemd calls the largest number. */
static void put_limit(struct dbus_body *body, const char *name, int64_t limit)
{
	if (limit != 0)
		put_uint64(body, name, limit < 0 ? UINT64_MAX : (uint64_t)limit);
}

/* ---- linux.resources ---- */

static void put_memory(struct dbus_body *body, bool unified, const struct oci_memory *memory)
{
	if (!memory)
		return;
	put_limit(body, unified ? "MemoryMax" : "MemoryLimit", memory->limit.value);
	if (!unified)
		return;
	put_limit(body, "MemoryLow", memory->reservation.value);
	/* As apply_swap() of cgroup_v2.c has it. */
	if (memory->swap.value < 0 || (memory->limit.value < 0 && !memory->swap.set))
		put_limit(body, "MemorySwapMax", -1);
	else if (memory->limit.value < 0)
		put_limit(body, "MemorySwapMax", memory->swap.value);
	else if (memory->limit.value > 0 && memory->swap.value >= memory->limit.value)
		put_uint64(body, "MemorySwapMax", (uint64_t)(memory->swap.value - memory->limit.value));
}

/* 0 is a limit, and the least that systemd takes is 1: see cgroup_apply_pids(). */
static void put_pids(struct dbus_body *body, const struct oci_pids *pids)
{
	if (pids && pids->limit.set)
		put_limit(body, "TasksMax", pids->limit.value ? pids->limit.value : 1);
}

/* CPU time in a period, in microseconds. A quota of 0 is none. */
struct bandwidth {
	uint64_t quota, period;
};
static const struct bandwidth default_bandwidth = { .period = 100000 };

/* "5000 100000" or "max 100000"; what it does not say stays as it is. */
static void read_bandwidth(const char *text, struct bandwidth *bandwidth)
{
	char *end;
	uint64_t quota = strtoull(text, &end, 10), period;

	if (end != text || strncmp(text, "max", strlen("max")) == 0)
		bandwidth->quota = quota;
	text = strchr(text, ' ');
	period = text ? strtoull(text, NULL, 10) : 0;
	if (period)
		bandwidth->period = period;
}

static const uint64_t second = 1000000;

/* systemd knows the quota of a second, in steps of 10 ms. */
static uint64_t quota_of_second(uint64_t quota, uint64_t period)
{
	const uint64_t step = 10000;

	return (quota * second / period + step - 1) / step * step;
}

uint64_t systemd_round_quota(uint64_t quota, uint64_t period)
{
	uint64_t rounded = period ? quota_of_second(quota, period) * period / second : 0;

	return rounded > quota ? rounded : quota;
}

static void put_bandwidth(struct dbus_body *body, const struct bandwidth *bandwidth)
{
	put_uint64(body, "CPUQuotaPeriodUSec", bandwidth->period);
	if (bandwidth->quota == 0)
		put_limit(body, "CPUQuotaPerSecUSec", -1);
	else
		put_uint64(body, "CPUQuotaPerSecUSec", quota_of_second(bandwidth->quota, bandwidth->period));
}

static void put_quota(struct dbus_body *body, const struct oci_cpu *cpu)
{
	struct bandwidth bandwidth = default_bandwidth;

	if (cpu->quota.value == 0 && cpu->period.value == 0)
		return;
	if (cpu->quota.value > 0)
		bandwidth.quota = (uint64_t)cpu->quota.value;
	if (cpu->period.value != 0)
		bandwidth.period = cpu->period.value;
	put_bandwidth(body, &bandwidth);
}

/* "0-2,5" as a bit map, CPU 0 being the lowest bit of the first byte. */
static int put_set(
	struct dbus_body *body, const char *name, const char *list, const char *property, struct error *err)
{
	enum { SET_MAX = 1024 };
	unsigned char bits[SET_MAX] = { 0 };
	size_t length = 0, array;

	for (const char *next = list; *next;) {
		char *end;
		unsigned long first = strtoul(next, &end, 10), last = first;

		if (end != next && *end == '-') {
			next = end + 1;
			last = strtoul(next, &end, 10);
		}
		if (end == next || (*end && *end != ',' && *end != '\n') || last < first ||
			last >= 8 * SET_MAX)
			return error_set(err, 0, "linux.resources.%s: \"%s\" is not a list such as \"0-2,5\"",
				property, list);
		for (; first <= last; first++)
			bits[first / 8] |= 1U << first % 8;
		if (length < last / 8 + 1)
			length = last / 8 + 1;
		next = *end ? end + 1 : end;
	}
	if (length == 0)
		return 0;
	begin(body, name, "ay");
	array = dbus_begin_array(body, 1);
	for (size_t i = 0; i < length; i++)
		dbus_put_byte(body, bits[i]);
	dbus_end_array(body, 1, array);
	return 0;
}

static int put_cpu(struct dbus_body *body, bool unified, const struct oci_cpu *cpu, struct error *err)
{
	if (!cpu)
		return 0;
	if (cpu->shares.value && !unified)
		put_uint64(body, "CPUShares", cpu->shares.value);
	put_quota(body, cpu);
	/* Of v1's cpusets systemd knows nothing. */
	if (!unified)
		return 0;
	if (cpu->cpus && put_set(body, "AllowedCPUs", cpu->cpus, "cpu.cpus", err) < 0)
		return -1;
	return cpu->mems ? put_set(body, "AllowedMemoryNodes", cpu->mems, "cpu.mems", err) : 0;
}

static void put_io(struct dbus_body *body, bool unified, const struct oci_block_io *io)
{
	if (!io || !io->weight.value)
		return;
	if (unified)
		put_uint64(body, "IOWeight", cgroup_v2_io_weight(io->weight.value));
	else
		put_uint64(body, "BlockIOWeight", io->weight.value);
}

/* Files of v2 that are one number, and what systemd calls it. */
static const struct {
	const char *file, *property;
} unified_numbers[] = {
	{ "memory.min", "MemoryMin" },
	{ "memory.low", "MemoryLow" },
	{ "memory.high", "MemoryHigh" },
	{ "memory.max", "MemoryMax" },
	{ "memory.swap.max", "MemorySwapMax" },
	{ "pids.max", "TasksMax" },
};

static void put_unified_number(struct dbus_body *body, const struct string_pair *pair)
{
	char *end;
	uint64_t number = strtoull(pair->value, &end, 10);

	for (size_t i = 0; i < ARRAY_SIZE(unified_numbers); i++) {
		if (strcmp(pair->key, unified_numbers[i].file) != 0)
			continue;
		if (strcmp(pair->value, "max") == 0)
			put_uint64(body, unified_numbers[i].property, UINT64_MAX);
		else if (end != pair->value && !*end)
			put_uint64(body, unified_numbers[i].property, number);
	}
}

static int put_unified(struct dbus_body *body, const struct string_map *unified, struct error *err)
{
	for (size_t i = 0; i < unified->count; i++) {
		const struct string_pair *pair = &unified->items[i];

		put_unified_number(body, pair);
		if (strcmp(pair->key, "cpu.max") == 0) {
			struct bandwidth bandwidth = default_bandwidth;

			read_bandwidth(pair->value, &bandwidth);
			put_bandwidth(body, &bandwidth);
		}
		if (strcmp(pair->key, "cpuset.cpus") == 0 &&
			put_set(body, "AllowedCPUs", pair->value, "unified", err) < 0)
			return -1;
		if (strcmp(pair->key, "cpuset.mems") == 0 &&
			put_set(body, "AllowedMemoryNodes", pair->value, "unified", err) < 0)
			return -1;
	}
	return 0;
}

/* ---- devices, of v1 ---- */

/* "char-pts", as systemd calls a whole major number: the name that /proc/devices has for it. NULL: no driver has it. */
static const char *device_group(struct arena *arena, char type, int64_t major)
{
	_cleanup_fclose_ FILE *file = fopen("/proc/devices", "re");
	const char *kind = type == 'b' ? "block" : "char";
	char line[128], name[128];
	bool wanted = false;
	long number;

	while (file && fgets(line, sizeof(line), file)) {
		if (strchr(line, ':'))
			wanted = (strncmp(line, "Block", strlen("Block")) == 0) == (type == 'b');
		else if (wanted && sscanf(line, "%ld %127s", &number, name) == 2 && number == major)
			return arena_printf(arena, "%s-%s", kind, name);
	}
	return NULL;
}

static const char *device_specifier(struct arena *arena, const struct device_rule *rule)
{
	const char *kind = rule->type == 'b' ? "block" : "char";

	if (rule->major < 0)
		return rule->minor < 0 ? arena_printf(arena, "%s-*", kind) : NULL;
	if (rule->minor < 0)
		return device_group(arena, rule->type, rule->major);
	return arena_printf(arena, "/dev/%s/%lld:%lld", kind, (long long)rule->major, (long long)rule->minor);
}

static bool is_denied_later(const struct device_rules *rules, size_t index)
{
	for (size_t i = index + 1; i < rules->count; i++)
		if (!rules->items[i].allow && device_rules_overlap(&rules->items[i], &rules->items[index]))
			return true;
	return false;
}

static void put_device(struct dbus_body *body, const char *specifier, unsigned int access)
{
	char text[4];

	dbus_put_struct(body);
	dbus_put_string(body, specifier);
	dbus_put_string(body, device_access_text(access, text));
}

static void put_allowed(struct dbus_body *body, const struct device_rules *rules)
{
	size_t list;

	begin(body, "DeviceAllow", "a(ss)");
	list = dbus_begin_array(body, 8);
	for (size_t i = 0; i < rules->count; i++) {
		const struct device_rule *rule = &rules->items[i];
		const char *specifier = rule->allow && !is_denied_later(rules, i)
						? device_specifier(body->arena, rule)
						: NULL;

		if (specifier)
			put_device(body, specifier, rule->access);
	}
	dbus_end_array(body, 8, list);
}

/* v1 has one list, and systemd writes its own when it looks after the unit again: without this, one that allows everything. What it
 * cannot say (exceptions to what is allowed) it is told to deny. */
int systemd_put_devices(struct dbus_body *body, const struct cgroup *cgroup,
	const struct oci_resources *resources, struct error *err)
{
	struct device_rules rules;

	if (cgroup->unified)
		return 0;
	if (device_rules_make(body->arena, resources, &rules, err) < 0)
		return -1;
	systemd_put_string(
		body, "DevicePolicy", rules.items[0].allow && rules.count == 1 ? "auto" : "strict");
	if (!rules.items[0].allow)
		put_allowed(body, &rules);
	return 0;
}

int systemd_put_resources(struct dbus_body *body, struct cgroup *cgroup,
	const struct oci_resources *resources, struct error *err)
{
	if (!resources)
		return 0;
	put_memory(body, cgroup->unified, resources->memory);
	put_pids(body, resources->pids);
	put_io(body, cgroup->unified, resources->block_io);
	if (put_cpu(body, cgroup->unified, resources->cpu, err) < 0)
		return -1;
	return put_unified(body, &resources->unified, err);
}

/* A property is given once: by what overrides the other. systemd's own 0 is "idle", its largest number "not set". */
void systemd_put_weight(struct dbus_body *body, const struct oci_resources *resources, bool knows_idle)
{
	struct optional_int64 idle = cgroup_v2_idle(resources);
	const char *unified = cgroup_unified_value(resources, "cpu.weight");
	uint64_t weight = unified ? strtoull(unified, NULL, 10) : 0;

	if (!weight && resources->cpu && resources->cpu->shares.value)
		weight = cgroup_v2_cpu_weight(resources->cpu->shares.value);
	if (weight && idle.value != 1)
		put_uint64(body, "CPUWeight", weight);
	else if (knows_idle && idle.value == 1)
		put_uint64(body, "CPUWeight", 0);
	else if (knows_idle && idle.set && idle.value == 0)
		put_uint64(body, "CPUWeight", UINT64_MAX);
}

/* ---- annotations ---- */

static const char annotation_prefix[] = "org.systemd.property.";

static bool is_property_name(const char *name)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

	return *name && !name[strspn(name, letters)];
}

/* 'text' or "text", which must not hold that quotation mark. NULL if it is not; *end is behind it. */
static const char *quoted(struct arena *arena, const char *text, const char **end)
{
	const char *close = *text == '\'' || *text == '"' ? strchr(text + 1, *text) : NULL;

	if (!close)
		return NULL;
	*end = close + 1;
	return arena_strndup(arena, text + 1, (size_t)(close - text - 1));
}

static bool put_text(struct dbus_body *body, const char *name, const char *value)
{
	const char *end, *text = quoted(body->arena, value, &end);

	if (!text || *end)
		return false;
	systemd_put_string(body, name, text);
	return true;
}

/* ['a', 'b'] */
static bool put_list(struct dbus_body *body, const char *name, const char *value)
{
	size_t array;
	bool closed = false;

	if (*value != '[')
		return false;
	begin(body, name, "as");
	array = dbus_begin_array(body, 4);
	for (const char *next = value + 1; !closed;) {
		const char *text = quoted(body->arena, next += strspn(next, " "), &next);

		if (!text)
			return false;
		dbus_put_string(body, text);
		next += strspn(next, " ");
		if (*next != ',' && *next != ']')
			return false;
		closed = *next++ == ']';
		if (closed && *next)
			return false;
	}
	dbus_end_array(body, 4, array);
	return true;
}

static bool put_boolean(struct dbus_body *body, const char *name, const char *value)
{
	if (strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return false;
	systemd_put_bool(body, name, *value == 't');
	return true;
}

/* "5" is an int32, as GVariant has it; "uint64 5" says otherwise. */
static bool put_number(struct dbus_body *body, const char *name, const char *value)
{
	static const struct {
		const char *word, *type;
	} types[] = { { "uint64 ", "t" }, { "int64 ", "x" }, { "uint32 ", "u" }, { "int32 ", "i" },
		{ "", "i" } };
	size_t i = 0;
	long long number;
	char *end;

	while (strncmp(value, types[i].word, strlen(types[i].word)) != 0)
		i++;
	value += strlen(types[i].word);
	errno = 0;
	number = *types[i].type == 't' ? (long long)strtoull(value, &end, 0) : strtoll(value, &end, 0);
	if (errno || end == value || *end)
		return false;
	begin(body, name, types[i].type);
	if (*types[i].type == 't' || *types[i].type == 'x')
		dbus_put_uint64(body, (uint64_t)number);
	else
		dbus_put_uint32(body, (uint32_t)number);
	return true;
}

/* What unit files call …Sec, in seconds, is …USec on the bus. */
static bool put_seconds(struct dbus_body *body, const char *name, const char *value)
{
	size_t length = strlen(name);
	double seconds;
	char *end;

	if (length < 4 || strcmp(name + length - 3, "Sec") != 0 || name[length - 4] == 'U')
		return false;
	if (strncmp(value, "uint64 ", 7) == 0)
		value += 7;
	seconds = strtod(value, &end);
	if (end == value || *end || !(seconds >= 0) || seconds > 1e12)
		return false;
	put_uint64(body, arena_printf(body->arena, "%.*sUSec", (int)length - 3, name),
		(uint64_t)(seconds * 1e6));
	return true;
}

int systemd_put_annotations(struct dbus_body *body, const struct string_map *annotations, struct error *err)
{
	static bool (*const forms[])(struct dbus_body *, const char *, const char *) = { put_seconds,
		put_boolean, put_text, put_list, put_number };

	for (size_t i = 0; annotations && i < annotations->count; i++) {
		const char *key = annotations->items[i].key, *value = annotations->items[i].value;
		const char *name = key + strlen(annotation_prefix);
		bool done = false;

		if (strncmp(key, annotation_prefix, strlen(annotation_prefix)) != 0)
			continue;
		if (!is_property_name(name))
			return error_set(
				err, 0, "annotations: %s: \"%s\" is not the name of a property", key, name);
		for (size_t form = 0; !done && form < ARRAY_SIZE(forms); form++) {
			struct dbus_body before = *body;

			done = forms[form](body, name, value);
			if (!done)
				body->length = before.length;
		}
		if (!done)
			return error_set(err, 0,
				"annotations: %s: \"%s\" is not a value such as true, 5, uint64 5, 'text' or "
				"['a', 'b']",
				key, value);
	}
	return 0;
}
