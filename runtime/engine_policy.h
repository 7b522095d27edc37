/* A policy under an engine: the node's floor (/etc/fence/fence.json) and the annotation dev.fence.policy tighten a config.json
 * that podman, containerd or CRI-O wrote. With neither, the config is left as it is.
 */
#pragma once

#include "spec/oci.h"

#define ANNOTATION_POLICY  "dev.fence.policy"
#define NODE_CONFIGURATION "/etc/fence"

/* Is there anything to apply? Reads no policy yet. */
bool engine_policy_wanted(const struct oci_config *config);

/* Tightens `config` in place; network.json and what the container mounts are written to the state directory. */
int engine_policy_apply(struct arena *arena, struct oci_config *config, const char *bundle,
	const char *state_directory, int state_fd, struct error *err);
