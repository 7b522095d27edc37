/* The tables of `linux` in config.json, but for its resources (oci_resources.c). See oci.h. */
#include "spec/oci.h"
#include "spec/oci_tables.h"

#include <string.h>

static const struct field id_mapping_fields[] = {
	FIELD(struct oci_id_mapping, container_id, "containerID", UINT32, .required = true),
	FIELD(struct oci_id_mapping, host_id, "hostID", UINT32, .required = true),
	FIELD(struct oci_id_mapping, size, "size", UINT32, .required = true, .has_range = true, .minimum = 1,
		.maximum = UINT32_MAX),
};
const struct object_type oci_id_mapping_type = OCI_TYPE(struct oci_id_mapping, id_mapping_fields);

const char *const oci_namespace_types[] = {
	"mount",
	"pid",
	"network",
	"uts",
	"ipc",
	"user",
	"cgroup",
	"time",
	NULL,
};

static const char *check_namespace_path(const char *value)
{
	return *value ? oci_check_absolute(value) : NULL;
}

static const struct field namespace_fields[] = {
	FIELD(struct oci_namespace, type, "type", STRING, .required = true, .allowed = oci_namespace_types),
	FIELD(struct oci_namespace, path, "path", STRING, .check = check_namespace_path),
};
static const struct object_type namespace_type = OCI_TYPE(struct oci_namespace, namespace_fields);

static const char *const device_types[] = { "c", "b", "u", "p", NULL };

/* fileMode is not held to the schema's 0777: engines write st_mode as it is, with the file's type. */
static const struct field device_fields[] = {
	FIELD(struct oci_device, type, "type", STRING, .required = true, .allowed = device_types),
	FIELD(struct oci_device, path, "path", STRING, .required = true, .check = oci_check_absolute),
	FIELD(struct oci_device, major, "major", INT64),
	FIELD(struct oci_device, minor, "minor", INT64),
	FIELD(struct oci_device, file_mode, "fileMode", UINT32),
	FIELD(struct oci_device, uid, "uid", UINT32),
	FIELD(struct oci_device, gid, "gid", UINT32),
};
static const struct object_type device_type = OCI_TYPE(struct oci_device, device_fields);

static const char *check_interface(const char *value)
{
	size_t length = strlen(value);

	if (length && length < 16 && !strpbrk(value, "/: \t\n") && strcmp(value, ".") != 0 &&
		strcmp(value, "..") != 0)
		return NULL;
	return "is not a name for a network interface: 1 to 15 characters without /, : or spaces";
}

static const struct field net_device_fields[] = {
	FIELD(struct oci_net_device, name, "name", STRING, .check = check_interface),
};
static const struct object_type net_device_type = OCI_TYPE(
	struct oci_net_device, net_device_fields, .key_offset = offsetof(struct oci_net_device, host_name));

const char *const oci_seccomp_actions[] = {
	"SCMP_ACT_KILL",
	"SCMP_ACT_KILL_PROCESS",
	"SCMP_ACT_KILL_THREAD",
	"SCMP_ACT_TRAP",
	"SCMP_ACT_ERRNO",
	"SCMP_ACT_TRACE",
	"SCMP_ACT_ALLOW",
	"SCMP_ACT_LOG",
	"SCMP_ACT_NOTIFY",
	NULL,
};

const char *const oci_seccomp_operators[] = {
	"SCMP_CMP_NE",
	"SCMP_CMP_LT",
	"SCMP_CMP_LE",
	"SCMP_CMP_EQ",
	"SCMP_CMP_GE",
	"SCMP_CMP_GT",
	"SCMP_CMP_MASKED_EQ",
	NULL,
};

const char *const oci_seccomp_architectures[] = {
	"SCMP_ARCH_X86",
	"SCMP_ARCH_X86_64",
	"SCMP_ARCH_X32",
	"SCMP_ARCH_ARM",
	"SCMP_ARCH_AARCH64",
	"SCMP_ARCH_LOONGARCH64",
	"SCMP_ARCH_M68K",
	"SCMP_ARCH_MIPS",
	"SCMP_ARCH_MIPS64",
	"SCMP_ARCH_MIPS64N32",
	"SCMP_ARCH_MIPSEL",
	"SCMP_ARCH_MIPSEL64",
	"SCMP_ARCH_MIPSEL64N32",
	"SCMP_ARCH_PPC",
	"SCMP_ARCH_PPC64",
	"SCMP_ARCH_PPC64LE",
	"SCMP_ARCH_S390",
	"SCMP_ARCH_S390X",
	"SCMP_ARCH_SH",
	"SCMP_ARCH_SHEB",
	"SCMP_ARCH_PARISC",
	"SCMP_ARCH_PARISC64",
	"SCMP_ARCH_RISCV64",
	NULL,
};

const char *const oci_seccomp_flags[] = {
	"SECCOMP_FILTER_FLAG_TSYNC",
	"SECCOMP_FILTER_FLAG_LOG",
	"SECCOMP_FILTER_FLAG_SPEC_ALLOW",
	"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
	NULL,
};

static const struct field seccomp_argument_fields[] = {
	FIELD(struct oci_seccomp_argument, index, "index", UINT32, .required = true, .has_range = true,
		.minimum = 0, .maximum = 5),
	FIELD(struct oci_seccomp_argument, value, "value", UINT64, .required = true),
	FIELD(struct oci_seccomp_argument, value_two, "valueTwo", UINT64),
	FIELD(struct oci_seccomp_argument, op, "op", STRING, .required = true,
		.allowed = oci_seccomp_operators),
};
static const struct object_type seccomp_argument_type =
	OCI_TYPE(struct oci_seccomp_argument, seccomp_argument_fields);

static const char *check_syscall_name(const char *value)
{
	return *value ? NULL : "is no system call; name one or leave it out";
}

static const struct field seccomp_rule_fields[] = {
	FIELD(struct oci_seccomp_rule, names, "names", STRING_LIST, .required = true, .nonempty = true,
		.check = check_syscall_name),
	FIELD(struct oci_seccomp_rule, action, "action", STRING, .required = true,
		.allowed = oci_seccomp_actions),
	FIELD(struct oci_seccomp_rule, errno_ret, "errnoRet", UINT32),
	FIELD(struct oci_seccomp_rule, args, "args", OBJECT_LIST, .object = &seccomp_argument_type),
};
static const struct object_type seccomp_rule_type = OCI_TYPE(struct oci_seccomp_rule, seccomp_rule_fields);

static const struct field seccomp_fields[] = {
	FIELD(struct oci_seccomp, default_action, "defaultAction", STRING, .required = true,
		.allowed = oci_seccomp_actions),
	FIELD(struct oci_seccomp, default_errno_ret, "defaultErrnoRet", UINT32),
	FIELD(struct oci_seccomp, architectures, "architectures", STRING_LIST,
		.allowed = oci_seccomp_architectures),
	FIELD(struct oci_seccomp, flags, "flags", STRING_LIST, .allowed = oci_seccomp_flags),
	FIELD(struct oci_seccomp, listener_path, "listenerPath", STRING),
	FIELD(struct oci_seccomp, listener_metadata, "listenerMetadata", STRING),
	FIELD(struct oci_seccomp, syscalls, "syscalls", OBJECT_LIST, .object = &seccomp_rule_type),
};
static const struct object_type seccomp_type = OCI_TYPE(struct oci_seccomp, seccomp_fields);

/* One line of a schemata file: a newline would smuggle in a second one. */
static const char *check_bandwidth_schema(const char *value)
{
	return strncmp(value, "MB:", 3) || strchr(value, '\n')
		       ? "is not a single line that begins with \"MB:\""
		       : NULL;
}

static const char *check_schema(const char *value)
{
	return strchr(value, '\n') ? "is not a single line" : NULL;
}

static const struct field intel_rdt_fields[] = {
	FIELD(struct oci_intel_rdt, clos_id, "closID", STRING),
	FIELD(struct oci_intel_rdt, schemata, "schemata", STRING_LIST, .check = check_schema),
	FIELD(struct oci_intel_rdt, l3_cache_schema, "l3CacheSchema", STRING, .check = check_schema),
	FIELD(struct oci_intel_rdt, mem_bw_schema, "memBwSchema", STRING, .check = check_bandwidth_schema),
	FIELD(struct oci_intel_rdt, enable_monitoring, "enableMonitoring", BOOLEAN),
};
static const struct object_type intel_rdt_type = OCI_TYPE(struct oci_intel_rdt, intel_rdt_fields);

const char *const oci_memory_policy_modes[] = {
	"MPOL_DEFAULT",
	"MPOL_BIND",
	"MPOL_INTERLEAVE",
	"MPOL_WEIGHTED_INTERLEAVE",
	"MPOL_PREFERRED",
	"MPOL_PREFERRED_MANY",
	"MPOL_LOCAL",
	NULL,
};

const char *const oci_memory_policy_flags[] = {
	"MPOL_F_NUMA_BALANCING",
	"MPOL_F_RELATIVE_NODES",
	"MPOL_F_STATIC_NODES",
	NULL,
};

static const struct field memory_policy_fields[] = {
	FIELD(struct oci_memory_policy, mode, "mode", STRING, .required = true,
		.allowed = oci_memory_policy_modes, .what = "memory policy mode"),
	FIELD(struct oci_memory_policy, nodes, "nodes", STRING),
	FIELD(struct oci_memory_policy, flags, "flags", STRING_LIST, .allowed = oci_memory_policy_flags,
		.what = "memory policy flag"),
};
static const struct object_type memory_policy_type = OCI_TYPE(struct oci_memory_policy, memory_policy_fields);

static const char *const personality_domains[] = { "LINUX", "LINUX32", NULL };

static const struct field personality_fields[] = {
	FIELD(struct oci_personality, domain, "domain", STRING, .required = true,
		.allowed = personality_domains),
	FIELD(struct oci_personality, flags, "flags", STRING_LIST),
};
static const struct object_type personality_type = OCI_TYPE(struct oci_personality, personality_fields);

static const struct field time_offset_fields[] = {
	FIELD(struct oci_time_offset, secs, "secs", INT64),
	FIELD(struct oci_time_offset, nanosecs, "nanosecs", UINT32, .has_range = true, .minimum = 0,
		.maximum = 999999999),
};
static const struct object_type time_offset_type = OCI_TYPE(struct oci_time_offset, time_offset_fields);

static const struct field time_offsets_fields[] = {
	FIELD(struct oci_time_offsets, boottime, "boottime", OBJECT, .object = &time_offset_type),
	FIELD(struct oci_time_offsets, monotonic, "monotonic", OBJECT, .object = &time_offset_type),
};
static const struct object_type time_offsets_type = OCI_TYPE(struct oci_time_offsets, time_offsets_fields);

/* The r forms are not in the schema, but engines write them. */
static const char *const propagations[] = {
	"private",
	"shared",
	"slave",
	"unbindable",
	"rprivate",
	"rshared",
	"rslave",
	"runbindable",
	NULL,
};

static const struct field linux_fields[] = {
	FIELD(struct oci_linux, uid_mappings, "uidMappings", OBJECT_LIST, .object = &oci_id_mapping_type),
	FIELD(struct oci_linux, gid_mappings, "gidMappings", OBJECT_LIST, .object = &oci_id_mapping_type),
	FIELD(struct oci_linux, sysctl, "sysctl", STRING_MAP),
	FIELD(struct oci_linux, resources, "resources", OBJECT, .object = &oci_resources_type),
	FIELD(struct oci_linux, cgroups_path, "cgroupsPath", STRING),
	FIELD(struct oci_linux, namespaces, "namespaces", OBJECT_LIST, .object = &namespace_type),
	FIELD(struct oci_linux, devices, "devices", OBJECT_LIST, .object = &device_type),
	FIELD(struct oci_linux, net_devices, "netDevices", OBJECT_MAP, .object = &net_device_type),
	FIELD(struct oci_linux, seccomp, "seccomp", OBJECT, .object = &seccomp_type),
	FIELD(struct oci_linux, rootfs_propagation, "rootfsPropagation", STRING, .allowed = propagations),
	FIELD(struct oci_linux, masked_paths, "maskedPaths", STRING_LIST, .check = oci_check_absolute),
	FIELD(struct oci_linux, readonly_paths, "readonlyPaths", STRING_LIST, .check = oci_check_absolute),
	FIELD(struct oci_linux, mount_label, "mountLabel", STRING),
	FIELD(struct oci_linux, intel_rdt, "intelRdt", OBJECT, .object = &intel_rdt_type),
	FIELD(struct oci_linux, memory_policy, "memoryPolicy", OBJECT, .object = &memory_policy_type),
	FIELD(struct oci_linux, personality, "personality", OBJECT, .object = &personality_type),
	FIELD(struct oci_linux, time_offsets, "timeOffsets", OBJECT, .object = &time_offsets_type),
};
const struct object_type oci_linux_type = OCI_TYPE(struct oci_linux, linux_fields);
