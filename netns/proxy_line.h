/* One connection to a proxy, from connect() to the proxy's answer: by address or behind a Unix socket, whatever it speaks.
 */
#pragma once

#include "netns/handshake.h"
#include "netns/loop.h"

struct proxy_line {
	struct watch
		watch; /* with CONNECT_EVENTS; its `ready` is the owner's, who goes on with line_continue() */
	uint32_t reported; /* events, all so far: for whoever has the socket next */
	size_t proxy;	   /* its number; `config` is the relay's */
	enum { LINE_CONNECTING, LINE_GREETING, LINE_GREETED, LINE_ASKED } state;
	struct handshake handshake;
};

/* These return a handshake_result, or a negative errno as the container's connect() shall see it. */
int line_open(struct proxy_line *line, struct loop *loop, const struct relay_config *config, size_t proxy);
int line_continue(struct proxy_line *line, const struct relay_config *config, uint32_t events);
int line_ask(struct proxy_line *line, enum socks_command command, const struct socks_target *target);

bool line_is_answering(const struct proxy_line *line); /* it has said a part of its answer */
bool line_is_heard(
	const struct proxy_line *line); /* all that was said has reached the proxy's kernel, or its program */
void line_move(
	struct loop *loop, struct proxy_line *from, struct proxy_line *to); /* keeps the latter's `ready` */
void line_close(struct loop *loop, struct proxy_line *line);
