/* See resctrl.h. */
#include "runtime/resctrl.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#define ROOT "/sys/fs/resctrl"

static int open_root(struct error *err)
{
	_cleanup_close_ int root = open(ROOT, O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (root < 0 || faccessat(root, "schemata", F_OK, 0) < 0)
		return error_set(err, 0,
			"linux.intelRdt: there is no resctrl file system at " ROOT
			": mount one, or leave it out");
	return steal_fd(&root);
}

/* A class of the container's own is to be made, and removed with it. */
static bool makes_class(const struct oci_intel_rdt *rdt)
{
	return rdt && !(rdt->clos_id && *rdt->clos_id);
}

static bool is_reserved(const char *name)
{
	static const char *const reserved[] = { ".", "..", "info", "mon_data", "mon_groups" };

	for (size_t i = 0; i < ARRAY_SIZE(reserved); i++)
		if (strcmp(name, reserved[i]) == 0)
			return true;
	return strchr(name, '/') != NULL;
}

/* Relative to the root; "." is the default class. */
static const char *class_of(const struct oci_intel_rdt *rdt, const char *id)
{
	if (makes_class(rdt))
		return id;
	return strcmp(rdt->clos_id, "/") == 0 ? "." : rdt->clos_id;
}

static int open_class(int root, const struct oci_intel_rdt *rdt, const char *id, struct error *err)
{
	const char *name = class_of(rdt, id);
	int fd = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? error_set(err, errno, "linux.intelRdt.closID: " ROOT "/%s", name) : fd;
}

/* The kernel's own words, where it has any: "Mask out of range". */
static int explain(int root, struct error *err, const char *file, const char *line)
{
	char words[256] = "";
	int number = errno;
	_cleanup_close_ int fd = openat(root, "info/last_cmd_status", O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? 0 : read(fd, words, sizeof(words) - 1);

	words[length > 0 ? length : 0] = '\0';
	words[strcspn(words, "\n")] = '\0';
	return error_set(err, number, "linux.intelRdt: cannot write %s to %s%s%s%s", line, file,
		*words ? " (" : "", words, *words ? ")" : "");
}

struct lines {
	const char **items;
	size_t count;
};

/* Each write is a command of its own. */
static int write_lines(
	int root, int directory, const char *file, const struct lines *lines, struct error *err)
{
	_cleanup_close_ int fd = openat(directory, file, O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; i < lines->count; i++)
		if (fd < 0 || dprintf(fd, "%s\n", lines->items[i]) < 0)
			return explain(root, err, file, lines->items[i]);
	return 0;
}

/* In the order that the specification wants. */
static struct lines wanted_lines(struct arena *arena, const struct oci_intel_rdt *rdt)
{
	struct lines lines = { arena_array(arena, rdt->schemata.count + 2, sizeof(*lines.items)), 0 };

	if (rdt->l3_cache_schema && *rdt->l3_cache_schema)
		lines.items[lines.count++] = rdt->l3_cache_schema;
	if (rdt->mem_bw_schema && *rdt->mem_bw_schema)
		lines.items[lines.count++] = rdt->mem_bw_schema;
	for (size_t i = 0; i < rdt->schemata.count; i++)
		lines.items[lines.count++] = rdt->schemata.items[i];
	return lines;
}

/* The kernel sets a line off with blanks. */
static bool has_line(char *text, const char *wanted)
{
	size_t length = strlen(wanted);

	for (char *line = text; line && *line; line = strchr(line, '\n')) {
		line += strspn(line, " \n");
		if (strncmp(line, wanted, length) == 0 && (line[length] == '\n' || line[length] == '\0'))
			return true;
	}
	return false;
}

static int check_lines(int directory, const char *name, const struct lines *lines, struct error *err)
{
	_cleanup_close_ int fd = openat(directory, "schemata", O_RDONLY | O_CLOEXEC);
	char text[PIPE_BUF];
	ssize_t length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (length < 0)
		return error_set(err, errno, "linux.intelRdt: cannot read " ROOT "/%s/schemata", name);
	text[length] = '\0';
	for (size_t i = 0; i < lines->count; i++)
		if (!has_line(text, lines->items[i]))
			return error_set(err, 0,
				"linux.intelRdt: %s is not what the class %s, which is there already, has in "
				"its "
				"schemata",
				lines->items[i], name);
	return 0;
}

static int make_class(int root, const char *name, const struct lines *lines, struct error *err)
{
	_cleanup_close_ int directory = -1;

	if (mkdirat(root, name, 0755) < 0)
		return error_set(err, errno, "linux.intelRdt: cannot make the class " ROOT "/%s", name);
	directory = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0)
		return error_set(err, errno, "linux.intelRdt: cannot open the class " ROOT "/%s", name);
	return write_lines(root, directory, "schemata", lines, err);
}

static int prepare_class(int root, const struct oci_intel_rdt *rdt, const char *id, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	const struct lines lines = wanted_lines(arena, rdt);
	const char *name = class_of(rdt, id);
	_cleanup_close_ int directory = -1;

	if (strcmp(name, ".") != 0 && is_reserved(name))
		return error_set(err, 0, "linux.intelRdt.closID: \"%s\" cannot be the name of a class", name);
	if (makes_class(rdt))
		return make_class(root, name, &lines, err);
	directory = openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory < 0 && errno == ENOENT && lines.count)
		return make_class(root, name, &lines, err);
	if (directory < 0)
		return error_set(err, errno, "linux.intelRdt.closID: " ROOT "/%s", name);
	return check_lines(directory, name, &lines, err);
}

static int make_monitor(int directory, const char *id, struct error *err)
{
	_cleanup_close_ int groups = openat(directory, "mon_groups", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (groups < 0 || mkdirat(groups, id, 0755) < 0)
		return error_set(err, errno,
			"linux.intelRdt.enableMonitoring: cannot make the group mon_groups/%s", id);
	return 0;
}

int resctrl_prepare(const struct oci_intel_rdt *rdt, const char *id, struct error *err)
{
	_cleanup_close_ int root = -1, directory = -1;

	if (!rdt)
		return 0;
	root = open_root(err);
	if (root < 0 || prepare_class(root, rdt, id, err) < 0)
		return -1;
	if (!rdt->enable_monitoring.value)
		return 0;
	directory = open_class(root, rdt, id, err);
	return directory < 0 ? -1 : make_monitor(directory, id, err);
}

int resctrl_update(const struct oci_intel_rdt *rdt, const char *id, const char *l3_cache_schema,
	const char *memory_bandwidth_schema, struct error *err)
{
	_cleanup_close_ int root = open_root(err), directory = -1;
	const char *items[2];
	struct lines lines = { items, 0 };

	if (root < 0)
		return -1;
	if (!makes_class(rdt))
		return error_set(err, 0,
			"the container has no class of its own at " ROOT
			" that could be changed: it was created %s",
			rdt ? "with linux.intelRdt.closID" : "without linux.intelRdt");
	if (l3_cache_schema)
		lines.items[lines.count++] = l3_cache_schema;
	if (memory_bandwidth_schema)
		lines.items[lines.count++] = memory_bandwidth_schema;
	directory = open_class(root, rdt, id, err);
	return directory < 0 ? -1 : write_lines(root, directory, "schemata", &lines, err);
}

int resctrl_join(const struct oci_intel_rdt *rdt, const char *id, pid_t pid, struct error *err)
{
	_cleanup_close_ int root = -1, directory = -1;
	char text[32], monitor[NAME_MAX + 32];
	const char *line = text;
	const struct lines lines = { &line, 1 };

	if (!rdt)
		return 0;
	root = open_root(err);
	directory = root < 0 ? -1 : open_class(root, rdt, id, err);
	if (directory < 0)
		return -1;
	snprintf(text, sizeof(text), "%d", pid);
	snprintf(monitor, sizeof(monitor), "mon_groups/%s/tasks", id);
	if (write_lines(root, directory, "tasks", &lines, err) < 0)
		return -1;
	return rdt->enable_monitoring.value ? write_lines(root, directory, monitor, &lines, err) : 0;
}

int resctrl_remove(const struct oci_intel_rdt *rdt, const char *id, struct error *err)
{
	_cleanup_close_ int root = -1, groups = -1;
	char path[2 * NAME_MAX];

	if (!rdt)
		return 0;
	root = open_root(NULL);
	if (root < 0)
		return 0; /* it is not mounted any more: nothing is left of it */
	snprintf(path, sizeof(path), "%s/mon_groups", class_of(rdt, id));
	groups = rdt->enable_monitoring.value ? openat(root, path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	if (groups >= 0 && unlinkat(groups, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_set(err, errno, "cannot remove the monitoring group " ROOT "/%s/%s", path, id);
	if (makes_class(rdt) && unlinkat(root, id, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return error_set(err, errno, "cannot remove the class " ROOT "/%s", id);
	return 0;
}
