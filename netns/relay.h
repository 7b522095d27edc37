/* The relay: one process per network namespace that carries its traffic to a proxy, or out, or nowhere.
 *
 * It lives outside the container and enters its cell (cell.h) before it reads the first packet. When it dies, tun0 and its
 * route vanish, and traffic fails: never openness.
 */
#pragma once

#include "netns/endpoint.h"
#include "netns/impair.h"
#include "netns/way_out.h"
#include "spec/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct egress; /* egress.h */
struct flows;  /* flows.h */

enum proxy_kind { PROXY_SOCKS5, PROXY_HTTP /* CONNECT: it carries TCP only */ };

enum { PROXIES_MAX = 32 };

struct proxy {
	enum proxy_kind kind;
	struct endpoint
		address; /* resolved by the hook: the relay resolves nothing by libc; AF_UNIX: see unix_path */
	uint8_t unix_path; /* of a proxy behind a Unix socket: what unix_door_open() knows it by */
	char user[256], password[256]; /* "" for none */
	bool remote_names;	       /* socks5h, http: where there is such a proxy, all get names */
};

struct inbound {
	struct endpoint listen; /* on the host */
	uint16_t inner_port;
	bool udp;
	int listen_fd; /* opened by the hook in the host's namespace, before the cell */
};

/* Who the relay is to be (cell.h). */
struct cell {
	bool user_namespace; /* its own, in which the user has its number from outside */
	unsigned int uid, gid;
};

struct relay_config {
	struct cell cell;
	struct way_out out;
	int out_fd;		      /* a socket by which the relay, in its cell, gets `out` */
	struct impairment impairment; /* all 0: none */
	int unix_door; /* to the helper that connects to proxies behind Unix sockets, or -1: see unix_door.h */
	int init_pidfd; /* the relay ends when this does */
	int control_fd; /* listening abstract socket that names this namespace; a client sees EOF when the relay ends */
	int container_fd; /* the same for the name of the container (control.h) */
	uint64_t
		rules; /* stands for the whole of the network file: a pod's containers must all have the same */
	int ready_fd; /* written one byte when the relay serves, then closed */
	int log_fd;   /* or -1 */
	struct proxy *proxies;
	size_t proxy_count;  /* at most PROXIES_MAX; tried in order */
	struct endpoint dns; /* family 0: none, DNS goes by TCP through the proxy */
	struct egress *egress;
	bool check_server_name; /* of connections to names: see first_words.h; QUIC, which hides it, is refused */
	struct flows *flows; /* the relay's own */
	struct inbound *inbound;
	size_t inbound_count;
};

/* Enters the cell, waits for its way out, says ready, runs until the namespace's init ends. An error without a message: the hook has ended
 * first. */
int relay_run(struct relay_config *config, struct error *err);
