/* Patterns: "*" and "?" within a name, "[a-z]", and "**" for any number of directories, none included.
 *
 * "**" never follows a symbolic link, and nothing searches /proc, /sys or /dev.
 */
#pragma once

#include "spec/table.h"

bool glob_is_pattern(const char *text);
bool glob_match(const char *pattern, const char *text); /* one name; "/" is a character like any other */

/* Appends the paths that exist and match the absolute `pattern`. Looks at no more than GLOB_ENTRIES_MAX names, and fails beyond:
 * half an answer could leave a secret readable. */
enum { GLOB_ENTRIES_MAX = 500000 };
/* For denials, `locked` gets the directories that may not be read, `paths` also what may not be looked at, and a link that the pattern
 * names is followed. With NULL for it, none is. */
int glob_expand(struct arena *arena, const char *pattern, struct string_list *paths,
	struct string_list *locked, struct error *err);

/* The same below `directory`, whose name is not a pattern. */
int glob_expand_below(struct arena *arena, const char *directory, const char *pattern,
	struct string_list *paths, struct error *err);
