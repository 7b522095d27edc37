/* The policy's tables, reading, merging. See policy.h. */
#include "spec/policy.h"

#include "spec/policy_check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define PATHS(model, member, name)    FIELD(model, member, name, STRING_LIST, .check = check_path_pattern)
#define RULES(model, member, name)    FIELD(model, member, name, STRING_LIST, .check = check_egress_rule)
#define COMMANDS(model, member, name) FIELD(model, member, name, STRING_LIST, .check = check_command_rule)
#define WORDS(model, member, name)    FIELD(model, member, name, STRING_LIST, .check = check_not_empty)
#define STRICT(model, table)	      OBJECT_TYPE(model, table, .strict = true)

static const char *const datapaths[] = { "auto", "splice", "translate", NULL };
static const char *const needs[] = { "required", "preferred", "never", NULL };
static const char *const container_policies[] = { "named", "any", NULL };
static const char *const denied_call_actions[] = { "errno", "kill", NULL };

static const struct field network_fields[] = {
	FIELD(struct policy_network, proxy_url, "proxyUrl", STRING),
	FIELD(struct policy_network, fallback_proxies, "fallbackProxies", STRING_LIST),
	FIELD(struct policy_network, http_proxy_url, "httpProxyUrl", STRING),
	FIELD(struct policy_network, dns_address, "dnsAddr", STRING, .check = check_host_port),
	RULES(struct policy_network, allowed_domains, "allowedDomains"),
	RULES(struct policy_network, denied_domains, "deniedDomains"),
	PATHS(struct policy_network, allow_unix_sockets, "allowUnixSockets"),
	FIELD(struct policy_network, allow_all_unix_sockets, "allowAllUnixSockets", BOOLEAN),
	FIELD(struct policy_network, allow_local_binding, "allowLocalBinding", BOOLEAN),
	FIELD(struct policy_network, allow_local_outbound, "allowLocalOutbound", BOOLEAN),
	FIELD(struct policy_network, allow_local_outbound_ports, "allowLocalOutboundPorts", UINT32_LIST,
		.has_range = true, .minimum = 1, .maximum = UINT16_MAX),
	FIELD(struct policy_network, check_server_name, "checkServerName", BOOLEAN),
	FIELD(struct policy_network, inbound_ports, "inboundPorts", STRING_LIST, .check = check_inbound),
	FIELD(struct policy_network, http_proxy_port, "httpProxyPort", UINT16),
	FIELD(struct policy_network, socks_proxy_port, "socksProxyPort", UINT16),
	FIELD(struct policy_network, tun, "tun", STRING, .allowed = needs),
	FIELD(struct policy_network, datapath, "datapath", STRING, .allowed = datapaths),
	FIELD(struct policy_network, log, "log", STRING, .check = check_path_pattern),
};
static const struct object_type network_type = STRICT(struct policy_network, network_fields);

static const struct field filesystem_fields[] = {
	FIELD(struct policy_filesystem, default_deny_read, "defaultDenyRead", BOOLEAN),
	FIELD(struct policy_filesystem, strict_deny_read, "strictDenyRead", BOOLEAN),
	PATHS(struct policy_filesystem, allow_read, "allowRead"),
	PATHS(struct policy_filesystem, deny_read, "denyRead"),
	PATHS(struct policy_filesystem, allow_write, "allowWrite"),
	PATHS(struct policy_filesystem, deny_write, "denyWrite"),
	PATHS(struct policy_filesystem, allow_execute, "allowExecute"),
	FIELD(struct policy_filesystem, allow_git_config, "allowGitConfig", BOOLEAN),
	FIELD(struct policy_filesystem, wsl_interop, "wslInterop", JSON),
};
static const struct object_type filesystem_type = STRICT(struct policy_filesystem, filesystem_fields);

static const struct field command_fields[] = {
	COMMANDS(struct policy_command, deny, "deny"),
	COMMANDS(struct policy_command, allow, "allow"),
	FIELD(struct policy_command, use_defaults, "useDefaults", BOOLEAN),
	FIELD(struct policy_command, runtime_exec_policy, "runtimeExecPolicy", STRING,
		.check = check_exec_policy),
};
static const struct object_type command_type = STRICT(struct policy_command, command_fields);

static const struct field ssh_fields[] = {
	WORDS(struct policy_ssh, allowed_hosts, "allowedHosts"),
	WORDS(struct policy_ssh, denied_hosts, "deniedHosts"),
	COMMANDS(struct policy_ssh, allowed_commands, "allowedCommands"),
	COMMANDS(struct policy_ssh, denied_commands, "deniedCommands"),
	FIELD(struct policy_ssh, allow_all_commands, "allowAllCommands", BOOLEAN),
	FIELD(struct policy_ssh, inherit_deny, "inheritDeny", BOOLEAN),
};
static const struct object_type ssh_type = STRICT(struct policy_ssh, ssh_fields);

static const struct field environment_fields[] = {
	FIELD(struct policy_environment, pass, "pass", STRING_LIST, .check = check_variable_pattern),
	FIELD(struct policy_environment, deny, "deny", STRING_LIST, .check = check_variable_pattern),
	FIELD(struct policy_environment, set, "set", STRING_MAP, .check_key = check_variable),
};
const struct object_type policy_environment_type = STRICT(struct policy_environment, environment_fields);

static const struct field system_call_fields[] = {
	FIELD(struct policy_system_calls, deny, "deny", STRING_LIST, .check = check_system_call),
	FIELD(struct policy_system_calls, allow, "allow", STRING_LIST, .check = check_allowed_system_call),
	FIELD(struct policy_system_calls, action, "action", STRING, .allowed = denied_call_actions),
};
static const struct object_type system_calls_type = STRICT(struct policy_system_calls, system_call_fields);

static const struct field resource_fields[] = {
	FIELD(struct policy_resources, memory, "memory", STRING, .check = check_memory),
	FIELD(struct policy_resources, cpus, "cpus", STRING, .check = check_cpus),
	FIELD(struct policy_resources, pids, "pids", INT64, .has_range = true, .minimum = 1,
		.maximum = INT32_MAX),
};
static const struct object_type resources_type = STRICT(struct policy_resources, resource_fields);

static const struct field policy_fields[] = {
	FIELD(struct policy, schema, "$schema", STRING),
	FIELD(struct policy, description, "description", STRING),
	FIELD(struct policy, extends, "extends", STRING, .nonempty = true),
	FIELD(struct policy, network, "network", OBJECT, .object = &network_type),
	FIELD(struct policy, filesystem, "filesystem", OBJECT, .object = &filesystem_type),
	FIELD(struct policy, command, "command", OBJECT, .object = &command_type),
	FIELD(struct policy, ssh, "ssh", OBJECT, .object = &ssh_type),
	FIELD(struct policy, environment, "env", OBJECT, .object = &policy_environment_type),
	FIELD(struct policy, system_calls, "syscalls", OBJECT, .object = &system_calls_type),
	FIELD(struct policy, resources, "resources", OBJECT, .object = &resources_type),
	FIELD(struct policy, capabilities, "capabilities", STRING_LIST, .check = check_capability),
	FIELD(struct policy, landlock, "landlock", STRING, .allowed = needs),
	FIELD(struct policy, inbound_ports, "inboundPorts", STRING_LIST, .check = check_inbound),
	FIELD(struct policy, container_policies, "containerPolicies", STRING, .allowed = container_policies),
	FIELD(struct policy, allow_pty, "allowPty", BOOLEAN),
	FIELD(struct policy, mandatory_deny_search_depth, "mandatoryDenySearchDepth", UINT32,
		.has_range = true, .minimum = 1, .maximum = 10),
	FIELD(struct policy, ignore_violations, "ignoreViolations", JSON),
	FIELD(struct policy, weaker_nested_sandbox, "enableWeakerNestedSandbox", BOOLEAN),
	FIELD(struct policy, ripgrep, "ripgrep", JSON),
};
static const struct object_type policy_type = STRICT(struct policy, policy_fields);

/* Lists of strings */

bool string_list_has(const struct string_list *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], word) == 0)
			return true;
	return false;
}

static void push_string(struct arena *arena, struct string_list *list, const char *text)
{
	const char **slot = arena_push(arena, &list->items, &list->count, sizeof(*slot));

	*slot = text;
}

void string_list_add(struct arena *arena, struct string_list *list, const char *word)
{
	if (!string_list_has(list, word))
		push_string(arena, list, word);
}

void string_list_note(struct arena *arena, struct string_list *list, const char *format, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	push_string(arena, list, arena_strdup(arena, text));
}

/* Reading */

/* People write ports and sizes as numbers, too: 3000 is "3000" and 1.5 is "1.5". */
static void number_to_string(struct json *value)
{
	const char *text;

	if (!value || value->type != JSON_NUMBER)
		return;
	text = value->number;
	value->type = JSON_STRING;
	value->string = text;
}

static void normalize(struct json *tree)
{
	static const char *const scalars[] = { "memory", "cpus" };
	struct json *lists[] = { json_get(tree, "inboundPorts"),
		json_get(json_get(tree, "network"), "inboundPorts") };

	for (size_t i = 0; i < sizeof(scalars) / sizeof(scalars[0]); i++)
		number_to_string(json_get(json_get(tree, "resources"), scalars[i]));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (size_t j = 0; lists[i] && lists[i]->type == JSON_ARRAY && j < lists[i]->array.count; j++)
			number_to_string(lists[i]->array.items[j]);
}

/* Not by the table, whose message would repeat the password. json_get() looks into objects only, so NULL and other types are fine. */
static int check_proxies(
	const struct policy *policy, const struct json *tree, const char *name, struct error *err)
{
	static const struct json_place network = { .key = "network" };
	const struct json_place first = { .parent = &network, .key = "proxyUrl" },
				others = { .parent = &network, .key = "fallbackProxies" };
	const struct json *given = json_get(tree, "network");
	const struct string_list *list = &policy->network->fallback_proxies;
	const char *fault = policy->network->proxy_url ? check_proxy_url(policy->network->proxy_url) : NULL;

	if (fault)
		return json_error(err, name, json_get(given, first.key), &first, "the proxy's URL %s", fault);
	if (list->count && !policy->network->proxy_url)
		return json_error(err, name, json_get(given, others.key), &others,
			"there is no proxyUrl that these could stand in for");
	for (size_t i = 0; i < list->count; i++) {
		fault = check_proxy_url(list->items[i]);
		if (fault)
			return json_error(err, name, json_get(given, others.key), &others,
				"the URL of number %zu %s", i + 1, fault);
	}
	return 0;
}

static void make_objects(struct arena *arena, struct policy *policy)
{
	for (size_t i = 0; i < policy_type.count; i++) {
		void **slot = (void **)((char *)policy + policy_fields[i].offset);

		if (policy_fields[i].type == FIELD_OBJECT && !*slot)
			*slot = arena_alloc(arena, policy_fields[i].object->size);
	}
}

int policy_read(
	struct arena *arena, struct json *tree, const char *name, struct policy **policy, struct error *err)
{
	struct policy *model = arena_alloc(arena, sizeof(*model));

	normalize(tree);
	if (table_read(arena, &policy_type, tree, name, "", model, err) < 0)
		return -1;
	make_objects(arena, model);
	if (check_proxies(model, tree, name, err) < 0)
		return -1;
	for (size_t i = 0; i < model->inbound_ports.count; i++)
		string_list_add(arena, &model->network->inbound_ports, model->inbound_ports.items[i]);
	model->inbound_ports = (struct string_list){ 0 };
	*policy = model;
	return 0;
}

/* Merging */

static void merge_strings(struct arena *arena, struct string_list *list, const struct string_list *nearer)
{
	/* An empty list that is there says something (env.pass), so it is not the same as none. */
	if (nearer->items && !list->items)
		list->items = arena_alloc(arena, sizeof(*list->items));
	for (size_t i = 0; i < nearer->count; i++)
		string_list_add(arena, list, nearer->items[i]);
}

static void merge_numbers(struct arena *arena, struct uint32_list *list, const struct uint32_list *nearer)
{
	for (size_t i = 0; i < nearer->count; i++) {
		size_t j = 0;

		while (j < list->count && list->items[j] != nearer->items[i])
			j++;
		if (j == list->count)
			*(uint32_t *)arena_push(arena, &list->items, &list->count, sizeof(uint32_t)) =
				nearer->items[i];
	}
}

static void merge_map(struct arena *arena, struct string_map *map, const struct string_map *nearer)
{
	for (size_t i = 0; i < nearer->count; i++) {
		size_t j = 0;

		while (j < map->count && strcmp(map->items[j].key, nearer->items[i].key) != 0)
			j++;
		if (j == map->count)
			arena_push(arena, &map->items, &map->count, sizeof(*map->items));
		map->items[j] = nearer->items[i];
	}
}

/* All optional scalars of table.h begin with `set`. */
static void merge_scalar(enum field_type type, void *slot, const void *nearer)
{
	static const size_t sizes[] = {
		[FIELD_BOOLEAN] = sizeof(struct optional_bool),
		[FIELD_INT64] = sizeof(struct optional_int64),
		[FIELD_UINT32] = sizeof(struct optional_uint32),
		[FIELD_UINT16] = sizeof(struct optional_uint16),
	};

	if (*(const bool *)nearer)
		memcpy(slot, nearer, sizes[type]);
}

static void merge_objects(
	struct arena *arena, const struct object_type *type, void *model, const void *nearer)
{
	for (size_t i = 0; i < type->count; i++) {
		const struct field *field = &type->fields[i];
		void *slot = (char *)model + field->offset;
		const void *near = (const char *)nearer + field->offset;

		switch (field->type) {
		case FIELD_STRING:
		case FIELD_JSON:
			if (*(void *const *)near)
				*(void **)slot = *(void *const *)near;
			break;
		case FIELD_STRING_LIST:
			merge_strings(arena, slot, near);
			break;
		case FIELD_UINT32_LIST:
			merge_numbers(arena, slot, near);
			break;
		case FIELD_STRING_MAP:
			merge_map(arena, slot, near);
			break;
		case FIELD_OBJECT:
			merge_objects(arena, field->object, *(void **)slot, *(void *const *)near);
			break;
		default:
			merge_scalar(field->type, slot, near);
		}
	}
}

void policy_merge(struct arena *arena, struct policy *policy, const struct policy *nearer)
{
	merge_objects(arena, &policy_type, policy, nearer);
	merge_strings(arena, &policy->final_deny_read, &nearer->final_deny_read);
	merge_strings(arena, &policy->final_deny_write, &nearer->final_deny_write);
	merge_strings(arena, &policy->final_deny_commands, &nearer->final_deny_commands);
}

void policy_keep_denials(struct arena *arena, struct policy *policy, const struct policy *other)
{
	merge_strings(arena, &policy->filesystem->deny_read, &other->filesystem->deny_read);
	merge_strings(arena, &policy->filesystem->deny_write, &other->filesystem->deny_write);
	merge_strings(arena, &policy->network->denied_domains, &other->network->denied_domains);
	merge_strings(arena, &policy->command->deny, &other->command->deny);
	merge_strings(arena, &policy->ssh->denied_hosts, &other->ssh->denied_hosts);
	merge_strings(arena, &policy->ssh->denied_commands, &other->ssh->denied_commands);
	merge_strings(arena, &policy->environment->deny, &other->environment->deny);
	merge_strings(arena, &policy->system_calls->deny, &other->system_calls->deny);
}

void policy_make_final(struct arena *arena, struct policy *policy)
{
	merge_strings(arena, &policy->final_deny_read, &policy->filesystem->deny_read);
	merge_strings(arena, &policy->final_deny_write, &policy->filesystem->deny_write);
	merge_strings(arena, &policy->final_deny_commands, &policy->command->deny);
}

void policy_notes(struct arena *arena, const struct policy *policy, struct string_list *notes)
{
	const struct {
		bool given;
		const char *note;
	} keys[] = {
		{ policy->network->http_proxy_url,
			"network.httpProxyUrl does nothing on Linux: proxyUrl carries all traffic" },
		{ policy->network->http_proxy_port.set,
			"network.httpProxyPort does nothing: no port of the host is listened on" },
		{ policy->network->socks_proxy_port.set,
			"network.socksProxyPort does nothing: no port of the host is listened on" },
		{ policy->filesystem->wsl_interop, "filesystem.wslInterop does nothing: Windows programs "
						   "cannot be started from a sandbox" },
		{ policy->allow_pty.set,
			"allowPty does nothing: each sandbox has pseudo-terminals of its own" },
		{ policy->ignore_violations,
			"ignoreViolations does nothing: only macOS reports violations that way" },
		{ policy->ripgrep, "ripgrep does nothing: no program is run to search for protected files" },
		{ policy->weaker_nested_sandbox.set,
			"enableWeakerNestedSandbox does nothing: a sandbox is never weakened" },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (keys[i].given)
			string_list_note(arena, notes, "%s", keys[i].note);
}
