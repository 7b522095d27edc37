/* See removal.h. */
#include "runtime/removal.h"

#include "runtime/hooks.h"
#include "runtime/host_mounts.h"
#include "runtime/log.h"
#include "runtime/placeholder.h"
#include "runtime/resctrl.h"

#include <signal.h>

static void run_poststop(const struct state *state, const struct oci_config *config)
{
	struct oci_state oci = state_oci(state, CONTAINER_STOPPED);
	struct error err = { 0 };

	/* The specification: an error is logged, and the rest goes on. */
	if (config->hooks)
		for (size_t i = 0; i < config->hooks->poststop.count; i++) {
			oci_hook_list one = { &config->hooks->poststop.items[i], 1 };

			if (hooks_run(&one, "poststop", &oci, NULL, &err) < 0)
				log_warning("%s", err.message);
		}
}

/* Without a config nobody knows what was claimed. */
static bool may_have_placeholders(const struct oci_config *config)
{
	return !config || oci_annotation(config, ANNOTATION_PLACEHOLDERS);
}

int removal_run(struct arena *arena, const struct state_directory *directory, const struct state *state,
	struct cgroup *cgroup, const struct oci_config *config, struct error *err)
{
	struct error first = { 0 };
	bool failed = false;

	cgroup_kill(cgroup, SIGKILL, NULL);
	if (cgroup_destroy(cgroup, &first) < 0)
		failed = true;
	if (state && state->resctrl.value && config &&
		resctrl_remove(config->linux->intel_rdt, directory->id, failed ? err : &first) < 0)
		failed = true;
	if (state && host_mounts_remove(state->rootfs, &state->root_mount, failed ? err : &first) < 0)
		failed = true;
	if (may_have_placeholders(config) &&
		placeholders_release(arena, directory->root, directory->id, failed ? err : &first) < 0)
		failed = true;
	if (state && state->pid.set && config)
		run_poststop(state, config);
	if (!failed)
		return state_remove(directory, err);
	*err = first;
	return -1;
}
