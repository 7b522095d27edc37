/* The names by which a running relay is known: abstract Unix sockets that it holds, so that they are there exactly as long
 * as it is, and no file is left behind.
 *
 * One names the network namespace: a second relay for it cannot be. The other names the container, for the hook that
 * waits for its end.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum { CONTROL_NAME_MAX = 104 };

void control_name_of_namespace(dev_t device, ino_t inode, char name[static CONTROL_NAME_MAX]);
void control_name_of_container(const char *bundle, const char *id, char name[static CONTROL_NAME_MAX]);

/* A listening socket; *taken when a relay of the caller's own user, or of root, has the name already: -1 then without an
 * error's text. */
int control_listen(const char *name, bool *taken, struct error *err);

/* A container that joins: its init process comes along as a descriptor. */
struct control_newcomer {
	uint64_t rules; /* see relay.h */
};
enum { CONTROL_TAKEN = 'y', CONTROL_OTHER_RULES = 'n' };

/* Hands another container's init process to the relay that holds the name (residents.h). 1: it serves that container, too;
 * 0: it was just ending. That its rules are others than those of the relay is an error: it has one way out, and one set of rules for
 * all who share the namespace. */
int control_join(const char *name, int init_pidfd, uint64_t rules, struct error *err);

/* Writes what the relay that holds the name says of the flows that live (flows_describe() of flows.h) to `out`. 0: there is no
 * such relay. */
int control_flows(const char *name, int out, struct error *err);

/* In the relay's process: makes it the one whom the socket's peers see, instead of the hook that has made the socket. */
int control_adopt(int fd, struct error *err);

/* Waits until the relay that holds the name has let it go, which is its end, at most `milliseconds`; then it is killed where `kill`
 * says so, else that is an error. No such relay: success. */
int control_await_end(const char *name, int milliseconds, bool kill, struct error *err);
