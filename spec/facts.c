/* Gathering facts: the policy's paths, and what the built-in lists name. See facts.h; resolving one path is facts_resolve.c,
 * searching for protected files is facts_protected.c.
 */
#include "spec/compile.h"
#include "spec/facts_internal.h"
#include "spec/glob.h"

#include "spec/cleanup.h"

#include <string.h>

/* What is readable without being named, where reading is denied by default. Nothing in which programs keep secrets: not the whole of
 * ~/.config, ~/.cache, ~/.npm or ~/.cargo. */
static const char *const default_readable[] = {
	"/bin",
	"/sbin",
	"/usr",
	"/lib",
	"/lib32",
	"/lib64",
	"/libx32",
	"/etc",
	"/opt",
	"/nix",
	"/gnu/store",
	"/snap",
	"/run/current-system", /* NixOS */
	"/run/opengl-driver",
	"~/.nvm",
	"~/.fnm",
	"~/.volta",
	"~/.n",
	"~/.pyenv",
	"~/.local/pipx",
	"~/.local/bin",
	"~/.rbenv",
	"~/.rvm",
	"~/.cargo/bin",
	"~/.cargo/env",
	"~/.rustup",
	"~/go/bin",
	"~/.go",
	"~/bin",
	"~/.bun/bin",
	"~/.deno/bin",
	"~/.bashrc",
	"~/.bash_profile",
	"~/.profile",
	"~/.zshrc",
	"~/.zprofile",
	"~/.zshenv",
	"~/.inputrc",
};

static const char *const default_writable[] = {
	"~/.npm/_logs",
};

/* Of /sys: how many CPUs there are, and what memory allocators and JITs ask. */
static const char *const system_readable[] = {
	"/sys/devices/system/cpu",
	"/sys/devices/system/node",
	"/sys/kernel/mm/transparent_hugepage",
};

/* Secrets in what is readable by default. To an ordinary user most are unreadable anyway. */
static const char *const system_secrets[] = {
	"/etc/shadow",
	"/etc/shadow-",
	"/etc/gshadow",
	"/etc/gshadow-",
	"/etc/sudoers",
	"/etc/sudoers.d",
	"/etc/ssl/private",
	"/etc/ssh/ssh_host_rsa_key",
	"/etc/ssh/ssh_host_ecdsa_key",
	"/etc/ssh/ssh_host_ed25519_key",
	"/etc/krb5.keytab",
	"/etc/wireguard",
	"/etc/NetworkManager/system-connections",
	"/etc/kubernetes",
	"/etc/rancher",
	"/etc/letsencrypt",
	"/etc/pki/tls/private",
	"/etc/apt/auth.conf",
	"/etc/docker/key.json",
	"/etc/ipsec.secrets",
	"/etc/ipsec.d/private",
	"/etc/swanctl",
	"/etc/openvpn",
	"/etc/ppp/chap-secrets",
	"/etc/ppp/pap-secrets",
	"/etc/wpa_supplicant",
	"/etc/netplan",
	"/etc/sssd",
	"/etc/security/opasswd",
};

static const char *absolute(const struct gatherer *gatherer, const char *rule)
{
	if (rule[0] == '/')
		return rule;
	if (rule[0] == '~')
		return gatherer->facts->home
			       ? arena_printf(gatherer->arena, "%s%s", gatherer->facts->home, rule + 1)
			       : NULL;
	return arena_printf(gatherer->arena, "%s/%s", gatherer->facts->cwd.path, rule);
}

/* A directory with "/" or "/" and two stars after it is that directory. */
static const char *strip_tail(const struct gatherer *gatherer, const char *rule, bool *directory)
{
	size_t length = strlen(rule);

	*directory = false;
	for (;;) {
		if (length > 1 && rule[length - 1] == '/')
			length--;
		else if (length > 3 && strncmp(rule + length - 3, "/**", 3) == 0)
			length -= 3;
		else
			break;
		*directory = true;
	}
	return arena_strndup(gatherer->arena, rule, length);
}

struct path_fact *facts_add(const struct gatherer *gatherer, struct path_facts *list)
{
	return arena_push(gatherer->arena, &list->items, &list->count, sizeof(*list->items));
}

/* What is in "/", but for what each sandbox has of its own. */
struct top_level {
	struct string_list directories, others;
	struct string_list
		covered;       /* directories whose place in the sandbox is empty but for what is named */
	bool has_mount_points; /* what every sandbox mounts has a directory to be mounted on, and no link */
};

static int list_root(struct arena *arena, struct top_level *found, struct error *err)
{
	static const char *const own[] = { "/dev", "/proc", "/tmp", "/sys", "/run", "/lost+found" };
	enum { MOUNTED = 3 }; /* the first ones: always */
	_cleanup_closedir_ DIR *root = opendir("/");
	struct dirent *entry;
	size_t present = 0;
	bool odd = false;

	if (!root)
		return error_set(err, errno, "cannot list /");
	while (errno = 0, (entry = readdir(root))) {
		const char *path = arena_printf(arena, "/%s", entry->d_name);
		bool directory = entry->d_type == DT_DIR;
		size_t i = 0;

		if (strcmp(path, "/.") == 0 || strcmp(path, "/..") == 0)
			continue;
		while (i < ARRAY_SIZE(own) && strcmp(own[i], path) != 0)
			i++;
		if (i == ARRAY_SIZE(own))
			string_list_add(arena, directory ? &found->directories : &found->others, path);
		else if (!directory)
			odd = true;
		else if (i < MOUNTED)
			present++;
		else
			string_list_add(arena, &found->covered, path);
	}
	if (errno)
		return error_set(err, errno, "cannot list /");
	found->has_mount_points = present == MOUNTED && !odd;
	return 0;
}

static void add_top_level(
	struct gatherer *gatherer, const struct string_list *paths, const char *rule, struct path_facts *list)
{
	for (size_t i = 0; i < paths->count; i++) {
		struct path_fact fact;

		resolve_path(gatherer, paths->items[i], true, &fact);
		if (fact.kind == PATH_MISSING)
			continue;
		fact.rule = rule;
		fact.optional = true;
		*facts_add(gatherer, list) = fact;
	}
}

static int gather_top_level(
	struct gatherer *gatherer, const char *rule, struct path_facts *list, struct error *err)
{
	struct top_level found = { 0 };

	if (list_root(gatherer->arena, &found, err) < 0)
		return -1;
	add_top_level(gatherer, &found.directories, rule, list);
	add_top_level(gatherer, &found.others, rule, list);
	return 0;
}

/* Everything is readable. Our own runtime can bind the root as it is and cover what is the sandbox's own: one mount instead of one
 * for each directory. */
static int gather_root(struct gatherer *gatherer, bool exported, struct error *err)
{
	struct facts *facts = gatherer->facts;
	struct top_level found = { 0 };

	if (list_root(gatherer->arena, &found, err) < 0)
		return -1;
	facts->root_is_bound = !exported && found.has_mount_points;
	if (facts->root_is_bound)
		facts->covered = found.covered;
	else
		add_top_level(gatherer, &found.directories, "/", &facts->top_level);
	add_top_level(gatherer, &found.others, "/", &facts->top_level);
	return 0;
}

enum list_kind { LIST_ALLOWS, LIST_DENIES };

static int add_resolved(struct gatherer *gatherer, const char *path, const char *rule, bool directory,
	enum list_kind kind, struct path_facts *list, struct error *err)
{
	struct path_fact fact;

	resolve_path(gatherer, path, true, &fact);
	if (kind == LIST_ALLOWS && strcmp(fact.path, "/") == 0)
		return gather_top_level(gatherer, rule, list, err);
	if (kind == LIST_DENIES)
		take_locked_directory(gatherer, &fact);
	if (fact.kind == PATH_MISSING && !fact.missing)
		return 0; /* it cannot be reached, by the command no more than by us */
	if (fact.kind == PATH_MISSING && kind == LIST_DENIES && !can_be_made(gatherer, &fact))
		return 0;
	fact.rule = rule;
	fact.directory_wanted = directory;
	*facts_add(gatherer, list) = fact;
	return 0;
}

/* Opening a directory that holds all of home because somebody stood there is never what was meant. */
static bool opens_too_much(struct gatherer *gatherer, const char *rule, const char *pattern)
{
	struct facts *facts = gatherer->facts;

	if (!facts->cwd_is_too_wide || rule[0] == '/' || rule[0] == '~')
		return false;
	if (!glob_is_pattern(rule)) {
		struct path_fact fact;

		resolve_path(gatherer, pattern, true, &fact);
		if (!path_is_within(facts->cwd.path, fact.path))
			return false;
	}
	string_list_note(gatherer->arena, &facts->notes,
		"\"%s\" opens nothing: the working directory %s is, or holds, the home directory; name the "
		"directory itself",
		rule, facts->cwd.path);
	return true;
}

static int gather_rule(struct gatherer *gatherer, const char *rule, enum list_kind kind,
	struct path_facts *list, struct error *err)
{
	struct string_list matches = { 0 }, locked = { 0 };
	bool directory;
	const char *stripped = strip_tail(gatherer, rule, &directory);
	const char *pattern = absolute(gatherer, stripped);

	if (!pattern) {
		string_list_note(gatherer->arena, &gatherer->facts->notes,
			"\"%s\" means nothing: the caller has no home directory", rule);
		return 0;
	}
	if (kind == LIST_ALLOWS && opens_too_much(gatherer, stripped, pattern))
		return 0;
	/* A file whose name happens to look like a pattern ("[id].tsx") is that file. */
	if (!glob_is_pattern(pattern) || path_exists(gatherer, pattern))
		return add_resolved(gatherer, pattern, rule, directory, kind, list, err);
	if (glob_expand(gatherer->arena, pattern, &matches, kind == LIST_DENIES ? &locked : NULL, err) < 0)
		return error_wrap(err, "the pattern \"%s\"", rule);
	/* What may not be searched may hold what is meant. The caller, being the owner, could open it. */
	for (size_t i = 0; i < locked.count; i++)
		if (is_own(gatherer, locked.items[i]) &&
			add_resolved(gatherer, locked.items[i], rule, true, kind, list, err) < 0)
			return -1;
	for (size_t i = 0; i < matches.count; i++)
		if (add_resolved(gatherer, matches.items[i], rule, directory, kind, list, err) < 0)
			return -1;
	return 0;
}

static int gather_rules(struct gatherer *gatherer, const struct string_list *rules, enum list_kind kind,
	struct path_facts *list, struct error *err)
{
	for (size_t i = 0; i < rules->count; i++)
		if (gather_rule(gatherer, rules->items[i], kind, list, err) < 0)
			return -1;
	return 0;
}

static int gather_policy(struct gatherer *gatherer, const struct policy *policy, struct error *err)
{
	const struct policy_filesystem *filesystem = policy->filesystem;
	struct facts *facts = gatherer->facts;
	const struct {
		const struct string_list *rules;
		enum list_kind kind;
		struct path_facts *list;
	} lists[] = {
		{ &filesystem->allow_read, LIST_ALLOWS, &facts->allow_read },
		{ &filesystem->deny_read, LIST_DENIES, &facts->deny_read },
		{ &filesystem->allow_write, LIST_ALLOWS, &facts->allow_write },
		{ &filesystem->deny_write, LIST_DENIES, &facts->deny_write },
		{ &filesystem->allow_execute, LIST_ALLOWS, &facts->allow_execute },
		{ &policy->final_deny_read, LIST_DENIES, &facts->final_deny_read },
		{ &policy->final_deny_write, LIST_DENIES, &facts->final_deny_write },
		{ &policy->network->allow_unix_sockets, LIST_ALLOWS, &facts->sockets },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (gather_rules(gatherer, lists[i].rules, lists[i].kind, lists[i].list, err) < 0)
			return -1;
	return 0;
}

/* The record is not the command's to change. */
static int keep_log(struct gatherer *gatherer, const struct policy *policy, struct error *err)
{
	const char *log = policy->network->log;

	if (!log || path_is_within(log, "/proc"))
		return 0;
	return gather_rule(gatherer, log, LIST_DENIES, &gatherer->facts->final_deny_write, err);
}

/* The built-in lists: only what exists, and no word about what doesn't. */
static void gather_builtin(
	struct gatherer *gatherer, const char *const *paths, size_t count, struct path_facts *list)
{
	for (size_t i = 0; i < count; i++) {
		const char *path = absolute(gatherer, paths[i]);
		struct path_fact fact;

		if (!path)
			continue;
		resolve_path(gatherer, path, true, &fact);
		if (fact.kind == PATH_MISSING)
			continue;
		fact.rule = paths[i];
		fact.optional = true;
		*facts_add(gatherer, list) = fact;
	}
}

/* The proxy's password is not for the command. */
static void hide_password(struct gatherer *gatherer, const struct policy *policy)
{
	const struct policy_network *network = policy->network;
	bool has_password = network->proxy_url && strchr(network->proxy_url, '@');

	for (size_t i = 0; i < network->fallback_proxies.count; i++)
		has_password = has_password || strchr(network->fallback_proxies.items[i], '@');
	if (has_password)
		gather_builtin(gatherer, policy->files.items, policy->files.count,
			&gatherer->facts->final_deny_read);
}

/* A pattern that begins like this is found again, wherever in the working directory it is moved; not where a link leads to it. */
static bool is_found_anywhere(const struct path_fact *fact)
{
	return fact->rule && strncmp(fact->rule, "**/", 3) == 0 && !fact->links.count;
}

static bool pin(struct gatherer *gatherer, const char *path, struct string_list *pinned)
{
	struct facts *facts = gatherer->facts;

	if (!path_is_within_any(path, &facts->allow_write) || string_list_has(pinned, path))
		return false;
	string_list_add(gatherer->arena, pinned, path);
	resolve_path(gatherer, path, false, facts_add(gatherer, &facts->pinned));
	return true;
}

static void pin_directories(struct gatherer *gatherer, const char *path, struct string_list *pinned)
{
	const char *slash;

	while ((slash = strrchr(path, '/')) != path) {
		path = arena_strndup(gatherer->arena, path, (size_t)(slash - path));
		if (!pin(gatherer, path, pinned))
			return;
	}
}

/* The directories and links that lead to what is denied. Moved away or pointed elsewhere, they would leave it to the next run, which
 * would look for it in their place. */
static void pin_ways(struct gatherer *gatherer, const struct path_facts *denied, struct string_list *pinned)
{
	for (size_t i = 0; i < denied->count; i++) {
		const struct path_fact *fact = &denied->items[i];

		if (!is_found_anywhere(fact))
			pin_directories(gatherer, fact->path, pinned);
		for (size_t j = 0; j < fact->links.count; j++)
			if (pin(gatherer, fact->links.items[j], pinned))
				pin_directories(gatherer, fact->links.items[j], pinned);
	}
}

static void pin_all_ways(struct gatherer *gatherer)
{
	const struct facts *facts = gatherer->facts;
	const struct path_facts *const lists[] = { &facts->deny_read, &facts->deny_write,
		&facts->final_deny_read, &facts->final_deny_write, &facts->secrets, &facts->sensitive,
		&facts->protected };
	struct string_list pinned = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		pin_ways(gatherer, lists[i], &pinned);
}

static void gather_place(struct gatherer *gatherer, const struct invocation *invocation)
{
	struct facts *facts = gatherer->facts;

	resolve_path(gatherer, invocation->cwd, true, &facts->cwd);
	facts->home = invocation->home;
	if (!facts->home)
		return;
	resolve_path(gatherer, facts->home, true, &facts->home_at);
	facts->cwd_is_too_wide = path_is_within(facts->home_at.path, facts->cwd.path);
}

int facts_gather(struct arena *arena, const struct policy *policy, const struct invocation *invocation,
	struct facts *facts, struct error *err)
{
	struct gatherer gatherer = { .arena = arena, .facts = facts, .err = err };
	const struct optional_bool *deny_read = &policy->filesystem->default_deny_read;
	bool strict = policy->filesystem->strict_deny_read.value;

	*facts = (struct facts){ 0 };
	gather_place(&gatherer, invocation);
	if (strcmp(facts->cwd.path, "/") == 0)
		facts->cwd_is_too_wide = true;
	if (gather_policy(&gatherer, policy, err) < 0 || keep_log(&gatherer, policy, err) < 0)
		return -1;
	if (deny_read->set && !deny_read->value && !strict) {
		if (gather_root(&gatherer, invocation->exported, err) < 0)
			return -1;
	} else if (!strict) {
		gather_builtin(
			&gatherer, default_readable, ARRAY_SIZE(default_readable), &facts->default_read);
	}
	gather_builtin(&gatherer, default_writable, ARRAY_SIZE(default_writable), &facts->default_write);
	gather_builtin(&gatherer, system_readable, ARRAY_SIZE(system_readable), &facts->system);
	for (size_t i = 0; i < ARRAY_SIZE(system_secrets); i++)
		if (access(system_secrets[i], R_OK) == 0)
			gather_builtin(&gatherer, &system_secrets[i], 1, &facts->secrets);
		else
			note_fault(&gatherer, errno, system_secrets[i]);
	gather_protected(&gatherer, policy);
	gather_denied_programs(&gatherer, policy, &invocation->env);
	hide_password(&gatherer, policy);
	pin_all_ways(&gatherer);
	resolve_path(&gatherer, "/etc/resolv.conf", true, &facts->resolv_conf);
	facts->tun = access("/dev/net/tun", R_OK | W_OK) == 0;
	return gatherer.failed ? -1 : 0;
}
