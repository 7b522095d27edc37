/* mounts add, mounts remove. */
#include "runtime/command.h"
#include "runtime/live_mounts.h"

#include <string.h>

int command_mounts(struct invocation_context *context)
{
	static const char *const words[] = { "add or remove", "CONTAINER", "FILE", NULL };
	struct string_list arguments;
	struct live_mounts_options options = { .root = context->global->root };
	int result = command_parse(context, NULL, 0, NULL, words, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	options.remove = strcmp(arguments.items[0], "remove") == 0;
	options.id = arguments.items[1];
	options.file = arguments.items[2];
	if (!options.remove && strcmp(arguments.items[0], "add") != 0)
		return error_set(
			&context->err, 0, "mounts: \"%s\" is neither add nor remove", arguments.items[0]);
	return live_mounts_change(context->arena, &options, &context->err);
}
