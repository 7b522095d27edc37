/* The SOCKS5 server inside: see listener.h. CONNECT only; the client's words are hostile, every length is checked.
 */
#include "netns/listener.h"
#include "netns/join.h"
#include "netns/packet.h"
#include "netns/socks.h"
#include "spec/cleanup.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	VERSION = 5,
	NO_METHOD = 0xff,
	TYPE_IPV4 = 1,
	TYPE_NAME = 3,
	TYPE_IPV6 = 4,
	REQUEST_TIME = 30000,
	REQUEST_MAX = 4 + 1 + 255 + 2,
	ACCEPTS_PER_TURN = 64,
};

struct listener {
	struct watch watch;
	struct loop *loop;
	struct dialer *dialer;
	size_t count, count_max, sending;
};

struct client {
	struct watch watch;
	struct timer timer;
	struct listener *listener;
	struct dial *dial;
	bool greeted;
	size_t have, want;
	uint8_t request[REQUEST_MAX];
};

static const struct {
	int error_number;
	uint8_t code;
} replies[] = {
	{ EACCES, 2 },
	{ ENETUNREACH, 3 },
	{ EHOSTUNREACH, 4 },
	{ ECONNREFUSED, 5 },
	{ ETIMEDOUT, 6 },
	{ EOPNOTSUPP, 7 },
};

static void client_free(struct client *client)
{
	struct loop *loop = client->listener->loop;

	loop_cancel_timer(loop, &client->timer);
	loop_close(loop, &client->watch);
	if (client->dial)
		dial_cancel(client->dial);
	free(client);
}

static void client_end(struct client *client)
{
	client->listener->count--;
	client_free(client);
}

static bool reply(struct client *client, uint8_t code)
{
	uint8_t message[10] = { VERSION, code, 0, TYPE_IPV4 };

	return send(client->watch.fd, message, sizeof(message), MSG_NOSIGNAL) == sizeof(message);
}

static void refuse(struct client *client, int error_number)
{
	uint8_t code = 1;

	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		if (replies[i].error_number == error_number)
			code = replies[i].code;
	}
	reply(client, code);
	client_end(client);
}

static void dialled(void *data, int fd, int error_number, struct flow_record *record)
{
	struct client *client = data;
	struct listener *listener = client->listener;
	int own;

	client->dial = NULL;
	if (fd < 0) {
		refuse(client, error_number);
		return;
	}
	if (!reply(client, 0)) {
		flows_end(record);
		close_fd(fd);
		client_end(client);
		return;
	}
	loop_remove(listener->loop, &client->watch);
	own = client->watch.fd;
	client->watch.fd = -1;
	client_free(client);
	join_start(listener->loop, own, fd, &listener->count, &listener->sending, record);
}

/* The whole of the request: dial what it names. */
static void serve(struct client *client)
{
	struct listener *listener = client->listener;
	uint8_t *request = client->request;
	struct endpoint destination;
	char name[256];

	loop_cancel_timer(listener->loop, &client->timer);
	if (request[1] != SOCKS_CONNECT) {
		refuse(client, EOPNOTSUPP);
		return;
	}
	loop_modify(listener->loop, &client->watch, 0); /* what it sends already waits for the connection */
	if (request[3] != TYPE_NAME) {
		socks_get_endpoint(&destination, request + 3, client->have - 3);
		client->dial = dial_start(listener->dialer, &destination, NULL, dialled, client);
		return;
	}
	memcpy(name, request + 5, request[4]);
	name[request[4]] = '\0';
	client->dial =
		dial_start_name(listener->dialer, name, get16(request + 5 + request[4]), dialled, client);
}

static void greet(struct client *client)
{
	bool offers_none = memchr(client->request + 2, 0, client->request[1]);
	uint8_t message[2] = { VERSION, offers_none ? 0 : NO_METHOD };

	if (send(client->watch.fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message) ||
		!offers_none) {
		client_end(client);
		return;
	}
	client->greeted = true;
	client->have = 0;
	client->want = 5;
}

/* The length of the message as far as what is there tells; 0: it is none. */
static size_t length_of(const struct client *client)
{
	const uint8_t *request = client->request;

	if (request[0] != VERSION)
		return 0;
	if (!client->greeted)
		return 2 + (size_t)request[1];
	switch (request[3]) {
	case TYPE_IPV4:
		return 4 + 4 + 2;
	case TYPE_IPV6:
		return 4 + 16 + 2;
	case TYPE_NAME:
		return 4 + 1 + (size_t)request[4] + 2;
	default:
		return 0;
	}
}

static void client_ready(struct watch *watch, uint32_t events)
{
	struct client *client = (struct client *)watch;
	ssize_t received;

	if (client->dial) { /* only an error or a hang-up is reported now */
		if (events & (EPOLLERR | EPOLLHUP))
			client_end(client);
		return;
	}
	received = recv(watch->fd, client->request + client->have, client->want - client->have, 0);
	if (received < 0 && errno == EAGAIN)
		return;
	if (received <= 0) {
		client_end(client);
		return;
	}
	client->have += (size_t)received;
	if (client->have < client->want)
		return;
	client->want = length_of(client);
	if (!client->want)
		client_end(client);
	else if (client->have == client->want)
		client->greeted ? serve(client) : greet(client);
}

static void too_slow(struct timer *timer)
{
	client_end(container_of(timer, struct client, timer));
}

static void client_new(struct listener *listener, int fd)
{
	struct client *client = calloc(1, sizeof(*client));
	int on = 1;

	if (!client || listener->count >= listener->count_max) {
		free(client);
		close_fd(fd);
		return;
	}
	listener->count++;
	client->listener = listener;
	client->watch.fd = fd;
	client->watch.ready = client_ready;
	client->timer.fire = too_slow;
	client->want = 2;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (loop_add(listener->loop, &client->watch, EPOLLIN, NULL) < 0)
		client_end(client);
	else
		loop_set_timer(listener->loop, &client->timer, REQUEST_TIME);
}

static void accept_ready(struct watch *watch, uint32_t events)
{
	(void)events;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0)
			return;
		client_new((struct listener *)watch, fd);
	}
}

struct listener *listener_new(
	struct loop *loop, struct dialer *dialer, int fd, size_t connections_max, struct error *err)
{
	struct listener *listener = calloc(1, sizeof(*listener));

	if (!listener) {
		error_set(err, errno, "cannot make the listener inside");
		return NULL;
	}
	listener->watch.fd = fd;
	listener->watch.ready = accept_ready;
	listener->loop = loop;
	listener->dialer = dialer;
	listener->count_max = connections_max;
	if (loop_add(loop, &listener->watch, EPOLLIN, err) < 0) {
		free(listener);
		return NULL;
	}
	return listener;
}

bool listener_is_drained(const struct listener *listener)
{
	return !listener->sending;
}

void listener_free(struct listener *listener)
{
	if (!listener)
		return;
	loop_remove(listener->loop, &listener->watch);
	free(listener);
}
