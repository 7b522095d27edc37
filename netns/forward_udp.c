/* Inbound UDP: each peer outside has a socket of its own inside, so that its answers find back to it. See forward.h.
 */
#include "netns/forward_flow.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/epoll.h>

enum {
	DATAGRAMS_PER_TURN = 32,
	PEERS_MAX = 1024, /* of one port: their list is searched for each datagram */
	IDLE = 300000,
	DATAGRAM_MAX = 65535,
	KEPT_MAX = 2048, /* of the datagram that began it, once it was sent */
};

struct udp_peer {
	struct wish wish;
	struct watch inside; /* fd -1 until the wish is granted */
	struct timer timer;
	struct udp_peer *next;
	struct port *port;
	struct endpoint outside;
	struct flow_record *record;
	uint64_t active;
	bool answered;
	uint8_t *held; /* the datagram that began it, or NULL */
	size_t held_length;
};

static uint8_t datagram[DATAGRAM_MAX];

static void count_received(struct udp_peer *peer, size_t length)
{
	if (peer->record)
		peer->record->received += length;
}

static void forget_held(struct udp_peer *peer)
{
	free(peer->held);
	peer->held = NULL;
}

static void peer_free(struct udp_peer *peer)
{
	struct forwards *forwards = peer->port->forwards;
	struct udp_peer **at = &peer->port->peers;

	while (*at != peer)
		at = &(*at)->next;
	*at = peer->next;
	loop_cancel_timer(forwards->loop, &peer->timer);
	loop_remove(forwards->loop, &peer->inside);
	close_fd(peer->inside.fd);
	forwards->count--;
	flows_end(peer->record);
	forget_held(peer);
	free(peer);
}

/* Nobody serves there. */
static void try_other_family(struct udp_peer *peer)
{
	struct forwards *forwards = peer->port->forwards;
	bool v4 = peer->wish.kind == INNER_UDP_IPV4;

	loop_cancel_timer(forwards->loop, &peer->timer);
	loop_remove(forwards->loop, &peer->inside);
	peer->inside.fd = close_fd(peer->inside.fd);
	if (!wish_for(forwards, &peer->wish, v4 ? INNER_UDP_IPV6 : INNER_UDP_IPV4))
		peer_free(peer);
}

static void inside_ready(struct watch *watch, uint32_t events)
{
	struct udp_peer *peer = container_of(watch, struct udp_peer, inside);
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(&peer->outside, &address);

	(void)events;
	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		ssize_t received = recv(watch->fd, datagram, sizeof(datagram), MSG_DONTWAIT);

		if (received < 0 && errno == ECONNREFUSED && !peer->answered)
			try_other_family(peer);
		if (received < 0)
			return;
		peer->active = loop_now(peer->port->forwards->loop);
		peer->answered = true;
		forget_held(peer);
		if (peer->record)
			peer->record->sent += (uint64_t)received;
		sendto(peer->port->watch.fd, datagram, (size_t)received, MSG_DONTWAIT | MSG_NOSIGNAL,
			(struct sockaddr *)&address, length);
	}
}

static void granted(struct wish *wish, int fd)
{
	struct udp_peer *peer = (struct udp_peer *)wish;
	struct port *port = peer->port;

	peer->inside.fd = fd;
	peer->inside.ready = inside_ready;
	if (fd < 0 || connect_inside(fd, wish->kind, port->inbound->inner_port) < 0 ||
		loop_add(port->forwards->loop, &peer->inside, EPOLLIN, NULL) < 0) {
		peer_free(peer);
		return;
	}
	if (peer->held)
		send(fd, peer->held, peer->held_length, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (peer->held_length > KEPT_MAX || wish->kind == INNER_UDP_IPV6)
		forget_held(peer);
	loop_set_timer(port->forwards->loop, &peer->timer, IDLE);
}

static void idle(struct timer *timer)
{
	struct udp_peer *peer = container_of(timer, struct udp_peer, timer);
	struct loop *loop = peer->port->forwards->loop;

	if (peer->active + IDLE > loop_now(loop))
		loop_set_timer(loop, timer, peer->active + IDLE - loop_now(loop));
	else
		peer_free(peer);
}

/* Who was never answered may have given an address that is not its own: the one that has been silent longest goes. */
static bool make_room(struct port *port)
{
	struct udp_peer *silent = NULL;
	size_t count = 0;

	for (struct udp_peer *peer = port->peers; peer; peer = peer->next, count++) {
		if (!peer->answered && peer->inside.fd >= 0 && (!silent || peer->active <= silent->active))
			silent = peer;
	}
	if (count >= PEERS_MAX && silent)
		peer_free(silent);
	return count < PEERS_MAX || silent;
}

static void peer_new(struct port *port, const struct endpoint *outside, size_t length)
{
	struct forwards *forwards = port->forwards;
	struct udp_peer *peer;

	if (!make_room(port) || forwards->count >= forwards->count_max || !(peer = calloc(1, sizeof(*peer))))
		return;
	peer->port = port;
	peer->outside = *outside;
	peer->inside.fd = -1;
	peer->timer.fire = idle;
	peer->wish.granted = granted;
	peer->active = loop_now(forwards->loop);
	peer->held = malloc(length + 1);
	peer->held_length = length;
	if (!peer->held || !wish_for(forwards, &peer->wish, INNER_UDP_IPV4)) {
		free(peer->held);
		free(peer);
		return;
	}
	memcpy(peer->held, datagram, length);
	peer->record = inbound_begin(port, "udp", outside);
	count_received(peer, length);
	peer->next = port->peers;
	port->peers = peer;
	forwards->count++;
}

void forward_udp_ready(struct watch *watch, uint32_t events)
{
	struct port *port = (struct port *)watch;
	struct sockaddr_storage address;
	struct endpoint outside;

	(void)events;
	for (int i = 0; i < DATAGRAMS_PER_TURN; i++) {
		socklen_t size = sizeof(address);
		ssize_t length = recvfrom(watch->fd, datagram, sizeof(datagram), MSG_DONTWAIT,
			(struct sockaddr *)&address, &size);
		struct udp_peer *peer = port->peers;

		if (length < 0)
			return;
		if (!endpoint_from_sockaddr(&outside, &address))
			continue;
		while (peer && !endpoint_equal(&peer->outside, &outside))
			peer = peer->next;
		if (!peer) {
			peer_new(port, &outside, (size_t)length);
		} else if (peer->inside.fd >= 0) {
			peer->active = loop_now(port->forwards->loop);
			count_received(peer, (size_t)length);
			send(peer->inside.fd, datagram, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
		}
	}
}

void forward_udp_free(struct port *port)
{
	while (port->peers)
		peer_free(port->peers);
}
