/* Landlock: a second wall behind the mounts, from the annotation that the policy compiler writes.
 *
 * The annotation dev.fence.landlock is JSON: {"read": [paths], "write": [paths], "execute": [paths], "scope": ["signal",
 * "abstract-unix-socket"], "tcp": false, "optional": false}. Paths are the container's; a path that does not exist there
 * is skipped. Applied by the process just before exec, after no_new_privs. Never weaker than asked in silence: a kernel
 * without the needed ABI is an error unless "optional".
 */
#pragma once

#include "spec/error.h"

int landlock_abi(void); /* 0 where there is none */
int landlock_apply(const char *annotation, struct error *err);
