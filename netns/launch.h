/* Starting the relay: a process of its own session that holds nothing but what it needs, and is known to serve before the
 * caller goes on.
 */
#pragma once

#include "netns/relay.h"

/* `container_fd` is the second control socket (control.h), held by the relay for as long as it lives. Sets config->ready_fd.
 * On failure no process is left, and the error is the relay's own. */
int relay_launch(struct relay_config *config, int container_fd, struct error *err);
