/* HTTP CONNECT (RFC 9110, 9.3.6), as its client: writing the request and reading the answer's head, and not a byte beyond it,
 * since what follows belongs to the container. Pure: no system call, no allocation.
 */
#pragma once

#include "netns/socks.h"

enum { HTTP_REQUEST_MAX = 2048 };

struct http_reply {
	size_t length; /* of the head so far, and of the interim ones before it */
	uint8_t status_length;
	uint8_t line_length; /* of its present line, as far as it matters: 0, 1, more */
	char status[13];     /* "HTTP/1.1 200" */
};

size_t http_put_connect(
	char request[static HTTP_REQUEST_MAX], const struct proxy *proxy, const struct socks_target *target);

/* Reads on; *used says how much of `bytes` is the head's. 0: more is to come; 1: the connection stands; or a negative errno as
 * the container's connect() shall see it, -EPROTO: this is no HTTP proxy. */
int http_take(struct http_reply *reply, const uint8_t *bytes, size_t length, size_t *used);
