/* The way out where TUN can't be had: a SOCKS5 server on the container's own loopback, for programs that heed the proxy
 * variables. Without the relay there is no other network inside, so those that do not heed them reach nothing.
 */
#pragma once

#include "netns/dial.h"

struct listener;

struct listener *listener_new(
	struct loop *loop, struct dialer *dialer, int fd, size_t connections_max, struct error *err);
void listener_free(struct listener *listener);
/* As tcp_is_drained(). */
bool listener_is_drained(const struct listener *listener);
