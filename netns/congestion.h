/* The congestion control of connections that stay on this host. Where the host's default paces (BBR), pacing halves what a loopback
 * carries; reno is part of every kernel.
 */
#pragma once

#include "netns/endpoint.h"

#define CONGESTION_UNPACED "reno"

/* Once, before the others: whether there is anything to do at all. */
void congestion_learn_default(void);

/* Before connecting: on a loopback address. Once connected: also where both ends have the same address. */
void congestion_suit_loopback(int fd, const struct endpoint *peer);
void congestion_suit_host(int fd, const struct endpoint *peer);
