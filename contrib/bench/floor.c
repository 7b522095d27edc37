/* floor: the least that can stand between a client and a SOCKS5 proxy: what no relay that terminates connections can do better.
 *
 *   floor ADDRESS PORT PROXY-PORT TARGET TARGET-PORT
 *
 * It accepts over loopback, asks the proxy at the same address for the target by a connection that stands and is greeted already, and
 * splices. No device, no second namespace, no rules, no names, no records, no time limits, and it accepts before it knows whether the
 * target can be reached. One thread. Numeric IPv4.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BUFFER_SIZE =
		16384, /* what is read at once; as much again, and the direction is spliced from then on */
	PIPE_SIZE = 512 << 10,
	EVENTS = 64,
	SPARES = 16,
	REPLY = 10,
	CARRY_EVENTS = EPOLLIN | EPOLLOUT | EPOLLRDHUP,
};

enum step { GREETING, ASKED, CARRYING };

struct end {
	int fd;
	int pipe[2]; /* from this end to the other; [0] is 0 until it is spliced */
	size_t in_pipe;
	bool ended, hung_up;
	struct connection *connection;
};

struct connection {
	struct end client, server;
	enum step step;
	bool dead;
	struct connection *next; /* of the spares, or of the dead */
};

static int loop_fd, listener;
static struct sockaddr_in proxy;
static unsigned char request[REPLY] = { 5, 1, 0, 1 };
static struct connection *spares, *dead; /* greeted */
static unsigned int spare_count;	 /* also those that are not */
static char buffer[BUFFER_SIZE];

static void close_end(struct end *end)
{
	if (end->fd >= 0)
		close(end->fd);
	if (end->pipe[0]) {
		close(end->pipe[0]);
		close(end->pipe[1]);
	}
}

/* Freed after the turn: events of its other end may still be at hand. */
static void drop(struct connection *connection)
{
	if (connection->dead)
		return;
	connection->dead = true;
	connection->next = dead;
	dead = connection;
}

static void bury(void)
{
	while (dead) {
		struct connection *next = dead->next;

		close_end(&dead->client);
		close_end(&dead->server);
		free(dead);
		dead = next;
	}
}

static void watch(struct end *end)
{
	struct epoll_event event = { .events = CARRY_EVENTS | EPOLLET, .data.ptr = end };

	if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, end->fd, &event) < 0)
		err(1, "epoll_ctl");
}

static void add_spare(void)
{
	struct connection *spare = calloc(1, sizeof(*spare));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (!spare || fd < 0)
		err(1, "a connection to the proxy");
	spare->client = (struct end){ .fd = -1, .connection = spare };
	spare->server = (struct end){ .fd = fd, .connection = spare };
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	/* Over loopback it stands at once. */
	if ((connect(fd, (struct sockaddr *)&proxy, sizeof(proxy)) < 0 && errno != EINPROGRESS) ||
		send(fd, "\5\1\0", 3, MSG_NOSIGNAL) != 3)
		err(1, "connect to the proxy");
	watch(&spare->server);
	spare_count++;
}

/* What is in the pipe; false: the other end takes no more now, or is gone. */
static bool drain(struct end *from, struct end *to)
{
	while (from->in_pipe) {
		ssize_t moved = splice(from->pipe[0], NULL, to->fd, NULL, from->in_pipe, SPLICE_F_NONBLOCK);

		if (moved <= 0) {
			if (moved == 0 || errno != EAGAIN)
				drop(from->connection);
			return false;
		}
		from->in_pipe -= (size_t)moved;
	}
	return true;
}

static void start_splicing(struct end *end)
{
	if (end->pipe[0])
		return;
	if (pipe2(end->pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		err(1, "pipe2");
	fcntl(end->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
}

/* One piece; what read() would return. `more`: there may be more. */
static ssize_t take(struct end *from, struct end *to, bool *more)
{
	ssize_t got;

	*more = true;
	if (from->pipe[0]) {
		got = splice(from->fd, NULL, from->pipe[1], NULL, PIPE_SIZE, SPLICE_F_NONBLOCK);
		if (got > 0)
			from->in_pipe = (size_t)got;
		return got;
	}
	got = recv(from->fd, buffer, sizeof(buffer), 0);
	if (got <= 0)
		return got;
	if (send(to->fd, buffer, (size_t)got, MSG_NOSIGNAL) !=
		got) /* so little always fits before splicing begins */
		drop(from->connection);
	if (got == sizeof(buffer))
		start_splicing(from);
	*more = got == sizeof(buffer) || from->hung_up;
	return got;
}

static void carry(struct end *from, struct end *to)
{
	bool more = true;

	while (more && !from->connection->dead && drain(from, to) && !from->ended) {
		ssize_t got = take(from, to, &more);

		if (got < 0 && errno != EAGAIN)
			drop(from->connection);
		if (got < 0)
			return;
		if (got > 0)
			continue;
		from->ended = true;
		if (to->ended)
			drop(from->connection);
		else
			shutdown(to->fd, SHUT_WR);
	}
}

/* Who comes while none is greeted waits in the backlog. */
static void accept_all(void)
{
	int fd, on = 1;

	while (spares && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = spares;

		spares = connection->next;
		spare_count--;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (send(connection->server.fd, request, sizeof(request), MSG_NOSIGNAL) != sizeof(request))
			errx(1, "the proxy is gone");
		connection->step = ASKED;
		connection->client.fd = fd;
		watch(&connection->client);
	}
}

static void take_greeting(struct connection *connection)
{
	if (recv(connection->server.fd, buffer, 2, 0) != 2)
		errx(1, "the proxy did not greet");
	connection->next = spares;
	spares = connection;
	accept_all();
}

static void take_reply(struct connection *connection)
{
	if (recv(connection->server.fd, buffer, REPLY, 0) != REPLY || buffer[1])
		errx(1, "the proxy did not do it");
	connection->step = CARRYING;
	carry(&connection->client, &connection->server);
}

static void ready(struct end *end, uint32_t events)
{
	struct connection *connection = end->connection;
	bool client = end == &connection->client;
	struct end *other = client ? &connection->server : &connection->client;

	if (connection->dead)
		return;
	end->hung_up |= !!(events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR));
	if (connection->step == GREETING && (events & EPOLLIN)) {
		take_greeting(connection);
	} else if (connection->step == ASKED && !client && (events & EPOLLIN)) {
		take_reply(connection);
	} else if (connection->step == CARRYING) {
		if (events & ~(uint32_t)EPOLLOUT)
			carry(end, other);
		if ((events & EPOLLOUT) && other->in_pipe && !connection->dead)
			carry(other, end);
	}
}

static void serve(void)
{
	struct epoll_event events[EVENTS], none = { .events = EPOLLIN };

	loop_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_ctl(loop_fd, EPOLL_CTL_ADD, listener, &none) < 0)
		err(1, "epoll_ctl");
	for (;;) {
		int count;

		while (spare_count < SPARES / 2)
			for (unsigned int i = 0; i < SPARES / 2; i++)
				add_spare();
		count = epoll_wait(loop_fd, events, EVENTS, -1);
		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				ready(events[i].data.ptr, events[i].events);
			else
				accept_all();
		}
		bury();
	}
}

int main(int argc, char **argv)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	struct rlimit files;
	struct in_addr target;
	uint16_t port;
	int on = 1;

	if (argc != 6 || inet_pton(AF_INET, argv[1], &own.sin_addr) != 1 ||
		inet_pton(AF_INET, argv[4], &target) != 1)
		errx(2, "usage: floor ADDRESS PORT PROXY-PORT TARGET TARGET-PORT");
	proxy = own;
	own.sin_port = htons((uint16_t)atoi(argv[2]));
	proxy.sin_port = htons((uint16_t)atoi(argv[3]));
	port = htons((uint16_t)atoi(argv[5]));
	memcpy(request + 4, &target, 4);
	memcpy(request + 8, &port, 2);
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&own, sizeof(own)) < 0 || listen(listener, 4096) < 0)
		err(1, "listen");
	serve();
}
