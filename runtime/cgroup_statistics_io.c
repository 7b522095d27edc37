/* The parts of cgroup_statistics() that are lists and maps: block i/o by device, huge pages by size, pressure by resource.
 */
#include "runtime/cgroup_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <string.h>

enum { TEXT_SIZE = 65536 };

/* The open directory that has the controller's files, or -1. */
static int directory_of(struct cgroup *cgroup, const char *controller, bool *v2)
{
	struct cgroup_directory *directory = cgroup_controller(cgroup, controller);

	if (!directory || !cgroup_directory_open(directory))
		return -1;
	*v2 = hierarchy_is_v2(directory->hierarchy);
	return directory->fd;
}

/* ---- block i/o ---- */

static void add_entry(struct arena *arena, struct json *list, unsigned int major, unsigned int minor,
	const char *operation, uint64_t value)
{
	struct json *entry = json_new_object(arena);

	json_add(arena, entry, "major", json_new_unsigned(arena, major));
	json_add(arena, entry, "minor", json_new_unsigned(arena, minor));
	if (*operation)
		json_add(arena, entry, "op", json_new_string(arena, arena_strdup(arena, operation)));
	json_add(arena, entry, "value", json_new_unsigned(arena, value));
	json_append(arena, list, entry);
}

/* "8:0 Read 4096", or without an operation; the last line, "Total …", has no device. */
static struct json *read_v1_list(struct arena *arena, char *text)
{
	struct json *list = json_new_array(arena);
	unsigned int major, minor;
	char operation[32], *line;
	uint64_t value;

	while ((line = strsep(&text, "\n"))) {
		*operation = '\0';
		if (sscanf(line, "%u:%u %31[A-Za-z] %" SCNu64, &major, &minor, operation, &value) == 4 ||
			(*operation == '\0' && sscanf(line, "%u:%u %" SCNu64, &major, &minor, &value) == 3))
			add_entry(arena, list, major, minor, operation, value);
	}
	return list;
}

static void read_v1_io(struct arena *arena, int directory, struct json *io, char *text)
{
	static const struct {
		const char *name, *file;
	} lists[] = {
		{ "ioServiceBytesRecursive", "io_service_bytes_recursive" },
		{ "ioServicedRecursive", "io_serviced_recursive" },
		{ "ioQueueRecursive", "io_queued_recursive" },
		{ "ioServiceTimeRecursive", "io_service_time_recursive" },
		{ "ioWaitTimeRecursive", "io_wait_time_recursive" },
		{ "ioMergedRecursive", "io_merged_recursive" },
		{ "ioTimeRecursive", "time_recursive" },
		{ "sectorsRecursive", "sectors_recursive" },
	};
	/* By the scheduler: BFQ's own, the old one's, or for all. What is empty is counted elsewhere. */
	static const char *const prefixes[] = { "blkio.bfq.", "blkio.", "blkio.throttle." };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		for (size_t k = 0; k < ARRAY_SIZE(prefixes); k++) {
			struct json *list;

			if (!cgroup_read(directory, arena_printf(arena, "%s%s", prefixes[k], lists[i].file),
				    text, TEXT_SIZE))
				continue;
			list = read_v1_list(arena, text);
			if (list->array.count)
				json_set(arena, io, lists[i].name, list);
		}
}

/* "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" */
static void read_v2_io(struct arena *arena, struct json *io, char *text)
{
	static const struct {
		const char *key, *operation;
		bool is_bytes;
	} values[] = {
		{ "rbytes", "Read", true },
		{ "wbytes", "Write", true },
		{ "dbytes", "Discard", true },
		{ "rios", "Read" },
		{ "wios", "Write" },
		{ "dios", "Discard" },
	};
	struct json *bytes = json_new_array(arena), *operations = json_new_array(arena);
	unsigned int major, minor;
	char *line, *word;

	while ((line = strsep(&text, "\n"))) {
		if (sscanf(line, "%u:%u", &major, &minor) != 2)
			continue;
		while ((word = strsep(&line, " "))) {
			const char *key = strsep(&word, "=");

			for (size_t i = 0; word && i < ARRAY_SIZE(values); i++)
				if (strcmp(values[i].key, key) == 0)
					add_entry(arena, values[i].is_bytes ? bytes : operations, major,
						minor, values[i].operation, strtoull(word, NULL, 10));
		}
	}
	json_add(arena, io, "ioServiceBytesRecursive", bytes);
	json_add(arena, io, "ioServicedRecursive", operations);
}

void cgroup_statistics_io(struct arena *arena, struct cgroup *cgroup, struct json *root)
{
	struct json *io = json_new_object(arena);
	char *text = arena_alloc(arena, TEXT_SIZE);
	bool v2;
	int directory;

	json_set(arena, root, "blkio", io);
	directory = directory_of(cgroup, "blkio", &v2);
	if (directory >= 0 && !v2)
		read_v1_io(arena, directory, io, text);
	else if (directory >= 0 && cgroup_read(directory, "io.stat", text, TEXT_SIZE))
		read_v2_io(arena, io, text);
}

/* ---- huge pages ---- */

static void read_page_size(struct arena *arena, int directory, struct json *pages, const char *size, bool v2)
{
	static const struct {
		const char *name, *v1_file, *v2_file;
	} values[] = {
		{ "usage", "usage_in_bytes", "current" }, { "max", "max_usage_in_bytes", NULL },
		{ "failcnt", "failcnt", "events" }, /* "max N" */
	};
	struct json *entry = json_new_object(arena);
	char text[64];

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		const char *file = v2 ? values[i].v2_file : values[i].v1_file;

		if (file && cgroup_read(directory, arena_printf(arena, "hugetlb.%s.%s", size, file), text,
				    sizeof(text)))
			json_add(arena, entry, values[i].name,
				json_new_unsigned(arena, strtoull(text + strspn(text, "max "), NULL, 10)));
	}
	json_add(arena, pages, size, entry);
}

/* The sizes are those that there are files for: "hugetlb.2MB.current". */
void cgroup_statistics_hugepages(struct arena *arena, struct cgroup *cgroup, struct json *root)
{
	struct json *pages = json_new_object(arena);
	bool v2;
	int directory = directory_of(cgroup, "hugetlb", &v2);
	int fd = directory < 0 ? -1 : openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_closedir_ DIR *stream = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *entry;
	char size[32];
	int end;

	json_set(arena, root, "hugetlb", pages);
	if (!stream)
		close_fd(fd);
	while (stream && (entry = readdir(stream))) {
		end = 0;
		sscanf(entry->d_name,
			v2 ? "hugetlb.%31[0-9A-Z].current%n" : "hugetlb.%31[0-9A-Z].usage_in_bytes%n", size,
			&end);
		if (end > 0 && !entry->d_name[end])
			read_page_size(arena, directory, pages, arena_strdup(arena, size), v2);
	}
}

/* ---- pressure ---- */

/* "some avg10=0.00 avg60=0.00 avg300=0.00 total=0", and the same for "full". */
static struct json *read_pressure(struct arena *arena, char *text)
{
	struct json *pressure = json_new_object(arena);
	char *line, *word;

	while ((line = strsep(&text, "\n"))) {
		const char *kind = strsep(&line, " ");
		struct json *averages = json_new_object(arena);

		while ((word = strsep(&line, " "))) {
			const char *key = strsep(&word, "=");

			if (word)
				json_set(arena, averages, key, json_new_number(arena, word));
		}
		if (*kind)
			json_set(arena, pressure, kind, averages);
	}
	return pressure;
}

/* The v2 hierarchy has them, also beside v1 ones; a kernel without them, or one where they are off, says nothing. */
void cgroup_statistics_pressure(struct arena *arena, struct cgroup *cgroup, struct json *root)
{
	static const struct {
		const char *object, *file;
	} resources[] = {
		{ "cpu", "cpu.pressure" },
		{ "memory", "memory.pressure" },
		{ "blkio", "io.pressure" },
	};
	struct cgroup_directory *directory = cgroup_v2_directory(cgroup);
	char text[512];

	if (!directory || !cgroup_directory_open(directory))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(resources); i++) {
		struct json *object = json_get(root, resources[i].object);

		if (object && cgroup_read(directory->fd, resources[i].file, text, sizeof(text)))
			json_set(arena, object, "psi", read_pressure(arena, arena_strdup(arena, text)));
	}
}
