/* Connections to the proxies, kept ready: connected, greeted and authenticated, so that a new flow waits for nothing but the
 * answer to its own request.
 *
 * Made only after use or when a name is asked for, in the background, more of them the more often there was none; none is kept for long,
 * so that an idle container holds nothing, and none while its proxy is unwell. They prove nothing about a proxy's health: a dial that fails with one
 * tries again with a connection of its own.
 */
#pragma once

#include "netns/proxy_line.h"

struct ready;

struct ready *ready_new(struct loop *loop, const struct relay_config *config);
void ready_free(struct ready *ready);

/* The one of this proxy that has got furthest, perhaps still on its way: whoever asks for one is served before those that only wait to be used,
 * also by a proxy that has room for few. False: there is none. */
bool ready_take(struct ready *ready, size_t proxy, struct proxy_line *line);
/* A flow goes by this proxy: others may follow. */
void ready_note_use(struct ready *ready, size_t proxy);
/* A flow may be about to: one is made if there is none. */
void ready_expect(struct ready *ready, size_t proxy);
void ready_forget(struct ready *ready, size_t proxy); /* it is unwell */
