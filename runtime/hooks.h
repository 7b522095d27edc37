/* Running OCI hooks: each gets the state on its standard input, and its timeout; output goes to our stderr.
 */
#pragma once

#include "spec/oci.h"

/* A descriptor from which a hook reads the state, or -1. */
int hooks_state_file(const struct oci_state *state, struct error *err);

/* Runs them in order; the first that fails ends it (name: "createRuntime", for messages). */
int hooks_run(const oci_hook_list *hooks, const char *name, const struct oci_state *state, struct error *err);
