/* The helper inside the container's network namespace: it makes sockets there for the relay, which cannot enter.
 *
 * A socket belongs for good to the namespace that it was made in, so the relay can connect it itself: the helper only ever calls
 * socket(), passes the descriptor, and closes it. Its own seccomp filter allows no more. It ends when the relay does.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum inner_kind { INNER_TCP_IPV4, INNER_TCP_IPV6, INNER_UDP_IPV4, INNER_UDP_IPV6, INNER_KINDS };

/* The helper's life: called by the hook in a child that has entered the namespace; `socket` is its end of a
 * SOCK_SEQPACKET pair. Closes every other descriptor. */
_Noreturn void inner_serve(int socket);

/* The relay's side: one request, one answer, in order. inner_receive() returns a non-blocking socket, or -1 with errno:
 * EAGAIN when the answer is not there yet, EPIPE when the helper is gone. */
int inner_request(int socket, enum inner_kind kind);
int inner_receive(int socket);
