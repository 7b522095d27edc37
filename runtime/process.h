/* What `process` of config.json says about the process itself, applied to the caller just before exec.
 *
 * The order between these is the caller's (init.c, exec.c) and matters: see the comments there.
 */
#pragma once

#include "spec/oci.h"

/* Capabilities. Sets are applied in two steps since the bounding set can only be cut with CAP_SETPCAP, and the
 * others only after the uid is final. Unknown names are errors (a warning in runc: `fence` says which). */
int capabilities_drop_bounding(const struct oci_capabilities *capabilities, struct error *err);
int capabilities_apply(const struct oci_capabilities *capabilities, struct error *err);
const char *const *capability_names(size_t *count); /* those that this kernel knows: for `features` */

/* setgroups, setgid, setuid (with PR_SET_KEEPCAPS), umask. */
int process_set_user(const struct oci_user *user, bool can_set_groups, struct error *err);

int process_set_rlimits(const struct oci_process *process, struct error *err);
int process_set_oom_score(const struct oci_process *process, struct error *err);
int process_set_scheduler(const struct oci_process *process, struct error *err);
int process_set_io_priority(const struct oci_process *process, struct error *err);
int process_set_personality(const struct oci_personality *personality, struct error *err);
int process_set_memory_policy(const struct oci_memory_policy *policy, struct error *err);
int process_set_cpu_affinity(const char *cpus, struct error *err);
int process_set_labels(const struct oci_process *process, struct error *err); /* AppArmor, SELinux: on exec */

/* Finds `file` as execvp(3) would, in the PATH of `env`, in the current root; the result is opened with O_PATH and kept.
 * Errors: ENOENT, EACCES in err->number, with the message that engines match ("executable file `x` not found in $PATH:
 * No such file or directory"). */
int process_find_executable(const char *file, const struct string_list *env, char **path, struct error *err);
