/* Which server a program means, as the first bytes of its connection say: TLS's server_name, or HTTP's Host. Held against the name
 * that was resolved, they tell whether an allowed name is only the front for another that its host serves as well.
 *
 * The rules:
 *	TLS, on any port	one ClientHello, however it is divided, with one server_name, which is the name. Of an encrypted
 *				ClientHello the outer name is meant: no more can be seen.
 *	HTTP, on any port	one Host, which is the name, with or without a port; so is what an absolute target or a CONNECT names. HTTP/2
 *				without TLS says no Host that could be read, and is refused.
 *	QUIC, on any port	hides the name and is refused, as is all UDP to port 443, so that clients go on by TCP.
 *	else			passes, but TCP on ports 80 and 443.
 * The name must be seen whole within SERVER_NAME_BYTES_MAX. What follows it is the connection's own business: later requests, what a
 * program says under TLS, or after STARTTLS.
 *
 * Pure: no system call, no allocation. What is read is the container's: every length is checked before it is believed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	SERVER_NAME_BYTES_MAX =
		16384, /* a ClientHello has one to two KiB, a request's head with its cookies some more */
	SERVER_NAME_TEXT_MAX = 127,
};

enum server_name_verdict { SERVER_NAME_OPEN /* more bytes are needed */, SERVER_NAME_GOOD, SERVER_NAME_BAD };

struct server_name_fault {
	const char *why;
	char said[SERVER_NAME_TEXT_MAX + 1]; /* the other name, as much as fits and can be printed, or "" */
};

/* A datagram that begins a QUIC connection, on whatever port: it hides the name. */
bool server_name_is_quic(const uint8_t *datagram, size_t length);

/* `bytes` are the first ones, all that have come; `ended`: no more will. `fault` is filled in when it is bad. */
enum server_name_verdict server_name_judge(const char *resolved, uint16_t port, const uint8_t *bytes,
	size_t length, bool ended, struct server_name_fault *fault);
