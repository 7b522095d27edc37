/* kill, delete, pause, resume. */
#include "runtime/command.h"
#include "runtime/container.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <signal.h>
#include <string.h>
#include <strings.h>

static const char *const container_only[] = { "CONTAINER", NULL };

static int parse_signal(const char *word, struct error *err)
{
	const char *name = strncasecmp(word, "SIG", 3) == 0 ? word + 3 : word;
	char *end;
	long number = strtol(word, &end, 10);

	if (end != word && !*end && number >= 0 && number < NSIG)
		return (int)number;
	for (int signal = 1; signal < NSIG; signal++)
		if (sigabbrev_np(signal) && strcasecmp(sigabbrev_np(signal), name) == 0)
			return signal;
	if (strncasecmp(name, "RTMIN+", 6) == 0 && SIGRTMIN + atoi(name + 6) <= SIGRTMAX)
		return SIGRTMIN + atoi(name + 6);
	if (strncasecmp(name, "RTMAX-", 6) == 0 && SIGRTMAX - atoi(name + 6) >= SIGRTMIN)
		return SIGRTMAX - atoi(name + 6);
	return error_set(err, 0, "unknown signal \"%s\"", word);
}

int command_kill(struct invocation_context *context)
{
	struct {
		bool all;
	} options = { 0 };
	const struct option table[] = {
		OPTION(__typeof__(options), all, "all", 'a', FLAG, NULL, "to all processes of the container"),
	};
	struct string_list arguments;
	int signal, result = COMMAND_PARSE(context, table, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	signal = parse_signal(arguments.count > 1 ? arguments.items[1] : "TERM", &context->err);
	if (signal < 0)
		return -1;
	return container_kill(context->arena, context->global->root, arguments.items[0], signal, options.all,
		&context->err);
}

int command_delete(struct invocation_context *context)
{
	struct {
		bool force;
	} options = { 0 };
	const struct option table[] = {
		OPTION(__typeof__(options), force, "force", 'f', FLAG, NULL,
			"kill it first; no error if it does not exist"),
	};
	struct string_list arguments;
	int result = COMMAND_PARSE(context, table, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	return container_delete(
		context->arena, context->global->root, arguments.items[0], options.force, &context->err);
}

static int freeze(struct invocation_context *context, bool frozen)
{
	_cleanup_state_directory_ struct state_directory directory = { .fd = -1 };
	enum container_status wanted = frozen ? CONTAINER_RUNNING : CONTAINER_PAUSED, status;
	struct string_list arguments;
	struct cgroup *cgroup;
	struct state *state;
	int result = command_parse(context, NULL, 0, NULL, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (state_open(context->arena, context->global->root, arguments.items[0], &directory, &context->err) <
			0 ||
		state_load(context->arena, &directory, &state, &context->err) < 0 ||
		state_cgroup(context->arena, state, &cgroup, &context->err) < 0)
		return -1;
	status = state_status(&directory, state, cgroup);
	/* What waits for `start` may be frozen too. */
	if (status != wanted && !(frozen && status == CONTAINER_CREATED))
		return error_set(&context->err, 0, "cannot %s a container that is %s", context->command->name,
			container_status_name(status));
	if (!cgroup)
		return error_set(
			&context->err, 0, "cannot %s a container without a cgroup", context->command->name);
	return cgroup_freeze(cgroup, frozen, &context->err);
}

int command_pause(struct invocation_context *context)
{
	return freeze(context, true);
}

int command_resume(struct invocation_context *context)
{
	return freeze(context, false);
}
