/* Where the programs beside fence are installed: the network hook, and the helper of exported bundles.
 */
#pragma once

#include "spec/arena.h"

/* Beside our own binary or in its prefix, else in LIBEXECDIR; absolute. They need not exist: whoever uses one
 * finds out. */
const char *hook_path(struct arena *arena);
const char *exec_helper_path(struct arena *arena); /* fence_exec.c */
