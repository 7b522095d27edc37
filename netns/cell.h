/* The relay's cell: what a process that reads hostile packets may still do, which is to move bytes between descriptors that it
 * has and sockets of the host's network. No file, no capability, no other process, no way back.
 */
#pragma once

#include "netns/relay.h"

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1 /* a sanitizer needs terabytes of address space, and system calls of its own at the end */
#else
#define SANITIZED 0
#endif

/* For good, before the first packet is read. Everything that opens a file or raises a limit comes before. As root it ends
 * as user 65534; as another user, in a user namespace of its own. */
int cell_enter(const struct relay_config *config, struct error *err);
