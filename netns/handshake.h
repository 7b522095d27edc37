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

/* CONNECTING: the connection does not stand yet. GREETED: the proxy waits for the request. BROKEN: it cannot be reached, has hung up or speaks
 * something else, which says nothing about the destination. */
enum handshake_result {
	HANDSHAKE_CONNECTING,
	HANDSHAKE_WAITS,
	HANDSHAKE_GREETED,
	HANDSHAKE_DONE,
	HANDSHAKE_BROKEN
};

/* Each returns one of these, or a negative errno as the container's connect() shall see it. */
int handshake_start(struct handshake *handshake, int fd, const struct proxy *proxy);
int handshake_request(
	struct handshake *handshake, int fd, enum socks_command command, const struct socks_target *target);
int handshake_continue(struct handshake *handshake, int fd);
bool handshake_is_answering(const struct handshake *handshake); /* a part of an answer has come */
