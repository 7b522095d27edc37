/* System calls that are newer than a seccomp profile: ENOSYS, for which libcs have a way round, instead of a default action of
 * SCMP_ACT_ERRNO, which they take for the call's own answer. Must never let a call pass.
 */
#pragma once

#include "runtime/seccomp.h"

/* libseccomp's token for "SCMP_ARCH_X86_64" and the like; 0 if it knows none. */
uint32_t seccomp_architecture(const char *name);

/* Puts in front of the compiled program what answers the calls with larger numbers than any that the profile names. */
int seccomp_answer_newer(const struct oci_seccomp *seccomp, uint32_t default_action,
	struct seccomp_program *program, struct error *err);
