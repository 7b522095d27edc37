/* linux.netDevices: devices of the runtime's network namespace become the container's, with their addresses, and up.
 *
 * A few messages of rtnetlink, no more: what else a network needs is for hooks. Must never take a device out of a container again:
 * they belong to the namespace.
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

/* `pid` is a process in the container's network namespace. Checks all of them before it moves the first. */
int net_devices_move(struct arena *arena, const struct oci_linux *linux, pid_t pid, struct error *err);
