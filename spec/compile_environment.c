/* The command's environment: the caller's, without what loads code into programs and without credentials.
 *
 * Nothing of the policy, and no proxy's password, is ever in it.
 */
#include "spec/compile_internal.h"
#include "spec/glob.h"

#include "spec/cleanup.h"

#include <string.h>

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* Never passed, whatever the policy says: they make programs load code, or are fence's own to set. */
static const char *const never[] = { "LD_*", "DYLD_*", "GLIBC_TUNABLES", "FENCE_*" };

/* Passed even where the policy has a list of what passes: who, where, and in which language. */
static const char *const base[] = { "PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "COLORTERM", "LANG",
	"LANGUAGE", "LC_*", "TZ", "NO_COLOR", "COLUMNS", "LINES" };

/* Credentials, and the sockets of agents that hold some. */
static const char *const credentials[] = { "*_TOKEN", "*_SECRET", "*_SECRET_*", "*_SECRETS", "*_PASSWORD",
	"*_PASSWD", "*_PASS", "*_PWD", "*_PASSPHRASE", "*_KEY", "*_APIKEY", "*_ACCESS_KEY_ID", "*_PAT",
	"*_JWT", "*_AUTH", "*_CREDENTIALS", "*_CREDENTIALS_*", "*_CONNECTION_STRING", "*_DSN", "TOKEN",
	"SECRET", "SECRET_*", "PASSWORD", "PGPASSWORD", "SSHPASS", "DATABASE_URL", "*_DATABASE_URL", "AWS_*",
	"KUBECONFIG", "KRB5CCNAME", "DOCKER_AUTH_CONFIG", "VAULT_*", "SSH_AUTH_SOCK", "SSH_AGENT_PID",
	"GPG_AGENT_INFO", "GNOME_KEYRING_CONTROL", "DBUS_SESSION_BUS_ADDRESS", "XAUTHORITY", "DOCKER_HOST",
	"NPM_CONFIG__AUTH*", "npm_config__auth*", "NETRC" };

/* The caller's way out, often with a password in it. Inside, fence is the way out. */
static const char *const proxies[] = { "HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "ALL_PROXY", "RSYNC_PROXY",
	"NO_PROXY", "http_proxy", "https_proxy", "ftp_proxy", "all_proxy", "rsync_proxy", "no_proxy",
	"GRPC_PROXY", "grpc_proxy" };

/* What is said to programs where there is no TUN device: those that know of proxies find the one inside. */
#define LOCAL_PROXY "socks5h://127.0.0.1:18321"
static const char *const fallback[] = { "ALL_PROXY=" LOCAL_PROXY, "all_proxy=" LOCAL_PROXY,
	"HTTP_PROXY=" LOCAL_PROXY, "http_proxy=" LOCAL_PROXY, "HTTPS_PROXY=" LOCAL_PROXY,
	"https_proxy=" LOCAL_PROXY, "NO_PROXY=localhost,127.0.0.1", "no_proxy=localhost,127.0.0.1" };

static bool matches_any(const char *const *patterns, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (glob_match(patterns[i], name))
			return true;
	return false;
}

#define MATCHES(table, name) matches_any(table, ARRAY_SIZE(table), name)

static bool listed(const struct string_list *list, const char *name)
{
	return matches_any(list->items, list->count, name);
}

/* "scheme://user:password@host" */
static bool holds_password(const char *value)
{
	const char *authority = strstr(value, "://"), *end;

	if (!authority)
		return false;
	authority += strlen("://");
	end = authority + strcspn(authority, "/?# ");
	end = memrchr(authority, '@', (size_t)(end - authority));
	return end && memchr(authority, ':', (size_t)(end - authority));
}

enum verdict { PASS, DROP, DROP_CREDENTIAL };

static enum verdict judge(const struct compilation *compilation, const char *name, const char *value)
{
	const struct policy_environment *environment = compilation->policy->environment;

	if (MATCHES(never, name) || listed(&environment->deny, name))
		return DROP;
	if (listed(&environment->pass, name))
		return PASS;
	if (compilation->has_network && MATCHES(proxies, name))
		return DROP;
	/* A bundle is a file that others may read: nothing of the caller's that isn't asked for. */
	if (environment->pass.items || compilation->invocation->exported)
		return MATCHES(base, name) ? PASS : DROP;
	return MATCHES(credentials, name) || holds_password(value) ? DROP_CREDENTIAL : PASS;
}

static void set_variable(struct arena *arena, struct string_list *env, const char *name, const char *value)
{
	const char *variable = arena_printf(arena, "%s=%s", name, value);
	size_t length = strlen(name) + 1;

	for (size_t i = 0; i < env->count; i++) {
		if (strncmp(env->items[i], variable, length) == 0) {
			env->items[i] = variable;
			return;
		}
	}
	PUSH(arena, env, variable);
}

static bool has_variable(const struct string_list *env, const char *name)
{
	size_t length = strlen(name);

	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->items[i], name, length) == 0 && env->items[i][length] == '=')
			return true;
	return false;
}

static void pass_variables(const struct compilation *compilation)
{
	const struct string_list *env = &compilation->invocation->env;
	unsigned int dropped = 0;

	for (size_t i = 0; i < env->count; i++) {
		size_t length = strcspn(env->items[i], "=");
		const char *name = arena_strndup(compilation->arena, env->items[i], length);
		enum verdict verdict;

		if (!env->items[i][length] || !length)
			continue;
		verdict = judge(compilation, name, env->items[i] + length + 1);
		dropped += verdict == DROP_CREDENTIAL;
		if (verdict == PASS)
			PUSH(compilation->arena, &compilation->config->process->env, env->items[i]);
	}
	if (dropped)
		string_list_note(compilation->arena, &compilation->compiled->notes,
			"%u variables that look like credentials are not passed; env.pass names those that "
			"are needed",
			dropped);
}

void compile_environment(struct compilation *compilation)
{
	const struct string_map *set = &compilation->policy->environment->set;
	struct string_list *env = &compilation->config->process->env;
	const struct network_file *network = compilation->compiled->network;
	bool no_tun = network && network->tun && strcmp(network->tun, "never") == 0;

	pass_variables(compilation);
	if (!has_variable(env, "PATH"))
		set_variable(compilation->arena, env, "PATH", DEFAULT_PATH);
	if (!has_variable(env, "HOME") && compilation->facts->home)
		set_variable(compilation->arena, env, "HOME", compilation->facts->home);
	/* The caller's is not there inside; /tmp is. */
	if (has_variable(env, "TMPDIR"))
		set_variable(compilation->arena, env, "TMPDIR", "/tmp");
	for (size_t i = 0; no_tun && i < ARRAY_SIZE(fallback); i++)
		PUSH(compilation->arena, env, fallback[i]);
	for (size_t i = 0; i < set->count; i++)
		set_variable(compilation->arena, env, set->items[i].key, set->items[i].value);
	set_variable(compilation->arena, env, "FENCE_SANDBOX", "1");
}

/* An engine's container: what its image and its user set is meant for it, but for what the policy denies. */
void tighten_environment(
	struct arena *arena, const struct policy_environment *environment, struct oci_process *process)
{
	size_t kept = 0;

	for (size_t i = 0; i < process->env.count; i++) {
		const char *name =
			arena_strndup(arena, process->env.items[i], strcspn(process->env.items[i], "="));

		if (MATCHES(never, name) || listed(&environment->deny, name))
			continue;
		if (environment->pass.items && !listed(&environment->pass, name) && !MATCHES(base, name))
			continue;
		process->env.items[kept++] = process->env.items[i];
	}
	process->env.count = kept;
	for (size_t i = 0; i < environment->set.count; i++)
		set_variable(
			arena, &process->env, environment->set.items[i].key, environment->set.items[i].value);
	set_variable(arena, &process->env, "FENCE_SANDBOX", "1");
}
