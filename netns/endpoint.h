/* An address and a port, of either family; the relay's word for "who".
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct endpoint {
	sa_family_t family; /* AF_INET, AF_INET6; 0: none */
	uint16_t port;	    /* host order */
	union {
		struct in_addr v4;
		struct in6_addr v6;
	};
};

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *address);
bool endpoint_from_sockaddr(struct endpoint *endpoint, const struct sockaddr_storage *address);
bool endpoint_parse(
	struct endpoint *endpoint, const char *text); /* "192.0.2.1:53", "[2001:db8::1]:53": numeric */
/* A host that is an address in any spelling that some resolver would take for one ("127.1", "0x7f000001", "127.0.0.1."); port 0. */
bool endpoint_parse_host(struct endpoint *endpoint, const char *host);
bool endpoint_is_loopback(const struct endpoint *endpoint);
bool endpoint_equal(const struct endpoint *a, const struct endpoint *b);
enum { ENDPOINT_TEXT_MAX = 64 };
const char *endpoint_format(const struct endpoint *endpoint, char text[static ENDPOINT_TEXT_MAX]);

bool socket_is_unix(int fd);
void socket_reset_at_close(int fd); /* TCP: the peer gets a RST then, whatever is still in the queues */

/* The families by turns, as RFC 8305 has it, at most `max`; how many is returned. */
size_t endpoints_by_turns(struct endpoint *sorted, size_t max, const struct endpoint *endpoints, size_t count,
	sa_family_t first);
