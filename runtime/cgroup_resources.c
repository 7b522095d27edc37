/* linux.resources: what v1 and v2 have in the same form, or what on a hybrid host only the v2 hierarchy has.
 */
#include "runtime/cgroup_internal.h"

#include <string.h>

static bool read_usage(const struct cgroup_directory *directory, const char *file, uint64_t *usage)
{
	char text[32];

	if (!cgroup_read(directory->fd, file, text, sizeof(text)))
		return false;
	*usage = strtoull(text, NULL, 10);
	return true;
}

static int check_one(uint64_t usage, int64_t limit, const char *property, const char *what, struct error *err)
{
	if (limit <= 0 || usage <= (uint64_t)limit)
		return 0;
	return error_set(err, EBUSY,
		"linux.resources.memory.%s: rejecting %s limit: %" PRId64 " is less than the %" PRIu64
		" bytes that are in use",
		property, what, limit, usage);
}

int cgroup_check_usage(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	const struct oci_memory *memory = resources ? resources->memory : NULL;
	struct cgroup_directory *directory = cgroup_controller(cgroup, "memory");
	uint64_t usage, swap = 0;
	bool v2;

	if (!memory || !memory->check_before_update.value ||
		(memory->limit.value <= 0 && memory->swap.value <= 0))
		return 0;
	v2 = directory && hierarchy_is_v2(directory->hierarchy);
	if (!directory || !cgroup_directory_open(directory) ||
		!read_usage(directory, v2 ? "memory.current" : "memory.usage_in_bytes", &usage))
		return error_set(err, directory ? errno : 0,
			"linux.resources.memory.checkBeforeUpdate: cannot read how much is used");
	/* v1's kernel itself refuses such a limit on both. */
	if (v2 && memory->swap.value > 0) {
		read_usage(directory, "memory.swap.current", &swap); /* not there without swap accounting */
		if (check_one(usage + swap, memory->swap.value, "swap", "memory+swap", err) < 0)
			return -1;
	}
	return check_one(usage, memory->limit.value, "limit", "memory", err);
}

const char *cgroup_unified_value(const struct oci_resources *resources, const char *file)
{
	for (size_t i = 0; i < resources->unified.count; i++)
		if (strcmp(resources->unified.items[i].key, file) == 0)
			return resources->unified.items[i].value;
	return NULL;
}

bool cgroup_devices_matter(const struct cgroup *cgroup)
{
	_cleanup_fclose_ FILE *file = NULL;
	unsigned int inside, outside, count;

	if (cgroup->rootless)
		return false;
	file = fopen("/proc/self/uid_map", "re");
	return !file || fscanf(file, "%u %u %u", &inside, &outside, &count) != 3 || count == UINT32_MAX;
}

int cgroup_apply_cpuset(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err)
{
	if (cpu->cpus && *cpu->cpus &&
		cgroup_set(cgroup, "cpuset", "cpuset.cpus", "cpu.cpus", err, "%s", cpu->cpus) < 0)
		return -1;
	if (cpu->mems && *cpu->mems)
		return cgroup_set(cgroup, "cpuset", "cpuset.mems", "cpu.mems", err, "%s", cpu->mems);
	return 0;
}

int cgroup_apply_pids(struct cgroup *cgroup, const struct oci_pids *pids, struct error *err)
{
	int64_t limit = pids ? pids->limit.value : 0;

	if (!pids || !pids->limit.set)
		return 0;
	if (limit < 0)
		return cgroup_set(cgroup, "pids", "pids.max", "pids.limit", err, "max");
	/* The specification wants 0 to be a limit. For what is in the cgroup 1 is the same; 0 would keep CLONE_INTO_CGROUP
	 * from putting the first process in. */
	return cgroup_set(cgroup, "pids", "pids.max", "pids.limit", err, "%" PRId64, limit ? limit : 1);
}

static int apply_hugepage(struct cgroup *cgroup, const struct oci_hugepage_limit *limit, size_t index,
	bool v2, struct error *err)
{
	char property[64], file[64], reservations[64], text[32];

	snprintf(property, sizeof(property), "hugepageLimits[%zu]", index);
	if (strpbrk(limit->page_size, "/.") || strlen(limit->page_size) > 16)
		return error_set(err, 0, "linux.resources.%s.pageSize: \"%s\" is not a size such as \"2MB\"",
			property, limit->page_size);
	snprintf(file, sizeof(file), "hugetlb.%s.%s", limit->page_size, v2 ? "max" : "limit_in_bytes");
	snprintf(reservations, sizeof(reservations), "hugetlb.%s.rsvd.%s", limit->page_size,
		v2 ? "max" : "limit_in_bytes");
	snprintf(text, sizeof(text), "%" PRIu64, limit->limit.value);
	if (cgroup_set(cgroup, "hugetlb", file, property, err, "%s", text) < 0)
		return -1;
	/* Reservations (Linux 5.7) too, so that mmap() fails instead of a later access being killed. */
	if (!cgroup_try(cgroup, "hugetlb", reservations, text) && errno != ENOENT)
		return cgroup_set_failed(cgroup, "hugetlb", reservations, property, text, err);
	return 0;
}

int cgroup_apply_hugepages(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	const struct cgroup_directory *directory = cgroup_controller(cgroup, "hugetlb");
	bool v2 = directory && hierarchy_is_v2(directory->hierarchy);

	for (size_t i = 0; i < resources->hugepage_limits.count; i++)
		if (apply_hugepage(cgroup, &resources->hugepage_limits.items[i], i, v2, err) < 0)
			return -1;
	return 0;
}

int cgroup_apply_rdma(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	for (size_t i = 0; i < resources->rdma.count; i++) {
		const struct oci_rdma *rdma = &resources->rdma.items[i];
		char handles[32] = "", objects[32] = "";

		if (rdma->hca_handles.set)
			snprintf(handles, sizeof(handles), " hca_handle=%u", rdma->hca_handles.value);
		if (rdma->hca_objects.set)
			snprintf(objects, sizeof(objects), " hca_object=%u", rdma->hca_objects.value);
		if (cgroup_set(cgroup, "rdma", "rdma.max", "rdma", err, "%s%s%s", rdma->device, handles,
			    objects) < 0)
			return -1;
	}
	return 0;
}

/* Some files (io.max) take one line per write(2). Only a value that is nothing else is an empty line. */
static int write_lines(struct cgroup_directory *directory, const char *file, char *lines, struct error *err)
{
	bool is_empty = !*lines;
	char *line;

	while ((line = strsep(&lines, "\n")))
		if ((*line || is_empty) && !cgroup_write(directory->fd, file, line))
			return error_set(err, errno, "linux.resources.unified: cannot write \"%s\" to %s/%s",
				line, directory->path, file);
	return 0;
}

int cgroup_apply_unified(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	struct cgroup_directory *directory = cgroup_v2_directory(cgroup);

	for (size_t i = 0; i < resources->unified.count; i++) {
		const struct string_pair *pair = &resources->unified.items[i];

		if (strchr(pair->key, '/') || pair->key[0] == '.')
			return error_set(err, 0,
				"linux.resources.unified: \"%s\" is not the name of a cgroup file",
				pair->key);
		if (!directory)
			return error_set(err, 0,
				"linux.resources.unified: \"%s\": is for cgroup v2, which this host does not "
				"have",
				pair->key);
		if (!cgroup_directory_open(directory))
			return error_set(
				err, errno, "linux.resources.unified: the container has no v2 cgroup");
		if (!cgroup_has(cgroup, "", pair->key))
			return error_set(err, 0,
				"linux.resources.unified: an invalid configuration here: there is no %s/%s, "
				"as the controller is not there or not enabled",
				directory->path, pair->key);
		if (strcmp(pair->key, "cpu.weight") == 0 && cgroup_v2_idle(resources).value == 1)
			continue;
		if (write_lines(directory, pair->key, arena_strdup(cgroup->arena, pair->value), err) < 0)
			return -1;
	}
	return 0;
}
