/* The OCI config's tables but for `linux` (oci_linux.c), and reading and writing by them. See oci.h.
 *
 * Enumerations, ranges and patterns are the schema's, in the tables; what concerns two properties at once is in
 * oci_validate.c.
 */
#include "spec/oci.h"
#include "spec/oci_tables.h"

#include <ctype.h>
#include <string.h>

const char *oci_check_absolute(const char *value)
{
	return *value == '/' ? NULL : "is not an absolute path; begin it with /";
}

/* SemVer 2.0: MAJOR.MINOR.PATCH, then "-" or "+" and dotted identifiers. */
static const char *check_version(const char *value)
{
	static const char complaint[] = "is not a version like \"" OCI_VERSION "\"";
	const char *text = value;
	size_t digits;
	int part;

	for (part = 0; part < 3; part++) {
		if (part && *text++ != '.')
			return complaint;
		digits = strspn(text, "0123456789");
		if (!digits)
			return complaint;
		text += digits;
	}
	if (*text == '-' || *text == '+') {
		for (text++; isalnum((unsigned char)*text) || (*text && strchr(".-+", *text)); text++)
			;
		if (strchr(".-+", text[-1]))
			return complaint;
	}
	if (*text)
		return complaint;
	if (strncmp(value, "1.", 2) != 0)
		return "is not a version that is supported; 1.0.0 to " OCI_VERSION " are";
	return NULL;
}

static const struct field root_fields[] = {
	FIELD(struct oci_root, path, "path", STRING, .required = true, .nonempty = true),
	FIELD(struct oci_root, readonly, "readonly", BOOLEAN),
};
static const struct object_type root_type = OCI_TYPE(struct oci_root, root_fields);

static const struct field user_fields[] = {
	/* To the kernel the highest number means "leave it as it is", which is root. */
	FIELD(struct oci_user, uid, "uid", UINT32, .has_range = true, .maximum = UINT32_MAX - 1),
	FIELD(struct oci_user, gid, "gid", UINT32, .has_range = true, .maximum = UINT32_MAX - 1),
	FIELD(struct oci_user, umask, "umask", UINT32),
	FIELD(struct oci_user, additional_gids, "additionalGids", UINT32_LIST),
	FIELD(struct oci_user, username, "username", STRING),
};
static const struct object_type user_type = OCI_TYPE(struct oci_user, user_fields);

static const struct field capabilities_fields[] = {
	FIELD(struct oci_capabilities, bounding, "bounding", STRING_LIST),
	FIELD(struct oci_capabilities, effective, "effective", STRING_LIST),
	FIELD(struct oci_capabilities, inheritable, "inheritable", STRING_LIST),
	FIELD(struct oci_capabilities, permitted, "permitted", STRING_LIST),
	FIELD(struct oci_capabilities, ambient, "ambient", STRING_LIST),
};
static const struct object_type capabilities_type = OCI_TYPE(struct oci_capabilities, capabilities_fields);

static const char *const rlimit_types[] = {
	"RLIMIT_AS",
	"RLIMIT_CORE",
	"RLIMIT_CPU",
	"RLIMIT_DATA",
	"RLIMIT_FSIZE",
	"RLIMIT_LOCKS",
	"RLIMIT_MEMLOCK",
	"RLIMIT_MSGQUEUE",
	"RLIMIT_NICE",
	"RLIMIT_NOFILE",
	"RLIMIT_NPROC",
	"RLIMIT_RSS",
	"RLIMIT_RTPRIO",
	"RLIMIT_RTTIME",
	"RLIMIT_SIGPENDING",
	"RLIMIT_STACK",
	NULL,
};

static const struct field rlimit_fields[] = {
	FIELD(struct oci_rlimit, type, "type", STRING, .required = true, .allowed = rlimit_types),
	FIELD(struct oci_rlimit, soft, "soft", UINT64, .required = true),
	FIELD(struct oci_rlimit, hard, "hard", UINT64, .required = true),
};
static const struct object_type rlimit_type = OCI_TYPE(struct oci_rlimit, rlimit_fields);

static const struct field console_size_fields[] = {
	FIELD(struct oci_console_size, height, "height", UINT64, .required = true),
	FIELD(struct oci_console_size, width, "width", UINT64, .required = true),
};
static const struct object_type console_size_type = OCI_TYPE(struct oci_console_size, console_size_fields);

static const char *const io_priority_classes[] = {
	"IOPRIO_CLASS_RT",
	"IOPRIO_CLASS_BE",
	"IOPRIO_CLASS_IDLE",
	NULL,
};

static const struct field io_priority_fields[] = {
	FIELD(struct oci_io_priority, class, "class", STRING, .required = true,
		.allowed = io_priority_classes),
	FIELD(struct oci_io_priority, priority, "priority", INT32, .has_range = true, .minimum = 0,
		.maximum = 7),
};
static const struct object_type io_priority_type = OCI_TYPE(struct oci_io_priority, io_priority_fields);

static const char *const scheduler_policies[] = {
	"SCHED_OTHER",
	"SCHED_FIFO",
	"SCHED_RR",
	"SCHED_BATCH",
	"SCHED_ISO",
	"SCHED_IDLE",
	"SCHED_DEADLINE",
	NULL,
};

static const char *const scheduler_flags[] = {
	"SCHED_FLAG_RESET_ON_FORK",
	"SCHED_FLAG_RECLAIM",
	"SCHED_FLAG_DL_OVERRUN",
	"SCHED_FLAG_KEEP_POLICY",
	"SCHED_FLAG_KEEP_PARAMS",
	"SCHED_FLAG_UTIL_CLAMP_MIN",
	"SCHED_FLAG_UTIL_CLAMP_MAX",
	NULL,
};

static const struct field scheduler_fields[] = {
	FIELD(struct oci_scheduler, policy, "policy", STRING, .required = true,
		.allowed = scheduler_policies),
	FIELD(struct oci_scheduler, nice, "nice", INT32, .has_range = true, .minimum = -20, .maximum = 19),
	FIELD(struct oci_scheduler, priority, "priority", INT32, .has_range = true, .minimum = 0,
		.maximum = 99),
	FIELD(struct oci_scheduler, flags, "flags", STRING_LIST, .allowed = scheduler_flags),
	FIELD(struct oci_scheduler, runtime, "runtime", UINT64),
	FIELD(struct oci_scheduler, deadline, "deadline", UINT64),
	FIELD(struct oci_scheduler, period, "period", UINT64),
};
static const struct object_type scheduler_type = OCI_TYPE(struct oci_scheduler, scheduler_fields);

static const char *check_cpu_list(const char *value)
{
	return value[strspn(value, "0123456789, -")] ? "is not a list of CPUs like \"0-3,7\"" : NULL;
}

static const struct field cpu_affinity_fields[] = {
	FIELD(struct oci_cpu_affinity, initial, "initial", STRING, .check = check_cpu_list),
	FIELD(struct oci_cpu_affinity, final, "final", STRING, .check = check_cpu_list),
};
static const struct object_type cpu_affinity_type = OCI_TYPE(struct oci_cpu_affinity, cpu_affinity_fields);

static const struct field process_fields[] = {
	FIELD(struct oci_process, terminal, "terminal", BOOLEAN),
	FIELD(struct oci_process, console_size, "consoleSize", OBJECT, .object = &console_size_type),
	FIELD(struct oci_process, user, "user", OBJECT, .object = &user_type),
	FIELD(struct oci_process, args, "args", STRING_LIST),
	FIELD(struct oci_process, command_line, "commandLine", STRING),
	FIELD(struct oci_process, env, "env", STRING_LIST),
	FIELD(struct oci_process, cwd, "cwd", STRING, .required = true, .check = oci_check_absolute),
	FIELD(struct oci_process, capabilities, "capabilities", OBJECT, .object = &capabilities_type),
	FIELD(struct oci_process, rlimits, "rlimits", OBJECT_LIST, .object = &rlimit_type),
	FIELD(struct oci_process, no_new_privileges, "noNewPrivileges", BOOLEAN),
	FIELD(struct oci_process, apparmor_profile, "apparmorProfile", STRING),
	FIELD(struct oci_process, oom_score_adj, "oomScoreAdj", INT32, .has_range = true, .minimum = -1000,
		.maximum = 1000),
	FIELD(struct oci_process, selinux_label, "selinuxLabel", STRING),
	FIELD(struct oci_process, io_priority, "ioPriority", OBJECT, .object = &io_priority_type),
	FIELD(struct oci_process, scheduler, "scheduler", OBJECT, .object = &scheduler_type),
	FIELD(struct oci_process, exec_cpu_affinity, "execCPUAffinity", OBJECT, .object = &cpu_affinity_type),
};
const struct object_type oci_process_type = OCI_TYPE(struct oci_process, process_fields);

static const struct field mount_fields[] = {
	FIELD(struct oci_mount, destination, "destination", STRING, .required = true, .nonempty = true),
	FIELD(struct oci_mount, type, "type", STRING),
	FIELD(struct oci_mount, source, "source", STRING),
	FIELD(struct oci_mount, options, "options", STRING_LIST),
	FIELD(struct oci_mount, uid_mappings, "uidMappings", OBJECT_LIST, .object = &oci_id_mapping_type),
	FIELD(struct oci_mount, gid_mappings, "gidMappings", OBJECT_LIST, .object = &oci_id_mapping_type),
};
static const struct object_type mount_type = OCI_TYPE(struct oci_mount, mount_fields);

static const struct field hook_fields[] = {
	FIELD(struct oci_hook, path, "path", STRING, .required = true, .check = oci_check_absolute),
	FIELD(struct oci_hook, args, "args", STRING_LIST),
	FIELD(struct oci_hook, env, "env", STRING_LIST),
	FIELD(struct oci_hook, timeout, "timeout", INT64, .has_range = true, .minimum = 1,
		.maximum = INT64_MAX),
};
static const struct object_type hook_type = OCI_TYPE(struct oci_hook, hook_fields);

static const struct field hooks_fields[] = {
	FIELD(struct oci_hooks, prestart, "prestart", OBJECT_LIST, .object = &hook_type),
	FIELD(struct oci_hooks, create_runtime, "createRuntime", OBJECT_LIST, .object = &hook_type),
	FIELD(struct oci_hooks, create_container, "createContainer", OBJECT_LIST, .object = &hook_type),
	FIELD(struct oci_hooks, start_container, "startContainer", OBJECT_LIST, .object = &hook_type),
	FIELD(struct oci_hooks, poststart, "poststart", OBJECT_LIST, .object = &hook_type),
	FIELD(struct oci_hooks, poststop, "poststop", OBJECT_LIST, .object = &hook_type),
};
static const struct object_type hooks_type = OCI_TYPE(struct oci_hooks, hooks_fields);

static const struct field config_fields[] = {
	FIELD(struct oci_config, oci_version, "ociVersion", STRING, .required = true, .check = check_version),
	FIELD(struct oci_config, process, "process", OBJECT, .object = &oci_process_type),
	FIELD(struct oci_config, root, "root", OBJECT, .required = true, .object = &root_type),
	FIELD(struct oci_config, hostname, "hostname", STRING),
	FIELD(struct oci_config, domainname, "domainname", STRING),
	FIELD(struct oci_config, mounts, "mounts", OBJECT_LIST, .object = &mount_type),
	FIELD(struct oci_config, hooks, "hooks", OBJECT, .object = &hooks_type),
	FIELD(struct oci_config, annotations, "annotations", STRING_MAP),
	FIELD(struct oci_config, linux, "linux", OBJECT, .object = &oci_linux_type),
};
static const struct object_type config_type = OCI_TYPE(struct oci_config, config_fields);

/* An empty path is none: generators that always write the key mean a new namespace. */
static void forget_empty_paths(struct oci_config *config)
{
	size_t i;

	for (i = 0; config->linux && i < config->linux->namespaces.count; i++) {
		struct oci_namespace *namespace = &config->linux->namespaces.items[i];

		if (namespace->path && !*namespace->path)
		namespace->path = NULL;
	}
}

int oci_config_read(struct arena *arena, const struct json *tree, const char *name,
	struct oci_config **config, struct error *err)
{
	struct oci_config *model = arena_alloc(arena, sizeof(*model));

	if (table_read(arena, &config_type, tree, name, "", model, err) < 0 ||
		oci_validate_config(arena, model, tree, name, err) < 0)
		return -1;
	forget_empty_paths(model);
	*config = model;
	return 0;
}

struct json *oci_config_write(struct arena *arena, const struct oci_config *config)
{
	return table_write(arena, &config_type, config);
}

int oci_process_read(struct arena *arena, const struct json *tree, const char *name,
	struct oci_process **process, struct error *err)
{
	struct oci_process *model = arena_alloc(arena, sizeof(*model));

	if (table_read(arena, &oci_process_type, tree, name, "", model, err) < 0 ||
		oci_validate_process(arena, model, tree, name, "", err) < 0)
		return -1;
	*process = model;
	return 0;
}

int oci_mounts_read(struct arena *arena, struct json *tree, const char *name, struct oci_config *config,
	struct error *err)
{
	static const struct field only_mounts[] = {
		FIELD(struct oci_config, mounts, "mounts", OBJECT_LIST, .object = &mount_type),
	};
	static const struct object_type type = OBJECT_TYPE(struct oci_config, only_mounts);
	struct json *object = json_new_object(arena);

	json_add(arena, object, "mounts", tree);
	return table_read(arena, &type, object, name, "", config, err);
}

int oci_resources_read(struct arena *arena, const struct json *tree, const char *name,
	struct oci_resources **resources, struct error *err)
{
	struct oci_resources *model = arena_alloc(arena, sizeof(*model));

	if (table_read(arena, &oci_resources_type, tree, name, "", model, err) < 0)
		return -1;
	*resources = model;
	return 0;
}

void oci_complete_process(struct arena *arena, struct oci_config *config)
{
	if (!config->process)
		config->process = arena_alloc(arena, sizeof(*config->process));
}

static struct string_pair *find_annotation(const struct oci_config *config, const char *key)
{
	size_t i;

	for (i = 0; i < config->annotations.count; i++)
		if (!strcmp(config->annotations.items[i].key, key))
			return &config->annotations.items[i];
	return NULL;
}

const char *oci_annotation(const struct oci_config *config, const char *key)
{
	const struct string_pair *pair = find_annotation(config, key);

	return pair ? pair->value : NULL;
}

void oci_annotate(struct arena *arena, struct oci_config *config, const char *key, const char *value)
{
	struct string_pair *pair = find_annotation(config, key);

	if (!pair)
		pair = arena_push(
			arena, &config->annotations.items, &config->annotations.count, sizeof(*pair));
	pair->key = key;
	pair->value = value;
}

const struct oci_namespace *oci_namespace_find(const struct oci_config *config, const char *type)
{
	size_t i;

	for (i = 0; config->linux && i < config->linux->namespaces.count; i++)
		if (!strcmp(config->linux->namespaces.items[i].type, type))
			return &config->linux->namespaces.items[i];
	return NULL;
}
