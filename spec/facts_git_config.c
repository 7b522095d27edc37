/* What a git configuration names that git obeys as it does the configuration: a directory of hooks, and the files that it includes.
 * See facts_internal.h.
 *
 * It was written by the user, or by what was allowed to: a line that git would refuse is passed over.
 */
#include "spec/facts_internal.h"

#include "spec/cleanup.h"

#include <ctype.h>
#include <fcntl.h>
#include <string.h>
#include <strings.h>

enum { LINES_MAX = 10000 };

/* "key = value", of which the value is returned; NULL for another key. */
static char *value_of(char *line, const char *key)
{
	size_t length = strlen(key);
	char *value, *end;

	if (strncasecmp(line, key, length) != 0)
		return NULL;
	value = line + length + strspn(line + length, " \t");
	if (*value != '=')
		return NULL;
	value += 1 + strspn(value + 1, " \t");
	if (*value == '"') {
		value++;
		value[strcspn(value, "\"\r\n")] = '\0';
		return value;
	}
	end = value + strcspn(value, ";#\r\n");
	while (end > value && isblank((unsigned char)end[-1]))
		end--;
	*end = '\0';
	return value;
}

static const char *expand(struct gatherer *gatherer, const char *value)
{
	return strncmp(value, "~/", 2) == 0 && gatherer->facts->home
		       ? arena_printf(gatherer->arena, "%s%s", gatherer->facts->home, value + 1)
		       : arena_strdup(gatherer->arena, value);
}

void git_config_read(struct gatherer *gatherer, const char *path, struct git_config *config)
{
	/* A command can have put a FIFO there. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	_cleanup_fclose_ FILE *file = fd < 0 ? NULL : fdopen(fd, "r");
	bool in_core = false, in_include = false;
	char text[4096], *value;

	if (!file)
		note_fault(gatherer, errno, path);
	for (int lines = 0; file && lines < LINES_MAX && fgets(text, sizeof(text), file); lines++) {
		char *line = text + strspn(text, " \t");

		if (*line == '[') {
			in_core = strncasecmp(line, "[core]", 6) == 0;
			in_include = strncasecmp(line, "[include", 8) == 0; /* or includeIf */
			line += strcspn(line, "]");
			line += *line == ']';
			line += strspn(line, " \t");
		}
		if (in_core && (value = value_of(line, "hooksPath")) && *value)
			string_list_add(gatherer->arena, &config->hooks, expand(gatherer, value));
		if (in_include && (value = value_of(line, "path")) && *value)
			string_list_add(gatherer->arena, &config->included, expand(gatherer, value));
	}
}
