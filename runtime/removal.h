/* Removing what a container has left on the host: used by delete, by the end of a foreground run, and by a failed create.
 */
#pragma once

#include "runtime/state.h"
#include "spec/oci.h"

/* Its processes are gone, or are killed here by way of the cgroup. Goes on after an error and reports the first; the state
 * directory goes last, so that what could not be removed can be tried again. `state`, `cgroup`, `config` may be NULL: it
 * was not made yet. */
int removal_run(struct arena *arena, const struct state_directory *directory, const struct state *state,
	struct cgroup *cgroup, const struct oci_config *config, struct error *err);
