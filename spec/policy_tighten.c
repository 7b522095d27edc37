/* See policy_tighten.h. What is denied by either is denied; what is allowed must be allowed by both. */
#include "spec/policy_tighten.h"

#include "spec/cleanup.h"
#include "spec/limits.h"

#include <string.h>
#include <strings.h>

/* Does what the floor allows by `wide` hold all that `narrow` allows? */
typedef bool covers(const char *wide, const char *narrow);

static bool same_word(const char *wide, const char *narrow)
{
	return strcmp(wide, narrow) == 0;
}

/* By their words alone; anything that leads out of where it seems to be is not covered. */
static bool covers_path(const char *wide, const char *narrow)
{
	size_t length = strlen(wide);

	if (strcmp(wide, narrow) == 0)
		return true;
	while (length > 3 && strncmp(wide + length - 3, "/**", 3) == 0)
		length -= 3;
	if (strpbrk(wide, "*?[") && strcspn(wide, "*?[") < length)
		return false;
	if (strstr(narrow, ".."))
		return false;
	if (length == 1 && *wide == '.')
		return *narrow != '/' && *narrow != '~';
	if (length == 1 && *wide == '/')
		return true;
	return strncmp(wide, narrow, length) == 0 && narrow[length] == '/';
}

struct egress_parts {
	size_t protocol; /* length of "tcp://" or "udp://", or 0 */
	const char *host;
	size_t host_length;
	const char *port; /* with its colon, or "" */
};

static struct egress_parts split(const char *rule)
{
	struct egress_parts parts = { 0 };
	const char *colon, *bracket;

	if (strncmp(rule, "tcp://", 6) == 0 || strncmp(rule, "udp://", 6) == 0)
		parts.protocol = 6;
	parts.host = rule + parts.protocol;
	colon = strrchr(parts.host, ':');
	bracket = strrchr(parts.host, ']');
	if (colon && (bracket ? colon > bracket : strchr(parts.host, ':') == colon))
		parts.port = colon;
	else
		parts.port = parts.host + strlen(parts.host);
	parts.host_length = (size_t)(parts.port - parts.host);
	return parts;
}

static bool covers_host(const struct egress_parts *wide, const struct egress_parts *narrow);

/* What "*" does not mean, to the relay either (netns/egress.c): addresses, of which it refuses some until they are named, and names
 * that are each host's own, or its cloud's. */
static bool must_be_named(const struct egress_parts *rule)
{
	static const char below[] = ".localhost";
	static const char *const names[] = { "localhost", "localhost.localdomain", "localhost4.localdomain4",
		"localhost6.localdomain6", "metadata.google.internal", "metadata.goog",
		"instance-data.ec2.internal" };
	size_t tail = strlen(below);

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		const struct egress_parts name = { .host = names[i], .host_length = strlen(names[i]) };

		if (covers_host(rule, &name))
			return true;
	}
	return (rule->host_length > tail &&
		       strncasecmp(rule->host + rule->host_length - tail, below, tail) == 0) ||
	       memchr(rule->host, ':', rule->host_length) ||
	       strspn(rule->host, "0123456789./") >= rule->host_length;
}

static bool covers_host(const struct egress_parts *wide, const struct egress_parts *narrow)
{
	size_t suffix;

	if (wide->host_length == narrow->host_length &&
		strncasecmp(wide->host, narrow->host, wide->host_length) == 0)
		return true;
	if (wide->host_length == 1 && *wide->host == '*')
		return !must_be_named(narrow);
	if (wide->host_length < 3 || wide->host[0] != '*' || wide->host[1] != '.')
		return false;
	suffix = wide->host_length - 1; /* ".example.com" */
	return narrow->host_length > suffix &&
	       strncasecmp(narrow->host + narrow->host_length - suffix, wide->host + 1, suffix) == 0;
}

static bool covers_rule(const char *wide, const char *narrow)
{
	struct egress_parts wide_parts = split(wide), narrow_parts = split(narrow);

	if (wide_parts.protocol && (!narrow_parts.protocol || strncmp(wide, narrow, 6) != 0))
		return false;
	if (*wide_parts.port && strcmp(wide_parts.port, narrow_parts.port) != 0)
		return false;
	return covers_host(&wide_parts, &narrow_parts);
}

/* What both allow. A list that is not there allows whatever the other does, unless its absence allows nothing. */
static void intersect(struct arena *arena, struct string_list *floor, const struct string_list *named,
	bool absent_allows, covers *covers_item)
{
	struct string_list both = { .items = arena_alloc(arena, sizeof(char *)) };

	if (!named->items && absent_allows)
		return;
	if (!floor->items && absent_allows) {
		*floor = *named;
		return;
	}
	for (size_t i = 0; i < named->count; i++)
		for (size_t j = 0; j < floor->count; j++)
			if (covers_item(floor->items[j], named->items[i]))
				string_list_add(arena, &both, named->items[i]);
	/* And where the named policy is the wider one. */
	for (size_t i = 0; i < floor->count; i++)
		for (size_t j = 0; j < named->count; j++)
			if (covers_item(named->items[j], floor->items[i]))
				string_list_add(arena, &both, floor->items[i]);
	*floor = both;
}

static void append(struct arena *arena, struct string_list *floor, const struct string_list *named)
{
	for (size_t i = 0; i < named->count; i++)
		string_list_add(arena, floor, named->items[i]);
}

static void both_true(struct optional_bool *floor, const struct optional_bool *named)
{
	if (named->set && !named->value)
		*floor = *named;
}

static void either_true(struct optional_bool *floor, const struct optional_bool *named)
{
	if (named->set && (named->value || !floor->set))
		*floor = *named;
}

/* The word that comes first in `order`; NULL is the last but as strict as `unset`. */
static void strictest(const char **floor, const char *named, const char *const *order)
{
	for (; *order; order++) {
		if ((*floor && strcmp(*floor, *order) == 0) || (named && strcmp(named, *order) == 0)) {
			*floor = *order;
			return;
		}
	}
}

/* Whether a policy lets everything go to its proxy, which decides. */
static bool leaves_it_to_the_proxy(const struct policy_network *network)
{
	return network->proxy_url && !network->allowed_domains.items;
}

/* The way out is the node's: another proxy would be another way. */
static void tighten_rules(
	struct arena *arena, struct policy_network *network, const struct policy_network *asked)
{
	if (leaves_it_to_the_proxy(asked))
		return;
	if (leaves_it_to_the_proxy(network)) {
		network->allowed_domains = asked->allowed_domains;
		/* Nothing, if the other says nothing; without a list it would be everything. */
		if (!network->allowed_domains.items)
			network->allowed_domains.items = arena_alloc(arena, sizeof(char *));
		return;
	}
	intersect(arena, &network->allowed_domains, &asked->allowed_domains, false, covers_rule);
}

static bool has_port(const struct uint32_list *ports, uint32_t port)
{
	for (size_t i = 0; i < ports->count; i++)
		if (ports->items[i] == port)
			return true;
	return false;
}

/* The host's own ports: all, or those of a list. */
static void tighten_local(struct policy_network *network, const struct policy_network *asked)
{
	size_t kept = 0;

	if (asked->allow_local_outbound.value)
		return;
	if (network->allow_local_outbound.value) {
		network->allow_local_outbound.value = false;
		network->allow_local_outbound_ports = asked->allow_local_outbound_ports;
		return;
	}
	for (size_t i = 0; i < network->allow_local_outbound_ports.count; i++)
		if (has_port(
			    &asked->allow_local_outbound_ports, network->allow_local_outbound_ports.items[i]))
			network->allow_local_outbound_ports.items[kept++] =
				network->allow_local_outbound_ports.items[i];
	network->allow_local_outbound_ports.count = kept;
}

static void tighten_network(struct arena *arena, struct policy *floor, const struct policy *named)
{
	static const char *const tun_order[] = { "required", "preferred", "never", NULL };
	struct policy_network *network = floor->network;
	const struct policy_network *asked = named->network;

	append(arena, &network->denied_domains, &asked->denied_domains);
	strictest(&network->tun, asked->tun, tun_order);
	if (!network->datapath) /* of speed alone */
		network->datapath = asked->datapath;
	if (!network->log) /* the node's own goes first */
		network->log = asked->log;
	both_true(&network->allow_all_unix_sockets, &asked->allow_all_unix_sockets);
	either_true(&network->check_server_name, &asked->check_server_name);
	if (floor->governs_network) {
		tighten_rules(arena, network, asked);
		intersect(arena, &network->inbound_ports, &asked->inbound_ports, false, same_word);
		tighten_local(network, asked);
		return;
	}
	/* The node has nothing to say about the network. */
	network->proxy_url = asked->proxy_url;
	network->fallback_proxies = asked->fallback_proxies;
	network->dns_address = asked->dns_address;
	network->allowed_domains = asked->allowed_domains;
	network->inbound_ports = asked->inbound_ports;
	network->allow_local_outbound = asked->allow_local_outbound;
	network->allow_local_outbound_ports = asked->allow_local_outbound_ports;
}

static void tighten_resources(struct policy_resources *floor, const struct policy_resources *named)
{
	if (named->memory && (!floor->memory || parse_memory(named->memory) < parse_memory(floor->memory)))
		floor->memory = named->memory;
	if (named->cpus && (!floor->cpus || parse_cpus(named->cpus) < parse_cpus(floor->cpus)))
		floor->cpus = named->cpus;
	if (named->pids.set && (!floor->pids.set || named->pids.value < floor->pids.value))
		floor->pids = named->pids;
}

static void tighten_files(struct arena *arena, struct policy *floor, const struct policy *named)
{
	struct policy_filesystem *files = floor->filesystem;
	const struct policy_filesystem *asked = named->filesystem;

	append(arena, &files->deny_read, &asked->deny_read);
	append(arena, &files->deny_write, &asked->deny_write);
	append(arena, &floor->final_deny_read, &named->final_deny_read);
	append(arena, &floor->final_deny_write, &named->final_deny_write);
	intersect(arena, &files->allow_read, &asked->allow_read, true, covers_path);
	intersect(arena, &files->allow_write, &asked->allow_write, true, covers_path);
	intersect(arena, &files->allow_execute, &asked->allow_execute, true, covers_path);
	either_true(&files->default_deny_read, &asked->default_deny_read);
	either_true(&files->strict_deny_read, &asked->strict_deny_read);
	files->allow_git_config.value &= asked->allow_git_config.value;
}

static bool in_force(const struct policy_ssh *ssh)
{
	return ssh->allowed_hosts.count || ssh->denied_hosts.count;
}

static void tighten_ssh(struct arena *arena, struct policy_ssh *ssh, const struct policy_ssh *asked)
{
	bool lists = ssh->allowed_hosts.count && asked->allowed_hosts.count;

	if (!in_force(asked))
		return;
	if (!in_force(ssh)) {
		*ssh = *asked;
		return;
	}
	append(arena, &ssh->denied_hosts, &asked->denied_hosts);
	append(arena, &ssh->denied_commands, &asked->denied_commands);
	intersect(arena, &ssh->allowed_hosts, &asked->allowed_hosts, true, same_word);
	if (lists && !ssh->allowed_hosts.count) /* an empty list would allow all */
		string_list_add(arena, &ssh->denied_hosts, "*");
	if (ssh->allow_all_commands.value)
		ssh->allowed_commands = asked->allowed_commands;
	else if (!asked->allow_all_commands.value)
		intersect(arena, &ssh->allowed_commands, &asked->allowed_commands, false, same_word);
	ssh->allow_all_commands.value &= asked->allow_all_commands.value;
	either_true(&ssh->inherit_deny, &asked->inherit_deny);
}

static void tighten_commands(struct arena *arena, struct policy *floor, const struct policy *named)
{
	static const char *const policies[] = { "path", NULL };
	struct policy_command *command = floor->command;

	append(arena, &floor->final_deny_commands, &named->final_deny_commands);
	append(arena, &command->deny, &named->command->deny);
	intersect(arena, &command->allow, &named->command->allow, false, same_word);
	if (!named->command->use_defaults.set || named->command->use_defaults.value)
		command->use_defaults = named->command->use_defaults;
	strictest(&command->runtime_exec_policy, named->command->runtime_exec_policy, policies);
}

/* The floor's values stay. */
static void set_variables(struct arena *arena, struct string_map *floor, const struct string_map *named)
{
	for (size_t i = 0; i < named->count; i++) {
		size_t j = 0;

		while (j < floor->count && strcmp(floor->items[j].key, named->items[i].key) != 0)
			j++;
		if (j == floor->count)
			*(struct string_pair *)arena_push(
				arena, &floor->items, &floor->count, sizeof(*floor->items)) = named->items[i];
	}
}

void policy_tighten(struct arena *arena, struct policy *floor, const struct policy *named)
{
	static const char *const needs[] = { "required", "preferred", "never", NULL };
	static const char *const actions[] = { "kill", "errno", NULL };

	tighten_files(arena, floor, named);
	tighten_commands(arena, floor, named);
	tighten_ssh(arena, floor->ssh, named->ssh);
	tighten_network(arena, floor, named);
	tighten_resources(floor->resources, named->resources);
	strictest(&floor->landlock, named->landlock, needs);
	strictest(&floor->system_calls->action, named->system_calls->action, actions);
	append(arena, &floor->system_calls->deny, &named->system_calls->deny);
	intersect(arena, &floor->system_calls->allow, &named->system_calls->allow, false, same_word);
	intersect(arena, &floor->capabilities, &named->capabilities, true, same_word);
	append(arena, &floor->environment->deny, &named->environment->deny);
	intersect(arena, &floor->environment->pass, &named->environment->pass, true, same_word);
	set_variables(arena, &floor->environment->set, &named->environment->set);
	floor->governs_network |= named->governs_network;
}
