/* From network.json to what the relay is told: names resolved, rules read, inbound ports bound. Runs in the host's network
 * namespace, and is the only place that resolves by libc.
 */
#pragma once

#include "netns/relay.h"
#include "spec/network.h"

/* Fills the proxies, dns, egress, inbound and log_fd of `config`. What it opens stays open for the relay. */
int settings_apply(
	struct arena *arena, const struct network_file *file, struct relay_config *config, struct error *err);
