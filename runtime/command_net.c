/* net: the flows of a running container's network, as the relay that carries them tells them. That relay is the network
 * hook's, so the hook's program asks it: this only hands over the state, as it does to a hook.
 */
#include "runtime/command.h"
#include "runtime/hook_path.h"
#include "runtime/hooks.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <errno.h>

int command_net(struct invocation_context *context)
{
	static const char *const container_only[] = { "CONTAINER", NULL };
	const char *program = hook_path(context->arena);
	char *const words[] = { "fence-network", "flows", NULL };
	_cleanup_close_ int state_fd = -1;
	struct string_list arguments;
	struct existing listed;
	struct oci_state state;
	int result = command_parse(context, NULL, 0, NULL, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (command_look_up(context, arguments.items[0], &listed) < 0)
		return -1;
	if (listed.status == CONTAINER_STOPPED)
		return error_set(&context->err, 0, "container %s does not run", arguments.items[0]);
	state = state_oci(listed.state, listed.status);
	state_fd = hooks_state_file(&state, &context->err);
	if (state_fd < 0)
		return -1;
	if (dup2(state_fd, STDIN_FILENO) < 0)
		return error_set(&context->err, errno, "cannot hand over the state");
	execv(program, words);
	return error_set(&context->err, errno, "cannot run %s", program);
}
