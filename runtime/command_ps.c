/* ps: the container's processes, as the host's ps(1) shows them, or their pids as JSON.
 */
#include "runtime/command.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

static const char *const formats[] = { "table", "json", NULL };
enum format { FORMAT_TABLE, FORMAT_JSON };

struct pids {
	pid_t *items;
	size_t count;
};

static void print_json(struct arena *arena, const struct pids *pids)
{
	struct json *all = json_new_array(arena);

	for (size_t i = 0; i < pids->count; i++)
		json_append(arena, all, json_new_integer(arena, pids->items[i]));
	command_print_json(arena, all, true);
}

/* ps(1) from PATH, with a pipe for its output. */
static FILE *start_ps(struct arena *arena, const struct string_list *arguments, pid_t *pid, struct error *err)
{
	const char **args = arena_array(arena, arguments->count + 3, sizeof(*args));
	posix_spawn_file_actions_t actions;
	FILE *output;
	int ends[2];

	args[0] = "ps";
	args[1] = "-ef";
	if (arguments->count)
		memcpy(args + 1, arguments->items, arguments->count * sizeof(*args));
	if (pipe2(ends, O_CLOEXEC) < 0) {
		error_set(err, errno, "cannot make a pipe");
		return NULL;
	}
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	errno = posix_spawnp(pid, "ps", &actions, NULL, (char *const *)args, environ);
	posix_spawn_file_actions_destroy(&actions);
	close_fd(ends[1]);
	if (errno) {
		error_set(err, errno, "cannot run ps (see also --format json)");
		close_fd(ends[0]);
		return NULL;
	}
	output = fdopen(ends[0], "r");
	if (!output)
		error_set(err, errno, "cannot read what ps says");
	return output;
}

/* The words of a line, one by one. */
static char *next_word(char **rest)
{
	char *word;

	do
		word = strsep(rest, " \t\n");
	while (word && !*word);
	return word;
}

/* The column of that name; -1 where the header has none. */
static int find_column(struct arena *arena, const char *header, const char *name)
{
	char *rest = arena_strdup(arena, header), *word;

	for (int column = 0; (word = next_word(&rest)); column++)
		if (strcmp(word, name) == 0)
			return column;
	return -1;
}

static bool is_one_of(struct arena *arena, const char *line, int column, const struct pids *pids)
{
	char *rest = arena_strdup(arena, line), *word = NULL;
	pid_t pid;

	for (int i = 0; i <= column; i++)
		word = next_word(&rest);
	pid = word ? atoi(word) : 0;
	for (size_t i = 0; i < pids->count; i++)
		if (pids->items[i] == pid)
			return true;
	return false;
}

static int print_rows(struct arena *arena, FILE *output, const struct pids *pids, struct error *err)
{
	_cleanup_free_ char *line = NULL;
	size_t size = 0;
	int column;

	if (getline(&line, &size, output) < 0)
		return error_set(err, 0, "ps says nothing");
	column = find_column(arena, line, "PID");
	if (column < 0)
		return error_set(
			err, 0, "ps writes no column PID with these options, to know the processes by");
	fputs(line, stdout);
	while (getline(&line, &size, output) > 0)
		if (is_one_of(arena, line, column, pids))
			fputs(line, stdout);
	return 0;
}

static int print_table(
	struct arena *arena, const struct string_list *arguments, const struct pids *pids, struct error *err)
{
	pid_t pid;
	FILE *output = start_ps(arena, arguments, &pid, err);
	int result, status;

	if (!output)
		return -1;
	result = print_rows(arena, output, pids, err);
	fclose(output); /* ps does not wait for us to read more */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return result;
}

int command_ps(struct invocation_context *context)
{
	static const char *const container_only[] = { "CONTAINER", NULL };
	struct {
		int format;
	} options = { 0 };
	const struct option table[] = {
		OPTION(__typeof__(options), format, "format", 'f', CHOICE, "table|json", "how to print it",
			.choices = formats),
	};
	struct string_list arguments;
	struct existing listed;
	struct pids pids;
	int result = COMMAND_PARSE(context, table, &options, container_only, 1, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (command_look_up(context, arguments.items[0], &listed) < 0)
		return -1;
	if (!listed.cgroup)
		return error_set(
			&context->err, 0, "the container has no cgroup that would tell its processes");
	if (cgroup_processes(context->arena, listed.cgroup, &pids.items, &pids.count, &context->err) < 0)
		return -1;
	arguments.items++;
	arguments.count--;
	if (options.format == FORMAT_TABLE)
		return print_table(context->arena, &arguments, &pids, &context->err);
	print_json(context->arena, &pids);
	return 0;
}
