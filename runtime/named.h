/* Tables that give a word of config.json its kernel value.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct named_value {
	const char *name;
	unsigned long value;
};

static inline bool named_value_find(
	const struct named_value *table, size_t count, const char *name, unsigned long *value)
{
	for (size_t i = 0; i < count; i++) {
		if (strcmp(table[i].name, name) == 0) {
			*value = table[i].value;
			return true;
		}
	}
	return false;
}
