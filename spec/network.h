/* network.json: what the network hook and the relay are told. Mode 0600, outside the container, since it alone holds the
 * proxy's credentials.
 */
#pragma once

#include "spec/table.h"

struct network_impairment { /* see netns/impair.h; per cent */
	struct optional_uint16 lose, repeat, delay;
};

struct network_file {
	struct string_list
		proxies; /* "socks5://user:password@host:port", tried in order; none: the relay connects itself */
	const char *dns;		/* "host:port" of the resolver that is asked, or NULL */
	struct string_list allow, deny; /* egress rules; see netns/egress.h for the grammar */
	const char *default_action;	/* "deny" or "allow" (a proxy and no rules: allow) */
	struct string_list inbound;	/* "[address:]port[:inner][/udp]" */
	const char *
		tun; /* "required": tun0 or an error; "preferred"; "never": SOCKS5 listener on 127.0.0.1:18321 */
	const char *datapath;			   /* of TCP by tun0, see netns/inside.h; NULL: "auto" */
	struct optional_bool ipv6;		   /* default true */
	struct optional_bool allow_local_outbound; /* may reach the host's own loopback, by rule */
	struct optional_bool check_server_name;	   /* of connections to names, see netns/server_name.h */
	const char *log;			   /* a file for one JSON line per decision, or NULL */
	struct network_impairment *impairment;	   /* for tests; NULL: none */
};

int network_file_load(struct arena *arena, const char *path, struct network_file **file, struct error *err);
struct json *network_file_write(struct arena *arena, const struct network_file *file);
