/* See engine_policy.h. */
#include "runtime/engine_policy.h"

#include "runtime/bundle.h"
#include "runtime/hook_path.h"
#include "runtime/log.h"
#include "runtime/seccomp.h"
#include "spec/compile.h"
#include "spec/policy_load.h"

#include <string.h>

bool engine_policy_wanted(const struct oci_config *config)
{
	return oci_annotation(config, ANNOTATION_POLICY) || policy_node_exists(NODE_CONFIGURATION);
}

static int write_files(
	struct arena *arena, const struct container_compilation *compilation, int state_fd, struct error *err)
{
	const char *text;
	size_t length;

	if (compilation->network) {
		text = json_format(arena, network_file_write(arena, compilation->network), true, &length);
		if (bundle_write_file(state_fd, "network.json", text, length, 0600, err) < 0)
			return -1;
	}
	if (!compilation->resolv_conf)
		return 0;
	return bundle_write_file(state_fd, "resolv.conf", compilation->resolv_conf,
		strlen(compilation->resolv_conf), 0644, err);
}

int engine_policy_apply(struct arena *arena, struct oci_config *config, const char *bundle,
	const char *state_directory, int state_fd, struct error *err)
{
	struct container_compilation compilation = {
		.hook = hook_path(arena),
		.bundle = bundle,
		.network_path = arena_printf(arena, "%s/network.json", state_directory),
		.resolv_path = arena_printf(arena, "%s/resolv.conf", state_directory),
	};
	struct policy *policy;

	if (policy_load_container(
		    arena, NODE_CONFIGURATION, oci_annotation(config, ANNOTATION_POLICY), &policy, err) < 0 ||
		seccomp_check_refused(&policy->system_calls->deny, err) < 0 ||
		compile_container(arena, policy, config, &compilation, err) < 0)
		return error_wrap(err, "the policy of this container (annotation " ANNOTATION_POLICY ")");
	for (size_t i = 0; i < compilation.notes.count; i++)
		log_debug("%s", compilation.notes.items[i]);
	return write_files(arena, &compilation, state_fd, err);
}
