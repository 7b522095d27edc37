/* The `fence` program: an OCI runtime's command line, and in front of it, where the first word is no command of that, the
 * front door (front_door.h).
 */
#include "runtime/command.h"
#include "runtime/front_door.h"
#include "runtime/log.h"
#include "runtime/reaper.h"
#include "runtime/seal.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

static const char *const log_formats[] = { "text", "json", NULL };
static const char *const log_levels[] = {
	[LOG_WARNINGS] = "warning", [LOG_ERRORS] = "error", [LOG_ALL] = "debug", NULL
};
static const char *const rootless_words[] = {
	[STATE_ROOTLESS_AUTO] = "auto", [STATE_ROOTLESS] = "true", [STATE_ROOTFUL] = "false", NULL
};

#define GLOBAL(member, ...) OPTION(struct global_options, member, __VA_ARGS__)
const struct option global_options[] = {
	GLOBAL(root, "root", 0, STRING, "DIRECTORY", "where the state of containers is kept"),
	GLOBAL(log, "log", 0, STRING, "FILE",
		"messages go to this file, or journald:ID or syslog:ID; errors to standard error too"),
	GLOBAL(log_format, "log-format", 0, CHOICE, "text|json", "how messages are written",
		.choices = log_formats),
	GLOBAL(log_level, "log-level", 0, CHOICE, "error|warning|debug", "which messages are written",
		.choices = log_levels),
	GLOBAL(debug, "debug", 0, FLAG, NULL, "the same as --log-level=debug"),
	GLOBAL(cgroup_manager, "cgroup-manager", 0, CHOICE, "cgroupfs|systemd|disabled",
		"who makes the cgroups", .choices = cgroup_manager_names),
	GLOBAL(rootless, "rootless", 0, CHOICE, "auto|true|false",
		"whether cgroups that may not be made are done without", .choices = rootless_words),
	GLOBAL(systemd_cgroup, "systemd-cgroup", 0, FLAG, NULL, "the same as --cgroup-manager=systemd"),
	GLOBAL(version, "version", 'v', FLAG, NULL, "the version"),
};
const size_t global_option_count = ARRAY_SIZE(global_options);

const struct command commands[] = {
	{ "create", "[OPTION…] CONTAINER", "make a container; its program waits for `start`", command_create,
		true },
	{ "start", "CONTAINER", "let the program of a created container run", command_start },
	{ "run", "[OPTION…] CONTAINER", "create and start, and wait for the end", command_run, true },
	{ "exec", "[OPTION…] CONTAINER PROGRAM [ARGUMENT…]", "run another program in a container",
		command_exec, true },
	{ "state", "CONTAINER", "print the state as JSON", command_state },
	{ "list", "[OPTION…]", "list the containers", command_list },
	{ "ps", "[OPTION…] CONTAINER", "list the processes of a container", command_ps },
	{ "net", "CONTAINER", "print the flows of its network, one JSON line each", command_net },
	{ "kill", "[OPTION…] CONTAINER [SIGNAL]", "send a signal (default: TERM) to the first process",
		command_kill },
	{ "delete", "[OPTION…] CONTAINER", "remove a stopped container", command_delete },
	{ "pause", "CONTAINER", "freeze all processes of a container", command_pause },
	{ "resume", "CONTAINER", "thaw them", command_resume },
	{ "update", "[OPTION…] CONTAINER", "change the limits of a container", command_update },
	{ "mounts", "add|remove CONTAINER FILE",
		"change the mounts of a container that runs: FILE is as `mounts`", command_mounts, true },
	{ "events", "[OPTION…] CONTAINER", "tell what a container uses, and when it runs out of memory",
		command_events },
	{ "checkpoint", "[OPTION…] CONTAINER", "save a running container to disk (by CRIU)",
		command_checkpoint },
	{ "restore", "[OPTION…] CONTAINER", "let a saved container run again", command_restore },
	{ "spec", "[OPTION…] [-- PROGRAM…]", "write a config.json: a template, or what a policy comes to",
		command_spec },
	{ "features", "", "print what this runtime can do, as JSON", command_features },
	{ "check", "", "what this kernel and host can do for fence", command_check },
	{ "version", "", "the version", command_version },
	{ "help", "", "this help", command_help },
};
const size_t command_count = ARRAY_SIZE(commands);

void command_print_version(void)
{
	printf("fence version " FENCE_VERSION "\nspec: " OCI_VERSION "\n+CAP +SECCOMP +LANDLOCK +YAJL\n");
}

void command_print_help(void)
{
	struct option_table table = { global_options, global_option_count, NULL };

	printf("Usage: fence [OPTION…] -- PROGRAM [ARGUMENT…]    run a program behind the fence\n"
	       "       fence [OPTION…] -c LINE                   the same for a line of shell\n"
	       "       fence [OPTION…] COMMAND …                 an OCI container runtime\n\n"
	       "Options before a program, and of `fence spec`:\n");
	front_door_help();
	printf("\nCommands (`fence COMMAND --help` says more of each):\n");
	for (size_t i = 0; i < command_count; i++)
		printf("  %-10s  %s\n", commands[i].name, commands[i].summary);
	printf("\nOptions of the commands:\n");
	command_line_help(&table);
}

int command_parse(struct invocation_context *context, const struct option *options, size_t count,
	void *values, const char *const *positionals, size_t rest, struct string_list *arguments)
{
	/* Taken after the command too, but what counts is read before it. */
	const struct option_table tables[] = {
		{ options, count, values },
		{ global_options, global_option_count, (void *)context->global },
	};
	const struct command_line line = {
		.tables = tables,
		.table_count = ARRAY_SIZE(tables),
		.positional_before_rest = rest,
		.positionals = positionals,
	};
	bool help;

	if (command_line_parse(
		    context->arena, &line, context->argc, context->argv, arguments, &help, &context->err) < 0)
		return -1;
	if (context->global->version)
		command_print_version();
	if (!help)
		return context->global->version;
	printf("NAME:\n   fence %s - %s\n\nUSAGE:\n   fence %s %s\n%s", context->command->name,
		context->command->summary, context->command->name, context->command->arguments,
		count ? "\nOPTIONS:\n" : "");
	command_line_help(&tables[0]);
	return 1;
}

static const struct command *find_command(const char *word)
{
	for (size_t i = 0; i < command_count; i++)
		if (strcmp(commands[i].name, word) == 0)
			return &commands[i];
	return NULL;
}

/* "--root", or "--root=DIRECTORY". NULL: it is none of ours. */
static const struct option *find_global_option(const char *word)
{
	size_t length = strcspn(word, "=");

	for (size_t i = 0; strncmp(word, "--", 2) == 0 && i < global_option_count; i++)
		if (strlen(global_options[i].name) == length - 2 &&
			strncmp(word + 2, global_options[i].name, length - 2) == 0)
			return &global_options[i];
	return NULL;
}

/* The option takes the following word as its value. */
static bool takes_next_word(const char *word)
{
	const struct option *option = find_global_option(word);

	return option && option->kind != OPTION_FLAG && !strchr(word, '=');
}

/* The index of the command word, or 0: no command, or it belongs to the front door. */
static int find_command_word(int argc, char **argv)
{
	int i = 1;

	while (i < argc && strncmp(argv[i], "--", 2) == 0 && argv[i][2])
		i += takes_next_word(argv[i]) ? 2 : 1;
	return i < argc && find_command(argv[i]) ? i : 0;
}

static int parse_global(struct arena *arena, int argc, char **argv, struct global_options *global, bool *help,
	struct error *err)
{
	const struct option_table table = { global_options, global_option_count, global };
	const struct command_line line = { .tables = &table, .table_count = 1 };
	struct string_list words;

	if (command_line_parse(arena, &line, argc, argv, &words, help, err) < 0)
		return -1;
	if (global->systemd_cgroup)
		global->cgroup_manager = CGROUP_MANAGER_SYSTEMD;
	if (global->debug)
		global->log_level = LOG_ALL;
	state_set_rootless((enum state_rootless)global->rootless);
	return log_open(
		global->log, (enum log_format)global->log_format, (enum log_level)global->log_level, err);
}

static int run_command(struct arena *arena, int argc, char **argv, int word)
{
	struct global_options global = { 0 };
	struct invocation_context context = {
		.arena = arena,
		.global = &global,
		.command = find_command(argv[word]),
		.argc = argc - word,
		.argv = argv + word,
		.failure = 1,
	};
	int status = -1;
	bool help;

	if (parse_global(arena, word, argv, &global, &help, &context.err) == 0 &&
		(!context.command->enters_container || seal_self(argv, &context.err) == 0))
		status = context.command->run(&context);
	if (status >= 0)
		return status;
	log_error(&context.err);
	return context.failure;
}

/* `fence --version`, `fence --root DIRECTORY --help`: no command, and nothing for the front door. */
static bool is_about_us(int argc, char **argv, int *status)
{
	static const struct {
		const char *word;
		void (*print)(void);
	} words[] = {
		{ "--version", command_print_version },
		{ "-v", command_print_version },
		{ "-V", command_print_version },
		{ "--help", command_print_help },
		{ "-h", command_print_help },
		{ "--usage", command_print_help },
	};

	*status = argc < 2;
	if (argc < 2)
		command_print_help();
	for (int word = 1; word < argc; word += takes_next_word(argv[word]) ? 2 : 1) {
		for (size_t i = 0; i < ARRAY_SIZE(words); i++)
			if (strcmp(argv[word], words[i].word) == 0) {
				words[i].print();
				return true;
			}
		if (!find_global_option(argv[word]))
			break;
	}
	return argc < 2;
}

/* Else a file of ours could get such a number, and be written to by whoever means the standard streams. */
static void open_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 &&
			open("/dev/null", O_RDWR) < 0) /* without O_CLOEXEC: it is inherited */
			_exit(125);
}

/* Who reads half of it must not take it for all. */
static int end_output(int status)
{
	struct error err;

	if (fflush(stdout) == 0 && !ferror(stdout))
		return status;
	error_set(&err, errno, "cannot write to standard output");
	log_error(&err);
	return status ? status : 1;
}

int main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *arena = NULL;
	int word = find_command_word(argc, argv), status;

	/* We do not live long: memory is taken once, and given back by our end. */
	mallopt(M_TOP_PAD, 1024 * 1024);
	mallopt(M_TRIM_THRESHOLD, 64 * 1024 * 1024);
	arena = arena_new();
	open_standard_streams();
	/* Run from a sealed view of itself the kernel would call it by the number of a fd. */
	prctl(PR_SET_NAME, "fence");
	/* Whoever ignores it makes our children vanish before we can wait for them. */
	signal(SIGCHLD, SIG_DFL);
	reaper_remember_arguments(argc, argv);
	if (!is_about_us(argc, argv, &status))
		status = word ? run_command(arena, argc, argv, word) : front_door_main(arena, argc, argv);
	return end_output(status);
}
