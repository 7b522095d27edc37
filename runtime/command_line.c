/* See command_line.h. Long options take "--name=value" and "--name value" and short ones "-nvalue" and "-n value"; "--"
 * ends the options. Flags take no value, except "=true" and "=false". */
#include "runtime/command_line.h"

#include "spec/cleanup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct cursor {
	struct arena *arena;
	const struct command_line *line;
	char **argv;
	int argc, next;
};

struct match {
	const struct option *option;
	void *slot;
};

static bool find_option(
	const struct command_line *line, const char *name, size_t length, char letter, struct match *match)
{
	for (size_t i = 0; i < line->table_count; i++) {
		const struct option_table *table = &line->tables[i];

		for (size_t k = 0; k < table->count; k++) {
			const struct option *option = &table->options[k];
			bool long_match =
				name && strncmp(option->name, name, length) == 0 && !option->name[length];

			if (!long_match && !(letter && option->short_name == letter))
				continue;
			*match = (struct match){ option, (char *)table->values + option->offset };
			return true;
		}
	}
	return false;
}

static int store_number(const struct option *option, const char *value, void *slot, struct error *err)
{
	struct optional_uint64 *natural = slot;
	struct optional_int64 *integer = slot;
	char *end;

	errno = 0;
	if (option->kind == OPTION_INTEGER)
		*integer = (struct optional_int64){ true, strtoll(value, &end, 10) };
	else
		*natural = (struct optional_uint64){ true, strtoull(value, &end, 10) };
	if (errno || end == value || *end || (option->kind == OPTION_UNSIGNED && *value == '-'))
		return error_set(err, 0, "--%s: \"%s\" is not a number%s", option->name, value,
			option->kind == OPTION_UNSIGNED ? " from 0" : "");
	return 0;
}

/* Units are powers of 1024, whatever follows the letter: "50m", "50MB", "50MiB". */
static int store_size(
	const struct option *option, const char *value, struct optional_int64 *size, struct error *err)
{
	static const char units[] = "kmgtp";
	const char *unit;
	char *end;

	errno = 0;
	*size = (struct optional_int64){ true, strtoll(value, &end, 10) };
	unit = *end ? strchr(units, *end | 0x20) : NULL;
	if (unit)
		end++;
	for (const char *step = units; unit && step <= unit; step++)
		if (__builtin_mul_overflow(size->value, 1024, &size->value))
			errno = ERANGE;
	if (errno || end == value ||
		(*end && strcasecmp(end, "b") != 0 && !(unit && strcasecmp(end, "ib") == 0)))
		return error_set(
			err, 0, "--%s: \"%s\" is not a size such as 52428800 or 50M", option->name, value);
	return 0;
}

static int store_choice(const struct option *option, const char *value, void *slot, struct error *err)
{
	size_t count;

	for (count = 0; option->choices[count]; count++)
		if (strcmp(option->choices[count], value) == 0) {
			*(int *)slot = (int)count;
			return 0;
		}
	return error_set(
		err, 0, "--%s: \"%s\" is not known; use one of %s", option->name, value, option->argument);
}

static int store_flag(const struct option *option, const char *value, void *slot, struct error *err)
{
	if (value && strcmp(value, "true") != 0 && strcmp(value, "false") != 0)
		return error_set(err, 0, "--%s takes no value", option->name);
	*(bool *)slot = !value || strcmp(value, "true") == 0;
	return 0;
}

static int store(struct arena *arena, const struct match *match, const char *value, struct error *err)
{
	struct string_list *list = match->slot;

	switch (match->option->kind) {
	case OPTION_FLAG:
		return store_flag(match->option, value, match->slot, err);
	case OPTION_STRING:
		*(const char **)match->slot = value;
		return 0;
	case OPTION_UNSIGNED:
	case OPTION_INTEGER:
		return store_number(match->option, value, match->slot, err);
	case OPTION_SIZE:
		return store_size(match->option, value, match->slot, err);
	case OPTION_LIST:
		*(const char **)arena_push(arena, &list->items, &list->count, sizeof(*list->items)) = value;
		return 0;
	case OPTION_CHOICE:
		return store_choice(match->option, value, match->slot, err);
	}
	return error_set(err, 0, "--%s: an option of unknown kind", match->option->name);
}

static int take_value(struct cursor *cursor, const struct match *match, const char *value, struct error *err)
{
	if (!value && match->option->kind != OPTION_FLAG) {
		if (cursor->next == cursor->argc)
			/* In words by which podman sees whether there is such an option. */
			return error_set(err, 0, "--%s requires an argument: %s", match->option->name,
				match->option->argument);
		value = cursor->argv[cursor->next++];
	}
	return store(cursor->arena, match, value, err);
}

static int take_long(struct cursor *cursor, const char *word, struct error *err)
{
	const char *name = word + 2, *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	struct match match;

	if (!find_option(cursor->line, name, length, 0, &match))
		return error_set(
			err, 0, "unknown option --%.*s; --help lists what there is", (int)length, name);
	return take_value(cursor, &match, equals ? equals + 1 : NULL, err);
}

static int take_short(struct cursor *cursor, const char *word, struct error *err)
{
	struct match match;

	for (word++; *word; word++) {
		if (!find_option(cursor->line, NULL, 0, *word, &match))
			return error_set(err, 0, "unknown option -%c; --help lists what there is", *word);
		if (match.option->kind != OPTION_FLAG)
			return take_value(cursor, &match, word[1] ? word + 1 : NULL, err);
		if (store_flag(match.option, NULL, match.slot, err) < 0)
			return -1;
	}
	return 0;
}

static void push_word(struct cursor *cursor, struct string_list *arguments, const char *word)
{
	*(const char **)arena_push(
		cursor->arena, &arguments->items, &arguments->count, sizeof(*arguments->items)) = word;
}

static int check_positionals(
	const struct command_line *line, const struct string_list *arguments, struct error *err)
{
	size_t most = 0;

	for (; line->positionals && line->positionals[most]; most++)
		if (most >= arguments->count && line->positionals[most][0] != '[')
			return error_set(err, 0, "%s is missing; see --help", line->positionals[most]);
	if (line->positionals && !line->positional_before_rest && arguments->count > most)
		return error_set(err, 0, "\"%s\" is one word too many; see --help", arguments->items[most]);
	return 0;
}

static bool is_help(const char *word)
{
	static const char *const words[] = { "--help", "-h", "-?", "--usage" };

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(word, words[i]) == 0)
			return true;
	return false;
}

int command_line_parse(struct arena *arena, const struct command_line *line, int argc, char **argv,
	struct string_list *arguments, bool *help, struct error *err)
{
	struct cursor cursor = { .arena = arena, .line = line, .argv = argv, .argc = argc, .next = 1 };
	bool only_words = false;

	*help = false;
	*arguments = (struct string_list){ 0 };
	while (cursor.next < argc) {
		const char *word = argv[cursor.next++];

		if (only_words || word[0] != '-' || !word[1]) {
			push_word(&cursor, arguments, word);
			only_words = only_words || (line->positional_before_rest &&
							   arguments->count >= line->positional_before_rest);
			continue;
		}
		if (strcmp(word, "--") == 0) {
			only_words = true;
			continue;
		}
		if (is_help(word)) {
			*help = true;
			return 0;
		}
		if ((word[1] == '-' ? take_long : take_short)(&cursor, word, err) < 0)
			return -1;
	}
	return check_positionals(line, arguments, err);
}

void command_line_help(const struct option_table *table)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct option *option = &table->options[i];
		char letter[] = { '-', option->short_name, ',', ' ', '\0' };
		char names[64];

		snprintf(names, sizeof(names), "%s--%s%s%s", option->short_name ? letter : "    ",
			option->name, option->argument ? "=" : "", option->argument ? option->argument : "");
		printf("  %-34s  %s\n", names, option->help);
	}
}
