/* The words with a proxy on a connection that has just been made, by whichever protocol it speaks, until it says
 * "connected" (or "associated").
 */
#pragma once

#include "netns/http.h"
#include "netns/socks.h"

struct handshake {
	const struct proxy *proxy;
	union {
		struct socks socks;
		struct http_reply http;
	};
};

/* The proxy has hung up or speaks something else: it says nothing about the destination. */
enum { HANDSHAKE_WAITS = 0, HANDSHAKE_DONE = 1, HANDSHAKE_BROKEN = 2 };

/* Both return one of these, or a negative errno as the container's connect() shall see it. */
int handshake_start(struct handshake *handshake, int fd, const struct proxy *proxy,
	enum socks_command command, const struct socks_target *target);
int handshake_continue(struct handshake *handshake, int fd, const struct socks_target *target);
