/* Reading where proxies, resolvers and inbound ports are, as people write them. Nothing is resolved here.
 *
 * No error ever repeats a URL's user or password.
 */
#pragma once

#include "netns/relay.h"
#include "netns/unix_door.h"

struct proxy_url {
	enum proxy_kind kind;
	bool remote_names;	       /* socks5h: the proxy gets names */
	char user[256], password[256]; /* percent-decoded; "" for none */
	char host[256];		       /* a name or a numeric address, without brackets; "" with a path */
	uint16_t port;
	char path[UNIX_PATH_MAX]; /* of a Unix socket, else "" */
};

/* "socks5://user:password@host:port", "socks5h://[2001:db8::1]:1080", "http://host:port", "socks5+unix:/path". */
int url_read_proxy(const char *text, struct proxy_url *url, struct error *err);

/* "host:port", "[address]:port"; where `default_port` is not 0 the port may be left out. `what` is for the message: "the resolver". */
int url_read_host(const char *text, uint16_t default_port, const char *what, char host[static 256],
	uint16_t *port, struct error *err);

/* "[address:]port[:inner][/udp]": 127.0.0.1 unless an address is given. listen_fd is set to -1. */
int url_read_inbound(const char *text, struct inbound *inbound, struct error *err);
