/* ssh.*: where ssh, scp, sftp and rsync may go, and what ssh may run there. See command_internal.h.
 *
 * Options that lead elsewhere than the words say (ProxyCommand, HostName, another configuration) are refused where rules about hosts
 * hold.
 */
#include "spec/command_internal.h"
#include "spec/glob.h"

#include "spec/cleanup.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define SSH_WITH_VALUE "BbcDEeFIiJLlmOoPpQRSWw"

static bool refuse(struct inspection *inspection, const char *what, const char *reason)
{
	inspection->why = arena_printf(inspection->arena, "is denied: %s %s", what, reason);
	return false;
}

static bool host_in(const struct string_list *patterns, const char *host)
{
	char pattern[256], name[256];

	for (size_t i = 0; i < patterns->count; i++) {
		size_t j;

		for (j = 0; j < sizeof(pattern) - 1 && patterns->items[i][j]; j++)
			pattern[j] = (char)tolower((unsigned char)patterns->items[i][j]);
		pattern[j] = '\0';
		for (j = 0; j < sizeof(name) - 1 && host[j]; j++)
			name[j] = (char)tolower((unsigned char)host[j]);
		name[j] = '\0';
		if (glob_match(pattern, name))
			return true;
	}
	return false;
}

/* "user@host", "ssh://user@host:port/", "host:path" where `path` may follow. */
static bool inspect_host(struct inspection *inspection, const char *word)
{
	const struct policy_ssh *ssh = inspection->policy->ssh;
	const char *scheme = strstr(word, "://"), *start = scheme ? scheme + 3 : word, *at;
	size_t length = strcspn(start, scheme ? "/" : "\1");
	const char *host;

	at = memrchr(start, '@', length);
	if (at) {
		length -= (size_t)(at + 1 - start);
		start = at + 1;
	}
	if (*start == '[') {
		start++;
		length = strcspn(start, "]");
	} else {
		length = strnlen(start, length);
		length = scheme ? strcspn(start, ":/") < length ? strcspn(start, ":/") : length : length;
	}
	host = arena_strndup(inspection->arena, start, length);
	if (host_in(&ssh->denied_hosts, host))
		return refuse(inspection, host, "is in ssh.deniedHosts");
	if (ssh->allowed_hosts.count && !host_in(&ssh->allowed_hosts, host))
		return refuse(inspection, host, "is not in ssh.allowedHosts");
	return true;
}

static bool inspect_hosts(struct inspection *inspection, const char *list)
{
	while (*list) {
		size_t length = strcspn(list, ",");

		if (!inspect_host(inspection, arena_strndup(inspection->arena, list, length)))
			return false;
		list += length + (list[length] == ',');
	}
	return true;
}

/* "-o Name=value", "-o Name value", "-oName=value". */
static bool inspect_option(struct inspection *inspection, const char *option)
{
	static const char *const elsewhere[] = { "ProxyCommand", "HostName", "RemoteCommand", "LocalCommand",
		"PermitLocalCommand", "Include", "KnownHostsCommand", "Match", "ControlPath",
		"ProxyUseFdpass" };
	size_t length;

	option += strspn(option, " \t");
	length = strcspn(option, "= \t");
	for (size_t i = 0; i < ARRAY_SIZE(elsewhere); i++)
		if (strlen(elsewhere[i]) == length && strncasecmp(elsewhere[i], option, length) == 0)
			return refuse(inspection, elsewhere[i],
				"leads where ssh.allowedHosts and ssh.deniedHosts cannot see");
	if (length == strlen("ProxyJump") && strncasecmp(option, "ProxyJump", length) == 0)
		return inspect_hosts(inspection, option + length + strspn(option + length, "= \t"));
	return true;
}

/* One option word and its value; *at moves on. */
static bool inspect_ssh_option(struct inspection *inspection, const struct string_list *words, size_t *at)
{
	const char *letters = words->items[*at] + 1, *value;

	for (; *letters && !strchr(SSH_WITH_VALUE, *letters); letters++)
		;
	if (!*letters)
		return true;
	value = letters[1] ? letters + 1 : *at + 1 < words->count ? words->items[++*at] : "";
	switch (*letters) {
	case 'o':
		return inspect_option(inspection, value);
	case 'J':
		return inspect_hosts(inspection, value);
	case 'F':
		return refuse(
			inspection, "-F", "names a configuration that the rules about hosts cannot see");
	case 'S':
		return refuse(inspection, "-S", "uses a connection that the rules about hosts cannot see");
	}
	return true;
}

static bool inspect_remote(struct inspection *inspection, const char *line)
{
	const struct policy_ssh *ssh = inspection->policy->ssh;
	struct shell_commands commands = { 0 };

	shell_split(inspection->arena, line, &commands);
	if (commands.too_deep)
		return refuse(inspection, "the remote command", "is nested deeper than can be looked at");
	for (size_t i = 0; i < commands.count; i++) {
		const struct string_list *words = &commands.items[i].words;
		const char *rule;

		if (ssh->inherit_deny.value && !inspect_words(inspection, words, 0))
			return false;
		rule = matching_rule(&ssh->denied_commands, words, 0);
		if (rule)
			return refuse(inspection, rule, "is in ssh.deniedCommands");
		if (!ssh->allow_all_commands.value && !matching_rule(&ssh->allowed_commands, words, 0))
			return refuse(inspection, words->items[0], "is not in ssh.allowedCommands");
	}
	return true;
}

static bool inspect_ssh_words(struct inspection *inspection, const struct string_list *words, size_t first)
{
	size_t at;
	bool host_seen = false;

	/* Options may stand behind the host, too. */
	for (at = first + 1; at < words->count; at++) {
		const char *word = words->items[at];

		if (*word == '-' && word[1]) {
			if (strcmp(word, "--") != 0 && !inspect_ssh_option(inspection, words, &at))
				return false;
			continue;
		}
		if (host_seen)
			break;
		if (!inspect_host(inspection, word))
			return false;
		host_seen = true;
	}
	return at == words->count || inspect_remote(inspection, join_words(inspection->arena, words, at));
}

/* rsync -e PROGRAM; "ssh" is what it would run anyway. */
static bool runs_other_program(const struct string_list *words, size_t at)
{
	const char *word = words->items[at];

	if (strncmp(word, "--rsh", 5) == 0)
		return strcmp(word, "--rsh=ssh") != 0;
	if (strncmp(word, "--rsync-path", 12) == 0)
		return true;
	if (word[0] != '-' || word[1] == '-' || !strchr(word, 'e'))
		return false;
	word = strchr(word, 'e') + 1;
	return strcmp(*word ? word : at + 1 < words->count ? words->items[at + 1] : "", "ssh") != 0;
}

/* Copying: each word that names a host. */
static bool inspect_copy(
	struct inspection *inspection, const struct string_list *words, size_t first, bool hosts_alone)
{
	const struct policy_ssh *ssh = inspection->policy->ssh;
	const char *program = base_name(words->items[first]);

	for (size_t at = first + 1; at < words->count; at++) {
		const char *word = words->items[at];
		size_t colon = strcspn(word, ":/");

		if (strcmp(program, "rsync") == 0 && runs_other_program(words, at))
			return refuse(
				inspection, word, "runs a program that the rules about hosts cannot see");
		if (*word == '-') {
			if (strcmp(program, "rsync") != 0 && word[1] != '-' &&
				!inspect_ssh_option(inspection, words, &at))
				return false;
			continue;
		}
		if (strstr(word, "://") || (*word == '[' && strchr(word, ']'))) {
			if (!inspect_host(inspection, word))
				return false;
		} else if (word[colon] == ':' || hosts_alone) {
			if (!inspect_host(inspection, arena_strndup(inspection->arena, word, colon)))
				return false;
		} else {
			continue;
		}
		if (!ssh->allow_all_commands.value && !matching_rule(&ssh->allowed_commands, words, first))
			return refuse(inspection, program, "is not in ssh.allowedCommands");
		hosts_alone = false;
	}
	return true;
}

bool inspect_ssh(struct inspection *inspection, const struct string_list *words, size_t first)
{
	const struct policy_ssh *ssh = inspection->policy->ssh;
	const char *program = base_name(words->items[first]);

	if (!ssh->allowed_hosts.count && !ssh->denied_hosts.count)
		return true;
	if (strcmp(program, "ssh") == 0)
		return inspect_ssh_words(inspection, words, first);
	if (strcmp(program, "sftp") == 0)
		return inspect_copy(inspection, words, first, true);
	if (strcmp(program, "scp") == 0 || strcmp(program, "rsync") == 0)
		return inspect_copy(inspection, words, first, false);
	return true;
}
