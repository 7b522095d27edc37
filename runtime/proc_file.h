/* Files of /proc, which have no size.
 */
#pragma once

#include "spec/arena.h"

/* All of it, in the arena, also nothing; NULL with errno. */
char *proc_file_read(struct arena *arena, const char *path);
