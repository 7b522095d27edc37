/* SOCKS5 (RFC 1928, RFC 1929), the client's words: what to send next, and what the proxy's answer means. No socket here.
 *
 * Not pipelined: some servers (Debian's microsocks) hang on that. Each message is whole, to be sent by one write.
 */
#pragma once

#include "netns/relay.h"

enum socks_command { SOCKS_CONNECT = 1, SOCKS_ASSOCIATE = 3 };
enum { SOCKS_NAME_MAX = 255, SOCKS_MESSAGE_MAX = 3 + 255 + 255 };

struct socks_target {
	const char *name;	 /* or NULL */
	struct endpoint address; /* where there is no name; the port always */
};

enum socks_step {
	SOCKS_METHOD,
	SOCKS_AUTHENTICATION,
	SOCKS_GREETED, /* it waits for the request */
	SOCKS_REPLY_START,
	SOCKS_REPLY_REST,
	SOCKS_DONE
};

struct socks {
	const struct proxy *proxy;
	enum socks_step step;
	uint8_t reply[5 + 255 + 2];
	size_t have, want; /* of `reply` */
	struct endpoint
		bound; /* with SOCKS_DONE: where the proxy relays datagrams; family 0: it gave a name */
};

/* The greeting. */
size_t socks_start(struct socks *socks, const struct proxy *proxy, uint8_t message[static SOCKS_MESSAGE_MAX]);
/* At SOCKS_GREETED. */
size_t socks_put_request(struct socks *socks, enum socks_command command, const struct socks_target *target,
	uint8_t message[static SOCKS_MESSAGE_MAX]);
/* After `received` more bytes were put at reply + have, never beyond reply + want: the length of the next message to send, 0: read on (or, at
 * SOCKS_GREETED, make the request; at SOCKS_DONE, the connection stands), or a negative errno as the container's connect() shall see it;
 * -EPROTO: this is no SOCKS5 proxy. */
int socks_take(struct socks *socks, size_t received, uint8_t message[static SOCKS_MESSAGE_MAX]);

/* At SOCKS_DONE of SOCKS_ASSOCIATE: where datagrams go. False: to nowhere that makes sense. */
bool socks_association(const struct socks *socks, struct endpoint *relay);

/* An address as SOCKS writes it, with type and port, for messages and for the header of a relayed datagram. */
size_t socks_put_target(uint8_t *bytes, const struct socks_target *target);
/* Reads one; the bytes it took, 0: malformed or incomplete. A name gives family 0. */
size_t socks_get_endpoint(struct endpoint *endpoint, const uint8_t *bytes, size_t length);
