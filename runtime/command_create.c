/* create, run, start. */
#include "runtime/command.h"
#include "runtime/container.h"
#include "spec/cleanup.h"

struct create_options {
	const char *bundle, *config, *console_socket, *pid_file, *pidfd_socket;
	struct optional_uint64 preserve_fds;
	bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
};

#define CREATE(member, ...) OPTION(struct create_options, member, __VA_ARGS__)
#define OPTIONS_OF_BOTH                                                                                    \
	CREATE(bundle, "bundle", 'b', STRING, "DIRECTORY", "the bundle (default: the working directory)"), \
		CREATE(config, "config", 'f', STRING, "FILE", "instead of the bundle's config.json"),      \
		CREATE(console_socket, "console-socket", 0, STRING, "SOCKET", "send the terminal there"),  \
		CREATE(pid_file, "pid-file", 0, STRING, "FILE", "write the first process's pid there"),    \
		CREATE(pidfd_socket, "pidfd-socket", 0, STRING, "SOCKET",                                  \
			"send a pidfd of the first process there"),                                        \
		CREATE(preserve_fds, "preserve-fds", 0, UNSIGNED, "N", "pass on N fds, from 3"),           \
		CREATE(no_pivot, "no-pivot", 0, FLAG, NULL,                                                \
			"move the root instead of pivot_root (for a ramdisk)"),                            \
		CREATE(no_subreaper, "no-subreaper", 0, FLAG, NULL,                                        \
			"do not become a subreaper, which fence never does"),                              \
		CREATE(no_new_keyring, "no-new-keyring", 0, FLAG, NULL, "keep the caller's session keyring")

static const struct option create_options[] = { OPTIONS_OF_BOTH };
static const struct option run_options[] = {
	OPTIONS_OF_BOTH,
	CREATE(detach, "detach", 'd', FLAG, NULL, "return when the container runs"),
	CREATE(keep, "keep", 0, FLAG, NULL, "do not delete it when it has stopped"),
};

static const char *const container_only[] = { "CONTAINER", NULL };

static struct container_options container_options(const struct invocation_context *context,
	const struct create_options *options, const struct string_list *arguments)
{
	return (struct container_options){
		.root = context->global->root,
		.id = arguments->items[0],
		.bundle = options->bundle,
		.config = options->config,
		.console_socket = options->console_socket,
		.pid_file = options->pid_file,
		.pidfd_socket = options->pidfd_socket,
		.preserve_fds = (unsigned int)options->preserve_fds.value,
		.detach = options->detach,
		.no_pivot = options->no_pivot,
		.no_new_keyring = options->no_new_keyring,
		.keep = options->keep,
		.cgroup_manager = (enum cgroup_manager)context->global->cgroup_manager,
	};
}

int command_create(struct invocation_context *context)
{
	struct create_options options = { 0 };
	struct container_options container;
	struct string_list arguments;
	int exit_status,
		result = COMMAND_PARSE(context, create_options, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	container = container_options(context, &options, &arguments);
	return container_create(context->arena, &container, &exit_status, &context->err);
}

int command_run(struct invocation_context *context)
{
	struct create_options options = { 0 };
	struct container_options container;
	struct string_list arguments;
	int exit_status,
		result = COMMAND_PARSE(context, run_options, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	container = container_options(context, &options, &arguments);
	result = container_run(context->arena, &container, &exit_status, &context->err);
	if (result < 0 && exit_status > 0)
		context->failure = exit_status;
	return result < 0 ? -1 : exit_status;
}

int command_start(struct invocation_context *context)
{
	struct string_list arguments;
	int result = command_parse(context, NULL, 0, NULL, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	return container_start(context->arena, context->global->root, arguments.items[0], &context->err);
}
