/* Command lines from tables: each option says its names, its kind and where its value goes; --help is made from them.
 *
 * Knows nothing about what the options mean.
 */
#pragma once

#include "spec/oci.h"

enum option_kind {
	OPTION_FLAG,	 /* bool */
	OPTION_STRING,	 /* const char * */
	OPTION_UNSIGNED, /* struct optional_uint64 */
	OPTION_INTEGER,	 /* struct optional_int64 */
	OPTION_SIZE,	 /* struct optional_int64: bytes, also "50M"; -1 */
	OPTION_LIST,	 /* struct string_list: may be given repeatedly */
	OPTION_CHOICE,	 /* int: the index in `choices` */
};

struct option {
	const char *name; /* without "--" */
	char short_name;  /* 0: none */
	enum option_kind kind;
	size_t offset; /* in the struct that the caller passes */
	const char *argument, *help;
	const char *const *choices; /* NULL-terminated */
};

#define OPTION(model, member, long_name, letter, type, argument_name, text, ...)                \
	{                                                                                       \
		.name = (long_name), .short_name = (letter), .kind = OPTION_##type,             \
		.offset = offsetof(model, member), .argument = (argument_name), .help = (text), \
		##__VA_ARGS__                                                                   \
	}

struct option_table {
	const struct option *options;
	size_t count;
	void *values;
};
#define OPTION_TABLE(table, model)                                                \
	(struct option_table)                                                     \
	{                                                                         \
		.options = (table), .count = ARRAY_SIZE(table), .values = (model) \
	}

struct command_line {
	const struct option_table *tables; /* searched in turn: the command's own, then the global ones */
	size_t table_count;
	/* Stop at the first word that is not an option, and leave the rest to a program ("exec ID ls -l"), after having
	 * taken this many words; 0: options may stand anywhere. */
	size_t positional_before_rest;
	/* The words by name, for messages: { "CONTAINER", "[SIGNAL]", NULL }, where the second may be left out. More are an
	 * error, unless they are the rest. NULL: any words. */
	const char *const *positionals;
};

/* argv[0] is not looked at. On return *arguments holds the words that are no options; *help is set by --help or -h, and
 * the rest is then not checked. */
int command_line_parse(struct arena *arena, const struct command_line *line, int argc, char **argv,
	struct string_list *arguments, bool *help, struct error *err);

/* One line for each option, to standard output. */
void command_line_help(const struct option_table *table);
