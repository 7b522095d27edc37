/* Beginning a TCP connection upstream: the socket's options, and that it never blocks.
 */
#pragma once

#include "netns/endpoint.h"

#include <sys/epoll.h>

/* What a watch of such a socket waits for from the beginning, edge-triggered, so that it can go from one owner to the next as it is. */
enum { CONNECT_EVENTS = (int)(EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET) };

/* A socket that is connected, or about to be; -1 with errno: at once impossible. */
int connect_begin(const struct endpoint *to);
