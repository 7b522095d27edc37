/* UDP from the container: see udp.h. The table of flows and their end.
 */
#include "netns/udp_train.h"
#include "netns/egress.h"
#include "netns/icmp.h"
#include "netns/server_name.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/random.h>

enum {
	DNS_PORT = 53,
	QUIC_PORT = 443,
	IDLE_ONE_WAY = 30000,
	IDLE_TWO_WAY = 300000, /* RFC 4787 asks for two minutes at least */
};

static const char quic_hides[] = "QUIC hides the server's name";

struct udp *udp_new(struct loop *loop, const struct relay_config *config, struct dialer *dialer,
	struct dns *dns, struct names *names, size_t flows_max, struct error *err)
{
	struct udp *udp = calloc(1, sizeof(*udp));

	if (!udp || getrandom(&udp->key, sizeof(udp->key), 0) != sizeof(udp->key)) {
		error_set(err, errno, "cannot make the table of UDP flows");
		free(udp);
		return NULL;
	}
	udp->loop = loop;
	udp->config = config;
	udp->dialer = dialer;
	udp->dns = dns;
	udp->names = names;
	udp->flows_max = flows_max;
	return udp;
}

void udp_set_tunnel(struct udp *udp, struct tunnel *tunnel)
{
	udp->tunnel = tunnel;
}

void udp_free(struct udp *udp)
{
	for (size_t i = 0; udp && i < UDP_BUCKETS; i++) {
		while (udp->flows[i])
			udp_flow_free(udp->flows[i]);
	}
	free(udp);
}

static struct udp_flow **slot_of(
	struct udp *udp, const struct endpoint *client, const struct endpoint *server)
{
	struct endpoint both[2] = { *client, *server };
	struct udp_flow **flow = &udp->flows[hash_bytes(&udp->key, both, sizeof(both)) % UDP_BUCKETS];

	while (*flow &&
		!(endpoint_equal(&(*flow)->client, client) && endpoint_equal(&(*flow)->server, server)))
		flow = &(*flow)->next_in_bucket;
	return flow;
}

struct udp_flow *udp_find(struct udp *udp, const struct endpoint *client, const struct endpoint *server)
{
	return *slot_of(udp, client, server);
}

void udp_flow_free(struct udp_flow *flow)
{
	struct udp *udp = flow->carrier->udp;

	*slot_of(udp, &flow->client, &flow->server) = flow->next_in_bucket;
	loop_cancel_timer(udp->loop, &flow->timer);
	train_forget(udp, flow);
	if (flow->holds_name)
		names_release(udp->names, &flow->server);
	carrier_leave(flow);
	flows_end(flow->record);
	udp->held -= flow->held_length;
	udp->flow_count--;
	free(flow->held);
	free(flow);
}

void udp_to_container(struct udp_flow *flow, uint8_t *payload, size_t length, size_t segment)
{
	struct udp *udp = flow->carrier->udp;

	flow->active = loop_now(udp->loop);
	flow->two_way = true;
	if (flow->record)
		flow->record->received += length;
	tunnel_send_udp_train(udp->tunnel, payload, length, segment, &flow->server, &flow->client);
}

static enum unreachable reason_of(int error_number)
{
	enum unreachable why;

	return icmp_reason(error_number, &why) ? why : UNREACHABLE_PORT;
}

void udp_tell(struct udp_flow *flow, int error_number)
{
	if (flow->record && !flow->two_way)
		flow->record->error_number = error_number;
	icmp_unreachable_datagram(
		flow->carrier->udp->tunnel, &flow->client, &flow->server, reason_of(error_number));
}

static void idle(struct timer *timer)
{
	struct udp_flow *flow = container_of(timer, struct udp_flow, timer);
	struct loop *loop = flow->carrier->udp->loop;
	uint64_t due = flow->active + (flow->two_way ? IDLE_TWO_WAY : IDLE_ONE_WAY);

	if (due > loop_now(loop))
		loop_set_timer(loop, timer, due - loop_now(loop));
	else
		udp_flow_free(flow);
}

/* 0, or what the container is told; that is a line of the log, too. */
static int refusal(struct udp *udp, struct flow_description *flow)
{
	struct endpoint address;
	bool numeric = flow->name && endpoint_parse_host(&address, flow->name);
	int error_number = EACCES;

	flow->rule = "a number is no name"; /* the proxy would take it for an address */
	if (!flow->address.port)
		flow->rule = EGRESS_NO_PORT;
	if (!numeric && flow->address.port &&
		egress_permits(udp->config->egress, EGRESS_UDP, flow->name, &flow->address, &flow->rule)) {
		if (!udp->config->check_server_name || !flow->name || flow->address.port != QUIC_PORT)
			return 0;
		flow->rule = quic_hides;
		error_number = ECONNREFUSED; /* so that clients go on by TCP */
	}
	flows_deny(udp->config->flows, flow);
	return error_number;
}

/* NULL: refused or impossible, with errno; 0 when the datagram is simply dropped. */
static struct udp_flow *flow_new(
	struct udp *udp, const struct endpoint *client, const struct endpoint *server)
{
	const char *name = names_find(udp->names, server);
	struct flow_description description = { .protocol = "udp", .name = name, .address = *server };
	struct udp_flow *flow;

	if (name)
		description.address = (struct endpoint){ .port = server->port };
	errno = EHOSTUNREACH;
	if (!name && names_is_stand_in(server))
		return NULL;
	errno = refusal(udp, &description);
	if (errno)
		return NULL;
	if (udp->flow_count >= udp->flows_max)
		flows_full(udp->config->flows, "udp");
	if (udp->flow_count >= udp->flows_max || !(flow = calloc(1, sizeof(*flow))))
		return NULL;
	flow->client = *client;
	flow->server = *server;
	flow->timer.fire = idle;
	if (carrier_join(udp, flow, name) < 0) {
		free(flow);
		return NULL;
	}
	flow->record = flows_begin(udp->config->flows, &description);
	flow->holds_name = name;
	if (name)
		names_hold(udp->names, server);
	*slot_of(udp, client, server) = flow;
	udp->flow_count++;
	loop_set_timer(udp->loop, &flow->timer, IDLE_ONE_WAY);
	return flow;
}

static bool is_quic(const struct packet *packet, size_t piece)
{
	for (size_t at = 0; at < packet->payload_length; at += piece) {
		size_t left = packet->payload_length - at;

		if (server_name_is_quic(packet->payload + at, left < piece ? left : piece))
			return true;
	}
	return false;
}

static void forward(struct udp *udp, const struct packet *packet, size_t segment)
{
	struct udp_flow *flow = udp_find(udp, &packet->source, &packet->destination);
	size_t left = packet->payload_length, piece = segment ? segment : left;
	const uint8_t *next = packet->payload;

	if (!flow)
		flow = flow_new(udp, &packet->source, &packet->destination);
	if (!flow) {
		if (errno)
			icmp_unreachable(udp->tunnel, packet, reason_of(errno));
		return;
	}
	if (flow->holds_name && udp->config->check_server_name && is_quic(packet, piece)) {
		icmp_unreachable(udp->tunnel, packet, UNREACHABLE_PORT);
		flows_refuse(flow->record, quic_hides, NULL);
		udp_flow_free(flow);
		return;
	}
	flow->active = loop_now(udp->loop);
	if (flow->record)
		flow->record->sent += left;
	do {
		size_t length = left < piece ? left : piece;

		carrier_send(
			flow, next, length, segment ? flow->carrier->may_fragment : !packet->dont_fragment);
		next += length;
		left -= length;
		/* A train that went out meanwhile may have ended the flow. */
	} while (left && (flow = udp_find(udp, &packet->source, &packet->destination)));
}

struct question {
	struct udp *udp;
	struct endpoint client, server;
	bool asking; /* dns_ask() has not returned: it answers at once, and the question is its caller's */
};

static void answered(void *data, const uint8_t *reply, size_t length)
{
	struct question *question = data;
	struct tunnel *tunnel = question->udp->tunnel;

	if (length && length <= PACKET_LENGTH_MAX - 48) {
		memcpy(tunnel_payload(tunnel), reply, length);
		tunnel_send_udp(tunnel, length, &question->server, &question->client);
	}
	if (!question->asking)
		free(question);
}

static void ask(struct udp *udp, const struct packet *packet)
{
	struct question *question = malloc(sizeof(*question));

	if (!question)
		return;
	*question = (struct question){ udp, packet->source, packet->destination, true };
	if (dns_ask(udp->dns, packet->payload, packet->payload_length, false, answered, question))
		question->asking = false;
	else /* answered already, or dropped */
		free(question);
}

void udp_flush(struct udp *udp)
{
	train_flush(udp);
}

void udp_packet(struct udp *udp, const struct packet *packet, size_t segment)
{
	if (packet->destination.port == DNS_PORT)
		ask(udp, packet);
	else
		forward(udp, packet, segment);
}
