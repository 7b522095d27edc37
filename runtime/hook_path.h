/* Where the network hook is installed.
 */
#pragma once

#include "spec/arena.h"

/* Beside our own binary or in its prefix, else in LIBEXECDIR; absolute. It need not exist: whoever runs it
 * finds out. */
const char *hook_path(struct arena *arena);
