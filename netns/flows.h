/* The record of what the container's network does: each flow that lives, for `fence net`, and one line of the log (log.h) for
 * each flow when it has ended, for each that was denied, and for each query.
 *
 * A flow is one TCP connection, one UDP conversation, one ping, in whichever direction. Whoever carries it counts its bytes.
 */
#pragma once

#include "netns/endpoint.h"
#include "netns/loop.h"

#include <stddef.h>
#include <sys/queue.h>

struct flows;

struct flow_description {
	const char *protocol; /* "tcp", "udp", "icmp" */
	bool inbound;
	const char *name; /* that the container asked for, or NULL */
	struct endpoint
		address;  /* the peer's; family 0: not known, a proxy resolves the name; the port always */
	const char *rule; /* what decided; lives as long as the rules do; NULL: no rule was asked */
};

struct flow_record {
	LIST_ENTRY(flow_record) link;
	struct flows *flows;
	const char *protocol, *rule;
	struct endpoint address;
	bool inbound;
	uint64_t begun;		 /* loop_now() */
	uint64_t sent, received; /* bytes, as the container sees it */
	int error_number;	 /* why it never came to be, or 0 */
	bool check_name;	 /* the first bytes must be for the server of that name: see first_words.h */
	bool refused;		 /* they were for another */
	char *server_name;	 /* for that one, or NULL */
	char name[];
};

struct flows *flows_new(struct loop *loop, int log_fd); /* NULL: no memory */
void flows_free(struct flows *flows);			/* what lives has ended */

/* A flow that is allowed. NULL: no memory. */
struct flow_record *flows_begin(struct flows *flows, const struct flow_description *description);
void flows_end(struct flow_record *record);    /* NULL is ignored, here and below */
void flows_forget(struct flow_record *record); /* without a line: it is denied after all */
/* It was allowed, but not for this: its line, when it ends, will be a denial. `server_name`: what it was for, or NULL. */
void flows_refuse(struct flow_record *record, const char *why, const char *server_name);
/* One that is not: only a line. */
void flows_deny(struct flows *flows, const struct flow_description *description);
/* One for which there is no room: the limit of open files. A line every FLOWS_FULL_INTERVAL, since there may be a flood of them. */
enum { FLOWS_FULL_INTERVAL = 10000 /* milliseconds */ };
void flows_full(struct flows *flows, const char *protocol);
void flows_query(struct flows *flows, const char *name, bool permitted, const char *rule);

/* The flows that live, one JSON line each, newest first; what does not fit into `room` bytes is counted in the last line. The length
 * is returned. */
size_t flows_describe(const struct flows *flows, char *text, size_t room);
