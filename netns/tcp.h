/* TCP by translation: the container's packets on one side, a socket for each connection on the other.
 *
 * A SYN is answered only when the upstream connection stands. What the container sends goes straight into the socket, and only
 * what the socket took is acknowledged; what comes from upstream stays in the socket, peeked at, until the container has acknowledged
 * it. So no flow has a buffer here, and each side's flow control is the other's.
 *
 * Where the container's kernel terminates its TCP itself (intercept.h), only the beginning is as above: once the upstream connection
 * stands, the SYN goes back to that kernel, and the two sockets are spliced (tcp_handover.c, tcp_splice.h).
 */
#pragma once

#include "netns/dial.h"
#include "netns/dns.h"
#include "netns/names.h"
#include "netns/tunnel.h"

struct tcp;

struct tcp *tcp_new(struct loop *loop, struct dialer *dialer, struct dns *dns, struct names *names,
	struct flows *flows, size_t flows_max, struct error *err);
void tcp_set_tunnel(struct tcp *tcp, struct tunnel *tunnel); /* before the first packet */
/* From now on the container's kernel terminates its TCP and has connections accepted here (intercept.h). */
int tcp_set_listeners(struct tcp *tcp, const int listeners[static 2], struct error *err);
void tcp_free(struct tcp *tcp);
void tcp_packet(struct tcp *tcp, const struct packet *packet);
void tcp_flush(struct tcp *tcp); /* after a batch of packets */
/* Nothing that the container has sent is still on its way: the end of every open connection's data has come. */
bool tcp_is_drained(const struct tcp *tcp);
