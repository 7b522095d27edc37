/* kill, delete, pause, resume. */
#include "runtime/command.h"
#include "runtime/container.h"
#include "spec/cleanup.h"

#include <ctype.h>
#include <regex.h>
#include <signal.h>
#include <string.h>
#include <strings.h>

static const char *const container_only[] = { "CONTAINER", NULL };

/* RTMIN, RTMIN+N, RTMAX-N, RTMAX; -1 if it is none of them. */
static int real_time_signal(const char *name)
{
	bool lowest = strncasecmp(name, "RTMIN", 5) == 0;
	const char *rest = name + 5;
	long offset;
	char *end;

	if (!lowest && strncasecmp(name, "RTMAX", 5) != 0)
		return -1;
	if (!*rest)
		return lowest ? SIGRTMIN : SIGRTMAX;
	if (*rest != (lowest ? '+' : '-') || !isdigit((unsigned char)rest[1]))
		return -1;
	offset = strtol(rest + 1, &end, 10);
	if (*end || offset > SIGRTMAX - SIGRTMIN)
		return -1;
	return lowest ? SIGRTMIN + (int)offset : SIGRTMAX - (int)offset;
}

static int parse_signal(const char *word, struct error *err)
{
	const char *name = strncasecmp(word, "SIG", 3) == 0 ? word + 3 : word;
	int real_time = real_time_signal(name);
	char *end;
	long number = strtol(word, &end, 10);

	if (end != word && !*end && number >= 0 && number < NSIG)
		return (int)number;
	for (int signal = 1; signal < NSIG; signal++)
		if (sigabbrev_np(signal) && strcasecmp(sigabbrev_np(signal), name) == 0)
			return signal;
	if (real_time >= 0)
		return real_time;
	return error_set(err, 0, "unknown signal \"%s\"", word);
}

typedef int container_action(
	struct invocation_context *context, const char *id, const void *options, struct error *err);

/* On the container of that name, or on all whose names have the pattern in them; the first that fails ends it. */
static int act_on(struct invocation_context *context, const char *name, bool is_pattern,
	container_action *act, const void *options)
{
	struct string_list ids;
	regex_t pattern;
	int result = 0;

	if (!is_pattern)
		return act(context, name, options, &context->err);
	if (regcomp(&pattern, name, REG_EXTENDED | REG_NOSUB) != 0)
		return error_set(&context->err, 0, "--regex: \"%s\" is not a regular expression", name);
	result = command_list_ids(context, &ids);
	for (size_t i = 0; result == 0 && i < ids.count; i++)
		if (regexec(&pattern, ids.items[i], 0, NULL, 0) == 0)
			result = act(context, ids.items[i], options, &context->err);
	regfree(&pattern);
	return result;
}

struct kill_options {
	bool all, regex;
	int signal;
};

static int kill_one(struct invocation_context *context, const char *id, const void *data, struct error *err)
{
	const struct kill_options *options = data;

	return container_kill(context->arena, context->global->root, id, options->signal, options->all, err);
}

int command_kill(struct invocation_context *context)
{
	struct kill_options options = { 0 };
	const struct option table[] = {
		OPTION(struct kill_options, all, "all", 'a', FLAG, NULL, "to all processes of the container"),
		OPTION(struct kill_options, regex, "regex", 'r', FLAG, NULL,
			"to every container whose name matches"),
	};
	static const char *const words[] = { "CONTAINER", "[SIGNAL]", NULL };
	struct string_list arguments;
	int result = COMMAND_PARSE(context, table, &options, words, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	options.signal = parse_signal(arguments.count > 1 ? arguments.items[1] : "TERM", &context->err);
	if (options.signal < 0)
		return -1;
	return act_on(context, arguments.items[0], options.regex, kill_one, &options);
}

struct delete_options {
	bool force, regex;
};

static int delete_one(struct invocation_context *context, const char *id, const void *data, struct error *err)
{
	const struct delete_options *options = data;

	return container_delete(context->arena, context->global->root, id, options->force, err);
}

int command_delete(struct invocation_context *context)
{
	struct delete_options options = { 0 };
	const struct option table[] = {
		OPTION(struct delete_options, force, "force", 'f', FLAG, NULL,
			"kill it first; no error if it does not exist"),
		OPTION(struct delete_options, regex, "regex", 'r', FLAG, NULL,
			"every container whose name matches"),
	};
	struct string_list arguments;
	int result = COMMAND_PARSE(context, table, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	return act_on(context, arguments.items[0], options.regex, delete_one, &options);
}

static int freeze(struct invocation_context *context, bool frozen)
{
	enum container_status wanted = frozen ? CONTAINER_RUNNING : CONTAINER_PAUSED;
	struct string_list arguments;
	struct existing listed;
	int result = command_parse(context, NULL, 0, NULL, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (command_look_up(context, arguments.items[0], &listed) < 0)
		return -1;
	/* What waits for `start` may be frozen too. */
	if (listed.status != wanted && !(frozen && listed.status == CONTAINER_CREATED))
		return error_set(&context->err, 0, "cannot %s a container that is %s", context->command->name,
			container_status_name(listed.status));
	return cgroup_freeze(listed.cgroup, frozen, &context->err);
}

int command_pause(struct invocation_context *context)
{
	return freeze(context, true);
}

int command_resume(struct invocation_context *context)
{
	return freeze(context, false);
}
