/* Landlock: a second wall behind the mounts, from the annotation that the policy compiler writes.
 *
 * The annotation dev.fence.landlock is JSON: {"read": [paths], "write": [paths], "execute": [paths], "scope": ["signal",
 * "abstract-unix-socket"], "tcp": false, "optional": false, "required": ["execute"]}. Paths are the container's, absolute; one that
 * does not exist there, or that the process cannot reach, is skipped. A list that is there allows what it names, in the directory and all
 * below, and nothing else; one that is absent restricts nothing. Each stands alone: "write" (which is also creating,
 * removing, renaming and linking, and ioctl on devices) does not imply "read". Device nodes can be made nowhere. "tcp":
 * false: no TCP port can be bound or connected to.
 *
 * Applied by the process just before exec, after no_new_privs. Never weaker than asked in silence: a kernel without the needed
 * ABI (1; for "write" 3, Linux 6.2; for "tcp" 4; for "scope" 6, Linux 6.12) is an error unless "optional"; then only "required" is,
 * and the rest is had as far as the kernel has it.
 */
#pragma once

#include "spec/error.h"

int landlock_abi(void); /* 0 where there is none */
int landlock_apply(const char *annotation, struct error *err);
