/* What holds a container's processes, as the kernel tells it: the restrictions of its mounts; ids, capabilities, filters, limits and
 * labels of every thread. It is recorded with a checkpoint, since CRIU does not bring all of it back.
 *
 * Must never let a restored container pass that may do more than the one that was saved.
 */
#pragma once

#include "spec/json.h"

#include <sys/types.h>

/* The processes are `init` and what descends from it; they stand still. */
struct json *protections_read(struct arena *arena, pid_t init, struct error *err);

/* Has any thread of the record no_new_privs? */
bool protections_forbid_new_privileges(const struct json *recorded);

/* Gives mounts back the restrictions that they lack. Moves the caller into the mount namespace of `init`: to be called in a process
 * that does nothing else. */
int protections_regain(struct arena *arena, const struct json *recorded, pid_t init, struct error *err);

/* Anything else than what was recorded is an error. `labels`: those of AppArmor and SELinux too. */
int protections_check(
	struct arena *arena, const struct json *recorded, pid_t init, bool labels, struct error *err);
