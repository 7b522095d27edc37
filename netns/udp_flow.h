/* One UDP flow of the container's, and the socket that carries it, as udp.c and udp_carrier.c share them.
 *
 * A carrier is a socket on the host (with a proxy, also the control connection of an association). Flows from one port of the container's
 * to bare addresses share one, so that the port looks the same to every peer (endpoint-independent mapping, RFC 4787); a
 * flow to a stand-in address has its own, since the peer's answers bear an address that the container has never seen.
 */
#pragma once

#include "netns/hash.h"
#include "netns/udp.h"

#include <sys/queue.h>

struct udp_flow;

enum carrier_state { CARRIER_WAITING /* for the proxy or a name */, CARRIER_READY };

struct udp_carrier {
	struct watch socket;
	struct watch control; /* the association ends when this does; fd -1 without a proxy */
	struct udp *udp;
	struct udp_carrier *next_in_bucket;
	LIST_HEAD(, udp_flow) flows;
	struct endpoint client;
	struct endpoint relay; /* where the proxy takes datagrams; family 0 without one */
	struct endpoint
		remote; /* of a carrier for a name, unless a proxy is to resolve it: what it resolved to */
	bool for_name;	/* its only flow's own */
	struct dial *dial;
	struct dns_lookup *lookup;
	enum carrier_state state;
	bool may_fragment; /* what is too long for the path: as the container wished of its last datagram */
};

struct udp_flow {
	struct timer timer;
	struct udp_flow *next_in_bucket;
	LIST_ENTRY(udp_flow) of_carrier;
	struct udp_carrier *carrier;
	struct flow_record *record; /* or NULL: no memory */
	struct endpoint client, server;
	uint64_t active;
	bool two_way, holds_name;
	uint32_t held_length;
	uint8_t *
		held; /* the first datagrams, each after its length in two bytes, while the carrier is not ready */
};

enum { UDP_BUCKETS = 1024 /* a power of two */, TRAIN_MAX = 65000 /* less than a datagram's most */ };

/* What goes out next: datagrams of one flow and one size, the last perhaps shorter. */
struct udp_train {
	struct udp_flow *flow; /* NULL: there is none */
	size_t count, length, segment;
	uint8_t bytes[PACKET_LENGTH_MAX +
		      512]; /* a single one may be longer than a train, and have a proxy's header */
};

struct udp {
	struct loop *loop;
	const struct relay_config *config;
	struct dialer *dialer;
	struct dns *dns;
	struct names *names;
	struct tunnel *tunnel;
	struct hash_key key;
	size_t flow_count, flows_max;
	size_t held;		       /* bytes, of all flows */
	uint64_t no_association_until; /* the proxy has said that it does not carry UDP */
	struct udp_train train;
	struct udp_flow *flows[UDP_BUCKETS];
	struct udp_carrier *carriers[UDP_BUCKETS];
};

/* udp.c */
struct udp_flow *udp_find(struct udp *udp, const struct endpoint *client, const struct endpoint *server);
void udp_flow_free(struct udp_flow *flow); /* and its carrier, with the last */
/* A train, as tunnel_send_udp_train() has it. */
void udp_to_container(struct udp_flow *flow, uint8_t *payload, size_t length, size_t segment);
void udp_tell(struct udp_flow *flow, int error_number); /* as ICMP */

/* udp_carrier.c */
/* Joins the flow to the carrier that serves it. -1: errno. */
int carrier_join(struct udp *udp, struct udp_flow *flow, const char *name);
void carrier_leave(struct udp_flow *flow);
/* It goes with the next train_flush(), or when the carrier is ready. The flow may be no more afterwards. */
void carrier_send(struct udp_flow *flow, const uint8_t *bytes, size_t length, bool may_fragment);
/* Whose a datagram is that came from `from`; or that the proxy has wrapped, whose header is taken off. NULL: nobody's. */
struct udp_flow *carrier_flow_of(struct udp_carrier *carrier, const struct endpoint *from);
struct udp_flow *carrier_unwrap(struct udp_carrier *carrier, uint8_t **bytes, size_t *length);
