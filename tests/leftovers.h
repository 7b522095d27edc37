/* What an attempt of the fault drill has left: the files below the watched directories, and the mounts there.
 */
#pragma once

#include <stddef.h>

enum { LEFTOVERS_MAX = 65536 };

/* A line each, in the same order each time. */
void leftovers_list(const char *const *watches, size_t count, char text[static LEFTOVERS_MAX]);
