/* Starting the relay: a process of its own session that holds nothing but what it needs, and is known to serve before the
 * caller goes on.
 */
#pragma once

#include "netns/relay.h"

/* Sets config->ready_fd.
 * On failure no process is left, and the error is the relay's own. */
int relay_launch(struct relay_config *config, struct error *err);
