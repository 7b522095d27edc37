/* See protections.h. The record:
 *
 *	{ "mounts": [{ "path": "/proc/kcore", "denied": ["ro", "nosuid", "noexec"] }, …],
 *	  "threads": [{ "id": "1", "facts": { "Seccomp": "2", … } }, …] }
 */
#include "runtime/protections.h"

#include "runtime/mount.h"
#include "runtime/mountinfo.h"
#include "runtime/path.h"
#include "runtime/proc_file.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sched.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- threads ---- */

static const char *const status_lines[] = { "NoNewPrivs", "Seccomp", "Seccomp_filters", "CapInh", "CapPrm",
	"CapEff", "CapBnd", "CapAmb", "Uid", "Gid", "Groups" };
static const char *const thread_files[] = { "limits", "oom_score_adj" };
#define LABEL "attr/current"

/* Without the newline at its end. NULL with errno. */
static char *read_all(struct arena *arena, const char *path)
{
	char *text = proc_file_read(arena, path);
	size_t length = text ? strlen(text) : 0;

	if (length && text[length - 1] == '\n')
		text[length - 1] = '\0';
	return text;
}

static bool is_wanted(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(status_lines); i++)
		if (strcmp(name, status_lines[i]) == 0)
			return true;
	return false;
}

/* What is there of a thread, and its id inside. A zombie has nothing left that could be held: NULL then, and without an error. */
static struct json *read_status(struct arena *arena, char *text, const char **id)
{
	struct json *facts = json_new_object(arena);
	char *line;

	*id = NULL;
	while ((line = strsep(&text, "\n"))) {
		const char *name = strsep(&line, ":");

		if (!line)
			continue;
		line += strspn(line, "\t ");
		if (strcmp(name, "State") == 0 && (*line == 'Z' || *line == 'X'))
			return NULL;
		if (strcmp(name, "NSpid") == 0)
			*id = strrchr(line, '\t') ? strrchr(line, '\t') + 1 : line;
		else if (is_wanted(name))
			json_add(arena, facts, name, json_new_string(arena, line));
	}
	return facts;
}

/* After an error: what stands still can be killed all the same. It is as good as a zombie then. */
static bool has_ended(const char *directory)
{
	return errno == ESRCH || (errno == ENOENT && access(directory, F_OK) < 0);
}

static int read_thread(struct arena *arena, const char *directory, struct json *threads, struct error *err)
{
	const char *path = arena_printf(arena, "%s/status", directory), *id;
	char *text = read_all(arena, path);
	struct json *facts, *thread = json_new_object(arena);

	if (!text)
		return has_ended(directory) ? 0 : error_set(err, errno, "cannot read %s", path);
	facts = read_status(arena, text, &id);
	if (!facts)
		return 0;
	if (!id)
		return error_set(err, 0, "%s lacks NSpid", path);
	for (size_t i = 0; i < ARRAY_SIZE(thread_files); i++) {
		path = arena_printf(arena, "%s/%s", directory, thread_files[i]);
		text = read_all(arena, path);
		if (!text)
			return has_ended(directory) ? 0 : error_set(err, errno, "cannot read %s", path);
		json_add(arena, facts, thread_files[i], json_new_string(arena, text));
	}
	/* Without a security module there is no label, and reading is an error. */
	text = read_all(arena, arena_printf(arena, "%s/" LABEL, directory));
	json_add(arena, facts, LABEL, json_new_string(arena, text ? text : ""));
	json_add(arena, thread, "id", json_new_string(arena, id));
	json_add(arena, thread, "facts", facts);
	json_append(arena, threads, thread);
	return 0;
}

static int read_process(struct arena *arena, pid_t pid, struct json *threads, struct error *err);

static int read_children(struct arena *arena, const char *directory, struct json *threads, struct error *err)
{
	const char *path = arena_printf(arena, "%s/children", directory);
	char *list = read_all(arena, path), *word;

	if (!list)
		return has_ended(directory) ? 0 : error_set(err, errno, "cannot read %s", path);
	while ((word = strsep(&list, " ")))
		if (*word && read_process(arena, atoi(word), threads, err) < 0)
			return -1;
	return 0;
}

static int read_process(struct arena *arena, pid_t pid, struct json *threads, struct error *err)
{
	const char *path = arena_printf(arena, "/proc/%d/task", (int)pid);
	_cleanup_closedir_ DIR *tasks = opendir(path);
	struct dirent *entry;

	if (!tasks)
		return has_ended(path) ? 0 : error_set(err, errno, "cannot open %s", path);
	while ((entry = readdir(tasks))) {
		const char *directory = arena_printf(arena, "%s/%s", path, entry->d_name);

		if (entry->d_name[0] == '.')
			continue;
		if (read_thread(arena, directory, threads, err) < 0 ||
			read_children(arena, directory, threads, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- mounts ---- */

static struct json *write_mounts(struct arena *arena, const struct mount_table *table)
{
	struct json *mounts = json_new_array(arena);

	for (size_t i = 0; i < table->count; i++) {
		struct json *mount = json_new_object(arena), *denied = json_new_array(arena);

		for (const char *const *word = mountinfo_words; *word; word++)
			if (table->items[i].attributes & mountinfo_attribute(*word))
				json_append(arena, denied, json_new_string(arena, *word));
		json_add(arena, mount, "path", json_new_string(arena, table->items[i].path));
		json_add(arena, mount, "denied", denied);
		json_append(arena, mounts, mount);
	}
	return mounts;
}

static const char *string_in(const struct json *object, const char *key)
{
	const struct json *value = json_get(object, key);

	return value && value->type == JSON_STRING ? value->string : "";
}

static uint64_t denied_by(const struct json *mount)
{
	const struct json *words = json_get(mount, "denied");
	uint64_t attributes = 0;

	for (size_t i = 0; words && words->type == JSON_ARRAY && i < words->array.count; i++)
		if (words->array.items[i]->type == JSON_STRING)
			attributes |= mountinfo_attribute(words->array.items[i]->string);
	return attributes;
}

/* Several can lie on one another at the same place: the recorded mount `index` is there what it was in the record, the first,
 * the second, … NULL: it is not there. */
static const struct mount_entry *counterpart(
	const struct json *mounts, size_t index, const struct mount_table *table)
{
	const char *path = string_in(mounts->array.items[index], "path");
	size_t below = 0;

	for (size_t i = 0; i < index; i++)
		below += strcmp(string_in(mounts->array.items[i], "path"), path) == 0;
	for (size_t i = 0; i < table->count; i++)
		if (strcmp(table->items[i].path, path) == 0 && below-- == 0)
			return &table->items[i];
	return NULL;
}

static const struct json *list_in(const struct json *recorded, const char *key, struct error *err)
{
	const struct json *list = json_get(recorded, key);

	if (list && list->type == JSON_ARRAY)
		return list;
	error_set(err, 0, "the checkpoint's record lacks \"%s\"", key);
	return NULL;
}

static int restrict_mount(int root, const struct mount_entry *entry, uint64_t attributes, struct error *err)
{
	_cleanup_close_ int fd = path_open_in_root(root, entry->path, O_PATH, RESOLVE_NO_SYMLINKS);
	struct statx status;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &status) < 0)
		return error_set(err, errno, "cannot open the restored mount %s", entry->path);
	if (!(status.stx_mask & STATX_MNT_ID) || status.stx_mnt_id != entry->id)
		return error_set(
			err, 0, "the restored mount %s cannot be reached to be restricted", entry->path);
	if (mount_restrict(fd, attributes) < 0)
		return error_set(err, errno, "cannot restrict the restored mount %s", entry->path);
	return 0;
}

int protections_regain(struct arena *arena, const struct json *recorded, pid_t init, struct error *err)
{
	const char *root = arena_printf(arena, "/proc/%d/root", (int)init);
	_cleanup_close_ int process = pidfd_open(init, 0),
			    root_fd = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct json *mounts = list_in(recorded, "mounts", err);
	struct mount_table table;

	if (!mounts || mountinfo_read(arena, init, &table, err) < 0)
		return -1;
	if (process < 0 || root_fd < 0 || setns(process, CLONE_NEWNS) < 0)
		return error_set(err, errno, "cannot enter the restored mount namespace");
	for (size_t i = 0; i < mounts->array.count; i++) {
		const struct mount_entry *entry = counterpart(mounts, i, &table);
		uint64_t lacking = entry ? denied_by(mounts->array.items[i]) & ~entry->attributes : 0;

		if (lacking && restrict_mount(root_fd, entry, lacking, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- comparing ---- */

static int check_mounts(struct arena *arena, const struct json *recorded, pid_t init, struct error *err)
{
	const struct json *mounts = list_in(recorded, "mounts", err);
	struct mount_table table;

	if (!mounts || mountinfo_read(arena, init, &table, err) < 0)
		return -1;
	for (size_t i = 0; i < mounts->array.count; i++) {
		const struct json *mount = mounts->array.items[i];
		const struct mount_entry *entry = counterpart(mounts, i, &table);

		if (!entry)
			return error_set(
				err, 0, "the mount %s has not been restored", string_in(mount, "path"));
		if (!list_in(mount, "denied", err))
			return -1;
		if (denied_by(mount) & ~entry->attributes)
			return error_set(err, 0, "the mount %s has been restored with fewer restrictions",
				entry->path);
	}
	/* Each has its counterpart, so a larger number has one that was not there. */
	if (table.count != mounts->array.count)
		return error_set(err, 0, "%zu mounts have been restored where there were %zu", table.count,
			mounts->array.count);
	return 0;
}

static const struct json *find_thread(const struct json *threads, const char *id)
{
	for (size_t i = 0; i < threads->array.count; i++)
		if (strcmp(string_in(threads->array.items[i], "id"), id) == 0)
			return json_get(threads->array.items[i], "facts");
	return NULL;
}

static int compare_facts(
	const struct json *before, const struct json *after, const char *id, bool labels, struct error *err)
{
	/* A record that says nothing must not agree with everything. */
	if (before->type != JSON_OBJECT || before->object.count == 0)
		return error_set(err, 0, "the checkpoint's record lacks what process %s was held by", id);
	for (size_t i = 0; i < before->object.count; i++) {
		const char *name = before->object.members[i].key;

		if (!labels && strcmp(name, LABEL) == 0)
			continue;
		if (strcmp(string_in(before, name), string_in(after, name)) != 0)
			return error_set(err, 0,
				"process %s has been restored with %s \"%s\" instead of \"%s\"", id, name,
				string_in(after, name), string_in(before, name));
	}
	return 0;
}

static int check_threads(
	struct arena *arena, const struct json *recorded, pid_t init, bool labels, struct error *err)
{
	const struct json *before = list_in(recorded, "threads", err);
	struct json *after = json_new_array(arena);

	if (!before || read_process(arena, init, after, err) < 0)
		return -1;
	for (size_t i = 0; i < after->array.count; i++) {
		const char *id = string_in(after->array.items[i], "id");
		const struct json *facts = find_thread(before, id);

		if (!facts)
			return error_set(err, 0, "a process %s has been restored that was not there", id);
		if (compare_facts(facts, json_get(after->array.items[i], "facts"), id, labels, err) < 0)
			return -1;
	}
	return 0;
}

struct json *protections_read(struct arena *arena, pid_t init, struct error *err)
{
	struct json *recorded = json_new_object(arena), *threads = json_new_array(arena);
	struct mount_table table;

	if (mountinfo_read(arena, init, &table, err) < 0 || read_process(arena, init, threads, err) < 0)
		return NULL;
	if (threads->array.count == 0) {
		error_set(err, 0, "the container's processes have ended meanwhile");
		return NULL;
	}
	json_add(arena, recorded, "mounts", write_mounts(arena, &table));
	json_add(arena, recorded, "threads", threads);
	return recorded;
}

bool protections_forbid_new_privileges(const struct json *recorded)
{
	const struct json *threads = json_get(recorded, "threads");

	for (size_t i = 0; i < threads->array.count; i++)
		if (strcmp(string_in(json_get(threads->array.items[i], "facts"), "NoNewPrivs"), "1") == 0)
			return true;
	return false;
}

int protections_check(
	struct arena *arena, const struct json *recorded, pid_t init, bool labels, struct error *err)
{
	return check_mounts(arena, recorded, init, err) < 0
		       ? -1
		       : check_threads(arena, recorded, init, labels, err);
}
