/* Where programs are: those beside fence, the network hook and the helper of exported bundles; and others, in PATH.
 */
#pragma once

#include "spec/arena.h"

/* Beside our own binary or in its prefix, else in LIBEXECDIR; absolute. They need not exist: whoever uses one
 * finds out. */
const char *hook_path(struct arena *arena);
const char *exec_helper_path(struct arena *arena); /* fence_exec.c */

/* Of our own environment; NULL: in none of its directories. */
const char *program_in_path(struct arena *arena, const char *name);
