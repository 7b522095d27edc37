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

/* fork(2), into a pid namespace whose first process the child is: it can name no other. Where it cannot become user 65534, also into
 * a user namespace. *cell (relay.h) tells the others. */
pid_t cell_fork(struct cell *cell, struct error *err);
/* The child's first act: in its user namespace it gets the user's own number, by which the control socket's peers are told apart. */
int cell_settle(const struct cell *cell, struct error *err);
/* For good, before the first packet is read. Everything that opens a file or raises a limit comes before. As root it ends
 * as user 65534; as another user, in the user namespace of its own. */
int cell_enter(const struct relay_config *config, struct error *err);
