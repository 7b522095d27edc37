/* Dialling: see dial.h. The candidates are the proxies, in order, or the addresses of the destination; the first that connects
 * serves. Nothing here blocks, and nothing connects that the rules have not been asked about.
 *
 * Proxies are tried one after the other (proxy_pool.h). Addresses are tried as RFC 8305 has it ("Happy
 * Eyeballs"): families in turn, the next one begun a little later without giving up those before it.
 */
#include "netns/dial.h"
#include "netns/congestion.h"
#include "netns/dns.h"
#include "netns/egress.h"
#include "netns/handshake.h"
#include "netns/names.h"
#include "netns/proxy_pool.h"
#include "netns/unix_door.h"
#include "spec/cleanup.h"

#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	ADDRESSES_MAX = 8,
	STAGGER_TIME = 250,	 /* until the next address is tried as well */
	PROXY_TIME = 5000,	 /* of one proxy, while there are others */
	HANDSHAKE_TIME = 130000, /* the proxy itself may wait for a connect() to time out */
};

struct dialer {
	struct loop *loop;
	const struct relay_config *config;
	struct names *names;
	struct dns *dns;
	bool names_to_proxies;
	bool paced_congestion; /* see congestion.h */
	struct proxy_pool pool;
};

/* One connection that is being made. */
struct attempt {
	struct watch watch;
	struct dial *dial;
};

struct dial {
	struct timer timer;
	struct dialer *dialer;
	dial_callback *done;
	void *data;
	struct dns_lookup *lookup;
	struct flow_record *record; /* once it is allowed */
	struct endpoint destination;
	struct endpoint *relay; /* UDP ASSOCIATE: where its answer goes, else NULL */
	struct endpoint addresses[ADDRESSES_MAX];
	size_t address_count;
	struct attempt attempts
		[ADDRESSES_MAX]; /* one for each address; with proxies the first, for the present one */
	size_t begun;		 /* of the addresses */
	struct proxy_choice choice;
	size_t proxy;	  /* the present one */
	size_t target;	  /* which of the addresses it is asked for */
	int error_number; /* what the attempts came to so far */
	bool trusted, failed, shaking_hands;
	struct handshake handshake;
	char name[SOCKS_NAME_MAX + 1];
};

bool dialer_gives_names(const struct relay_config *config)
{
	for (size_t i = 0; i < config->proxy_count; i++) {
		if (config->proxies[i].remote_names)
			return true;
	}
	return false;
}

struct dialer *dialer_new(struct loop *loop, const struct relay_config *config, struct names *names)
{
	struct dialer *dialer = calloc(1, sizeof(*dialer));

	if (!dialer)
		return NULL;
	dialer->loop = loop;
	dialer->config = config;
	dialer->pool = (struct proxy_pool){ .proxies = config->proxies, .count = config->proxy_count };
	dialer->names = names;
	dialer->names_to_proxies = dialer_gives_names(config);
	dialer->paced_congestion = congestion_is_paced();
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

static bool by_proxy(const struct dial *dial)
{
	return dial->dialer->config->proxy_count > 0;
}

static const struct proxy *current_proxy(const struct dial *dial)
{
	return &dial->dialer->config->proxies[dial->proxy];
}

static void stop_attempt(struct attempt *attempt)
{
	loop_remove(attempt->dial->dialer->loop, &attempt->watch);
	attempt->watch.fd = close_fd(attempt->watch.fd);
}

void dial_cancel(struct dial *dial)
{
	loop_cancel_timer(dial->dialer->loop, &dial->timer);
	for (size_t i = 0; i < ARRAY_SIZE(dial->attempts); i++)
		stop_attempt(&dial->attempts[i]);
	if (dial->lookup)
		dns_lookup_cancel(dial->lookup);
	flows_end(dial->record);
	free(dial);
}

static void finish_without(struct dial *dial, int error_number)
{
	dial_callback *done = dial->done;
	void *data = dial->data;

	if (dial->record)
		dial->record->error_number = error_number;
	dial_cancel(dial);
	done(data, -1, error_number, NULL);
}

/* The socket is the caller's from here on; the other attempts end. */
static void finish_with(struct dial *dial, struct attempt *attempt)
{
	dial_callback *done = dial->done;
	void *data = dial->data;
	struct flow_record *record = dial->record;
	int fd = attempt->watch.fd;

	if (record && !by_proxy(dial))
		record->address = dial->addresses[attempt - dial->attempts];
	dial->record = NULL;
	loop_remove(dial->dialer->loop, &attempt->watch);
	attempt->watch.fd = -1;
	dial_cancel(dial);
	done(data, fd, 0, record);
}

/* By way of the timer, since dial_start() must return first. */
static void fail(struct dial *dial, int error_number)
{
	dial->failed = true;
	dial->error_number = error_number;
	loop_set_timer(dial->dialer->loop, &dial->timer, 0);
}

static int open_socket(const struct dial *dial, const struct endpoint *to)
{
	int fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	if (dial->dialer->paced_congestion)
		congestion_suit_loopback(fd, to);
	return fd;
}

/* A socket that is connected, or about to be; -1: at once impossible. */
static int start_connecting(const struct dial *dial, const struct endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t length;
	_cleanup_close_ int fd = -1;

	if (to->family == AF_UNIX)
		return unix_door_open(dial->dialer->config->unix_door, current_proxy(dial)->unix_path);
	length = endpoint_to_sockaddr(to, &address);
	fd = open_socket(dial, to);
	if (fd < 0 || (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS))
		return -1;
	return steal_fd(&fd);
}

static void attempt_ready(struct watch *watch, uint32_t events);

static bool start_attempt(struct dial *dial, struct attempt *attempt, const struct endpoint *to)
{
	attempt->watch = (struct watch){ .fd = start_connecting(dial, to), .ready = attempt_ready };
	if (attempt->watch.fd < 0)
		return false;
	if (loop_add(dial->dialer->loop, &attempt->watch, EPOLLOUT, NULL) == 0)
		return true;
	stop_attempt(attempt);
	return false;
}

/* Proxies. */

static bool others_are_left(const struct dial *dial)
{
	return proxy_pool_has_more(&dial->dialer->pool, &dial->choice);
}

static void set_unwell(struct dial *dial)
{
	proxy_pool_failed(&dial->dialer->pool, dial->proxy, loop_now(dial->dialer->loop));
}

/* One that was unwell is tried again by a single dial: for the others it stays so until that has connected. */
static void try_next_proxy(struct dial *dial)
{
	stop_attempt(&dial->attempts[0]);
	dial->shaking_hands = false;
	while (proxy_pool_choose(
		&dial->dialer->pool, &dial->choice, loop_now(dial->dialer->loop), &dial->proxy)) {
		if (dial->dialer->pool.unwell_until[dial->proxy])
			set_unwell(dial);
		if (start_attempt(dial, &dial->attempts[0], &current_proxy(dial)->address)) {
			loop_set_timer(dial->dialer->loop, &dial->timer, PROXY_TIME);
			return;
		}
		set_unwell(dial);
	}
	/* A proxy that cannot be reached is no network; it says nothing about the destination. */
	fail(dial, dial->choice.tried ? ENETUNREACH : EOPNOTSUPP);
}

static void leave_proxy(struct dial *dial)
{
	set_unwell(dial);
	try_next_proxy(dial);
}

static struct socks_target target_of(const struct dial *dial)
{
	struct socks_target target = { .address = dial->destination };

	if (dial->name[0] && dial->dialer->names_to_proxies)
		target.name = dial->name;
	else if (dial->address_count)
		target.address = dial->addresses[dial->target];
	return target;
}

/* A proxy that says "any address" means its own; one that says a name, or another family than it can mean, is of no use. */
static int take_association(struct dial *dial)
{
	const struct endpoint *proxy = &current_proxy(dial)->address;
	struct endpoint relay = dial->handshake.socks.bound;
	bool unspecified = relay.family == AF_INET ? relay.v4.s_addr == INADDR_ANY
						   : relay.family && IN6_IS_ADDR_UNSPECIFIED(&relay.v6);

	if (!relay.family || !relay.port || (unspecified && proxy->family == AF_UNIX))
		return -EOPNOTSUPP;
	if (unspecified) {
		relay = *proxy;
		relay.port = dial->handshake.socks.bound.port;
	}
	*dial->relay = relay;
	return HANDSHAKE_DONE;
}

/* The name has another address, perhaps of the family that the proxy has. */
static bool next_target(struct dial *dial)
{
	if (dial->target + 1 >= dial->address_count || target_of(dial).name)
		return false;
	dial->target++;
	dial->choice.tried &= ~(1u << dial->proxy);
	return true;
}

static void take_answer(struct dial *dial, int answer)
{
	if (answer == HANDSHAKE_DONE && dial->relay)
		answer = take_association(dial);
	if (answer == HANDSHAKE_BROKEN)
		leave_proxy(dial);
	else if (answer < 0 && (answer == -EOPNOTSUPP ? others_are_left(dial) : next_target(dial)))
		try_next_proxy(dial);
	else if (answer == HANDSHAKE_DONE)
		finish_with(dial, &dial->attempts[0]);
	else if (answer != HANDSHAKE_WAITS)
		finish_without(dial, -answer);
}

static void start_handshake(struct dial *dial)
{
	struct socks_target target = target_of(dial);
	struct watch *watch = &dial->attempts[0].watch;
	int answer = handshake_start(&dial->handshake, watch->fd, current_proxy(dial),
		dial->relay ? SOCKS_ASSOCIATE : SOCKS_CONNECT, &target);

	dial->dialer->pool.unwell_until[dial->proxy] = 0;
	dial->shaking_hands = true;
	loop_set_timer(dial->dialer->loop, &dial->timer, HANDSHAKE_TIME);
	if (loop_modify(dial->dialer->loop, watch, EPOLLIN) < 0)
		answer = HANDSHAKE_BROKEN;
	take_answer(dial, answer);
}

static void continue_handshake(struct dial *dial)
{
	struct socks_target target = target_of(dial);

	take_answer(dial, handshake_continue(&dial->handshake, dial->attempts[0].watch.fd, &target));
}

/* Addresses. */

static bool some_attempt_runs(const struct dial *dial)
{
	for (size_t i = 0; i < dial->begun; i++) {
		if (dial->attempts[i].watch.fd >= 0)
			return true;
	}
	return false;
}

/* "Refused" came from the host itself: it tells more than what is said of the way to another of its addresses. */
static void note_error(struct dial *dial, int error_number)
{
	if (dial->error_number != ECONNREFUSED)
		dial->error_number = error_number;
}

static void try_next_address(struct dial *dial)
{
	while (dial->begun < dial->address_count) {
		size_t i = dial->begun++;

		if (start_attempt(dial, &dial->attempts[i], &dial->addresses[i])) {
			if (dial->begun < dial->address_count)
				loop_set_timer(dial->dialer->loop, &dial->timer, STAGGER_TIME);
			return;
		}
		note_error(dial, errno);
	}
	if (!some_attempt_runs(dial)) /* else the kernel's own timeout decides */
		fail(dial, dial->error_number);
}

/* Either. */

static void try_next(struct dial *dial)
{
	if (by_proxy(dial))
		try_next_proxy(dial);
	else
		try_next_address(dial);
}

static void attempt_failed(struct attempt *attempt, int error_number)
{
	struct dial *dial = attempt->dial;

	note_error(dial, error_number);
	if (by_proxy(dial)) {
		leave_proxy(dial);
		return;
	}
	stop_attempt(attempt);
	try_next_address(dial);
}

static void attempt_ready(struct watch *watch, uint32_t events)
{
	struct attempt *attempt = (struct attempt *)watch;
	struct dial *dial = attempt->dial;
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
		attempt_failed(attempt, error_number);
	} else if (by_proxy(dial)) {
		start_handshake(dial);
	} else {
		if (dial->dialer->paced_congestion)
			congestion_suit_host(watch->fd, &dial->addresses[attempt - dial->attempts]);
		finish_with(dial, attempt);
	}
}

static void timer_fired(struct timer *timer)
{
	struct dial *dial = (struct dial *)((char *)timer - offsetof(struct dial, timer));

	if (dial->failed)
		finish_without(dial, dial->error_number);
	else if (dial->shaking_hands)
		finish_without(dial, ETIMEDOUT);
	else if (!by_proxy(dial))
		try_next_address(dial);
	else if (others_are_left(dial))
		leave_proxy(dial); /* else the kernel's own timeout decides */
}

static bool judge(const struct dial *dial, const struct endpoint *address, struct flow_description *flow)
{
	*flow = (struct flow_description){
		.protocol = "tcp", .name = dial->name[0] ? dial->name : NULL, .address = *address
	};
	return dial->trusted ||
	       egress_permits(dial->dialer->config->egress, EGRESS_TCP, flow->name, address, &flow->rule);
}

/* A denial is a line of the log; what is allowed is recorded from here on. What is to be checked must have a record that says so. */
static bool permitted(struct dial *dial, const struct endpoint *address)
{
	struct flows *flows = dial->dialer->config->flows;
	struct flow_description flow;
	bool allowed = judge(dial, address, &flow);

	if (!allowed)
		flows_deny(flows, &flow);
	else if (!dial->trusted)
		dial->record = flows_begin(flows, &flow);
	if (dial->name[0] && dial->dialer->config->check_server_name) {
		allowed = dial->record;
		if (allowed)
			dial->record->check_name = true;
	}
	return allowed;
}

/* As RFC 8305, 4: the families by turns, beginning with the one that the container has chosen, or IPv6. */
static void add_by_turns(struct dial *dial, const struct endpoint *addresses, size_t count)
{
	sa_family_t family = dial->destination.family == AF_INET ? AF_INET : AF_INET6;
	size_t next[2] = { 0 }; /* by family: AF_INET, AF_INET6 */

	while (dial->address_count < ADDRESSES_MAX) {
		size_t *at = &next[family == AF_INET6];

		while (*at < count && addresses[*at].family != family)
			++*at;
		if (*at < count)
			dial->addresses[dial->address_count++] = addresses[(*at)++];
		else if (next[0] >= count && next[1] >= count)
			return;
		family = family == AF_INET ? AF_INET6 : AF_INET;
	}
}

/* What a name stands for is asked about again: an allowed name must not lead to a forbidden address. */
static void resolved(void *data, const struct endpoint *addresses, size_t count, int error_number)
{
	struct dial *dial = data;
	struct endpoint good[DNS_ADDRESSES_MAX];
	struct flow_description flow;
	size_t good_count = 0;

	dial->lookup = NULL;
	for (size_t i = 0; i < count; i++) {
		good[good_count] = addresses[i];
		good[good_count].port = dial->destination.port;
		good_count += judge(dial, &good[good_count], &flow);
	}
	add_by_turns(dial, good, good_count);
	if (good_count) {
		try_next(dial);
	} else if (count) {
		flows_forget(dial->record);
		dial->record = NULL;
		flows_deny(dial->dialer->config->flows, &flow);
		fail(dial, EACCES);
	} else {
		fail(dial, error_number ? error_number : EHOSTUNREACH);
	}
}

static void start_by_name(struct dial *dial)
{
	struct endpoint unknown = { .port = dial->destination.port };

	if (!permitted(dial, &unknown)) {
		fail(dial, EACCES);
		return;
	}
	if (dial->dialer->names_to_proxies) {
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
	for (size_t i = 0; i < ARRAY_SIZE(dial->attempts); i++)
		dial->attempts[i] = (struct attempt){ .watch.fd = -1, .dial = dial };
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
	dial->choice.udp = true;
	dial->destination.family =
		AF_INET; /* 0.0.0.0:0: this client does not know yet where it will send from */
	if (dialer->config->proxy_count)
		try_next(dial);
	else
		fail(dial, EOPNOTSUPP);
	return dial;
}

static void start_by_text(struct dial *dial, const char *name, sa_family_t family, uint16_t port)
{
	if (endpoint_parse_host(
		    &dial->destination, name)) { /* else "127.0.0.1" would be the proxy's own, as a name */
		dial->destination.port = port;
		start_by_address(dial);
		return;
	}
	dial->destination = (struct endpoint){ .family = family, .port = port };
	if (!name[0] || strlen(name) > SOCKS_NAME_MAX) {
		fail(dial, EHOSTUNREACH);
		return;
	}
	strcpy(dial->name, name);
	start_by_name(dial);
}

struct dial *dial_start_name(
	struct dialer *dialer, const char *name, uint16_t port, dial_callback *done, void *data)
{
	struct dial *dial = dial_new(dialer, done, data);

	start_by_text(dial, name, AF_UNSPEC, port);
	return dial;
}

struct dial *dial_start(
	struct dialer *dialer, const struct endpoint *destination, dial_callback *done, void *data)
{
	const char *name = names_find(dialer->names, destination);
	struct dial *dial = dial_new(dialer, done, data);

	dial->destination = *destination;
	if (name)
		start_by_text(dial, name, destination->family, destination->port);
	else if (names_is_stand_in(destination))
		fail(dial, EHOSTUNREACH);
	else
		start_by_address(dial);
	return dial;
}
