/* The relay's helpers, one job each: they answer a request of one byte with a descriptor that the relay, in its cell, could not
 * make itself (inner.h, unix_door.h). A helper ends when the relay does.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* In the helper: `socket` becomes its only descriptor, number 0; of the capabilities those in `kept`, a mask, remain, and of the
 * system calls, besides what helper_serve() needs, those of the list. Ends the process where that cannot be had. */
void helper_enter_cell(int socket, const char *name, const unsigned int *calls, size_t count, uint32_t kept);
/* Answers with what `make` returns: a descriptor, which is closed afterwards, or -1 with errno. */
_Noreturn void helper_serve(int (*make)(void *data, uint8_t request), void *data);

/* The relay's side: one request, one answer, in order. helper_receive(), with recvmsg()'s flags, returns the descriptor, or -1
 * with errno: EAGAIN when the answer is not there yet, EPIPE when the helper is gone. */
int helper_request(int socket, uint8_t request);
int helper_receive(int socket, int flags);
