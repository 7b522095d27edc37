/* Dialling: see dial.h. The candidates are the proxies, in order, or the addresses of the destination; the first that connects
 * serves. Nothing here blocks, and nothing connects that the rules have not been asked about.
 */
#include "netns/dial.h"
#include "netns/dns.h"
#include "netns/egress.h"
#include "netns/names.h"
#include "netns/socks.h"
#include "spec/cleanup.h"

#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	ADDRESSES_MAX = 8,
	ATTEMPT_TIME = 5000,	 /* of one candidate, while there are others */
	HANDSHAKE_TIME = 130000, /* the proxy itself may wait for a connect() to time out */
};

struct dialer {
	struct loop *loop;
	const struct relay_config *config;
	struct names *names;
	struct dns *dns;
	bool paced_congestion; /* the host's default paces (BBR): it halves what a loopback carries */
};

struct dial {
	struct watch watch; /* the socket */
	struct timer timer;
	struct dialer *dialer;
	dial_callback *done;
	void *data;
	struct dns_lookup *lookup;
	struct endpoint destination;
	struct endpoint *relay; /* UDP ASSOCIATE: where its answer goes, else NULL */
	struct endpoint addresses[ADDRESSES_MAX];
	size_t address_count, candidate; /* the next to try */
	int error_number;		 /* what the last candidate came to */
	bool trusted, failed, shaking_hands;
	struct socks socks;
	char name[SOCKS_NAME_MAX + 1];
};

struct dialer *dialer_new(struct loop *loop, const struct relay_config *config, struct names *names)
{
	struct dialer *dialer = calloc(1, sizeof(*dialer));
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char congestion[16] = "";
	socklen_t length = sizeof(congestion) - 1;

	if (!dialer)
		return NULL;
	dialer->loop = loop;
	dialer->config = config;
	dialer->names = names;
	if (fd >= 0)
		getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion, &length);
	dialer->paced_congestion = strncmp(congestion, "bbr", 3) == 0;
	return dialer;
}

void dialer_free(struct dialer *dialer)
{
	free(dialer);
}

void dialer_set_dns(struct dialer *dialer, struct dns *dns)
{
	dialer->dns = dns;
}

static void finish(struct dial *dial, int fd, int error_number)
{
	dial_callback *done = dial->done;
	void *data = dial->data;

	if (fd >= 0) { /* the caller's from here on */
		loop_remove(dial->dialer->loop, &dial->watch);
		dial->watch.fd = -1;
	}
	dial_cancel(dial);
	done(data, fd, error_number);
}

/* By way of the timer, since dial_start() must return first. */
static void fail(struct dial *dial, int error_number)
{
	dial->failed = true;
	dial->error_number = error_number;
	loop_set_timer(dial->dialer->loop, &dial->timer, 0);
}

void dial_cancel(struct dial *dial)
{
	loop_cancel_timer(dial->dialer->loop, &dial->timer);
	loop_remove(dial->dialer->loop, &dial->watch);
	close_fd(dial->watch.fd);
	if (dial->lookup)
		dns_lookup_cancel(dial->lookup);
	free(dial);
}

static size_t proxy_count(const struct dial *dial)
{
	return dial->dialer->config->proxy_count;
}

static const struct proxy *current_proxy(const struct dial *dial)
{
	return proxy_count(dial) ? &dial->dialer->config->proxies[dial->candidate - 1] : NULL;
}

static const struct endpoint *next_candidate(struct dial *dial)
{
	size_t count = proxy_count(dial) ? proxy_count(dial) : dial->address_count;

	if (dial->candidate >= count)
		return NULL;
	return proxy_count(dial) ? &dial->dialer->config->proxies[dial->candidate++].address
				 : &dial->addresses[dial->candidate++];
}

static bool is_loopback(const struct endpoint *endpoint)
{
	if (endpoint->family == AF_INET)
		return ntohl(endpoint->v4.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&endpoint->v6);
}

static int open_socket(const struct dial *dial, const struct endpoint *to)
{
	int fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (dial->dialer->paced_congestion && is_loopback(to))
		setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	return fd;
}

static void socket_ready(struct watch *watch, uint32_t events);

/* False: at once impossible. */
static bool start_connecting(struct dial *dial, const struct endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(to, &address);
	int fd = open_socket(dial, to);

	if (fd < 0)
		return false;
	dial->watch.fd = fd;
	dial->watch.ready = socket_ready;
	if ((connect(fd, (struct sockaddr *)&address, length) == 0 || errno == EINPROGRESS) &&
		loop_add(dial->dialer->loop, &dial->watch, EPOLLOUT, NULL) == 0)
		return true;
	dial->watch.fd = close_fd(fd);
	return false;
}

static void try_next(struct dial *dial)
{
	const struct endpoint *to;

	loop_remove(dial->dialer->loop, &dial->watch);
	dial->watch.fd = close_fd(dial->watch.fd);
	dial->shaking_hands = false;
	while ((to = next_candidate(dial))) {
		if (start_connecting(dial, to)) {
			loop_set_timer(dial->dialer->loop, &dial->timer, ATTEMPT_TIME);
			return;
		}
		dial->error_number = errno;
	}
	/* A proxy that cannot be reached is no network; it says nothing about the destination. */
	fail(dial, proxy_count(dial) ? ENETUNREACH : dial->error_number);
}

static bool send_message(struct dial *dial, const uint8_t *message, size_t length)
{
	return send(dial->watch.fd, message, length, MSG_NOSIGNAL) == (ssize_t)length;
}

static void start_handshake(struct dial *dial)
{
	uint8_t message[SOCKS_MESSAGE_MAX];
	size_t length = socks_start(
		&dial->socks, current_proxy(dial), dial->relay ? SOCKS_ASSOCIATE : SOCKS_CONNECT, message);

	dial->shaking_hands = true;
	loop_set_timer(dial->dialer->loop, &dial->timer, HANDSHAKE_TIME);
	if (!send_message(dial, message, length) ||
		loop_modify(dial->dialer->loop, &dial->watch, EPOLLIN) < 0)
		try_next(dial);
}

static struct socks_target target_of(const struct dial *dial)
{
	struct socks_target target = { .address = dial->destination };

	if (dial->name[0] && current_proxy(dial)->remote_names)
		target.name = dial->name;
	else if (dial->address_count)
		target.address = dial->addresses[0];
	return target;
}

/* A proxy that says "any address" means its own; one that says a name, or another family than it can mean, is of no use. */
static int take_association(struct dial *dial)
{
	const struct endpoint *proxy = &current_proxy(dial)->address;
	struct endpoint relay = dial->socks.bound;
	bool unspecified = relay.family == AF_INET ? relay.v4.s_addr == INADDR_ANY
						   : relay.family && IN6_IS_ADDR_UNSPECIFIED(&relay.v6);

	if (!relay.family || !relay.port)
		return EOPNOTSUPP;
	if (unspecified) {
		relay = *proxy;
		relay.port = dial->socks.bound.port;
	}
	*dial->relay = relay;
	return 0;
}

static void finish_handshake(struct dial *dial)
{
	int error_number = dial->relay ? take_association(dial) : 0;

	finish(dial, error_number ? -1 : dial->watch.fd, error_number);
}

static void continue_handshake(struct dial *dial)
{
	struct socks_target target = target_of(dial);
	uint8_t message[SOCKS_MESSAGE_MAX];

	while (dial->socks.step != SOCKS_DONE) {
		struct socks *socks = &dial->socks;
		ssize_t received =
			recv(dial->watch.fd, socks->reply + socks->have, socks->want - socks->have, 0);
		int length;

		if (received < 0 && errno == EAGAIN)
			return;
		if (received <= 0) {
			try_next(dial);
			return;
		}
		length = socks_take(socks, (size_t)received, &target, message);
		if (length < 0) {
			finish(dial, -1, -length);
			return;
		}
		if (length > 0 && !send_message(dial, message, (size_t)length)) {
			try_next(dial);
			return;
		}
	}
	finish_handshake(dial);
}

/* Over a loopback, whatever the address: the connection's two ends are the same host. */
static void suit_congestion(const struct dial *dial)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	struct endpoint own;

	if (!dial->dialer->paced_congestion ||
		getsockname(dial->watch.fd, (struct sockaddr *)&address, &length) < 0 ||
		!endpoint_from_sockaddr(&own, &address))
		return;
	own.port = dial->addresses[dial->candidate - 1].port;
	if (endpoint_equal(&own, &dial->addresses[dial->candidate - 1]))
		setsockopt(dial->watch.fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
}

static void socket_ready(struct watch *watch, uint32_t events)
{
	struct dial *dial = (struct dial *)watch;
	int error_number = 0;
	socklen_t length = sizeof(error_number);

	(void)events;
	if (dial->failed)
		return;
	if (dial->shaking_hands) {
		continue_handshake(dial);
		return;
	}
	getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error_number, &length);
	if (error_number) {
		dial->error_number = error_number;
		try_next(dial);
	} else if (proxy_count(dial)) {
		start_handshake(dial);
	} else {
		suit_congestion(dial);
		finish(dial, watch->fd, 0);
	}
}

static void timer_fired(struct timer *timer)
{
	struct dial *dial = (struct dial *)((char *)timer - offsetof(struct dial, timer));

	if (dial->failed) {
		finish(dial, -1, dial->error_number);
		return;
	}
	dial->error_number = ETIMEDOUT;
	if (dial->shaking_hands) {
		finish(dial, -1, ETIMEDOUT);
		return;
	}
	if (proxy_count(dial) ? dial->candidate < proxy_count(dial) : dial->candidate < dial->address_count)
		try_next(dial); /* else the kernel's own timeout decides */
}

static bool permitted(const struct dial *dial, const struct endpoint *address)
{
	const char *rule;

	return dial->trusted || egress_permits(dial->dialer->config->egress, EGRESS_TCP,
					dial->name[0] ? dial->name : NULL, address, &rule);
}

/* What a name stands for is asked about again: an allowed name must not lead to a forbidden address. */
static void resolved(void *data, const struct endpoint *addresses, size_t count, int error_number)
{
	struct dial *dial = data;
	int refused = error_number ? error_number : EHOSTUNREACH;

	dial->lookup = NULL;
	for (size_t i = 0; i < count && dial->address_count < ADDRESSES_MAX; i++) {
		struct endpoint address = addresses[i];

		address.port = dial->destination.port;
		if (permitted(dial, &address))
			dial->addresses[dial->address_count++] = address;
		else
			refused = EACCES;
	}
	if (dial->address_count)
		try_next(dial);
	else
		fail(dial, refused);
}

static void start_by_name(struct dial *dial)
{
	struct endpoint unknown = { .port = dial->destination.port };

	if (!permitted(dial, &unknown)) {
		fail(dial, EACCES);
		return;
	}
	if (proxy_count(dial) && dial->dialer->config->proxies[0].remote_names) {
		try_next(dial);
		return;
	}
	dial->lookup = dns_resolve(dial->dialer->dns, dial->name, resolved, dial);
	if (!dial->lookup)
		fail(dial, EHOSTUNREACH);
}

static void start_by_address(struct dial *dial)
{
	if (!permitted(dial, &dial->destination)) {
		fail(dial, EACCES);
		return;
	}
	dial->addresses[dial->address_count++] = dial->destination;
	try_next(dial);
}

static struct dial *dial_new(struct dialer *dialer, dial_callback *done, void *data)
{
	struct dial *dial = calloc(1, sizeof(*dial));

	if (!dial) /* bounded by the number of flows: then this host is out of memory */
		abort();
	dial->dialer = dialer;
	dial->watch.fd = -1;
	dial->timer.fire = timer_fired;
	dial->done = done;
	dial->data = data;
	return dial;
}

struct dial *dial_start_trusted(
	struct dialer *dialer, const struct endpoint *destination, dial_callback *done, void *data)
{
	struct dial *dial = dial_new(dialer, done, data);

	dial->trusted = true;
	dial->destination = *destination;
	start_by_address(dial);
	return dial;
}

struct dial *dial_start_associate(
	struct dialer *dialer, struct endpoint *relay, dial_callback *done, void *data)
{
	struct dial *dial = dial_new(dialer, done, data);

	dial->relay = relay;
	dial->destination.family =
		AF_INET; /* 0.0.0.0:0: this client does not know yet where it will send from */
	if (dialer->config->proxy_count)
		try_next(dial);
	else
		fail(dial, EOPNOTSUPP);
	return dial;
}

struct dial *dial_start_name(
	struct dialer *dialer, const char *name, uint16_t port, dial_callback *done, void *data)
{
	struct dial *dial = dial_new(dialer, done, data);
	struct endpoint address;

	if (endpoint_parse_host(&address, name)) { /* else "127.0.0.1" would be the proxy's own, as a name */
		address.port = port;
		dial->destination = address;
		start_by_address(dial);
		return dial;
	}
	dial->destination.port = port;
	if (!name[0] || strlen(name) > SOCKS_NAME_MAX) {
		fail(dial, EHOSTUNREACH);
		return dial;
	}
	strcpy(dial->name, name);
	start_by_name(dial);
	return dial;
}

struct dial *dial_start(
	struct dialer *dialer, const struct endpoint *destination, dial_callback *done, void *data)
{
	const char *name = names_find(dialer->names, destination);
	struct dial *dial;

	if (name)
		return dial_start_name(dialer, name, destination->port, done, data);
	dial = dial_new(dialer, done, data);
	dial->destination = *destination;
	if (names_is_stand_in(destination))
		fail(dial, EHOSTUNREACH);
	else
		start_by_address(dial);
	return dial;
}
