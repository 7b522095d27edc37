/* Running OCI hooks: each gets the state on its standard input, and its timeout. What it says goes to our stderr, or, when it
 * fails, into the error.
 */
#pragma once

#include "spec/oci.h"

/* A descriptor from which a hook reads the state, or -1. */
int hooks_state_file(const struct oci_state *state, struct error *err);

/* What is special about those that run in the container, which get none of the fds that we hold. */
struct hook_place {
	const char *const *environment;		     /* for a hook that names none */
	int (*enter)(void *data, struct error *err); /* in the hook's process, last of all */
	void *data;
};

/* Runs them in order; the first that fails ends it (name: "createRuntime", for messages). `place` may be NULL. */
int hooks_run(const oci_hook_list *hooks, const char *name, const struct oci_state *state,
	const struct hook_place *place, struct error *err);

/* Those before pivot_root, prestart and createRuntime: what hooks_start_early() has started, or else all. */
struct hook_call;
int hooks_run_on_host(const struct oci_hooks *hooks, const struct oci_state *state, struct hook_call **early,
	struct error *err);
/* The only one, while its caller makes what it does not need; *early stays NULL where there are others, or none. */
int hooks_start_early(struct arena *arena, const struct oci_hooks *hooks, const struct oci_state *state,
	struct hook_call **early, struct error *err);
int hooks_await(struct hook_call **early, struct error *err); /* if there is one */
