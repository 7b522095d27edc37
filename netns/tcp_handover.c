/* TCP that is spliced, its beginning: the SYN is kept until the upstream connection stands, and then given back to the container's
 * kernel, which answers it and has the relay accept a socket. Nobody is accepted for whom the relay has not connected upstream.
 */
#include "netns/tcp_splice.h"
#include "spec/cleanup.h"

#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

enum { ACCEPTS_PER_TURN = 64, SYN_MAX = 2048 };

struct handover_listener {
	struct watch watch;
	struct tcp *tcp;
};

struct kept_syn {
	uint16_t length;
	uint8_t bytes[];
};

bool handover_keep(struct tcp_flow *flow, const struct packet *packet)
{
	struct kept_syn *syn;

	if (packet->network_length > SYN_MAX)
		return false;
	syn = malloc(sizeof(*syn) + packet->network_length);
	if (!syn)
		return false;
	syn->length = (uint16_t)packet->network_length;
	memcpy(syn->bytes, packet->network, packet->network_length);
	flow->syn = syn;
	return true;
}

void handover_forget(struct tcp_flow *flow)
{
	free(flow->syn);
	flow->syn = NULL;
}

void handover_begin(struct tcp_flow *flow)
{
	struct packet packet;

	if (packet_parse(&packet, flow->syn->bytes, flow->syn->length))
		tunnel_return_tcp(tcp_tunnel(flow->tcp), &packet);
	handover_forget(flow); /* should the kernel have dropped it, the client will send it again */
}

/* Somebody who came by another way than the relay's. */
static void turn_away(int fd)
{
	socket_reset_at_close(fd);
	close_fd(fd);
}

static void take_in(struct tcp *tcp, int fd, const struct sockaddr_storage *peer)
{
	struct sockaddr_storage own;
	socklen_t length = sizeof(own);
	struct endpoint client, server;
	struct tcp_flow *flow = NULL;

	if (getsockname(fd, (struct sockaddr *)&own, &length) == 0 && endpoint_from_sockaddr(&server, &own) &&
		endpoint_from_sockaddr(&client, peer))
		flow = tcp_find(tcp, &client, &server);
	if (!flow || flow->state != TCP_HANDED_OVER) {
		turn_away(fd);
		return;
	}
	flow_is_spliced(flow);
	if (splice_start(flow, fd) < 0)
		flow_abort(flow);
}

static void listener_ready(struct watch *watch, uint32_t events)
{
	struct handover_listener *listener = (struct handover_listener *)watch;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage peer;
		socklen_t length = sizeof(peer);
		int fd = accept4(watch->fd, (struct sockaddr *)&peer, &length, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		take_in(listener->tcp, fd, &peer);
	}
}

struct handover_listener *handover_listen(struct tcp *tcp, int fd, struct error *err)
{
	struct handover_listener *listener = calloc(1, sizeof(*listener));

	if (!listener) {
		error_set(err, ENOMEM, "cannot accept the container's connections");
		return NULL;
	}
	listener->tcp = tcp;
	listener->watch.fd = fd;
	listener->watch.ready = listener_ready;
	if (loop_add(tcp_loop(tcp), &listener->watch, EPOLLIN, err) == 0)
		return listener;
	free(listener);
	return NULL;
}

void handover_close(struct tcp *tcp, struct handover_listener *listener)
{
	if (listener)
		loop_remove(tcp_loop(tcp), &listener->watch);
	free(listener);
}
