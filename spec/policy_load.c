/* See policy_load.h. */
#include "spec/policy_load.h"

#include "spec/cleanup.h"
#include "spec/limits.h"
#include "spec/policy_check.h"
#include "spec/policy_tighten.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { EXTENDS_MAX = 10 };

/* The policies that led to the one being read: a chain on the stack. */
struct chain {
	const struct chain *from;
	const char *name;
	unsigned int depth;
};

struct loader {
	struct arena *arena;
	const struct policy_sources *sources;
	struct error *err;
	struct string_list files; /* that were read */
};

static int load_word(struct loader *loader, const char *word, const char *directory, const struct chain *from,
	struct policy **policy);

static const char *directory_of(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? arena_strndup(arena, path, (size_t)(slash - path) + (slash == path)) : ".";
}

/* The policy in `tree` over what it extends. `directory` is where its relative paths begin; NULL: it may name no file. */
static int finish_policy(struct loader *loader, struct json *tree, const char *name, const char *directory,
	const struct chain *from, struct policy **policy)
{
	struct chain chain = { from, name, from ? from->depth + 1 : 0 };
	struct policy *read, *base;

	for (const struct chain *link = from; link; link = link->from)
		if (strcmp(link->name, name) == 0)
			return error_set(loader->err, 0,
				"%s: extends: it leads back to itself; take one \"extends\" out", name);
	if (chain.depth > EXTENDS_MAX)
		return error_set(loader->err, 0, "%s: extends: the chain is longer than %d policies", name,
			EXTENDS_MAX);
	if (policy_read(loader->arena, tree, name, &read, loader->err) < 0)
		return -1;
	*policy = read;
	if (!read->extends)
		return 0;
	if (load_word(loader, read->extends, directory, &chain, &base) < 0)
		return error_wrap(loader->err, "%s: extends", name);
	policy_merge(loader->arena, base, read);
	base->extends = NULL;
	*policy = base;
	return 0;
}

static bool is_blank(const char *text, size_t length)
{
	return strspn(text, " \t\r\n") >= length;
}

/* An empty file is a policy that says nothing. */
static int parse_file(struct loader *loader, int fd, const char *path, struct json **tree)
{
	char start[512];
	struct stat status;
	ssize_t length;

	if (fstat(fd, &status) < 0)
		return error_set(loader->err, errno, "cannot read the policy %s", path);
	if (!S_ISREG(status.st_mode))
		return error_set(loader->err, 0, "the policy %s is not a file", path);
	length = pread(fd, start, sizeof(start) - 1, 0);
	if (length >= 0 && (size_t)length < sizeof(start) - 1) {
		start[length] = '\0';
		if (is_blank(start, (size_t)length)) {
			*tree = json_new_object(loader->arena);
			return 0;
		}
	}
	return json_parse_fd(loader->arena, fd, path, JSON_RELAXED, tree, loader->err);
}

/* 1: loaded; 0: there is no such file. */
static int load_file(
	struct loader *loader, const char *path, const struct chain *from, struct policy **policy)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct json *tree;

	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	if (fd < 0)
		return error_set(loader->err, errno, "cannot read the policy %s", path);
	string_list_add(loader->arena, &loader->files, path);
	if (parse_file(loader, fd, path, &tree) < 0 ||
		finish_policy(loader, tree, path, directory_of(loader->arena, path), from, policy) < 0)
		return -1;
	return 1;
}

static int load_text(struct loader *loader, const char *text, const char *name, enum json_flags flags,
	const char *directory, const struct chain *from, struct policy **policy)
{
	struct json *tree;

	if (json_parse(loader->arena, text, strlen(text), name, flags, &tree, loader->err) < 0)
		return -1;
	return finish_policy(loader, tree, name, directory, from, policy);
}

static bool is_file_name(const char *word)
{
	static const char *const endings[] = { ".json", ".jsonc" };
	size_t length = strlen(word);

	for (size_t i = 0; i < ARRAY_SIZE(endings); i++) {
		size_t ending = strlen(endings[i]);

		if (length > ending && strcmp(word + length - ending, endings[i]) == 0)
			return true;
	}
	return strchr(word, '/') != NULL || word[0] == '~';
}

static int unknown_name(struct loader *loader, const char *word)
{
	size_t count;
	const struct builtin_policy *builtins = builtin_policies(&count);
	const char **names = arena_array(loader->arena, count, sizeof(*names)), *nearest, *all = "";

	for (size_t i = 0; i < count; i++) {
		names[i] = builtins[i].name;
		all = arena_printf(loader->arena, "%s%s%s", all, i ? ", " : "", names[i]);
	}
	nearest = nearest_word(word, names, count);
	if (access(word, F_OK) == 0)
		return error_set(loader->err, 0, "there is no policy named \"%s\"; for the file write ./%s",
			word, word);
	if (nearest)
		return error_set(loader->err, 0, "there is no policy named \"%s\"; did you mean \"%s\"?",
			word, nearest);
	return error_set(loader->err, 0,
		"there is no policy named \"%s\"; the built-in ones are %s, and a file is written with its "
		"path",
		word, all);
}

/* A built-in policy, or one of the user's or the node's. The built-in ones come first, so that a name always means the same. */
static int load_named(
	struct loader *loader, const char *name, const struct chain *from, struct policy **policy)
{
	const char *const directories[] = { loader->sources->config_home, loader->sources->node };
	size_t count;
	const struct builtin_policy *builtins = builtin_policies(&count);

	for (size_t i = 0; i < count; i++)
		if (strcmp(builtins[i].name, name) == 0)
			return load_text(loader, builtins[i].text,
				arena_printf(loader->arena, "built-in policy %s", name), JSON_RELAXED, NULL,
				from, policy);
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++) {
		const char *path;
		int loaded;

		if (!directories[i])
			continue;
		path = arena_printf(loader->arena, "%s/policies/%s.json", directories[i], name);
		loaded = load_file(loader, path, from, policy);
		if (loaded)
			return loaded < 0 ? -1 : 0;
	}
	return unknown_name(loader, name);
}

static int load_word(struct loader *loader, const char *word, const char *directory, const struct chain *from,
	struct policy **policy)
{
	const char *path = word;
	int loaded;

	if (!*word)
		return error_set(loader->err, 0, "the policy's name is empty; name a policy or a file");
	if (!is_file_name(word))
		return load_named(loader, word, from, policy);
	if (!directory)
		return error_set(
			loader->err, 0, "\"%s\" is a file; here only the name of a policy may stand", word);
	if (word[0] == '~' && (word[1] != '/' || !loader->sources->home))
		return error_set(loader->err, 0, "\"%s\": only ~/ is known here", word);
	if (word[0] == '~')
		path = arena_printf(loader->arena, "%s%s", loader->sources->home, word + 1);
	else if (word[0] != '/' && strcmp(directory, ".") != 0)
		path = arena_printf(loader->arena, "%s/%s", directory, word);
	loaded = load_file(loader, path, from, policy);
	if (loaded == 0)
		return error_set(loader->err, ENOENT, "cannot read the policy %s", path);
	return loaded < 0 ? -1 : 0;
}

static const char *main_file(struct arena *arena, const char *directory)
{
	return directory ? arena_printf(arena, "%s/fence.json", directory) : NULL;
}

bool policy_node_exists(const char *node)
{
	char path[PATH_MAX];

	return (size_t)snprintf(path, sizeof(path), "%s/fence.json", node) < sizeof(path) &&
	       access(path, F_OK) == 0;
}

/* 1: there is one. */
static int load_node(struct loader *loader, struct policy **policy)
{
	const char *path = main_file(loader->arena, loader->sources->node);
	int loaded = path ? load_file(loader, path, NULL, policy) : 0;

	if (loaded > 0)
		policy_make_final(loader->arena, *policy);
	return loaded;
}

/* What the user chose, or has, or gets. */
static int load_users(struct loader *loader, struct policy **policy, struct string_list *notes)
{
	const struct policy_sources *sources = loader->sources;
	const char *path = main_file(loader->arena, sources->config_home);
	struct policy *own = NULL;
	int has_own = path ? load_file(loader, path, NULL, &own) : 0;

	if (has_own < 0)
		return -1;
	*policy = own;
	string_list_note(loader->arena, notes, "policy: %s",
		sources->chosen ? sources->chosen
		: has_own	? path
				: "the built-in default");
	if (!sources->chosen)
		return has_own ? 0 : load_named(loader, "default", NULL, policy);
	if (load_word(loader, sources->chosen, ".", NULL, policy) < 0)
		return -1;
	if (has_own)
		policy_keep_denials(loader->arena, *policy, own);
	return 0;
}

int policy_load(struct arena *arena, const struct policy_sources *sources, struct policy **policy,
	struct string_list *notes, struct error *err)
{
	struct loader loader = { .arena = arena, .sources = sources, .err = err };
	const char *const directories[] = { sources->config_home, sources->node };
	struct policy *node = NULL, *users;
	int has_node = load_node(&loader, &node);

	if (has_node < 0 || load_users(&loader, &users, notes) < 0)
		return -1;
	*policy = users;
	if (has_node) {
		string_list_note(
			arena, notes, "the node's policy comes first: %s", main_file(arena, sources->node));
		policy_merge(arena, node, users);
		*policy = node;
	}
	(*policy)->files = loader.files;
	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		if (directories[i])
			string_list_add(arena, &(*policy)->directories, directories[i]);
	return 0;
}

/* The command line */

static int check_words(const struct string_list *words, const char *option,
	const char *(*check)(const char *value), struct error *err)
{
	for (size_t i = 0; i < words->count; i++) {
		const char *fault = check(words->items[i]);

		if (fault)
			return error_set(err, 0, "%s: \"%s\" %s", option, words->items[i], fault);
	}
	return 0;
}

int policy_override(struct arena *arena, struct policy *policy, const struct policy_overrides *overrides,
	struct error *err)
{
	struct policy_network *network = policy->network;
	const char *fault = NULL;

	for (size_t i = 0; i < overrides->proxies.count; i++) {
		fault = check_proxy_url(overrides->proxies.items[i]);
		if (fault)
			return error_set(err, 0, "--proxy: the URL %s", fault);
	}
	fault = overrides->dns ? check_host_port(overrides->dns) : NULL;
	if (fault)
		return error_set(err, 0, "--dns: \"%s\" %s", overrides->dns, fault);
	if (check_words(&overrides->allow, "--allow", check_egress_rule, err) < 0 ||
		check_words(&overrides->inbound, "--port", check_inbound, err) < 0)
		return -1;
	if (overrides->proxies.count) {
		network->proxy_url = overrides->proxies.items[0];
		network->fallback_proxies = (struct string_list){ 0 };
	}
	for (size_t i = 1; i < overrides->proxies.count; i++)
		string_list_add(arena, &network->fallback_proxies, overrides->proxies.items[i]);
	if (overrides->log)
		network->log = overrides->log;
	if (overrides->dns)
		network->dns_address = overrides->dns;
	for (size_t i = 0; i < overrides->allow.count; i++)
		string_list_add(arena, &network->allowed_domains, overrides->allow.items[i]);
	for (size_t i = 0; i < overrides->inbound.count; i++)
		string_list_add(arena, &network->inbound_ports, overrides->inbound.items[i]);
	return 0;
}

/* Engines */

static bool governs_network(const struct policy *policy)
{
	const struct policy_network *network = policy->network;

	return network->proxy_url || network->dns_address || network->allowed_domains.items ||
	       network->denied_domains.items || network->inbound_ports.items || network->tun;
}

/* Not a built-in one: images have annotations, too, and some of those policies open a way out. */
static int load_node_policy(struct loader *loader, const char *name, struct policy **policy)
{
	const char *path = arena_printf(loader->arena, "%s/policies/%s.json", loader->sources->node, name);
	int loaded = load_file(loader, path, NULL, policy);

	if (loaded == 0)
		return error_set(loader->err, 0,
			"there is no %s; a built-in policy has to be named in such a file, by \"extends\"",
			path);
	return loaded < 0 ? -1 : 0;
}

/* The annotation's value: the name of one of the node's policies. */
static int load_annotation(struct loader *loader, const char *value, bool trusted, struct policy **policy)
{
	const char *start = value + strspn(value, " \t\r\n");
	int loaded;

	if (*start != '{' && !is_file_name(value))
		return load_node_policy(loader, value, policy);
	if (!trusted)
		return error_set(loader->err, 0,
			"only the name of a policy is taken here; a path or JSON would need "
			"\"containerPolicies\": \"any\" in the node's "
			"fence.json");
	if (*start != '{' && *value != '/')
		return error_set(
			loader->err, 0, "\"%s\": a policy's file is named by its absolute path here", value);
	loaded = *start == '{' ? load_text(loader, value, "the annotation", JSON_RELAXED,
					 loader->sources->node, NULL, policy)
			       : load_word(loader, value, loader->sources->node, NULL, policy);
	/* It may be anybody's, and the file would be made by root. */
	if (loaded == 0 && (*policy)->network->log)
		return error_set(loader->err, 0, "network.log: only a policy of the node's own names a log");
	return loaded;
}

int policy_load_container(
	struct arena *arena, const char *node, const char *name, struct policy **policy, struct error *err)
{
	const struct policy_sources sources = { .node = node };
	struct loader loader = { .arena = arena, .sources = &sources, .err = err };
	struct policy *floor = NULL, *named = NULL;
	int has_floor = load_node(&loader, &floor);
	bool trusted;

	if (has_floor < 0)
		return -1;
	if (!has_floor && !name)
		return error_set(err, ENOENT, "there is no %s/fence.json", node);
	if (has_floor)
		floor->governs_network = governs_network(floor);
	*policy = floor;
	if (!name)
		return 0;
	trusted = has_floor && floor->container_policies && strcmp(floor->container_policies, "any") == 0;
	if (load_annotation(&loader, name, trusted, &named) < 0)
		return -1;
	/* As at the front door: a policy without a rule for the network has none. */
	named->governs_network = true;
	if (has_floor)
		policy_tighten(arena, floor, named);
	else
		*policy = named;
	return 0;
}
