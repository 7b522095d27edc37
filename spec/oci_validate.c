/* What the OCI specification says in prose: rules that concern more than one property of a config. See oci.h.
 *
 * Only what can be told from the file itself. What depends on the host (does the path exist, does the kernel have it) is
 * the runtime's to say.
 */
#include "spec/cleanup.h"
#include "spec/oci.h"
#include "spec/oci_tables.h"

#include <string.h>

/* Where the model came from, for messages. */
struct validation {
	struct arena *arena;
	const struct json *tree;
	const char *name;
	const char *prefix; /* the path of what is validated, "" for the document */
	struct error *err;
};

/* FAIL(validation, PATH(…), "what; mend"): the path is below the prefix. */
#define PATH(...)	arena_printf(v->arena, __VA_ARGS__)
#define FAIL(path, ...) fail_at(v, path, arena_printf(v->arena, __VA_ARGS__))

static int fail_at(const struct validation *v, const char *path, const char *message)
{
	const char *whole =
		*v->prefix ? arena_printf(v->arena, "%s%s%s", v->prefix, *path == '[' ? "" : ".", path)
			   : path;
	struct json_place place = { .key = whole };

	return json_error(v->err, v->name, json_find(v->tree, whole), &place, "%s", message);
}

static int validate_rlimits(const struct validation *v, const struct oci_process *process)
{
	size_t i, j;

	for (i = 0; i < process->rlimits.count; i++) {
		const struct oci_rlimit *limit = &process->rlimits.items[i];

		for (j = 0; j < i; j++)
			if (!strcmp(process->rlimits.items[j].type, limit->type))
				return FAIL(PATH("rlimits[%zu].type", i),
					"%s is given twice (also in rlimits[%zu]); keep one of them",
					limit->type, j);
		if (limit->soft.value > limit->hard.value)
			return FAIL(PATH("rlimits[%zu].soft", i),
				"the soft limit is above the hard one; lower it or raise that");
	}
	return 0;
}

static int validate_process(const struct validation *v, const struct oci_process *process)
{
	if (!process->args.count)
		return FAIL("args", "there is no command; give at least the program's name");
	if (!*process->args.items[0])
		return FAIL("args[0]", "the program's name is empty; give a name or a path");
	return validate_rlimits(v, process);
}

static int validate_namespaces(const struct validation *v, const struct oci_config *config)
{
	const struct oci_linux *linux = config->linux;
	size_t i;

	for (i = 0; i < linux->namespaces.count; i++) {
		const struct oci_namespace *namespace = &linux->namespaces.items[i];
		const struct oci_namespace *first = oci_namespace_find(config, namespace->type);

		if (first != namespace)
			return FAIL(PATH("linux.namespaces[%zu].type", i),
				"\"%s\" is given twice (also in linux.namespaces[%zu]); keep one of them",
				namespace->type, (size_t)(first - linux->namespaces.items));
	}
	return 0;
}

/* Properties that would change the host without the namespace that makes them the container's own. */
static int validate_needs_namespace(const struct validation *v, const struct oci_config *config)
{
	const struct oci_linux *linux = config->linux;
	const struct {
		bool used;
		const char *path, *namespace;
	} needs[] = {
		{ config->hostname && *config->hostname, "hostname", "uts" },
		{ config->domainname && *config->domainname, "domainname", "uts" },
		{ linux && linux->uid_mappings.count, "linux.uidMappings", "user" },
		{ linux && linux->gid_mappings.count, "linux.gidMappings", "user" },
		{ linux && linux->time_offsets, "linux.timeOffsets", "time" },
		{ linux && linux->net_devices.count, "linux.netDevices", "network" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(needs); i++)
		if (needs[i].used && !oci_namespace_find(config, needs[i].namespace))
			return FAIL(needs[i].path,
				"there is no %s namespace for it; add {\"type\": \"%s\"} to linux.namespaces",
				needs[i].namespace, needs[i].namespace);
	return 0;
}

/* Which namespace a sysctl belongs to (those of user_namespaces(7), ipc_namespaces(7), …); both spellings of the
 * separator are in use, so that only the first word's end is compared by hand. NULL: the whole host's. */
static const char *sysctl_namespace(struct arena *arena, const char *key)
{
	static const struct {
		const char *name; /* with a final dot: everything below it */
		const char *namespace;
	} owners[] = {
		{ "net.", "network" },
		{ "fs.mqueue.", "ipc" },
		{ "kernel.msgmax", "ipc" },
		{ "kernel.msgmnb", "ipc" },
		{ "kernel.msgmni", "ipc" },
		{ "kernel.msg_next_id", "ipc" },
		{ "kernel.sem", "ipc" },
		{ "kernel.sem_next_id", "ipc" },
		{ "kernel.shmall", "ipc" },
		{ "kernel.shmmax", "ipc" },
		{ "kernel.shmmni", "ipc" },
		{ "kernel.shm_next_id", "ipc" },
		{ "kernel.shm_rmid_forced", "ipc" },
		{ "kernel.domainname", "uts" },
		{ "kernel.hostname", "uts" },
		{ "user.", "user" },
	};
	char *dotted = arena_strdup(arena, key), *slash;
	size_t i, length;

	for (slash = dotted; *slash; slash++)
		if (*slash == '/')
			*slash = '.';
	if (strstr(dotted, "..")) /* "net/../kernel/core_pattern" */
		return NULL;
	for (i = 0; i < ARRAY_SIZE(owners); i++) {
		length = strlen(owners[i].name);
		if (owners[i].name[length - 1] == '.' ? !strncmp(dotted, owners[i].name, length)
						      : !strcmp(dotted, owners[i].name))
			return owners[i].namespace;
	}
	return NULL;
}

static int validate_sysctl(const struct validation *v, const struct oci_config *config)
{
	size_t i;

	for (i = 0; i < config->linux->sysctl.count; i++) {
		const char *key = config->linux->sysctl.items[i].key;
		const char *namespace = sysctl_namespace(v->arena, key);

		if (!namespace)
			return FAIL(PATH("linux.sysctl[\"%s\"]", key),
				"it belongs to no namespace, so it would change the host; set it there, or "
				"leave it out");
		if (!oci_namespace_find(config, namespace))
			return FAIL(PATH("linux.sysctl[\"%s\"]", key),
				"it would change the host; add {\"type\": \"%s\"} to linux.namespaces",
				namespace);
	}
	return 0;
}

/* A FIFO has no numbers; every other device is nothing without. */
static int validate_devices(const struct validation *v, const struct oci_linux *linux)
{
	size_t i;

	for (i = 0; i < linux->devices.count; i++) {
		const struct oci_device *device = &linux->devices.items[i];

		if (*device->type == 'p' || (device->major.set && device->minor.set))
			continue;
		return FAIL(PATH("linux.devices[%zu].%s", i, device->major.set ? "minor" : "major"),
			"it is missing; a device of type \"%s\" needs major and minor", device->type);
	}
	return 0;
}

static bool has_dot_dot(const char *path)
{
	const char *part = path;

	while (part) {
		if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2]))
			return true;
		part = strchr(part, '/');
		part += part != NULL;
	}
	return false;
}

static int validate_linux(const struct validation *v, const struct oci_config *config)
{
	const struct oci_linux *linux = config->linux;
	const struct oci_seccomp *seccomp = linux->seccomp;

	if (validate_namespaces(v, config) < 0 || validate_sysctl(v, config) < 0 ||
		validate_devices(v, linux) < 0)
		return -1;
	if (linux->cgroups_path && has_dot_dot(linux->cgroups_path))
		return FAIL("linux.cgroupsPath",
			"\"..\" would lead out of the cgroup; write the path without it");
	if (seccomp && seccomp->listener_metadata && *seccomp->listener_metadata &&
		(!seccomp->listener_path || !*seccomp->listener_path))
		return FAIL("linux.seccomp.listenerMetadata",
			"there is no listenerPath to send it to; add one, or leave it out");
	if (linux->personality && linux->personality->flags.count)
		return FAIL("linux.personality.flags[0]", "the specification defines no flags; leave it out");
	return 0;
}

static int validate_mounts(const struct validation *v, const struct oci_config *config)
{
	size_t i;

	for (i = 0; i < config->mounts.count; i++) {
		const struct oci_mount *mount = &config->mounts.items[i];

		if (!mount->uid_mappings.count != !mount->gid_mappings.count)
			return FAIL(PATH("mounts[%zu].%s", i,
					    mount->uid_mappings.count ? "uidMappings" : "gidMappings"),
				"uidMappings and gidMappings only go together; give both or neither");
	}
	return 0;
}

int oci_validate_process(struct arena *arena, const struct oci_process *process, const struct json *tree,
	const char *name, const char *prefix, struct error *err)
{
	const struct validation validation = {
		.arena = arena, .tree = tree, .name = name, .prefix = prefix, .err = err
	};

	return validate_process(&validation, process);
}

int oci_validate_config(struct arena *arena, const struct oci_config *config, const struct json *tree,
	const char *name, struct error *err)
{
	const struct validation validation = {
		.arena = arena, .tree = tree, .name = name, .prefix = "", .err = err
	};

	if (config->process && oci_validate_process(arena, config->process, tree, name, "process", err) < 0)
		return -1;
	if (validate_mounts(&validation, config) < 0 || validate_needs_namespace(&validation, config) < 0)
		return -1;
	return config->linux ? validate_linux(&validation, config) : 0;
}
