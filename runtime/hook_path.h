/* Where the network hook is installed.
 */
#pragma once

#include "spec/arena.h"

/* Beside our own binary (a build tree, a copy of both), else in LIBEXECDIR; absolute. It need not exist: whoever runs it
 * finds out. */
const char *hook_path(struct arena *arena);
