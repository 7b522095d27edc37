/* Where a policy comes from: the built-in ones, the node's file, the user's, --policy; and what each extends.
 *
 * Reads files, nothing else.
 */
#pragma once

#include "spec/policy.h"

struct policy_sources {
	const char *
		node; /* "/etc/fence": its fence.json is the node's floor, its policies/ can be named; may be NULL */
	const char *
		config_home; /* "$XDG_CONFIG_HOME/fence" or "~/.config/fence": the same of the user; may be NULL */
	const char *home; /* for "~" in `extends` */
	/* --policy FILE|NAME: of the user's fence.json only the denials are kept then. NULL: not given */
	const char *chosen;
};

/* For the front door. Weakest first: the node's fence.json, then the chosen policy, or else the user's fence.json, or else
 * the built-in "default". *notes says which. */
int policy_load(struct arena *arena, const struct policy_sources *sources, struct policy **policy,
	struct string_list *notes, struct error *err);

/* What the command line asks for on top of the policy. */
struct policy_overrides {
	struct string_list proxies; /* the first is proxyUrl, the others fallbackProxies */
	const char *dns, *log;
	struct string_list allow;   /* egress rules */
	struct string_list inbound; /* ports */
};
int policy_override(struct arena *arena, struct policy *policy, const struct policy_overrides *overrides,
	struct error *err);

/* For engines. `name` is the annotation: the name of a policy in the node's policies/; NULL: none. Where the node's own
 * configuration says so it may also be a path or inline JSON. The named policy can tighten the node's file, never loosen it. */
int policy_load_container(
	struct arena *arena, const char *node, const char *name, struct policy **policy, struct error *err);
bool policy_node_exists(const char *node); /* is there a fence.json of the node? */

struct builtin_policy {
	const char *name, *description, *text;
};
const struct builtin_policy *builtin_policies(size_t *count);
