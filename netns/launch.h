/* Starting the relay: a process of its own session that holds nothing but what it needs, and is known to serve before the
 * caller goes on. It enters its cell while the caller makes what it is to serve.
 */
#pragma once

#include "netns/relay.h"

#include <sys/types.h>

struct relay_start {
	pid_t process;
	int out, ready, errors; /* the caller's ends */
};

/* Sets config->ready_fd and config->out_fd. One of the other two must follow. */
int relay_launch(struct relay_config *config, struct relay_start *start, struct error *err);
/* Gives it the way out, and waits until it serves. On failure no process is left, and the error is the relay's own. */
int relay_complete(struct relay_start *start, struct way_out *out, struct error *err);
/* Waits for its end. */
void relay_abandon(struct relay_start *start);
