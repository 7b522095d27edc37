/* The minimal init: pid 1 of a container with the annotation dev.fence.init, which reaps what is left behind.
 *
 * It holds no fd, no argument and no variable of the runtime's that the command could read, and never executes anything.
 */
#pragma once

#include "spec/error.h"

/* Forks: the child returns 0 and becomes the command; the parent stays, passes on the signals that come from outside the
 * container, and exits with the command's status, or 128+signal. */
int reaper_split(struct error *err);

/* Where main() got its arguments and environment: they are overwritten in the reaper, whose /proc/1/cmdline anybody in the
 * container may read. */
void reaper_remember_arguments(int argc, char **argv);
