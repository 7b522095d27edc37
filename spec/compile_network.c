/* The way out: what network.json tells the hook and the relay. See network.h. */
#include "spec/compile_internal.h"

#include "spec/cleanup.h"

#include <string.h>
#include <strings.h>

/* Stand-in address of the relay's resolver; any address would do, since port 53 is captured. */
#define RESOLV_CONF "nameserver 198.18.0.2\noptions edns0\n"

enum { HOOK_SECONDS = 10 };

const char *compile_resolv_conf(void)
{
	return RESOLV_CONF;
}

/* The whole of the host's loopback. */
static bool reaches_localhost(const struct policy_network *network)
{
	if (network->allow_local_outbound.set)
		return network->allow_local_outbound.value;
	return network->allow_local_binding.value;
}

static bool names_loopback(const char *rule)
{
	static const char *const beginnings[] = { "127.", "::1", "[::1]" };
	static const char name[] = "localhost";
	const char *scheme = strstr(rule, "://");
	size_t length = strlen(name);

	if (scheme)
		rule = scheme + strlen("://");
	if (strncasecmp(rule, name, length) == 0 && (!rule[length] || rule[length] == ':'))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(beginnings); i++)
		if (strncmp(rule, beginnings[i], strlen(beginnings[i])) == 0)
			return true;
	return false;
}

/* All of it, or by port; or by a rule of its own, unless the policy says that it is not to be reached. Returns whether any of it is. */
static bool allow_local(struct arena *arena, const struct policy_network *network, struct string_list *allow)
{
	const struct uint32_list *ports = &network->allow_local_outbound_ports;
	bool by_rule = false;

	for (size_t i = 0; i < allow->count; i++)
		by_rule |= names_loopback(allow->items[i]);
	for (size_t i = 0; i < ports->count; i++)
		string_list_add(arena, allow, arena_printf(arena, "localhost:%u", ports->items[i]));
	if (!ports->count && reaches_localhost(network))
		string_list_add(arena, allow, "localhost");
	return ports->count || reaches_localhost(network) || (by_rule && !network->allow_local_outbound.set);
}

struct network_file *network_of_policy(struct arena *arena, const struct policy *policy)
{
	const struct policy_network *network = policy->network;
	struct network_file *file = arena_alloc(arena, sizeof(*file));
	bool proxy = network->proxy_url != NULL;
	bool local,
		rules = network->allowed_domains.items; /* a list that is there and empty allows nothing */

	if (proxy)
		string_list_add(arena, &file->proxies, network->proxy_url);
	for (size_t i = 0; proxy && i < network->fallback_proxies.count; i++)
		string_list_add(arena, &file->proxies, network->fallback_proxies.items[i]);
	file->dns = network->dns_address;
	for (size_t i = 0; i < network->allowed_domains.count; i++)
		string_list_add(arena, &file->allow, network->allowed_domains.items[i]);
	for (size_t i = 0; i < network->denied_domains.count; i++)
		string_list_add(arena, &file->deny, network->denied_domains.items[i]);
	local = allow_local(arena, network, &file->allow);
	for (size_t i = 0; i < network->inbound_ports.count; i++)
		string_list_add(arena, &file->inbound, network->inbound_ports.items[i]);
	if (!proxy && !file->allow.count && !file->inbound.count)
		return NULL;
	/* A proxy without a list is greywall's way: the proxy decides. */
	file->default_action = proxy && !rules ? "allow" : "deny";
	file->tun = network->tun ? network->tun : "preferred";
	/* Splicing costs half as much again at the start, and downloads were faster without (make bench-net). */
	file->datapath = network->datapath ? network->datapath : "translate";
	file->allow_local_outbound = (struct optional_bool){ true, local };
	file->check_server_name = network->check_server_name;
	file->log = network->log;
	return file;
}

int compile_network(struct compilation *compilation, struct error *err)
{
	struct network_file *file = compilation->compiled->network;

	if (!file || compilation->facts->tun || strcmp(file->tun, "never") == 0)
		return 0;
	if (strcmp(file->tun, "required") == 0)
		return error_set(err, 0,
			"network.tun: it is \"required\", but /dev/net/tun cannot be opened here; give the "
			"user access to it, or write "
			"\"preferred\"");
	file->tun = "never";
	string_list_note(compilation->arena, &compilation->compiled->notes,
		"/dev/net/tun cannot be opened: only programs that obey the proxy variables reach the "
		"network (SOCKS5 on 127.0.0.1:18321)");
	return 0;
}

static void add_hook(struct arena *arena, oci_hook_list *list, const char *path, const char *verb,
	const char *network_path)
{
	struct oci_hook hook = { .path = path, .timeout = { true, HOOK_SECONDS } };
	const char *slash = strrchr(path, '/');

	string_list_add(arena, &hook.args, slash ? slash + 1 : path);
	string_list_add(arena, &hook.args, verb);
	if (network_path) {
		string_list_add(arena, &hook.args, "--config");
		string_list_add(arena, &hook.args, network_path);
	}
	PUSH(arena, list, hook);
}

void add_network_hooks(
	struct arena *arena, struct oci_config *config, const char *hook, const char *network_path)
{
	if (!config->hooks)
		config->hooks = arena_alloc(arena, sizeof(*config->hooks));
	add_hook(arena, &config->hooks->create_runtime, hook, "up", network_path);
	add_hook(arena, &config->hooks->poststop, hook, "down", network_path);
}
