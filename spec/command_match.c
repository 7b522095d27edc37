/* Does a rule cover a command? "git push" covers /usr/bin/git -C dir push --force: the program by its name, then the rule's words in
 * their order, whatever options stand between; a rule's own options may stand anywhere. See command_internal.h.
 */
#include "spec/command_internal.h"
#include "spec/glob.h"
#include "spec/policy_check.h"

#include "spec/cleanup.h"

#include <string.h>

/* Options before the subcommand that take a value in the next word. */
static const struct program_options {
	const char *program, *letters;
	const char *words[12];
} program_options[] = {
	{ "git", "Cc",
		{ "--git-dir", "--work-tree", "--namespace", "--exec-path", "--super-prefix", "--config-env",
			"--attr-source" } },
	{ "docker", "cHl",
		{ "--config", "--context", "--host", "--log-level", "--tlscacert", "--tlscert",
			"--tlskey" } },
	{ "podman", "cr",
		{ "--connection", "--root", "--runroot", "--runtime", "--url", "--log-level",
			"--storage-driver" } },
	{ "gh", "R", { "--repo" } },
	{ "npm", "C", { "--prefix", "--registry", "--workspace", "-w", "--userconfig" } },
	{ "pnpm", "C", { "--dir", "--filter", "-F" } },
	{ "yarn", "", { "--cwd", "--registry" } },
	{ "cargo", "CZ", { "--config", "--color", "--manifest-path" } },
	{ "systemctl", "HMnpstP", { "--host", "--machine", "--property", "--type", "--state", "--root" } },
	{ "kubectl", "ns",
		{ "--namespace", "--context", "--kubeconfig", "--server", "--user", "--cluster" } },
};

const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const struct program_options *options_of(const char *program)
{
	for (size_t i = 0; i < ARRAY_SIZE(program_options); i++)
		if (strcmp(program_options[i].program, program) == 0)
			return &program_options[i];
	return NULL;
}

static bool takes_value(const struct program_options *options, const char *word)
{
	if (!options || strchr(word, '='))
		return false;
	if (word[1] != '-')
		return word[1] && !word[2] && strchr(options->letters, word[1]);
	for (size_t i = 0; i < ARRAY_SIZE(options->words) && options->words[i]; i++)
		if (strcmp(options->words[i], word) == 0)
			return true;
	return false;
}

size_t skip_options(const struct string_list *words, size_t at, const char *with_value)
{
	for (; at < words->count && words->items[at][0] == '-' && words->items[at][1]; at++) {
		const char *word = words->items[at];

		if (strcmp(word, "--") == 0)
			return at + 1;
		/* Of joined letters the last one may have its value in the next word. */
		if (word[1] != '-' && strchr(with_value, word[strlen(word) - 1]) &&
			strcspn(word + 1, with_value) == strlen(word) - 2)
			at++;
	}
	return at;
}

/* A word that the shell will expand may become the rule's. */
static bool same(const char *rule, const char *word)
{
	return strcmp(rule, word) == 0 || (glob_is_pattern(word) && glob_match(word, rule)) ||
	       (glob_is_pattern(rule) && glob_match(rule, word));
}

/* "if=" and "/:/" are beginnings. */
static bool begins(const char *rule, const char *word)
{
	size_t length = strlen(rule);

	return strchr("=/:", rule[length - 1]) && strncmp(rule, word, length) == 0;
}

/* An option of the rule, with its value if the rule's next word is one: "-v /:/", "-v/:/host", "--volume=/:/host". */
static bool has_option(const char *option, const char *value, const struct string_list *words, size_t from)
{
	size_t length = strlen(option);

	for (size_t i = from; i < words->count; i++) {
		const char *word = words->items[i];

		if (strncmp(word, option, length) != 0)
			continue;
		if (!value) {
			if (!word[length] || word[length] == '=')
				return true;
			continue;
		}
		word += length;
		if (!*word)
			word = i + 1 < words->count ? words->items[i + 1] : "";
		else if (*word == '=')
			word++;
		if (same(value, word) || begins(value, word))
			return true;
	}
	return false;
}

/* The next word that is no option. */
static size_t next_plain(const struct program_options *options, const struct string_list *words, size_t at)
{
	while (at < words->count && words->items[at][0] == '-' && words->items[at][1])
		at += takes_value(options, words->items[at]) ? 2 : 1;
	return at;
}

static size_t split_rule(char *rule, const char **parts, size_t max)
{
	size_t count = 0;
	char *saved;

	for (char *part = strtok_r(rule, " \t", &saved); part && count < max;
		part = strtok_r(NULL, " \t", &saved))
		parts[count++] = part;
	return count;
}

/* Does a rule cover these words? */
static bool rule_matches(const char *rule, const struct string_list *words, size_t first)
{
	char copy[COMMAND_RULE_LENGTH_MAX + 1];
	const char *parts[COMMAND_RULE_WORDS_MAX], *program;
	const struct program_options *options;
	size_t count, at = first + 1;

	if (strlen(rule) >= sizeof(copy) || first >= words->count)
		return false;
	strcpy(copy, rule);
	count = split_rule(copy, parts, ARRAY_SIZE(parts));
	program = base_name(words->items[first]);
	if (!count || !same(base_name(parts[0]), program))
		return false;
	options = options_of(base_name(parts[0]));
	for (size_t i = 1; i < count; i++) {
		if (parts[i][0] == '-') {
			const char *value = i + 1 < count && parts[i + 1][0] != '-' ? parts[i + 1] : NULL;

			if (!has_option(parts[i], value, words, first + 1))
				return false;
			i += value != NULL;
			continue;
		}
		if (begins(parts[i], parts[i])) {
			size_t any = first + 1;

			while (any < words->count && !begins(parts[i], words->items[any]))
				any++;
			if (any == words->count)
				return false;
			continue;
		}
		at = next_plain(options, words, at);
		if (at >= words->count || !same(parts[i], words->items[at]))
			return false;
		at++;
	}
	return true;
}

const char *matching_rule(const struct string_list *rules, const struct string_list *words, size_t first)
{
	for (size_t i = 0; i < rules->count; i++)
		if (rule_matches(rules->items[i], words, first))
			return rules->items[i];
	return NULL;
}
