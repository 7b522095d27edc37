/* TCP that the container's own kernel terminates (intercept.h): its end of a connection and the upstream one, joined by
 * splice(), so that no byte is copied. A pipe belongs to a direction only while something is in it.
 */
#pragma once

#include "netns/tcp_flow.h"

/* Joins flow->upstream, which is in the loop already, and `client`, which is taken. Ends by flow_close() or flow_abort(). */
int splice_start(struct tcp_flow *flow, int client);
/* For flow_close(): closes the client's end. `abort`: with a RST. */
void splice_end(struct tcp_flow *flow, bool abort);
void splice_continue(struct tcp_flow *flow);	  /* the others have had their turn */
bool splice_has_all(const struct tcp_flow *flow); /* the end of what the container sends has come */
