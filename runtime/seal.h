/* Keeping the container's hands off fence's own binary (CVE-2019-5736).
 *
 * A process of the container can reach the file that a process of ours runs from, by /proc/PID/exe, and root could write to
 * it. So before anything of ours enters a container, fence runs from a read-only view of itself.
 */
#pragma once

#include "spec/error.h"

/* Returns 0 when nothing (more) is to be done; else executes this program again with the same arguments, and does not
 * return. */
int seal_self(char **argv, struct error *err);
