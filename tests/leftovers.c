/* See leftovers.h. */
#include "leftovers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What does not fit is left out: the same each time. */
static void append(char *text, size_t *used, const char *line)
{
	size_t length = strlen(line);

	if (*used + length >= LEFTOVERS_MAX)
		return;
	memcpy(text + *used, line, length + 1);
	*used += length;
}

static void list(int parent, const char *name, char *text, size_t *used)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct dirent **entries;
	char line[8192];
	int count;

	count = fd < 0 ? -1 : scandirat(fd, ".", &entries, NULL, alphasort);
	for (int i = 0; i < count; i++) {
		const char *entry = entries[i]->d_name;

		/* Compiled filters are kept on purpose. */
		if (strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0 || strncmp(entry, ".seccomp", 8) == 0)
			continue;
		snprintf(line, sizeof(line), "%s/%s\n", name, entry);
		append(text, used, line);
		if (entries[i]->d_type == DT_DIR)
			list(fd, entry, text, used);
	}
	for (int i = 0; i < count; i++)
		free(entries[i]);
	if (count >= 0)
		free(entries);
	if (fd >= 0)
		close(fd);
}

void leftovers_list(const char *const *watches, size_t count, char text[static LEFTOVERS_MAX])
{
	static char line[8192];
	FILE *mounts = fopen("/proc/self/mountinfo", "re");
	size_t used = 0;

	text[0] = '\0';
	for (size_t i = 0; i < count; i++)
		list(AT_FDCWD, watches[i], text, &used);
	while (mounts && fgets(line, sizeof(line), mounts))
		for (size_t i = 0; i < count; i++)
			if (strstr(line, watches[i]))
				append(text, &used, line);
	if (mounts)
		fclose(mounts);
}
