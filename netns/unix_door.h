/* The helper that opens connections to proxies behind Unix sockets: their paths and their permissions are the host's, and the
 * relay, in its cell, has neither files nor a user of the host's.
 *
 * It knows a list of paths, and all that it ever does is to connect to one of them and to pass the descriptor. It ends when
 * the relay does.
 */
#pragma once

#include "spec/error.h"

#include <stddef.h>

enum { UNIX_PATH_MAX = 108 }; /* of a socket's address, with the end */

/* In the hook: starts the helper; *door is the relay's end of its socket. A path that nobody serves yet is no error. */
int unix_door_start(const char *const *paths, size_t count, int *door, struct error *err);

/* In the relay: a connected non-blocking socket, or -1 with errno. Waits for the helper, which never waits itself. */
int unix_door_open(int door, size_t path);
