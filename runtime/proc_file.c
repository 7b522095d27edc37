/* See proc_file.h. */
#include "runtime/proc_file.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <stdio.h>

char *proc_file_read(struct arena *arena, const char *path)
{
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	_cleanup_free_ char *text = NULL;
	size_t size = 0;
	ssize_t length;

	if (!file)
		return NULL;
	errno = 0;
	length = getdelim(&text, &size, '\0', file);
	if (length < 0 && errno)
		return NULL;
	return arena_strndup(arena, length < 0 ? "" : text, length < 0 ? 0 : (size_t)length);
}
