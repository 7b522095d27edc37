/* exec: the process is the container's own with changes from the options, or a file's. */
#include "runtime/command.h"
#include "runtime/exec.h"
#include "spec/cleanup.h"

#include <string.h>

enum { EXEC_FAILED = 255 }; /* as crun and runc: 1, 126 and 127 might be the program's own */

struct exec_words {
	const char *process_file, *console_socket, *pid_file, *pidfd_socket, *cwd, *user, *process_label,
		*apparmor;
	struct string_list env, capabilities;
	struct string_list additional_gids, cgroups;
	struct optional_uint64 preserve_fds;
	bool tty, detach, no_new_privs, ignore_paused;
	struct string_list arguments;
};

#define EXEC(member, ...) OPTION(struct exec_words, member, __VA_ARGS__)
static const struct option exec_options[] = {
	EXEC(process_file, "process", 'p', STRING, "FILE", "the process, as in config.json"),
	EXEC(tty, "tty", 't', FLAG, NULL, "with a terminal"),
	EXEC(user, "user", 'u', STRING, "UID[:GID]", "run as this user"),
	EXEC(additional_gids, "additional-gids", 'g', LIST, "GID", "one more group"),
	EXEC(cwd, "cwd", 0, STRING, "DIRECTORY", "working directory in the container"),
	EXEC(env, "env", 'e', LIST, "NAME=VALUE", "set a variable"),
	EXEC(capabilities, "cap", 'c', LIST, "CAP_NAME", "give one more capability"),
	EXEC(no_new_privs, "no-new-privs", 0, FLAG, NULL, "set no_new_privs"),
	EXEC(process_label, "process-label", 0, STRING, "LABEL", "SELinux label"),
	EXEC(apparmor, "apparmor", 0, STRING, "PROFILE", "AppArmor profile"),
	EXEC(detach, "detach", 'd', FLAG, NULL, "return when it runs"),
	EXEC(pid_file, "pid-file", 0, STRING, "FILE", "write its pid there"),
	EXEC(pidfd_socket, "pidfd-socket", 0, STRING, "SOCKET", "send a pidfd of it there"),
	EXEC(cgroups, "cgroup", 0, LIST, "[CONTROLLER,…:]PATH",
		"run it there, below the container's cgroup (v2) or those of the controllers (v1)"),
	EXEC(console_socket, "console-socket", 0, STRING, "SOCKET", "send the terminal there"),
	EXEC(preserve_fds, "preserve-fds", 0, UNSIGNED, "N", "pass on N fds, from 3"),
	EXEC(ignore_paused, "ignore-paused", 0, FLAG, NULL, "even if the container is paused"),
};

static int parse_id(const char *text, struct optional_uint32 *id, const char **rest, struct error *err)
{
	char *end;
	unsigned long number;

	errno = 0;
	number = strtoul(text, &end, 10);
	if (errno || end == text || *text == '-' || number >= UINT32_MAX)
		return error_set(
			err, 0, "\"%s\" is not a numeric id: names are not looked up in the container", text);
	*id = (struct optional_uint32){ true, (uint32_t)number };
	*rest = end;
	return 0;
}

static int set_user(struct oci_user *user, const char *text, struct error *err)
{
	const char *rest;

	if (parse_id(text, &user->uid, &rest, err) < 0)
		return error_wrap(err, "--user");
	if (*rest == ':' && parse_id(rest + 1, &user->gid, &rest, err) < 0)
		return error_wrap(err, "--user");
	return *rest ? error_set(err, 0, "--user: \"%s\" is not UID or UID:GID", text) : 0;
}

static int add_groups(
	struct arena *arena, struct oci_user *user, const struct string_list *words, struct error *err)
{
	struct uint32_list *groups = &user->additional_gids;
	uint32_t *items = arena_array(arena, groups->count + words->count, sizeof(*items));
	struct optional_uint32 gid;
	const char *rest;

	if (groups->count)
		memcpy(items, groups->items, groups->count * sizeof(*items));
	for (size_t i = 0; i < words->count; i++) {
		if (parse_id(words->items[i], &gid, &rest, err) < 0 || *rest)
			return error_set(
				err, 0, "--additional-gids: \"%s\" is not a number", words->items[i]);
		items[groups->count + i] = gid.value;
	}
	*groups = (struct uint32_list){ items, groups->count + words->count };
	return 0;
}

/* A later setting of a variable replaces the earlier one: programs take the first that they find. */
static void set_variables(struct arena *arena, struct string_list *env, const struct string_list *settings)
{
	const char **items = arena_array(arena, env->count + settings->count + 1, sizeof(*items));
	struct string_list result = { items, 0 };

	for (size_t i = 0; i < env->count + settings->count; i++) {
		const char *setting = i < env->count ? env->items[i] : settings->items[i - env->count];
		size_t name = strcspn(setting, "=") + 1, k = 0;

		while (k < result.count && strncmp(items[k], setting, name) != 0)
			k++;
		items[k] = setting;
		result.count += k == result.count;
	}
	*env = result;
}

static void add_words(struct arena *arena, struct string_list *list, const struct string_list *words)
{
	const char **items = arena_array(arena, list->count + words->count + 1, sizeof(*items));

	if (list->count)
		memcpy(items, list->items, list->count * sizeof(*items));
	if (words->count)
		memcpy(items + list->count, words->items, words->count * sizeof(*items));
	*list = (struct string_list){ items, list->count + words->count };
}

static bool has_word(const struct string_list *list, const char *word)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i], word) == 0)
			return true;
	return false;
}

/* Ambient too where the container's are inheritable: else a program run as an ordinary user would not have them. */
static void add_capabilities(
	struct arena *arena, struct oci_process *process, const struct string_list *names)
{
	struct string_list ambient = { 0 };
	struct oci_capabilities *capabilities = arena_alloc(arena, sizeof(*capabilities));

	if (process->capabilities)
		*capabilities = *process->capabilities;
	add_words(arena, &capabilities->bounding, names);
	add_words(arena, &capabilities->effective, names);
	add_words(arena, &capabilities->permitted, names);
	for (size_t i = 0; i < names->count; i++)
		if (has_word(&capabilities->inheritable, names->items[i]))
			*(const char **)arena_push(arena, &ambient.items, &ambient.count,
				sizeof(*ambient.items)) = names->items[i];
	add_words(arena, &capabilities->ambient, &ambient);
	process->capabilities = capabilities;
}

static int from_words(
	struct arena *arena, const struct exec_words *words, struct oci_process *process, struct error *err)
{
	struct oci_user *user = arena_alloc(arena, sizeof(*user));

	if (process->user)
		*user = *process->user;
	process->user = user;
	process->args = words->arguments;
	process->terminal = (struct optional_bool){ true, words->tty };
	if (words->cwd)
		process->cwd = words->cwd;
	if (words->process_label)
		process->selinux_label = words->process_label;
	if (words->apparmor)
		process->apparmor_profile = words->apparmor;
	if (words->no_new_privs)
		process->no_new_privileges = (struct optional_bool){ true, true };
	if (words->user && set_user(user, words->user, err) < 0)
		return -1;
	if (words->additional_gids.count && add_groups(arena, user, &words->additional_gids, err) < 0)
		return -1;
	if (words->capabilities.count)
		add_capabilities(arena, process, &words->capabilities);
	set_variables(arena, &process->env, &words->env);
	return 0;
}

static int make_process(void *data, struct arena *arena, const struct oci_process *container,
	struct oci_process **process, struct error *err)
{
	const struct exec_words *words = data;
	struct json *tree;

	if (words->process_file) {
		if (json_parse_file(arena, words->process_file, JSON_STRICT, &tree, err) < 0)
			return -1;
		if (oci_process_read(arena, tree, words->process_file, process, err) < 0)
			return -1;
		if (!(*process)->args.count)
			return error_set(err, 0, "%s: args: there is no program to run", words->process_file);
		if (words->tty)
			(*process)->terminal = (struct optional_bool){ true, true };
		return 0;
	}
	*process = arena_alloc(arena, sizeof(**process));
	**process = *container;
	return from_words(arena, words, *process, err);
}

int command_exec(struct invocation_context *context)
{
	static const char *const container_only[] = { "CONTAINER", NULL };
	struct exec_words words = { 0 };
	struct string_list arguments;
	struct exec_options options;
	int exit_status, result = COMMAND_PARSE(context, exec_options, &words, container_only, 1, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	words.arguments = (struct string_list){ arguments.items + 1, arguments.count - 1 };
	if (!words.process_file && words.arguments.count == 0)
		return error_set(
			&context->err, 0, "there is no program to run: name one, or a file with --process");
	context->failure = EXEC_FAILED;
	options = (struct exec_options){
		.root = context->global->root,
		.id = arguments.items[0],
		.console_socket = words.console_socket,
		.pid_file = words.pid_file,
		.pidfd_socket = words.pidfd_socket,
		.cgroups = words.cgroups,
		.preserve_fds = (unsigned int)words.preserve_fds.value,
		.detach = words.detach,
		.ignore_paused = words.ignore_paused,
		.process = make_process,
		.process_data = &words,
	};
	result = exec_run(context->arena, &options, &exit_status, &context->err);
	return result < 0 ? -1 : exit_status;
}
