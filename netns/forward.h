/* Inbound ports: what reaches a port of the host's that the policy opens is carried to a port inside, on the container's
 * loopback, so that servers on 127.0.0.1, on ::1 and on every address are all reached.
 */
#pragma once

#include "netns/loop.h"
#include "netns/relay.h"

struct forwards;

/* NULL with an error. With no inbound ports it does nothing. */
struct forwards *forwards_new(
	struct loop *loop, const struct relay_config *config, size_t connections_max, struct error *err);
void forwards_free(struct forwards *forwards);
