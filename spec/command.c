/* See command.h. Finds the commands in what is to be run: behind env, sudo and the like, in a shell's line, in eval. */
#include "spec/command_internal.h"
#include "spec/glob.h"

#include "spec/cleanup.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

/* What stops the machine, changes its disks or kernel, or steps out of the sandbox. */
static const char *const default_denials[] = { "shutdown", "reboot", "halt", "poweroff", "init 0", "init 6",
	"telinit 0", "telinit 6", "systemctl poweroff", "systemctl reboot", "systemctl halt",
	"systemctl kexec", "systemctl soft-reboot", "insmod", "rmmod", "modprobe", "kexec", "mkfs", "mkfs.*",
	"fdisk", "sfdisk", "cfdisk", "parted", "wipefs", "dd if=", "docker run -v /:/",
	"docker run --volume /:/", "docker run --privileged", "docker create -v /:/",
	"docker create --volume /:/", "docker create --privileged", "podman run -v /:/",
	"podman run --volume /:/", "podman run --privileged", "chroot", "unshare", "nsenter" };

/* Programs that run the program named by their words: after options, whose letters with values are here, after assignments, and after
 * `skip` words of their own. */
static const struct wrapper {
	const char *name, *with_value;
	unsigned int skip;
} wrappers[] = {
	{ "env", "uCSa", 0 },
	{ "sudo", "ugpCDRThrt", 0 },
	{ "doas", "uC", 0 },
	{ "command", "", 0 },
	{ "builtin", "", 0 },
	{ "exec", "a", 0 },
	{ "nohup", "", 0 },
	{ "setsid", "", 0 },
	{ "nice", "n", 0 },
	{ "ionice", "cnpPu", 0 },
	{ "chrt", "pTPD", 1 },
	{ "taskset", "p", 1 },
	{ "timeout", "ks", 1 },
	{ "time", "fo", 0 },
	{ "stdbuf", "ioe", 0 },
	{ "unbuffer", "", 0 },
	{ "xargs", "adEeIiLlnPs", 0 },
	{ "parallel", "jINLn", 0 },
	{ "watch", "n", 0 },
	{ "strace", "eopsauEObPSIX", 0 },
	{ "ltrace", "eopsanux", 0 },
	{ "flock", "wE", 1 },
	{ "busybox", "", 0 },
	{ "toybox", "", 0 },
	{ "setpriv", "", 0 },
	{ "runuser", "ugGsw", 0 },
	{ "fence", "scp", 0 },
	{ "coproc", "", 0 },
	/* The shell's words before a command. */
	{ "if", "", 0 },
	{ "then", "", 0 },
	{ "else", "", 0 },
	{ "elif", "", 0 },
	{ "do", "", 0 },
	{ "while", "", 0 },
	{ "until", "", 0 },
	{ "!", "", 0 },
	{ "{", "", 0 },
	{ "function", "", 1 },
};

static const char *const shells[] = { "sh", "bash", "zsh", "ksh", "mksh", "dash", "fish", "ash", "rbash",
	"su", "script" };

static bool is_one_of(const char *const *list, size_t count, const char *word)
{
	for (size_t i = 0; i < count; i++)
		if (strcmp(list[i], word) == 0)
			return true;
	return false;
}

#define IS_ONE_OF(list, word) is_one_of(list, ARRAY_SIZE(list), word)

static bool refuse(struct inspection *inspection, const char *rule, const char *whose)
{
	inspection->why = arena_printf(inspection->arena, "is denied by %s: \"%s\"", whose, rule);
	return false;
}

bool denied_by_commands(struct inspection *inspection, const struct string_list *words, size_t first)
{
	const struct policy *policy = inspection->policy;
	const struct string_list defaults = { (const char **)default_denials, ARRAY_SIZE(default_denials) };
	const char *rule = matching_rule(&policy->final_deny_commands, words, first);

	if (rule)
		return !refuse(inspection, rule, "the node's command.deny");
	if (matching_rule(&policy->command->allow, words, first))
		return false;
	rule = matching_rule(&policy->command->deny, words, first);
	if (rule)
		return !refuse(inspection, rule, "command.deny");
	if (policy->command->use_defaults.set && !policy->command->use_defaults.value)
		return false;
	rule = matching_rule(&defaults, words, first);
	return rule && !refuse(inspection, rule, "the commands denied by default");
}

static bool is_assignment(const char *word)
{
	size_t name = 0;

	while (isalnum((unsigned char)word[name]) || word[name] == '_')
		name++;
	return name && word[name] == '=';
}

const char *join_words(struct arena *arena, const struct string_list *words, size_t first)
{
	size_t length = 1;
	char *line, *end;

	for (size_t i = first; i < words->count; i++)
		length += strlen(words->items[i]) + 1;
	line = end = arena_alloc(arena, length);
	for (size_t i = first; i < words->count; i++) {
		if (i > first)
			*end++ = ' ';
		end = stpcpy(end, words->items[i]);
	}
	return line;
}

/* A shell's -c line, wherever among its options. */
static bool inspect_shell(struct inspection *inspection, const struct string_list *words, size_t first)
{
	for (size_t i = first + 1; i < words->count; i++) {
		const char *word = words->items[i];

		if (strcmp(word, "--command") == 0 || strncmp(word, "--command=", 10) == 0 ||
			(word[0] == '-' && word[1] != '-' && strchr(word, 'c'))) {
			if (word[1] == '-' && word[9] == '=')
				return inspect_line(inspection, word + 10);
			i++;
			/* bash -c -- LINE, bash -c -e LINE */
			while (i < words->count && (words->items[i][0] == '-' || words->items[i][0] == '+'))
				i++;
			return i >= words->count || inspect_line(inspection, words->items[i]);
		}
	}
	return true;
}

/* find … -exec COMMAND … ; */
static bool inspect_find(struct inspection *inspection, const struct string_list *words, size_t first)
{
	static const char *const actions[] = { "-exec", "-execdir", "-ok", "-okdir" };

	for (size_t i = first + 1; i + 1 < words->count; i++)
		if (IS_ONE_OF(actions, words->items[i]) && !inspect_words(inspection, words, i + 1))
			return false;
	return true;
}

static bool inspect_wrapped(struct inspection *inspection, const struct string_list *words, size_t first)
{
	const char *program = base_name(words->items[first]);

	for (size_t i = 0; i < ARRAY_SIZE(wrappers); i++) {
		size_t at;

		if (strcmp(wrappers[i].name, program) != 0)
			continue;
		at = skip_options(words, first + 1, wrappers[i].with_value) + wrappers[i].skip;
		while (at < words->count && is_assignment(words->items[at]))
			at++;
		return at >= words->count || inspect_words(inspection, words, at);
	}
	return true;
}

/* env -S "git push", --split-string="git push": the text, or NULL. */
static const char *split_string(const char *word)
{
	static const char option[] = "--split-string";
	size_t length = strlen(option);

	if (strncmp(word, option, length) == 0)
		return word + length + (word[length] == '=');
	if (word[0] != '-' || word[1] == '-')
		return NULL;
	word += strcspn(word, "uCSa");
	return *word == 'S' ? word + 1 : NULL;
}

static bool inspect_env(struct inspection *inspection, const struct string_list *words, size_t first)
{
	for (size_t at = first + 1; at < words->count; at++) {
		const char *text = split_string(words->items[at]);

		if (text)
			return inspect_line(
				inspection, arena_printf(inspection->arena, "env %s %s", text,
						    join_words(inspection->arena, words, at + 1)));
	}
	return inspect_wrapped(inspection, words, first);
}

static bool inspect_eval(struct inspection *inspection, const struct string_list *words, size_t first)
{
	return inspect_line(inspection, join_words(inspection->arena, words, first + 1));
}

static bool inspect_program(struct inspection *inspection, const struct string_list *words, size_t first)
{
	static const struct {
		const char *name;
		bool (*inspect)(struct inspection *inspection, const struct string_list *words, size_t first);
	} programs[] = { { "env", inspect_env }, { "eval", inspect_eval }, { "find", inspect_find } };
	const char *program = base_name(words->items[first]);

	for (size_t i = 0; i < ARRAY_SIZE(programs); i++)
		if (strcmp(programs[i].name, program) == 0)
			return programs[i].inspect(inspection, words, first);
	return IS_ONE_OF(shells, program) ? inspect_shell(inspection, words, first)
					  : inspect_wrapped(inspection, words, first);
}

bool inspect_words(struct inspection *inspection, const struct string_list *words, size_t first)
{
	bool permitted;

	while (first < words->count && is_assignment(words->items[first]))
		first++;
	if (first >= words->count)
		return true;
	if (++inspection->depth > DEPTH_MAX) {
		inspection->why = "is nested deeper than can be looked at";
		return false;
	}
	permitted = !denied_by_commands(inspection, words, first) && inspect_ssh(inspection, words, first) &&
		    inspect_program(inspection, words, first);
	inspection->depth--;
	return permitted;
}

/* A shell without a script runs what it reads. */
static bool inspect_input(struct inspection *inspection, const struct shell_command *command,
	const struct shell_command *previous)
{
	static const char *const printers[] = { "echo", "printf" };
	const struct string_list *words = &command->words;
	size_t last = words->count;

	if (!command->input && !(command->reads_previous && previous))
		return true;
	while (last-- > 0)
		if (IS_ONE_OF(shells, base_name(words->items[last])) ||
			strcmp(base_name(words->items[last]), "xargs") == 0)
			break;
	if (last == (size_t)-1)
		return true;
	if (command->input)
		return inspect_line(inspection, command->input);
	if (!previous->words.count || !IS_ONE_OF(printers, base_name(previous->words.items[0])))
		return true;
	return inspect_line(inspection,
		join_words(inspection->arena, &previous->words, skip_options(&previous->words, 1, "")));
}

bool inspect_line(struct inspection *inspection, const char *line)
{
	struct shell_commands commands = { 0 };
	bool permitted = true;

	if (++inspection->depth > DEPTH_MAX) {
		inspection->why = "is nested deeper than can be looked at";
		return false;
	}
	shell_split(inspection->arena, line, &commands);
	if (commands.too_deep) {
		inspection->why = "is nested deeper than can be looked at";
		permitted = false;
	}
	for (size_t i = 0; permitted && i < commands.count; i++)
		permitted = inspect_words(inspection, &commands.items[i].words, 0) &&
			    inspect_input(inspection, &commands.items[i], i ? &commands.items[i - 1] : NULL);
	inspection->depth--;
	return permitted;
}

bool command_permitted(
	struct arena *arena, const struct policy *policy, const struct string_list *args, const char **why)
{
	struct inspection inspection = { .arena = arena, .policy = policy };
	bool permitted = inspect_words(&inspection, args, 0);

	*why = inspection.why;
	return permitted;
}
