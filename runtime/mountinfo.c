/* See mountinfo.h. */
#include "runtime/mountinfo.h"

#include "spec/cleanup.h"

#include <linux/mount.h>
#include <stdbool.h>
#include <string.h>

static const uint64_t attributes[] = {
	MOUNT_ATTR_RDONLY,
	MOUNT_ATTR_NOSUID,
	MOUNT_ATTR_NODEV,
	MOUNT_ATTR_NOEXEC,
	MOUNT_ATTR_NOSYMFOLLOW,
};
const char *const mountinfo_words[] = { "ro", "nosuid", "nodev", "noexec", "nosymfollow", NULL };

uint64_t mountinfo_attribute(const char *word)
{
	for (size_t i = 0; mountinfo_words[i]; i++)
		if (strcmp(word, mountinfo_words[i]) == 0)
			return attributes[i];
	return 0;
}

char *mountinfo_unescape(char *text)
{
	char *out = text;

	for (const char *in = text; *in; out++) {
		if (in[0] == '\\' && in[1] && in[2] && in[3]) {
			*out = (in[1] - '0') << 6 | (in[2] - '0') << 3 | (in[3] - '0');
			in += 4;
		} else {
			*out = *in++;
		}
	}
	*out = '\0';
	return text;
}

static uint64_t attributes_of(char *options)
{
	uint64_t found = 0;
	char *word;

	while ((word = strsep(&options, ",")))
		found |= mountinfo_attribute(word);
	return found;
}

/* "31 23 0:28 ROOT PATH OPTIONS optional… - TYPE SOURCE SUPER_OPTIONS" */
static bool read_line(struct arena *arena, char *line, struct mount_entry *entry)
{
	char *rest = strstr(line, " - "), *fields[6] = { 0 };

	if (!rest)
		return false;
	*rest = '\0';
	rest += strlen(" - ");
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		fields[i] = strsep(&line, " ");
	strsep(&rest, " "); /* the type */
	strsep(&rest, " "); /* the source */
	if (!fields[5] || !rest)
		return false;
	entry->id = strtoull(fields[0], NULL, 10);
	entry->path = arena_strdup(arena, mountinfo_unescape(fields[4]));
	entry->attributes = attributes_of(fields[5]) | (attributes_of(rest) & MOUNT_ATTR_RDONLY);
	return true;
}

int mountinfo_read(struct arena *arena, pid_t pid, struct mount_table *table, struct error *err)
{
	const char *path = arena_printf(arena, "/proc/%d/mountinfo", (int)pid);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	*table = (struct mount_table){ 0 };
	if (!file)
		return error_set(err, errno, "cannot open %s", path);
	while (errno = 0, getline(&line, &size, file) > 0) {
		struct mount_entry *entry;

		line[strcspn(line, "\n")] = '\0';
		entry = arena_push(arena, &table->items, &table->count, sizeof(*entry));
		if (!read_line(arena, line, entry))
			return error_set(err, 0, "%s: cannot read \"%s\"", path, line);
	}
	return ferror(file) || errno ? error_set(err, errno, "cannot read %s", path) : 0;
}
