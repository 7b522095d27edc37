/* The tables of linux.resources in config.json: what the cgroup gets. See oci.h. */
#include "spec/oci.h"
#include "spec/oci_tables.h"

#include <string.h>

static const char *const device_rule_types[] = { "a", "b", "c", NULL };

static const char *check_device_access(const char *value)
{
	return value[strspn(value, "rwm")] ? "may only hold the letters r (read), w (write) and m (mknod)"
					   : NULL;
}

/* -1 is "all of them". */
static const struct field device_rule_fields[] = {
	FIELD(struct oci_device_rule, allow, "allow", BOOLEAN, .required = true),
	FIELD(struct oci_device_rule, type, "type", STRING, .allowed = device_rule_types),
	FIELD(struct oci_device_rule, major, "major", INT64, .has_range = true, .minimum = -1,
		.maximum = UINT32_MAX),
	FIELD(struct oci_device_rule, minor, "minor", INT64, .has_range = true, .minimum = -1,
		.maximum = UINT32_MAX),
	FIELD(struct oci_device_rule, access, "access", STRING, .check = check_device_access),
};
static const struct object_type device_rule_type = OCI_TYPE(struct oci_device_rule, device_rule_fields);

static const struct field memory_fields[] = {
	FIELD(struct oci_memory, limit, "limit", INT64),
	FIELD(struct oci_memory, reservation, "reservation", INT64),
	FIELD(struct oci_memory, swap, "swap", INT64),
	FIELD(struct oci_memory, kernel, "kernel", INT64),
	FIELD(struct oci_memory, kernel_tcp, "kernelTCP", INT64),
	FIELD(struct oci_memory, swappiness, "swappiness", UINT64, .has_range = true, .minimum = 0,
		.maximum = 100),
	FIELD(struct oci_memory, disable_oom_killer, "disableOOMKiller", BOOLEAN),
	FIELD(struct oci_memory, use_hierarchy, "useHierarchy", BOOLEAN),
	FIELD(struct oci_memory, check_before_update, "checkBeforeUpdate", BOOLEAN),
};
static const struct object_type memory_type = OCI_TYPE(struct oci_memory, memory_fields);

static const struct field cpu_fields[] = {
	FIELD(struct oci_cpu, shares, "shares", UINT64),
	FIELD(struct oci_cpu, quota, "quota", INT64),
	FIELD(struct oci_cpu, burst, "burst", UINT64),
	FIELD(struct oci_cpu, period, "period", UINT64),
	FIELD(struct oci_cpu, realtime_runtime, "realtimeRuntime", INT64),
	FIELD(struct oci_cpu, realtime_period, "realtimePeriod", UINT64),
	FIELD(struct oci_cpu, cpus, "cpus", STRING),
	FIELD(struct oci_cpu, mems, "mems", STRING),
	FIELD(struct oci_cpu, idle, "idle", INT64),
};
static const struct object_type cpu_type = OCI_TYPE(struct oci_cpu, cpu_fields);

static const struct field pids_fields[] = {
	FIELD(struct oci_pids, limit, "limit", INT64),
};
static const struct object_type pids_type = OCI_TYPE(struct oci_pids, pids_fields);

static const struct field weight_device_fields[] = {
	FIELD(struct oci_weight_device, major, "major", INT64, .required = true),
	FIELD(struct oci_weight_device, minor, "minor", INT64, .required = true),
	FIELD(struct oci_weight_device, weight, "weight", UINT16),
	FIELD(struct oci_weight_device, leaf_weight, "leafWeight", UINT16),
};
static const struct object_type weight_device_type = OCI_TYPE(struct oci_weight_device, weight_device_fields);

static const struct field throttle_device_fields[] = {
	FIELD(struct oci_throttle_device, major, "major", INT64, .required = true),
	FIELD(struct oci_throttle_device, minor, "minor", INT64, .required = true),
	FIELD(struct oci_throttle_device, rate, "rate", UINT64),
};
static const struct object_type throttle_device_type =
	OCI_TYPE(struct oci_throttle_device, throttle_device_fields);

/* A weight of 0 is what one engine writes for "not given", so the kernel's 10 … 1000 is not asked for here. */
static const struct field block_io_fields[] = {
	FIELD(struct oci_block_io, weight, "weight", UINT16),
	FIELD(struct oci_block_io, leaf_weight, "leafWeight", UINT16),
	FIELD(struct oci_block_io, weight_device, "weightDevice", OBJECT_LIST, .object = &weight_device_type),
	FIELD(struct oci_block_io, throttle_read_bps, "throttleReadBpsDevice", OBJECT_LIST,
		.object = &throttle_device_type),
	FIELD(struct oci_block_io, throttle_write_bps, "throttleWriteBpsDevice", OBJECT_LIST,
		.object = &throttle_device_type),
	FIELD(struct oci_block_io, throttle_read_iops, "throttleReadIOPSDevice", OBJECT_LIST,
		.object = &throttle_device_type),
	FIELD(struct oci_block_io, throttle_write_iops, "throttleWriteIOPSDevice", OBJECT_LIST,
		.object = &throttle_device_type),
};
static const struct object_type block_io_type = OCI_TYPE(struct oci_block_io, block_io_fields);

/* It becomes part of a file's name. */
static const char *check_page_size(const char *value)
{
	size_t digits = strspn(value, "0123456789");

	if (digits && *value != '0' && value[digits] && strchr("KMG", value[digits]) &&
		!strcmp(value + digits + 1, "B"))
		return NULL;
	return "is not a page size like \"2MB\": a number, then KB, MB or GB";
}

static const struct field hugepage_limit_fields[] = {
	FIELD(struct oci_hugepage_limit, page_size, "pageSize", STRING, .required = true,
		.check = check_page_size),
	FIELD(struct oci_hugepage_limit, limit, "limit", UINT64, .required = true),
};
static const struct object_type hugepage_limit_type =
	OCI_TYPE(struct oci_hugepage_limit, hugepage_limit_fields);

static const struct field interface_priority_fields[] = {
	FIELD(struct oci_interface_priority, name, "name", STRING, .required = true),
	FIELD(struct oci_interface_priority, priority, "priority", UINT32, .required = true),
};
static const struct object_type interface_priority_type =
	OCI_TYPE(struct oci_interface_priority, interface_priority_fields);

static const struct field network_fields[] = {
	FIELD(struct oci_network, class_id, "classID", UINT32),
	FIELD(struct oci_network, priorities, "priorities", OBJECT_LIST, .object = &interface_priority_type),
};
static const struct object_type network_type = OCI_TYPE(struct oci_network, network_fields);

static const struct field rdma_fields[] = {
	FIELD(struct oci_rdma, hca_handles, "hcaHandles", UINT32),
	FIELD(struct oci_rdma, hca_objects, "hcaObjects", UINT32),
};
static const struct object_type rdma_type =
	OCI_TYPE(struct oci_rdma, rdma_fields, .key_offset = offsetof(struct oci_rdma, device));

static const struct field resources_fields[] = {
	FIELD(struct oci_resources, unified, "unified", STRING_MAP),
	FIELD(struct oci_resources, devices, "devices", OBJECT_LIST, .object = &device_rule_type),
	FIELD(struct oci_resources, memory, "memory", OBJECT, .object = &memory_type),
	FIELD(struct oci_resources, cpu, "cpu", OBJECT, .object = &cpu_type),
	FIELD(struct oci_resources, pids, "pids", OBJECT, .object = &pids_type),
	FIELD(struct oci_resources, block_io, "blockIO", OBJECT, .object = &block_io_type),
	FIELD(struct oci_resources, hugepage_limits, "hugepageLimits", OBJECT_LIST,
		.object = &hugepage_limit_type),
	FIELD(struct oci_resources, network, "network", OBJECT, .object = &network_type),
	FIELD(struct oci_resources, rdma, "rdma", OBJECT_MAP, .object = &rdma_type),
};
const struct object_type oci_resources_type = OCI_TYPE(struct oci_resources, resources_fields);
