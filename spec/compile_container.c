/* Under an engine: a config.json that podman, containerd or CRI-O wrote is tightened by a policy. See compile.h.
 *
 * Nothing here may allow what the config did not. Paths are the container's.
 */
#include "spec/command.h"
#include "spec/compile_internal.h"
#include "spec/container_paths.h"
#include "spec/glob.h"
#include "spec/limits.h"

#include "spec/cleanup.h"

#include <limits.h>
#include <string.h>

#define RESOLV_CONF_PATH    "/etc/resolv.conf"
#define ANNOTATION_LANDLOCK "dev.fence.landlock"

struct tightening {
	struct arena *arena;
	const struct policy *policy;
	struct oci_config *config;
	struct container_compilation *out;
	const char *home, *cwd;
	struct string_list pinned;
	struct error *err;
};

static const char *variable(const struct oci_process *process, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < process->env.count; i++)
		if (strncmp(process->env.items[i], name, length) == 0 && process->env.items[i][length] == '=')
			return process->env.items[i] + length + 1;
	return NULL;
}

/* Paths */

/* Absolute, without ".", ".." or a slash at the end. */
static const char *clean(struct arena *arena, const char *path)
{
	char *result = arena_alloc(arena, strlen(path) + 2), *end = result;

	while (*path) {
		size_t length = strcspn(path, "/");

		if (length == 2 && strncmp(path, "..", 2) == 0) {
			while (end > result && *--end != '/')
				;
		} else if (length && !(length == 1 && *path == '.')) {
			*end++ = '/';
			memcpy(end, path, length);
			end += length;
		}
		path += length;
		path += strspn(path, "/");
	}
	if (end == result)
		*end++ = '/';
	*end = '\0';
	return result;
}

static const char *container_path(struct tightening *tightening, const char *rule)
{
	struct arena *arena = tightening->arena;
	size_t length = strlen(rule);

	while (length > 3 && strncmp(rule + length - 3, "/**", 3) == 0)
		length -= 3;
	rule = arena_strndup(arena, rule, length);
	if (rule[0] == '~')
		rule = arena_printf(arena, "%s%s", tightening->home, rule + 1);
	else if (rule[0] != '/')
		rule = arena_printf(arena, "%s/%s", tightening->cwd, rule);
	return clean(arena, rule);
}

static int add_paths_of_rule(struct tightening *tightening, const char *rule, struct string_list *paths)
{
	const char *path = container_path(tightening, rule);

	if (glob_is_pattern(path))
		return container_paths_expand(tightening->arena, tightening->config, tightening->out->bundle,
			path, paths, tightening->err);
	string_list_add(tightening->arena, paths, path);
	return 0;
}

static int add_paths(
	struct tightening *tightening, const struct string_list *rules, struct string_list *paths)
{
	for (size_t i = 0; i < rules->count; i++)
		if (add_paths_of_rule(tightening, rules->items[i], paths) < 0)
			return -1;
	return 0;
}

static bool is_in_volume(const struct tightening *tightening, const char *path)
{
	const struct oci_config *config = tightening->config;

	for (size_t i = 0; i < config->mounts.count; i++) {
		const char *destination = clean(tightening->arena, config->mounts.items[i].destination);

		if (container_mount_is_bind(&config->mounts.items[i]) && strcmp(path, destination) != 0 &&
			path_is_within(path, destination))
			return true;
	}
	return false;
}

static void pin_ways(struct tightening *tightening, const char *path)
{
	for (const char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		const char *way = arena_strndup(tightening->arena, path, (size_t)(slash - path));

		if (is_in_volume(tightening, way) && !string_list_has(&tightening->pinned, way))
			string_list_add(tightening->arena, &tightening->pinned, way);
	}
}

static int deny_paths(
	struct tightening *tightening, const struct string_list *rules, struct string_list *paths)
{
	for (size_t i = 0; i < rules->count; i++) {
		size_t found = paths->count;

		if (add_paths_of_rule(tightening, rules->items[i], paths) < 0)
			return -1;
		/* What such a pattern means is found wherever it is moved. */
		for (; strncmp(rules->items[i], "**/", 3) != 0 && found < paths->count; found++)
			pin_ways(tightening, paths->items[found]);
	}
	return 0;
}

/* Those of facts_protected.c that are in the working directory or home; a runtime passes over what does not exist. */
static void protect(struct tightening *tightening, struct string_list *paths)
{
	const char *const directories[] = { tightening->cwd, tightening->home };

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		const char *const *name =
			protected_paths(tightening->policy->filesystem->allow_git_config.value);

		for (; *name; name++)
			string_list_add(tightening->arena, paths,
				clean(tightening->arena,
					arena_printf(tightening->arena, "%s/%s", directories[i], *name)));
	}
}

static int add_rule(struct tightening *tightening, struct json *rules, const char *key,
	const struct string_list *allowed, struct string_list *paths)
{
	struct json *array = json_new_array(tightening->arena);

	if (!allowed->items)
		return 0;
	if (add_paths(tightening, allowed, paths) < 0)
		return -1;
	for (size_t i = 0; i < paths->count; i++)
		json_append(tightening->arena, array, json_new_string(tightening->arena, paths->items[i]));
	json_add(tightening->arena, rules, key, array);
	return 0;
}

/* Writing and executing, by Landlock. A config without the keys leaves them to the image. */
static int limit_by_landlock(struct tightening *tightening)
{
	static const char *const own[] = { "/dev", "/proc", "/tmp", "/run" };
	const struct policy *policy = tightening->policy;
	const struct policy_filesystem *filesystem = policy->filesystem;
	struct arena *arena = tightening->arena;
	struct json *rules = json_new_object(arena);
	struct string_list write = { 0 }, execute = { 0 };
	/* Here it is no second wall, but the only one. */
	bool all = filesystem->allow_write.items &&
		   (!policy->landlock || strcmp(policy->landlock, "required") == 0);
	size_t length;

	if (!filesystem->allow_write.items && !filesystem->allow_execute.items)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		string_list_add(arena, &write, own[i]);
	if (add_rule(tightening, rules, "write", &filesystem->allow_write, &write) < 0 ||
		add_rule(tightening, rules, "execute", &filesystem->allow_execute, &execute) < 0)
		return -1;
	landlock_set_need(arena, rules, all, filesystem->allow_execute.items);
	oci_annotate(
		arena, tightening->config, ANNOTATION_LANDLOCK, json_format(arena, rules, false, &length));
	return 0;
}

static void annotate_pinned(struct tightening *tightening)
{
	struct arena *arena = tightening->arena;
	struct json *pinned = json_new_array(arena);
	size_t length;

	if (!tightening->pinned.count)
		return;
	for (size_t i = 0; i < tightening->pinned.count; i++)
		json_append(arena, pinned, json_new_string(arena, tightening->pinned.items[i]));
	oci_annotate(
		arena, tightening->config, ANNOTATION_PINNED, json_format(arena, pinned, false, &length));
}

static int limit_files(struct tightening *tightening)
{
	const struct policy *policy = tightening->policy;
	struct oci_linux *linux = tightening->config->linux;

	if (deny_paths(tightening, &policy->filesystem->deny_read, &linux->masked_paths) < 0 ||
		deny_paths(tightening, &policy->final_deny_read, &linux->masked_paths) < 0 ||
		deny_paths(tightening, &policy->filesystem->deny_write, &linux->readonly_paths) < 0 ||
		deny_paths(tightening, &policy->final_deny_write, &linux->readonly_paths) < 0)
		return -1;
	annotate_pinned(tightening);
	protect(tightening, &linux->readonly_paths);
	return limit_by_landlock(tightening);
}

/* Privileges */

static void keep_capabilities(const struct policy *policy, struct string_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++) {
		if (refused_capability(list->items[i]))
			continue;
		if (policy->capabilities.items && !string_list_has(&policy->capabilities, list->items[i]))
			continue;
		list->items[kept++] = list->items[i];
	}
	list->count = kept;
}

static void limit_privileges(struct tightening *tightening)
{
	struct oci_process *process = tightening->config->process;
	struct oci_capabilities *capabilities = process->capabilities;

	process->no_new_privileges = (struct optional_bool){ true, true };
	if (!capabilities)
		return; /* none at all, says the specification's runtime: nothing to cut */
	keep_capabilities(tightening->policy, &capabilities->bounding);
	keep_capabilities(tightening->policy, &capabilities->effective);
	keep_capabilities(tightening->policy, &capabilities->inheritable);
	keep_capabilities(tightening->policy, &capabilities->permitted);
	keep_capabilities(tightening->policy, &capabilities->ambient);
}

static void lower(struct optional_int64 *limit, int64_t most)
{
	if (!limit->set || limit->value <= 0 || limit->value > most)
		*limit = (struct optional_int64){ true, most };
}

static void limit_resources(struct tightening *tightening)
{
	const struct policy_resources *asked = tightening->policy->resources;
	struct oci_linux *linux = tightening->config->linux;
	struct arena *arena = tightening->arena;
	struct oci_cpu *cpu;

	if (!asked->memory && !asked->cpus && !asked->pids.set)
		return;
	if (!linux->resources)
		linux->resources = arena_alloc(arena, sizeof(*linux->resources));
	if (asked->memory) {
		if (!linux->resources->memory)
			linux->resources->memory = arena_alloc(arena, sizeof(*linux->resources->memory));
		lower(&linux->resources->memory->limit, parse_memory(asked->memory));
	}
	if (asked->pids.set) {
		if (!linux->resources->pids)
			linux->resources->pids = arena_alloc(arena, sizeof(*linux->resources->pids));
		lower(&linux->resources->pids->limit, asked->pids.value);
	}
	if (!asked->cpus)
		return;
	if (!linux->resources->cpu)
		linux->resources->cpu = arena_alloc(arena, sizeof(*linux->resources->cpu));
	cpu = linux->resources->cpu;
	if (!cpu->period.set || !cpu->period.value)
		cpu->period = (struct optional_uint64){ true, 100000 };
	lower(&cpu->quota, parse_cpus(asked->cpus) * (int64_t)cpu->period.value / 1000);
}

/* Systemd obeys any property of a unit, that it is to be without a limit, or stop the host in the end. Annotations can be an image's: only
 * what engines set themselves stays. */
static void limit_unit(struct tightening *tightening)
{
	static const char prefix[] = "org.systemd.property.";
	static const char *const harmless[] = { "KillSignal", "TimeoutStopUSec", "TimeoutStopSec",
		"CollectMode" };
	struct string_map *annotations = &tightening->config->annotations;
	size_t kept = 0;

	for (size_t i = 0; i < annotations->count; i++) {
		const char *key = annotations->items[i].key;
		bool stays = strncmp(key, prefix, strlen(prefix)) != 0;

		for (size_t j = 0; !stays && j < ARRAY_SIZE(harmless); j++)
			stays = strcmp(key + strlen(prefix), harmless[j]) == 0;
		if (stays)
			annotations->items[kept++] = annotations->items[i];
	}
	annotations->count = kept;
}

/* The network */

static void use_resolver(struct tightening *tightening)
{
	struct arena *arena = tightening->arena;
	struct oci_config *config = tightening->config;
	struct oci_mount *mount = NULL;

	for (size_t i = 0; i < config->mounts.count; i++)
		if (strcmp(clean(arena, config->mounts.items[i].destination), RESOLV_CONF_PATH) == 0)
			mount = &config->mounts.items[i];
	if (!mount) {
		PUSH(arena, &config->mounts, (struct oci_mount){ .destination = RESOLV_CONF_PATH });
		mount = &config->mounts.items[config->mounts.count - 1];
	}
	*mount = (struct oci_mount){
		.destination = RESOLV_CONF_PATH, .type = "bind", .source = tightening->out->resolv_path
	};
	string_list_add(arena, &mount->options, "bind");
	string_list_add(arena, &mount->options, "ro");
	string_list_add(arena, &mount->options, "nosuid");
	string_list_add(arena, &mount->options, "nodev");
	string_list_add(arena, &mount->options, "private");
	tightening->out->resolv_conf = compile_resolv_conf();
}

static int limit_network(struct tightening *tightening)
{
	const struct policy *policy = tightening->policy;
	struct container_compilation *out = tightening->out;
	struct network_file *file = network_of_policy(tightening->arena, policy);

	if (!file && !policy->governs_network)
		return 0;
	if (policy->network->log && policy->network->log[0] != '/')
		return error_set(
			tightening->err, 0, "network.log: for containers it is the absolute path of a file");
	if (!oci_namespace_find(tightening->config, "network"))
		return error_set(tightening->err, 0,
			"the policy has rules for the network, but the container shares the host's; run it "
			"with a network of its own");
	if (tightening->config->linux->net_devices.count)
		return error_set(tightening->err, 0,
			"linux.netDevices: the policy has rules for the network, and a device would be a way "
			"past "
			"them; leave it out");
	if (!file) {
		/* No way out: the engine's is closed by a relay that refuses everything. */
		file = arena_alloc(tightening->arena, sizeof(*file));
		file->default_action = "deny";
		file->tun = policy->network->tun ? policy->network->tun : "preferred";
	}
	out->network = file;
	use_resolver(tightening);
	add_network_hooks(tightening->arena, tightening->config, out->hook, out->network_path);
	return 0;
}

static void make_objects(struct arena *arena, struct oci_config *config)
{
	if (!config->linux)
		config->linux = arena_alloc(arena, sizeof(*config->linux));
	oci_complete_process(arena, config);
}

/* The command that the container starts with: exec is the engine's own. */
static int judge_command(const struct tightening *tightening)
{
	const struct string_list *args = &tightening->config->process->args;
	const char *why;

	if (tightening->policy->command->runtime_exec_policy)
		return error_set(tightening->err, 0,
			"command.runtimeExecPolicy cannot be had for a container; name the programs in "
			"filesystem.denyRead");
	if (!command_permitted(tightening->arena, tightening->policy, args, &why))
		return error_set(tightening->err, EPERM, "the command %s", why);
	return 0;
}

int compile_container(struct arena *arena, const struct policy *policy, struct oci_config *config,
	struct container_compilation *compilation, struct error *err)
{
	struct tightening tightening = {
		.arena = arena, .policy = policy, .config = config, .out = compilation, .err = err
	};
	const char *home;
	size_t length;

	make_objects(arena, config);
	if (!oci_namespace_find(config, "mount"))
		return error_set(err, 0,
			"the policy has rules for files, but the container shares the host's mounts; run it "
			"with "
			"a mount namespace of its own");
	home = variable(config->process, "HOME");
	tightening.home = home && *home == '/' ? home : "/root";
	tightening.cwd = config->process->cwd ? config->process->cwd : "/";
	compilation->network = NULL;
	compilation->resolv_conf = NULL;
	policy_notes(arena, policy, &compilation->notes);
	if (judge_command(&tightening) < 0)
		return -1;
	if (limit_files(&tightening) < 0 || limit_network(&tightening) < 0)
		return -1;
	limit_privileges(&tightening);
	limit_resources(&tightening);
	limit_unit(&tightening);
	tighten_seccomp(arena, policy, config->linux);
	tighten_environment(arena, policy->environment, config->process);
	oci_annotate(arena, config, ANNOTATION_EXEC,
		json_format(arena, table_write(arena, &policy_environment_type, policy->environment), false,
			&length));
	return 0;
}

static void keep_those_of(const struct string_list *most, struct string_list *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->count; i++)
		if (string_list_has(most, list->items[i]))
			list->items[kept++] = list->items[i];
	list->count = kept;
}

int compile_exec(
	struct arena *arena, const struct oci_config *config, struct oci_process *process, struct error *err)
{
	static const struct oci_capabilities none;
	const char *text = oci_annotation(config, ANNOTATION_EXEC);
	const struct oci_capabilities *most =
		config->process->capabilities ? config->process->capabilities : &none;
	struct oci_capabilities *capabilities = process->capabilities;
	struct policy_environment environment = { 0 };
	struct json *tree;

	if (!text)
		return 0;
	if (json_parse(arena, text, strlen(text), ANNOTATION_EXEC, JSON_STRICT, &tree, err) < 0 ||
		table_read(arena, &policy_environment_type, tree, ANNOTATION_EXEC, "", &environment, err) < 0)
		return -1;
	process->no_new_privileges = (struct optional_bool){ true, true };
	tighten_environment(arena, &environment, process);
	if (!capabilities)
		return 0;
	keep_those_of(&most->bounding, &capabilities->bounding);
	keep_those_of(&most->bounding, &capabilities->effective);
	keep_those_of(&most->bounding, &capabilities->inheritable);
	keep_those_of(&most->bounding, &capabilities->permitted);
	keep_those_of(&most->bounding, &capabilities->ambient);
	return 0;
}
