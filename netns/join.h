/* Two TCP sockets joined: what one receives, the other sends, until both directions have ended.
 */
#pragma once

#include "netns/flows.h"

/* `inner` is the container's. Owns both sockets and the record from the call on, also when it fails (no memory), and itself.
 * `*count` is lowered by one at the end; `*sending`, if not NULL, is raised until the container has ended its direction and the
 * last of that is sent. */
void join_start(
	struct loop *loop, int inner, int outer, size_t *count, size_t *sending, struct flow_record *record);
