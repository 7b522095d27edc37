/* The OCI runtime configuration (config.json), runtime-spec 1.3, Linux: the whole of it, as structs.
 *
 * Names follow the specification's keys. Read and written by the tables in oci*.c without loss: unknown properties are
 * kept, in every object's `unknown` (the specification: a runtime MUST ignore them). Everything lives in the arena that it
 * was read into, and lists can be grown with arena_push().
 */
#pragma once

#include "spec/table.h"

#include <sys/types.h>

#undef linux /* gnu11 predefines it as 1; here it is a key of config.json */

#define OCI_VERSION "1.3.0"

#define LIST_OF(type)         \
	struct {              \
		type *items;  \
		size_t count; \
	}

struct oci_id_mapping {
	struct optional_uint32 container_id, host_id, size;
	struct json *unknown;
};
typedef LIST_OF(struct oci_id_mapping) oci_id_mappings;

struct oci_mount {
	const char *destination, *type, *source;
	struct string_list options;
	oci_id_mappings uid_mappings, gid_mappings;
	struct json *unknown;
};

struct oci_root {
	const char *path;
	struct optional_bool readonly;
	struct json *unknown;
};

struct oci_user {
	struct optional_uint32 uid, gid, umask;
	struct uint32_list additional_gids;
	const char *username;
	struct json *unknown;
};

struct oci_capabilities {
	struct string_list bounding, effective, inheritable, permitted, ambient;
	struct json *unknown;
};

struct oci_rlimit {
	const char *type;
	struct optional_uint64 soft, hard;
	struct json *unknown;
};

struct oci_console_size {
	struct optional_uint64 height, width;
	struct json *unknown;
};

struct oci_io_priority {
	const char *class;
	struct optional_int32 priority;
	struct json *unknown;
};

struct oci_scheduler {
	const char *policy;
	struct optional_int32 nice, priority;
	struct string_list flags;
	struct optional_uint64 runtime, deadline, period;
	struct json *unknown;
};

struct oci_cpu_affinity {
	const char *initial, *final;
	struct json *unknown;
};

struct oci_process {
	struct optional_bool terminal;
	struct oci_console_size *console_size;
	struct oci_user *user;
	struct string_list args;
	const char *command_line;
	struct string_list env;
	const char *cwd;
	struct oci_capabilities *capabilities;
	LIST_OF(struct oci_rlimit) rlimits;
	struct optional_bool no_new_privileges;
	const char *apparmor_profile;
	struct optional_int32 oom_score_adj;
	const char *selinux_label;
	struct oci_io_priority *io_priority;
	struct oci_scheduler *scheduler;
	struct oci_cpu_affinity *exec_cpu_affinity;
	struct json *unknown;
};

struct oci_hook {
	const char *path;
	struct string_list args, env;
	struct optional_int64 timeout; /* seconds */
	struct json *unknown;
};
typedef LIST_OF(struct oci_hook) oci_hook_list;

struct oci_hooks {
	oci_hook_list prestart, create_runtime, create_container, start_container, poststart, poststop;
	struct json *unknown;
};

struct oci_namespace {
	const char *type, *path;
	struct json *unknown;
};

struct oci_device {
	const char *type, *path;
	struct optional_int64 major, minor;
	struct optional_uint32 file_mode, uid, gid;
	struct json *unknown;
};

struct oci_net_device {
	const char *host_name; /* the key */
	const char *name;
	struct json *unknown;
};

struct oci_device_rule {
	struct optional_bool allow;
	const char *type; /* "a", "b", "c"; NULL is "a" */
	struct optional_int64 major, minor;
	const char *access;
	struct json *unknown;
};

struct oci_memory {
	struct optional_int64 limit, reservation, swap, kernel, kernel_tcp;
	struct optional_uint64 swappiness;
	struct optional_bool disable_oom_killer, use_hierarchy, check_before_update;
	struct json *unknown;
};

struct oci_cpu {
	struct optional_uint64 shares, period, burst, realtime_period;
	struct optional_int64 quota, realtime_runtime, idle;
	const char *cpus, *mems;
	struct json *unknown;
};

struct oci_pids {
	struct optional_int64 limit;
	struct json *unknown;
};

struct oci_weight_device {
	struct optional_int64 major, minor;
	struct optional_uint16 weight, leaf_weight;
	struct json *unknown;
};

struct oci_throttle_device {
	struct optional_int64 major, minor;
	struct optional_uint64 rate;
	struct json *unknown;
};
typedef LIST_OF(struct oci_throttle_device) oci_throttle_list;

struct oci_block_io {
	struct optional_uint16 weight, leaf_weight;
	LIST_OF(struct oci_weight_device) weight_device;
	oci_throttle_list throttle_read_bps, throttle_write_bps, throttle_read_iops, throttle_write_iops;
	struct json *unknown;
};

struct oci_hugepage_limit {
	const char *page_size;
	struct optional_uint64 limit;
	struct json *unknown;
};

struct oci_interface_priority {
	const char *name;
	struct optional_uint32 priority;
	struct json *unknown;
};

struct oci_network {
	struct optional_uint32 class_id;
	LIST_OF(struct oci_interface_priority) priorities;
	struct json *unknown;
};

struct oci_rdma {
	const char *device; /* the key */
	struct optional_uint32 hca_handles, hca_objects;
	struct json *unknown;
};

struct oci_resources {
	LIST_OF(struct oci_device_rule) devices;
	struct oci_memory *memory;
	struct oci_cpu *cpu;
	struct oci_pids *pids;
	struct oci_block_io *block_io;
	LIST_OF(struct oci_hugepage_limit) hugepage_limits;
	struct oci_network *network;
	LIST_OF(struct oci_rdma) rdma;
	struct string_map unified;
	struct json *unknown;
};

struct oci_seccomp_argument {
	struct optional_uint32 index;
	struct optional_uint64 value, value_two;
	const char *op;
	struct json *unknown;
};

struct oci_seccomp_rule {
	struct string_list names;
	const char *action;
	struct optional_uint32 errno_ret;
	LIST_OF(struct oci_seccomp_argument) args;
	struct json *unknown;
};

struct oci_seccomp {
	const char *default_action;
	struct optional_uint32 default_errno_ret;
	struct string_list architectures, flags;
	const char *listener_path, *listener_metadata;
	LIST_OF(struct oci_seccomp_rule) syscalls;
	struct json *unknown;
};

struct oci_intel_rdt {
	const char *clos_id, *l3_cache_schema, *mem_bw_schema;
	struct string_list schemata;
	struct optional_bool enable_monitoring;
	struct json *unknown;
};

struct oci_memory_policy {
	const char *mode, *nodes;
	struct string_list flags;
	struct json *unknown;
};

struct oci_personality {
	const char *domain;
	struct string_list flags;
	struct json *unknown;
};

struct oci_time_offset {
	struct optional_int64 secs;
	struct optional_uint32 nanosecs;
	struct json *unknown;
};

struct oci_time_offsets {
	struct oci_time_offset *boottime, *monotonic;
	struct json *unknown;
};

struct oci_linux {
	LIST_OF(struct oci_device) devices;
	LIST_OF(struct oci_net_device) net_devices;
	oci_id_mappings uid_mappings, gid_mappings;
	LIST_OF(struct oci_namespace) namespaces;
	struct oci_resources *resources;
	const char *cgroups_path;
	const char *rootfs_propagation;
	struct oci_seccomp *seccomp;
	struct string_map sysctl;
	struct string_list masked_paths, readonly_paths;
	const char *mount_label;
	struct oci_intel_rdt *intel_rdt;
	struct oci_memory_policy *memory_policy;
	struct oci_personality *personality;
	struct oci_time_offsets *time_offsets;
	struct json *unknown;
};

struct oci_config {
	const char *oci_version;
	const char *hostname, *domainname;
	struct oci_root *root;
	struct oci_process *process;
	LIST_OF(struct oci_mount) mounts;
	struct oci_hooks *hooks;
	struct string_map annotations;
	struct oci_linux *linux;
	struct json *unknown; /* also solaris, windows, vm, zos, freebsd: other platforms' */
};

/* Reads and validates a config: the schema, and what the schema cannot say (a namespace kind once, mappings without a
 * user namespace, a root path that is there, an absolute cwd, …). `name` is for messages. */
int oci_config_read(struct arena *arena, const struct json *tree, const char *name,
	struct oci_config **config, struct error *err);
struct json *oci_config_write(struct arena *arena, const struct oci_config *config);

/* process.json of `exec --process`, and `update --resources`. */
int oci_process_read(struct arena *arena, const struct json *tree, const char *name,
	struct oci_process **process, struct error *err);
/* An array, as `mounts` of config.json. */
int oci_mounts_read(struct arena *arena, struct json *tree, const char *name, struct oci_config *config,
	struct error *err);
int oci_resources_read(struct arena *arena, const struct json *tree, const char *name,
	struct oci_resources **resources, struct error *err);

/* A config without a process can be created: gives it one that runs nothing. */
void oci_complete_process(struct arena *arena, struct oci_config *config);

const char *oci_annotation(const struct oci_config *config, const char *key); /* NULL if absent */
void oci_annotate(struct arena *arena, struct oci_config *config, const char *key, const char *value);
const struct oci_namespace *oci_namespace_find(
	const struct oci_config *config, const char *type); /* or NULL */

/* The words that the specification allows, NULL-terminated: for `features`. */
extern const char *const oci_memory_policy_modes[],
	*const oci_memory_policy_flags[], *const oci_namespace_types[],
						  *const oci_seccomp_actions[],
							  *const oci_seccomp_operators[],
								  *const oci_seccomp_architectures[],
									  *const oci_seccomp_flags[];

/* The OCI state (state-schema.json): what hooks get on their standard input and `state` prints. */
struct oci_state {
	const char *oci_version, *id, *status, *bundle;
	struct optional_int64 pid;
	struct string_map annotations;
	struct json *unknown;
};
int oci_state_read(struct arena *arena, const struct json *tree, const char *name, struct oci_state **state,
	struct error *err);
struct json *oci_state_write(struct arena *arena, const struct oci_state *state);
