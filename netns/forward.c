/* Inbound ports: see forward.h. The socket inside is made by the helper in the namespace (inner.h) and connected from here.
 */
#include "netns/forward_flow.h"
#include "netns/join.h"
#include "spec/cleanup.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

enum { ACCEPTS_PER_TURN = 64 };

/* A connection from outside, until it is joined. */
struct arrival {
	struct wish wish;
	struct watch inside;
	struct port *port;
	struct flow_record *record;
	int outside;
};

static void inner_ready(struct watch *watch, uint32_t events)
{
	struct forwards *forwards = container_of(watch, struct forwards, inner);
	struct wish *wish;

	(void)events;
	while ((wish = forwards->wishes)) {
		int fd = inner_receive(watch->fd);

		if (fd < 0 && errno == EAGAIN)
			return;
		forwards->wishes = wish->next;
		if (!forwards->wishes)
			forwards->last_wish = &forwards->wishes;
		wish->granted(wish, fd);
	}
	if (events & (EPOLLHUP | EPOLLERR)) /* the helper has ended: no more wishes */
		loop_remove(forwards->loop, watch);
}

bool wish_for(struct forwards *forwards, struct wish *wish, enum inner_kind kind)
{
	if (!forwards->inner.index || inner_request(forwards->inner.fd, kind) < 0)
		return false;
	wish->kind = kind;
	wish->next = NULL;
	*forwards->last_wish = wish;
	forwards->last_wish = &wish->next;
	return true;
}

int connect_inside(int fd, enum inner_kind kind, uint16_t port)
{
	bool v6 = kind == INNER_TCP_IPV6 || kind == INNER_UDP_IPV6;
	struct endpoint to = { .family = v6 ? AF_INET6 : AF_INET, .port = port };
	struct sockaddr_storage address;
	socklen_t length;

	if (v6)
		to.v6 = in6addr_loopback;
	else
		to.v4.s_addr = htonl(INADDR_LOOPBACK);
	length = endpoint_to_sockaddr(&to, &address);
	return connect(fd, (struct sockaddr *)&address, length);
}

struct flow_record *inbound_begin(const struct port *port, const char *protocol, const struct endpoint *peer)
{
	struct flow_description flow = { .protocol = protocol, .inbound = true, .address = *peer };

	flow.address.port = port->inbound->inner_port;
	return flows_begin(port->forwards->flows, &flow);
}

/* Nobody serves inside: the one outside is told as plainly as can be, by a reset. */
static void arrival_fail(struct arrival *arrival)
{
	if (arrival->record)
		arrival->record->error_number = ECONNREFUSED;
	flows_end(arrival->record);
	loop_remove(arrival->port->forwards->loop, &arrival->inside);
	close_fd(arrival->inside.fd);
	socket_reset_at_close(arrival->outside);
	close_fd(arrival->outside);
	arrival->port->forwards->count--;
	free(arrival);
}

static void try_ipv6(struct arrival *arrival)
{
	struct forwards *forwards = arrival->port->forwards;

	loop_remove(forwards->loop, &arrival->inside);
	arrival->inside.fd = close_fd(arrival->inside.fd);
	if (arrival->wish.kind == INNER_TCP_IPV6 || !wish_for(forwards, &arrival->wish, INNER_TCP_IPV6))
		arrival_fail(arrival);
}

static void inside_ready(struct watch *watch, uint32_t events)
{
	struct arrival *arrival = container_of(watch, struct arrival, inside);
	struct forwards *forwards = arrival->port->forwards;
	int error_number = 0;
	socklen_t length = sizeof(error_number);

	(void)events;
	getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error_number, &length);
	if (error_number) {
		try_ipv6(arrival);
		return;
	}
	loop_remove(forwards->loop, watch);
	join_start(forwards->loop, watch->fd, arrival->outside, &forwards->count, NULL, arrival->record);
	free(arrival);
}

static void granted(struct wish *wish, int fd)
{
	struct arrival *arrival = (struct arrival *)wish;
	struct port *port = arrival->port;
	int on = 1;

	arrival->inside.fd = fd;
	arrival->inside.ready = inside_ready;
	if (fd < 0) {
		arrival_fail(arrival);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect_inside(fd, wish->kind, port->inbound->inner_port) < 0 && errno != EINPROGRESS)
		try_ipv6(arrival);
	else if (loop_add(port->forwards->loop, &arrival->inside, EPOLLOUT, NULL) < 0)
		arrival_fail(arrival);
}

static void arrive(struct port *port, int fd, const struct endpoint *peer)
{
	struct forwards *forwards = port->forwards;
	struct arrival *arrival = calloc(1, sizeof(*arrival));
	int on = 1;

	if (!arrival || forwards->count >= forwards->count_max) {
		free(arrival);
		close_fd(fd);
		return;
	}
	forwards->count++;
	arrival->port = port;
	arrival->outside = fd;
	arrival->record = inbound_begin(port, "tcp", peer);
	arrival->inside.fd = -1;
	arrival->wish.granted = granted;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (!wish_for(forwards, &arrival->wish, INNER_TCP_IPV4))
		arrival_fail(arrival);
}

static void accept_ready(struct watch *watch, uint32_t events)
{
	struct port *port = (struct port *)watch;

	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		struct sockaddr_storage address = { 0 };
		socklen_t size = sizeof(address);
		int fd = accept4(watch->fd, (struct sockaddr *)&address, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct endpoint peer;

		if (fd < 0)
			return;
		endpoint_from_sockaddr(&peer, &address);
		arrive(port, fd, &peer);
	}
}

static int open_port(struct forwards *forwards, const struct inbound *inbound, struct error *err)
{
	struct port *port = &forwards->ports[forwards->port_count++];

	port->forwards = forwards;
	port->inbound = inbound;
	port->watch.fd = inbound->listen_fd;
	port->watch.ready = inbound->udp ? forward_udp_ready : accept_ready;
	return loop_add(forwards->loop, &port->watch, EPOLLIN, err);
}

struct forwards *forwards_new(
	struct loop *loop, const struct relay_config *config, size_t connections_max, struct error *err)
{
	size_t count = config->inbound_count;
	struct forwards *forwards = calloc(1, sizeof(*forwards) + count * sizeof(forwards->ports[0]));

	if (!forwards) {
		error_set(err, errno, "cannot make the table of inbound ports");
		return NULL;
	}
	forwards->loop = loop;
	forwards->flows = config->flows;
	forwards->count_max = connections_max;
	forwards->last_wish = &forwards->wishes;
	forwards->inner.fd = config->out.inner_socket;
	forwards->inner.ready = inner_ready;
	if (count && loop_add(loop, &forwards->inner, EPOLLIN, err) < 0) {
		free(forwards);
		return NULL;
	}
	for (size_t i = 0; i < count; i++) {
		if (open_port(forwards, &config->inbound[i], err) < 0) {
			forwards_free(forwards);
			return NULL;
		}
	}
	return forwards;
}

/* What has arrived and is not joined goes with the process: this is its end. */
void forwards_free(struct forwards *forwards)
{
	if (!forwards)
		return;
	for (size_t i = 0; i < forwards->port_count; i++) {
		forward_udp_free(&forwards->ports[i]);
		loop_remove(forwards->loop, &forwards->ports[i].watch);
	}
	loop_remove(forwards->loop, &forwards->inner);
	free(forwards);
}
