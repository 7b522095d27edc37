/* What forward.c (TCP), forward_udp.c and the sockets made inside share.
 */
#pragma once

#include "netns/flows.h"
#include "netns/forward.h"
#include "netns/inner.h"

/* One wish for a socket inside; they are granted in order. */
struct wish {
	struct wish *next;
	enum inner_kind kind;
	void (*granted)(struct wish *wish, int fd); /* or -1 with errno; the wish is its owner's again */
};

struct port {
	struct watch watch;
	struct forwards *forwards;
	const struct inbound *inbound;
	struct udp_peer *peers;
};

struct forwards {
	struct loop *loop;
	struct flows *flows;
	struct watch inner;
	struct wish *wishes, **last_wish;
	size_t count, count_max; /* of connections and of UDP peers */
	size_t port_count;
	struct port ports[];
};

/* False: the helper is gone or overwhelmed. */
bool wish_for(struct forwards *forwards, struct wish *wish, enum inner_kind kind);
/* The container's loopback; connect()'s result. */
int connect_inside(int fd, enum inner_kind kind, uint16_t port);

/* The record of what comes from `peer`, whose address it bears, to the port inside. */
struct flow_record *inbound_begin(const struct port *port, const char *protocol, const struct endpoint *peer);

/* forward_udp.c */
void forward_udp_ready(struct watch *watch, uint32_t events);
void forward_udp_free(struct port *port);
