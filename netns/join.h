/* Two TCP sockets joined: what one receives, the other sends, until both directions have ended.
 */
#pragma once

#include "netns/loop.h"

/* Owns both sockets from the call on, also when it fails (no memory), and itself. `*count`, if not NULL, is lowered by one at the end. */
void join_start(struct loop *loop, int a, int b, size_t *count);
