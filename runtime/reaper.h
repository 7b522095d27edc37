/* The minimal init: pid 1 of a container with the annotation dev.fence.init, which reaps what is left behind.
 *
 * It holds no fd, no argument and no variable of the runtime's that the command could read, and never executes anything.
 */
#pragma once

#include "spec/error.h"

/* Calls `execute` in a child, which is to become the command. Once it has, the caller is the reaper for good: passes on the
 * signals that come from outside the container, and exits with the command's status, or 128+signal. Returns -1 where `execute`
 * did. What the command is executed with must not lie where main() got its arguments. */
int reaper_run(int (*execute)(void *data, struct error *err), void *data, struct error *err);

/* Where main() got its arguments and environment: they are overwritten before the reaper starts the command, whose /proc/1/cmdline anybody in the
 * container may read. */
void reaper_remember_arguments(int argc, char **argv);
