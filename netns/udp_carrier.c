/* The sockets that carry UDP outward: the host's own, or a proxy's association. See udp_flow.h.
 *
 * Errors that the network reports (ICMP) are read from the socket's error queue, which says to which destination they belong.
 */
#include "netns/udp_train.h"
#include "netns/egress.h"
#include "netns/icmp.h"
#include "netns/packet.h"
#include "netns/socks.h"
#include "spec/cleanup.h"

#include <linux/errqueue.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/uio.h>

enum {
	CALLS_PER_TURN = 2,
	ERRORS_PER_TURN = 32,
	HELD_MAX = 8192, /* of a flow; but one datagram */
	HELD_BY_ALL_MAX = 4 << 20,
	RELAYED_HEADER_MAX = 3 + 1 + 1 + SOCKS_NAME_MAX + 2, /* RFC 1928, section 7 */
	NO_ASSOCIATION_TIME = 60000,
};

static struct udp_carrier **slot_of(struct udp *udp, const struct endpoint *client)
{
	return &udp->carriers[hash_bytes(&udp->key, client, sizeof(*client)) % UDP_BUCKETS];
}

static void carrier_free(struct udp_carrier *carrier)
{
	struct udp_carrier **at = slot_of(carrier->udp, &carrier->client);

	while (*at != carrier)
		at = &(*at)->next_in_bucket;
	*at = carrier->next_in_bucket;
	loop_close(carrier->udp->loop, &carrier->socket);
	loop_close(carrier->udp->loop, &carrier->control);
	if (carrier->dial)
		dial_cancel(carrier->dial);
	if (carrier->lookup)
		dns_lookup_cancel(carrier->lookup);
	free(carrier);
}

static void add_flow(struct udp_carrier *carrier, struct udp_flow *flow)
{
	flow->carrier = carrier;
	LIST_INSERT_HEAD(&carrier->flows, flow, of_carrier);
}

void carrier_leave(struct udp_flow *flow)
{
	LIST_REMOVE(flow, of_carrier);
	if (LIST_EMPTY(&flow->carrier->flows))
		carrier_free(flow->carrier);
}

/* Its flows are no more, and so is the carrier, which goes with the last; with 0 they are not told. */
static void end_flows(struct udp_carrier *carrier, int error_number)
{
	for (bool last = false; !last;) {
		struct udp_flow *flow = LIST_FIRST(&carrier->flows);

		last = !LIST_NEXT(flow, of_carrier);
		if (error_number)
			udp_tell(flow, error_number);
		udp_flow_free(flow);
	}
}

struct udp_flow *carrier_flow_of(struct udp_carrier *carrier, const struct endpoint *from)
{
	return carrier->for_name ? LIST_FIRST(&carrier->flows)
				 : udp_find(carrier->udp, &carrier->client, from);
}

struct udp_flow *carrier_unwrap(struct udp_carrier *carrier, uint8_t **bytes, size_t *length)
{
	struct endpoint from;
	size_t header;

	if (*length < 4 || (*bytes)[2] != 0) /* a fragment: nobody sends them, nobody has to join them */
		return NULL;
	header = socks_get_endpoint(&from, *bytes + 3, *length - 3);
	if (!header)
		return NULL;
	*bytes += 3 + header;
	*length -= 3 + header;
	return carrier_flow_of(carrier, &from);
}

static struct socks_target target_of(const struct udp_flow *flow)
{
	const struct udp_carrier *carrier = flow->carrier;

	if (carrier->remote.family)
		return (struct socks_target){ .address = carrier->remote };
	return (struct socks_target){ .name = names_find(carrier->udp->names, &flow->server),
		.address = flow->server };
}

static size_t put_header(const struct udp_flow *flow, uint8_t header[static RELAYED_HEADER_MAX])
{
	struct socks_target target = target_of(flow);

	memset(header, 0, 3);
	return flow->carrier->relay.family ? 3 + socks_put_target(header + 3, &target) : 0;
}

/* All flows to that address, since a report of this host's own bears no port; by way of a proxy all, with less by its header. */
static void tell_too_big(
	struct udp_carrier *carrier, const struct endpoint *to, uint32_t mtu, uint32_t *told_mtu)
{
	uint8_t header[RELAYED_HEADER_MAX];
	struct udp_flow *flow;

	if (mtu == *told_mtu)
		return;
	*told_mtu = mtu;
	LIST_FOREACH(flow, &carrier->flows, of_carrier)
	{
		struct endpoint address = { .family = to->family, .v6 = to->v6, .port = flow->server.port };

		if (carrier->relay.family || carrier->for_name || endpoint_equal(&address, &flow->server))
			icmp_too_big(carrier->udp->tunnel, &flow->client, &flow->server,
				mtu - (uint32_t)put_header(flow, header));
	}
}

/* One report from the error queue. True: there may be more. Each attempt to send makes one: of the path's MTU one is enough. */
static bool take_error(struct udp_carrier *carrier, uint32_t *told_mtu)
{
	uint8_t control[256] __attribute__((aligned(16)));
	struct sockaddr_storage address;
	struct iovec none = { 0 };
	struct msghdr message = { &address, sizeof(address), &none, 1, control, sizeof(control), 0 };
	struct endpoint to;
	struct udp_flow *flow;
	struct cmsghdr *header;
	struct sock_extended_err error;

	if (recvmsg(carrier->socket.fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0)
		return false;
	header = CMSG_FIRSTHDR(&message);
	if (!header || header->cmsg_len < CMSG_LEN(sizeof(error)) || !endpoint_from_sockaddr(&to, &address))
		return true;
	memcpy(&error, CMSG_DATA(header), sizeof(error));
	if (error.ee_errno == EMSGSIZE)
		tell_too_big(carrier, &to, error.ee_info, told_mtu);
	else if (!carrier->relay.family && (flow = carrier_flow_of(carrier, &to)))
		udp_tell(flow, (int)error.ee_errno);
	return true;
}

static void take_errors(struct udp_carrier *carrier)
{
	int error_number;
	socklen_t length = sizeof(error_number);
	uint32_t told_mtu = 0;
	bool more = true;

	for (int i = 0; more && i < ERRORS_PER_TURN; i++)
		more = take_error(carrier, &told_mtu);
	/* One without a report would be signalled for ever. */
	getsockopt(carrier->socket.fd, SOL_SOCKET, SO_ERROR, &error_number, &length);
}

/* Whether the host may divide what is too long for the path, or has to say so (IPv6 knows only the second on its way). */
static void set_fragmenting(struct udp_carrier *carrier, bool may_fragment)
{
	int fd = carrier->socket.fd, v4 = may_fragment ? IP_PMTUDISC_WANT : IP_PMTUDISC_DO,
	    v6 = may_fragment ? IPV6_PMTUDISC_WANT : IPV6_PMTUDISC_DO;

	carrier->may_fragment = may_fragment;
	setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &v4, sizeof(v4)); /* the other family's is refused */
	setsockopt(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &v6, sizeof(v6));
}

static void socket_ready(struct watch *watch, uint32_t events)
{
	struct udp_carrier *carrier = (struct udp_carrier *)watch;
	bool more = true;

	if (events & EPOLLERR)
		take_errors(carrier);
	for (int i = 0; (events & EPOLLIN) && more && i < CALLS_PER_TURN; i++)
		more = train_receive(carrier);
}

/* Connected where there is one peer: the kernel then takes from no other. */
static int open_socket(struct udp_carrier *carrier, const struct endpoint *peer, sa_family_t family)
{
	bool v4 = family == AF_INET;
	struct sockaddr_storage address;
	socklen_t length = peer ? endpoint_to_sockaddr(peer, &address) : 0;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	carrier->socket.fd = fd;
	carrier->socket.ready = socket_ready;
	set_fragmenting(carrier, false);
	train_prepare(fd);
	if (setsockopt(fd, v4 ? IPPROTO_IP : IPPROTO_IPV6, v4 ? IP_RECVERR : IPV6_RECVERR, &on, sizeof(on)) <
			0 ||
		(peer && connect(fd, (struct sockaddr *)&address, length) < 0) ||
		loop_add(carrier->udp->loop, &carrier->socket, EPOLLIN, NULL) < 0)
		return -1;
	carrier->state = CARRIER_READY;
	return 0;
}

/* A first flight, as QUIC's is; what is more than that is lost. */
static void hold(struct udp_flow *flow, const uint8_t *bytes, size_t length)
{
	struct udp *udp = flow->carrier->udp;
	size_t more = 2 + length;
	uint8_t *grown;

	if ((flow->held && flow->held_length + more > HELD_MAX) || udp->held + more > HELD_BY_ALL_MAX)
		return;
	grown = realloc(flow->held, flow->held_length + more);
	if (!grown)
		return;
	put16(grown + flow->held_length, (uint32_t)length);
	memcpy(grown + flow->held_length + 2, bytes, length);
	flow->held = grown;
	flow->held_length += (uint32_t)more;
	udp->held += more;
}

void carrier_send(struct udp_flow *flow, const uint8_t *bytes, size_t length, bool may_fragment)
{
	struct udp_carrier *carrier = flow->carrier;
	uint8_t header[RELAYED_HEADER_MAX];
	struct iovec pieces[2] = { { header, 0 }, { (uint8_t *)bytes, length } };

	if (carrier->state == CARRIER_WAITING) {
		hold(flow, bytes, length);
		return;
	}
	if (carrier->may_fragment != may_fragment) {
		if (!train_flush_before(flow))
			return;
		set_fragmenting(carrier, may_fragment);
	}
	pieces[0].iov_len = put_header(flow, header);
	train_add(flow, pieces);
}

/* What is held is the flow's no more: sending it may end the flow. */
static void send_held_of(struct udp_flow *flow)
{
	struct endpoint client = flow->client, server = flow->server;
	struct udp *udp = flow->carrier->udp;
	_cleanup_free_ uint8_t *held = steal_pointer(&flow->held);
	size_t left = flow->held_length;

	udp->held -= left;
	flow->held_length = 0;
	for (const uint8_t *next = held; left && udp_find(udp, &client, &server) == flow;) {
		size_t length = get16(next);

		carrier_send(flow, next + 2, length, true);
		next += 2 + length;
		left -= 2 + length;
	}
}

static void send_held(struct udp_carrier *carrier)
{
	struct udp *udp = carrier->udp;

	for (struct udp_flow *flow = LIST_FIRST(&carrier->flows), *next; flow; flow = next) {
		next = LIST_NEXT(flow, of_carrier);
		if (flow->held)
			send_held_of(flow);
	}
	train_flush(udp);
}

/* The association is over; the next datagram asks for another. */
static void control_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	end_flows(container_of(watch, struct udp_carrier, control), 0);
}

static void associated(void *data, int fd, int error_number, struct flow_record *record)
{
	struct udp_carrier *carrier = data;
	struct udp *udp = carrier->udp;

	(void)record;
	carrier->dial = NULL;
	carrier->control.fd = fd;
	carrier->control.ready = control_ready;
	if (error_number == EOPNOTSUPP)
		udp->no_association_until = loop_now(udp->loop) + NO_ASSOCIATION_TIME;
	if (fd < 0 || loop_add(udp->loop, &carrier->control, EPOLLIN | EPOLLRDHUP, NULL) < 0 ||
		open_socket(carrier, &carrier->relay, carrier->relay.family) < 0)
		end_flows(carrier, ECONNREFUSED);
	else
		send_held(carrier);
}

static void note_remote(struct udp_flow *flow, const struct flow_description *description)
{
	if (!flow->record)
		return;
	flow->record->address = description->address;
	flow->record->rule = description->rule;
}

/* To one peer only, unless that is NULL. */
static int open_way(struct udp_carrier *carrier, const struct endpoint *peer)
{
	struct udp *udp = carrier->udp;

	if (!udp->config->proxy_count)
		return open_socket(carrier, peer, peer ? peer->family : carrier->client.family);
	carrier->dial = dial_start_associate(udp->dialer, &carrier->relay, associated, carrier);
	return 0;
}

/* An allowed name must not lead to a forbidden address. */
static void resolved(void *data, const struct endpoint *addresses, size_t count, int error_number)
{
	struct udp_carrier *carrier = data;
	struct udp *udp = carrier->udp;
	struct udp_flow *flow = LIST_FIRST(&carrier->flows);
	struct flow_description description = { .protocol = "udp",
		.name = names_find(udp->names, &flow->server) };
	int refused = error_number ? error_number : EHOSTUNREACH;

	carrier->lookup = NULL;
	for (size_t i = 0; i < count; i++) {
		carrier->remote = addresses[i];
		carrier->remote.port = flow->server.port;
		description.address = carrier->remote;
		refused = EACCES;
		if (!egress_permits(udp->config->egress, EGRESS_UDP, description.name, &carrier->remote,
			    &description.rule))
			continue;
		note_remote(flow, &description);
		if (open_way(carrier, &carrier->remote) == 0) {
			if (carrier->state == CARRIER_READY)
				send_held(carrier);
			return;
		}
		refused = errno;
		loop_close(udp->loop, &carrier->socket);
	}
	if (refused == EACCES) {
		flows_forget(flow->record);
		flow->record = NULL;
		flows_deny(udp->config->flows, &description);
	}
	end_flows(carrier, refused);
}

static int start(struct udp_carrier *carrier, const char *name)
{
	struct udp *udp = carrier->udp;

	if (!name || dialer_gives_names(udp->config))
		return open_way(carrier, NULL);
	errno = EHOSTUNREACH;
	carrier->lookup = dns_resolve(udp->dns, name, resolved, carrier);
	return carrier->lookup ? 0 : -1;
}

int carrier_join(struct udp *udp, struct udp_flow *flow, const char *name)
{
	struct udp_carrier **slot = slot_of(udp, &flow->client), *carrier = *slot;

	while (carrier && (name || carrier->for_name || !endpoint_equal(&carrier->client, &flow->client)))
		carrier = carrier->next_in_bucket;
	if (carrier) {
		add_flow(carrier, flow);
		return 0;
	}
	errno = ECONNREFUSED; /* port unreachable: QUIC's clients turn to TCP at once */
	if (loop_now(udp->loop) < udp->no_association_until || !(carrier = calloc(1, sizeof(*carrier))))
		return -1;
	carrier->udp = udp;
	carrier->socket.fd = carrier->control.fd = -1;
	carrier->client = flow->client;
	carrier->for_name = name;
	carrier->next_in_bucket = *slot;
	*slot = carrier;
	if (start(carrier, name) < 0) {
		carrier_free(carrier);
		return -1;
	}
	add_flow(carrier, flow);
	return 0;
}
