/* Dialling: see dial.h. The candidates are the proxies, in order, or the addresses of the destination; the first that connects
 * serves. Nothing here blocks, and nothing connects that the rules have not been asked about.
 *
 * Proxies are tried one after the other (proxy_pool.h). Addresses are tried as RFC 8305 has it ("Happy
 * Eyeballs"): families in turn, the next one begun a little later without giving up those before it.
 */
#include "netns/dial.h"
#include "netns/congestion.h"
#include "netns/connect.h"
#include "netns/dns.h"
#include "netns/egress.h"
#include "netns/names.h"
#include "netns/proxy_pool.h"
#include "netns/ready.h"
#include "spec/cleanup.h"

#include <string.h>

enum {
	ADDRESSES_MAX = 8,
	STAGGER_TIME = 250, /* until the next address is tried as well */
	PROXY_TIME =
		5000, /* to connect and to greet, while there are others; to end what it has begun to answer */
	HANDSHAKE_TIME = 130000, /* of one proxy in all: it may itself wait for a connect() to time out */
};

struct dialer {
	struct loop *loop;
	const struct relay_config *config;
	struct names *names;
	struct dns *dns;
	bool names_to_proxies;
	struct proxy_pool pool;
	struct ready *ready;
};

/* One connection to an address that is being made. */
struct attempt {
	struct watch watch;
	struct dial *dial;
};

struct dial {
	struct timer timer;
	struct dialer *dialer;
	dial_callback *done;
	void *data;
	struct watch *heir; /* gets the socket as it is in the loop; or NULL */
	struct dns_lookup *lookup;
	struct flow_record *record; /* once it is allowed */
	struct endpoint destination;
	struct endpoint *relay; /* UDP ASSOCIATE: where its answer goes, else NULL */
	struct endpoint addresses[ADDRESSES_MAX];
	size_t address_count;
	struct attempt attempts[ADDRESSES_MAX]; /* one for each address */
	size_t begun;				/* of the addresses */
	struct proxy_choice choice;
	struct proxy_line line; /* to the present one */
	uint64_t until;		/* when that one's time is over */
	size_t target;		/* which of the addresses it is asked for */
	int error_number;	/* what the attempts came to so far */
	bool trusted, failed;
	bool spare;	/* the line was kept ready: its end says nothing about the proxy */
	bool answering; /* the proxy has begun to */
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
	dialer->ready = ready_new(loop, config);
	if (!dialer->ready) {
		free(dialer);
		return NULL;
	}
	congestion_learn_default();
	return dialer;
}

void dialer_free(struct dialer *dialer)
{
	if (dialer)
		ready_free(dialer->ready);
	free(dialer);
}

void dialer_set_dns(struct dialer *dialer, struct dns *dns)
{
	dialer->dns = dns;
}

void dialer_expect(struct dialer *dialer)
{
	struct proxy_choice choice = { 0 };
	size_t proxy;

	if (proxy_pool_choose(&dialer->pool, &choice, loop_now(dialer->loop), &proxy) &&
		!dialer->pool.unwell_until[proxy])
		ready_expect(dialer->ready, proxy);
}

static bool by_proxy(const struct dial *dial)
{
	return dial->dialer->config->proxy_count > 0;
}

void dial_cancel(struct dial *dial)
{
	loop_cancel_timer(dial->dialer->loop, &dial->timer);
	for (size_t i = 0; i < dial->begun; i++)
		loop_close(dial->dialer->loop, &dial->attempts[i].watch);
	line_close(dial->dialer->loop, &dial->line);
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

/* The socket is the caller's from here on; other attempts end. */
static void finish_with(struct dial *dial, struct watch *watch, uint32_t reported)
{
	dial_callback *done = dial->done;
	void *data = dial->data;
	struct flow_record *record = dial->record;
	int fd = watch->fd;

	dial->record = NULL;
	if (dial->heir) {
		loop_move(dial->dialer->loop, watch, dial->heir);
		dial->heir->ready(dial->heir, reported);
	} else {
		loop_remove(dial->dialer->loop, watch);
		watch->fd = -1;
	}
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

/* Proxies. */

static bool others_are_left(const struct dial *dial)
{
	return proxy_pool_has_more(&dial->dialer->pool, &dial->choice);
}

static void set_unwell(struct dial *dial)
{
	proxy_pool_failed(&dial->dialer->pool, dial->line.proxy, loop_now(dial->dialer->loop));
	ready_forget(dial->dialer->ready, dial->line.proxy);
}

static void take_answer(struct dial *dial, int answer);

static void set_proxy_timer(struct dial *dial, uint64_t milliseconds)
{
	uint64_t now = loop_now(dial->dialer->loop), left = dial->until > now ? dial->until - now : 0;

	loop_set_timer(dial->dialer->loop, &dial->timer, milliseconds < left ? milliseconds : left);
}

static void begin_line(struct dial *dial, bool spare)
{
	dial->spare = spare;
	dial->answering = false;
	dial->until = loop_now(dial->dialer->loop) + HANDSHAKE_TIME;
	set_proxy_timer(dial, PROXY_TIME);
}

static void open_line(struct dial *dial)
{
	begin_line(dial, false);
	take_answer(dial, line_open(&dial->line, dial->dialer->loop, dial->dialer->config, dial->line.proxy));
}

/* One that was unwell is tried again by a single dial: for the others it stays so until that was answered. */
static void try_next_proxy(struct dial *dial)
{
	struct dialer *dialer = dial->dialer;

	line_close(dialer->loop, &dial->line);
	if (!proxy_pool_choose(&dialer->pool, &dial->choice, loop_now(dialer->loop), &dial->line.proxy)) {
		/* A proxy that cannot be reached is no network; it says nothing about the destination. */
		fail(dial, dial->choice.tried ? ENETUNREACH : EOPNOTSUPP);
		return;
	}
	if (dialer->pool.unwell_until[dial->line.proxy])
		set_unwell(dial);
	if (!ready_take(dialer->ready, dial->line.proxy, &dial->line)) {
		open_line(dial);
		return;
	}
	begin_line(dial, true);
	take_answer(dial, dial->line.state == LINE_GREETED ? HANDSHAKE_GREETED : HANDSHAKE_WAITS);
}

/* A line that was kept ready may have ended at any time: the proxy has another chance. */
static void leave_line(struct dial *dial)
{
	line_close(dial->dialer->loop, &dial->line);
	if (dial->spare) {
		open_line(dial);
		return;
	}
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

/* The name has another address, perhaps of the family that the proxy has. */
static bool next_target(struct dial *dial)
{
	if (dial->target + 1 >= dial->address_count || target_of(dial).name)
		return false;
	dial->target++;
	dial->choice.tried &= ~(1u << dial->line.proxy);
	return true;
}

static int ask(struct dial *dial)
{
	struct socks_target target = target_of(dial);

	return line_ask(&dial->line, dial->relay ? SOCKS_ASSOCIATE : SOCKS_CONNECT, &target);
}

/* When it begins to answer is up to the far side; not how long it takes for that. */
static void wait_for_proxy(struct dial *dial)
{
	bool answering = line_is_answering(&dial->line);

	if (answering && !dial->answering)
		set_proxy_timer(dial, PROXY_TIME);
	dial->answering = answering;
}

/* What the proxy says before it was asked says nothing about the destination. */
static bool is_useless(const struct dial *dial, int answer)
{
	return answer == HANDSHAKE_BROKEN ||
	       (answer < 0 && dial->line.state != LINE_ASKED && others_are_left(dial));
}

static void take_answer(struct dial *dial, int answer)
{
	if (answer == HANDSHAKE_GREETED)
		answer = ask(dial);
	if (answer == HANDSHAKE_DONE && dial->relay &&
		!socks_association(&dial->line.handshake.socks, dial->relay))
		answer = -EOPNOTSUPP;
	if (is_useless(dial, answer)) {
		leave_line(dial);
		return;
	}
	if (answer < 0 || answer == HANDSHAKE_DONE)
		dial->dialer->pool.unwell_until[dial->line.proxy] = 0;
	if (answer < 0 && (answer == -EOPNOTSUPP ? others_are_left(dial) : next_target(dial))) {
		try_next_proxy(dial);
	} else if (answer == HANDSHAKE_DONE) {
		ready_note_use(dial->dialer->ready, dial->line.proxy);
		finish_with(dial, &dial->line.watch, dial->line.reported);
	} else if (answer < 0) {
		finish_without(dial, -answer);
	} else {
		wait_for_proxy(dial);
	}
}

static void line_ready(struct watch *watch, uint32_t events)
{
	struct dial *dial = container_of(watch, struct dial, line.watch);

	if (!dial->failed)
		take_answer(dial, line_continue(&dial->line, dial->dialer->config, events));
}

/* Once it was asked, only that its kernel hears is sure to take less than this; a line that was kept ready may lead nowhere by now. */
static void proxy_time_over(struct dial *dial)
{
	bool asked = dial->line.state == LINE_ASKED;

	if (dial->answering || (dial->spare && !line_is_heard(&dial->line)) ||
		(!asked && others_are_left(dial))) {
		leave_line(dial);
	} else if (loop_now(dial->dialer->loop) >= dial->until) {
		finish_without(dial, ETIMEDOUT);
	} else {
		dial->spare = false;
		set_proxy_timer(dial, HANDSHAKE_TIME);
	}
}

/* Addresses. */

static void attempt_ready(struct watch *watch, uint32_t events);

static bool start_attempt(struct dial *dial, size_t which)
{
	struct attempt *attempt = &dial->attempts[which];

	*attempt = (struct attempt){ .watch = { .fd = connect_begin(&dial->addresses[which]),
					     .ready = attempt_ready },
		.dial = dial };
	if (attempt->watch.fd < 0)
		return false;
	if (loop_add(dial->dialer->loop, &attempt->watch, CONNECT_EVENTS, NULL) == 0)
		return true;
	attempt->watch.fd = close_fd(attempt->watch.fd);
	return false;
}

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
		if (start_attempt(dial, dial->begun++)) {
			if (dial->begun < dial->address_count)
				loop_set_timer(dial->dialer->loop, &dial->timer, STAGGER_TIME);
			return;
		}
		note_error(dial, errno);
	}
	if (!some_attempt_runs(dial)) /* else the kernel's own timeout decides */
		fail(dial, dial->error_number);
}

static void attempt_ready(struct watch *watch, uint32_t events)
{
	struct attempt *attempt = (struct attempt *)watch;
	struct dial *dial = attempt->dial;
	const struct endpoint *address = &dial->addresses[attempt - dial->attempts];
	int error_number = 0;
	socklen_t length = sizeof(error_number);

	if (dial->failed)
		return;
	if (events & (EPOLLERR | EPOLLHUP))
		getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &error_number, &length);
	if (error_number) {
		note_error(dial, error_number);
		loop_close(dial->dialer->loop, watch);
		try_next_address(dial);
		return;
	}
	congestion_suit_host(watch->fd, address);
	if (dial->record)
		dial->record->address = *address;
	finish_with(dial, watch, events);
}

/* Either. */

static void try_next(struct dial *dial)
{
	if (by_proxy(dial))
		try_next_proxy(dial);
	else
		try_next_address(dial);
}

static void timer_fired(struct timer *timer)
{
	struct dial *dial = container_of(timer, struct dial, timer);

	if (dial->failed)
		finish_without(dial, dial->error_number);
	else if (by_proxy(dial))
		proxy_time_over(dial);
	else
		try_next_address(dial);
}

static bool judge(const struct dial *dial, const struct endpoint *address, struct flow_description *flow)
{
	*flow = (struct flow_description){ .protocol = "tcp",
		.name = dial->name[0] ? dial->name : NULL,
		.address = *address,
		.rule = EGRESS_NO_PORT };
	return dial->trusted || (address->port && egress_permits(dial->dialer->config->egress, EGRESS_TCP,
							  flow->name, address, &flow->rule));
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
	if (good_count) {
		dial->address_count = endpoints_by_turns(dial->addresses, ADDRESSES_MAX, good, good_count,
			dial->destination.family == AF_INET ? AF_INET : AF_INET6);
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
	dial->line.watch = (struct watch){ .fd = -1, .ready = line_ready };
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

struct dial *dial_start(struct dialer *dialer, const struct endpoint *destination, struct watch *heir,
	dial_callback *done, void *data)
{
	const char *name = names_find(dialer->names, destination);
	struct dial *dial = dial_new(dialer, done, data);

	dial->heir = heir;
	dial->destination = *destination;
	if (name)
		start_by_text(dial, name, destination->family, destination->port);
	else if (names_is_stand_in(destination))
		fail(dial, EHOSTUNREACH);
	else
		start_by_address(dial);
	return dial;
}
