/* What `process` of config.json says about the process itself, applied to the caller just before exec.
 *
 * The order between these is the caller's (init.c, exec.c) and matters: see the comments there.
 */
#pragma once

#include "spec/oci.h"

/* Capabilities. Sets are applied in two steps since the bounding set can only be cut with CAP_SETPCAP, and the
 * others only after the uid is final: drop_bounding, process_set_user, apply. NULL means none at all. One that is unknown, or
 * that this kernel or our own bounding set lacks, cannot be granted and is left out, with a warning by the caller: the
 * specification's wish, so that an engine's defaults work on a host that gives less. */
int capabilities_drop_bounding(const struct oci_capabilities *capabilities, struct error *err);
int capabilities_apply(const struct oci_capabilities *capabilities, struct error *err);
const char *const *capability_names(size_t *count); /* those that this kernel knows: for `features` */

/* True if some of those asked for cannot be granted; their names go to `text`, "CAP_A, CAP_B", for the warning. */
bool capabilities_lacking(const struct oci_capabilities *capabilities, char *text, size_t size);
/* The same for those that are to be ambient but are not inheritable and permitted, without which the kernel refuses it. */
bool capabilities_not_ambient(const struct oci_capabilities *capabilities, char *text, size_t size);

/* setgroups, setgid, setuid (with PR_SET_KEEPCAPS: permitted stays, effective is emptied for a user that is not root),
 * umask. `user` NULL is root. `can_set_groups` false: one mapped group, or /proc/PID/setgroups denied. */
int process_set_user(const struct oci_user *user, bool can_set_groups, struct error *err);

int process_set_rlimits(const struct oci_process *process, struct error *err);

/* Raising a hard limit and lowering the OOM score take CAP_SYS_RESOURCE on the host, which nobody has in a user namespace
 * of the container's. There the runtime raises its own hard limits before clone(), for the child to inherit and then lower
 * (what could not be raised, process_set_rlimits() tells), and sets the OOM score of the child `pid`; 0 is the caller. */
void process_raise_rlimits(const struct oci_process *process);
int process_set_oom_score_of(
	pid_t pid, const struct oci_process *process, struct error *err); /* needs /proc */
int process_set_oom_score(const struct oci_process *process, struct error *err);

int process_set_scheduler(const struct oci_process *process, bool limited_cpus, struct error *err);
int process_set_io_priority(const struct oci_process *process, struct error *err);
int process_set_personality(const struct oci_personality *personality, struct error *err);
int process_set_memory_policy(const struct oci_memory_policy *policy, struct error *err);
int process_set_cpu_affinity(const char *cpus, struct error *err); /* NULL or "": nothing */
/* To all CPUs of its cpuset: a container is not bound to those that the engine happens to be bound to. */
void process_reset_cpu_affinity(void);

/* AppArmor, SELinux: on exec. Needs /proc, while that is the host's. */
int process_set_labels(const struct oci_process *process, struct error *err);

/* Finds `file` as execvp(3) would, in the PATH of `env`, in the current root and working directory, as the current user;
 * *path is malloc'ed. Errors: ENOENT, EACCES in err->number, with the message that engines match ("executable file `x`
 * not found in $PATH: No such file or directory"). */
int process_find_executable(const char *file, const struct string_list *env, char **path, struct error *err);

/* Opens "self/…" or "thread-self/…" below /proc, sure that it is the kernel's own file and nothing mounted over it. */
int process_open_proc(const char *path, int flags, struct error *err);
