/* features, check, version, help. */
#include "runtime/command.h"
#include "runtime/features.h"
#include "runtime/front_door.h"

int command_features(struct invocation_context *context)
{
	struct string_list arguments;
	int result = command_parse(context, NULL, 0, NULL, NULL, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	command_print_json(context->arena, features_write(context->arena), true);
	return 0;
}

int command_check(struct invocation_context *context)
{
	return front_door_check(context->arena, context->argc, context->argv);
}

int command_version(struct invocation_context *context)
{
	(void)context;
	command_print_version();
	return 0;
}

int command_help(struct invocation_context *context)
{
	(void)context;
	command_print_help();
	return 0;
}
