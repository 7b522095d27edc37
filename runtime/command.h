/* The commands of the OCI command line: one table in main.c, one function each.
 */
#pragma once

#include "runtime/cgroup.h"
#include "runtime/command_line.h"
#include "runtime/state.h"
#include "spec/arena.h"
#include "spec/error.h"

struct global_options {
	const char *root, *log;
	int log_format, log_level, cgroup_manager, rootless;
	bool debug, systemd_cgroup, version;
};

struct command;

struct invocation_context {
	struct arena *arena;
	const struct global_options *global;
	const struct command *command;
	int argc;
	char **argv; /* argv[0] is the command's name */
	int failure; /* the exit status of an error: 1, unless the command knows better */
	struct error err;
};

/* The exit status, or -1 with context->err. */
typedef int command_function(struct invocation_context *context);

struct command {
	const char *name, *arguments, *summary;
	command_function *run;
	bool enters_container; /* runs from a sealed binary: see seal.h */
};

command_function command_create, command_run, command_start;
command_function command_exec;
command_function command_state, command_list, command_ps, command_net;
command_function command_kill, command_delete, command_pause, command_resume;
command_function command_update, command_mounts, command_events;
command_function command_checkpoint, command_restore;
command_function command_spec, command_features, command_check, command_version, command_help;

int command_list_ids(struct invocation_context *context, struct string_list *ids); /* sorted */

/* state_look_up(), but for the directory, which is closed. */
int command_look_up(struct invocation_context *context, const char *id, struct existing *existing);

/* Parses the command's words: 0; 1 when help was asked for and has been printed; -1 with an error. `options` may be NULL.
 * `rest` as positional_before_rest in command_line.h. */
int command_parse(struct invocation_context *context, const struct option *options, size_t count,
	void *values, const char *const *positionals, size_t rest, struct string_list *arguments);
#define COMMAND_PARSE(context, options, values, positionals, rest, arguments) \
	command_parse(context, options, ARRAY_SIZE(options), values, positionals, rest, arguments)

extern const struct command commands[];
extern const size_t command_count;
extern const struct option global_options[];
extern const size_t global_option_count;

void command_print_json(struct arena *arena, const struct json *tree, bool pretty);
void command_print_version(void);
void command_print_help(void);
