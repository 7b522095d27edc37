/* proxy: a SOCKS5 proxy that is no limit to what is measured: one epoll loop for each core, splice for bulk, UDP ASSOCIATE.
 *
 *   proxy ADDRESS PORT [WORKERS]
 *
 * No authentication, no names, IPv4: a benchmark talks to namespaces of its own and resolves nothing.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
	BUFFER_SIZE =
		65536, /* what is read at once; as much again, and the direction is spliced from then on */
	PIPE_SIZE = 1 << 20,
	EVENTS = 64,
	DATAGRAMS = 32,
	DATAGRAM_SIZE = 2048,
	UDP_HEADER = 10, /* reserved, fragment, type, IPv4, port */
	GREETING_MAX = 2 + 255,
	REQUEST = 10,
};

enum step { GREETING, REQUESTED, CONNECTING, CARRYING, ASSOCIATED };

struct end {
	int fd;
	int pipe[2]; /* from this end to the other; [0] is 0 until it is spliced */
	size_t in_pipe;
	size_t start, length; /* of `held`: what the other end has not taken yet */
	char *held;
	bool ended, shut;
	struct connection *connection;
};

struct connection {
	struct end client, server;
	enum step step;
	bool dead;
	struct sockaddr_in peer; /* of the association: where its datagrams come from */
	struct connection *next_dead;
};

static int loop_fd;
static struct sockaddr_in own_address;
static struct connection *dead;
static char buffer[BUFFER_SIZE];

static void close_end(struct end *end)
{
	if (end->fd >= 0)
		close(end->fd);
	if (end->pipe[0]) {
		close(end->pipe[0]);
		close(end->pipe[1]);
	}
	free(end->held);
}

/* Freed after the turn: events of its other end may still be at hand. */
static void drop(struct connection *connection)
{
	if (connection->dead)
		return;
	connection->dead = true;
	connection->next_dead = dead;
	dead = connection;
}

static void bury(void)
{
	while (dead) {
		struct connection *next = dead->next_dead;

		close_end(&dead->client);
		close_end(&dead->server);
		free(dead);
		dead = next;
	}
}

static void watch(struct end *end, int operation, uint32_t events)
{
	struct epoll_event event = { .events = events, .data.ptr = end };

	if (epoll_ctl(loop_fd, operation, end->fd, &event) < 0)
		drop(end->connection);
}

static int tcp_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

	if (fd >= 0)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static void answer(struct connection *connection, unsigned char code, const struct sockaddr_in *bound)
{
	unsigned char reply[REQUEST] = { 5, code, 0, 1 };

	memcpy(reply + 4, &bound->sin_addr, 4);
	memcpy(reply + 8, &bound->sin_port, 2);
	if (send(connection->client.fd, reply, sizeof(reply), MSG_NOSIGNAL) != sizeof(reply) || code)
		drop(connection);
}

/* --- carrying --- */

/* What is held for the other end; false: it takes no more now, or is gone. */
static bool deliver(struct end *from, struct end *to)
{
	while (from->length) {
		ssize_t sent = send(to->fd, from->held + from->start, from->length, MSG_NOSIGNAL);

		if (sent < 0) {
			if (errno != EAGAIN)
				drop(from->connection);
			return false;
		}
		from->start += (size_t)sent;
		from->length -= (size_t)sent;
	}
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

static void hold(struct end *end, const char *data, size_t length)
{
	if (!end->held && !(end->held = malloc(BUFFER_SIZE)))
		errx(1, "out of memory");
	memcpy(end->held, data, length);
	end->start = 0;
	end->length = length;
}

static void start_splicing(struct end *end)
{
	if (end->pipe[0] || pipe2(end->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		end->pipe[0] = 0;
		return;
	}
	fcntl(end->pipe[1], F_SETPIPE_SZ, PIPE_SIZE);
}

/* One piece; what read() would return. */
static ssize_t take(struct end *from, struct end *to)
{
	ssize_t got;

	if (from->pipe[0]) {
		got = splice(from->fd, NULL, from->pipe[1], NULL, PIPE_SIZE, SPLICE_F_NONBLOCK);
		if (got > 0)
			from->in_pipe = (size_t)got;
		return got;
	}
	got = recv(from->fd, buffer, sizeof(buffer), 0);
	if (got > 0) {
		ssize_t sent = send(to->fd, buffer, (size_t)got, MSG_NOSIGNAL);

		if (sent < got)
			hold(from, buffer + (sent > 0 ? sent : 0), (size_t)(got - (sent > 0 ? sent : 0)));
		if (got == sizeof(buffer))
			start_splicing(from);
	}
	return got;
}

static void carry(struct end *from, struct end *to)
{
	while (!from->connection->dead && deliver(from, to) && !from->ended) {
		ssize_t got = take(from, to);

		if (got < 0 && errno != EAGAIN)
			drop(from->connection);
		if (got < 0)
			return;
		from->ended = got == 0;
	}
	if (from->ended && !from->shut && !from->length && !from->in_pipe) {
		from->shut = true;
		shutdown(to->fd, SHUT_WR);
		if (to->ended)
			drop(from->connection);
	}
}

/* --- UDP --- */

static struct mmsghdr messages[DATAGRAMS];
static struct iovec pieces[DATAGRAMS];
static struct sockaddr_in addresses[DATAGRAMS];
static unsigned char datagrams[DATAGRAMS][DATAGRAM_SIZE];

/* Puts the datagram that came on its way on: from the client without its header, to it with one. False: to be dropped. */
static bool turn_datagram(struct connection *connection, int i, size_t length)
{
	unsigned char *start = datagrams[i];

	if (addresses[i].sin_port == connection->peer.sin_port || !connection->peer.sin_port) {
		unsigned char *header = start + UDP_HEADER;

		if (length < UDP_HEADER || header[3] != 1)
			return false;
		connection->peer = addresses[i];
		memcpy(&addresses[i].sin_addr, header + 4, 4);
		memcpy(&addresses[i].sin_port, header + 8, 2);
		pieces[i] = (struct iovec){ header + UDP_HEADER, length - UDP_HEADER };
		return true;
	}
	memset(start, 0, UDP_HEADER);
	start[3] = 1;
	memcpy(start + 4, &addresses[i].sin_addr, 4);
	memcpy(start + 8, &addresses[i].sin_port, 2);
	addresses[i] = connection->peer;
	pieces[i] = (struct iovec){ start, length + UDP_HEADER };
	return true;
}

static void carry_datagrams(struct connection *connection)
{
	for (;;) {
		int got, kept = 0;

		for (int i = 0; i < DATAGRAMS; i++) {
			pieces[i] = (struct iovec){ datagrams[i] + UDP_HEADER, DATAGRAM_SIZE - UDP_HEADER };
			messages[i].msg_hdr = (struct msghdr){ .msg_name = &addresses[i],
				.msg_namelen = sizeof(addresses[i]),
				.msg_iov = &pieces[i],
				.msg_iovlen = 1 };
		}
		got = recvmmsg(connection->server.fd, messages, DATAGRAMS, MSG_DONTWAIT, NULL);
		if (got <= 0)
			return;
		for (int i = 0; i < got; i++) {
			if (turn_datagram(connection, i, messages[i].msg_len))
				messages[kept++] = messages[i];
		}
		for (int sent = 0, now; sent < kept; sent += now) {
			now = sendmmsg(connection->server.fd, messages + sent, (unsigned)(kept - sent), 0);
			if (now <= 0)
				break;
		}
	}
}

static void associate(struct connection *connection)
{
	struct sockaddr_in bound = own_address;
	socklen_t length = sizeof(bound);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), room = 1 << 22;

	bound.sin_port = 0;
	bound.sin_addr.s_addr = htonl(INADDR_ANY);
	connection->server.fd = fd;
	if (fd < 0 || bind(fd, (struct sockaddr *)&bound, sizeof(bound)) < 0 ||
		getsockname(fd, (struct sockaddr *)&bound, &length) < 0) {
		drop(connection);
		return;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	bound.sin_addr = own_address.sin_addr;
	connection->step = ASSOCIATED;
	watch(&connection->server, EPOLL_CTL_ADD, EPOLLIN);
	answer(connection, 0, &bound);
}

/* --- the handshake --- */

static void greet(struct connection *connection)
{
	ssize_t got = recv(connection->client.fd, buffer, GREETING_MAX, 0);

	if (got < 3 || buffer[0] != 5 || send(connection->client.fd, "\5\0", 2, MSG_NOSIGNAL) != 2)
		drop(connection);
	connection->step = REQUESTED;
}

static void connect_out(struct connection *connection, const unsigned char *request)
{
	struct sockaddr_in target = { .sin_family = AF_INET };
	int fd = tcp_socket();

	memcpy(&target.sin_addr, request + 4, 4);
	memcpy(&target.sin_port, request + 8, 2);
	connection->server.fd = fd;
	connection->step = CONNECTING;
	if (fd < 0 || (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 && errno != EINPROGRESS))
		answer(connection, 1, &target);
	else
		watch(&connection->server, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

static void take_request(struct connection *connection)
{
	unsigned char *request = (unsigned char *)buffer;
	ssize_t got = recv(connection->client.fd, buffer, REQUEST, 0);

	if (got < 0 && errno == EAGAIN)
		return;
	if (got != REQUEST || request[3] != 1)
		drop(connection);
	else if (request[1] == 3)
		associate(connection);
	else
		connect_out(connection, request);
}

static void connected(struct connection *connection)
{
	int fault = 0;
	socklen_t length = sizeof(fault);

	getsockopt(connection->server.fd, SOL_SOCKET, SO_ERROR, &fault, &length);
	answer(connection, fault == ECONNREFUSED ? 5 : fault ? 4 : 0, &own_address);
	connection->step = CARRYING;
}

static void ready(struct end *end, uint32_t events)
{
	struct connection *connection = end->connection;
	bool client = end == &connection->client;

	if (connection->dead)
		return;
	switch (connection->step) {
	case GREETING:
		if (events & EPOLLIN)
			greet(connection);
		return;
	case REQUESTED:
		if (events & EPOLLIN)
			take_request(connection);
		return;
	case CONNECTING:
		if (client)
			return;
		connected(connection);
		break;
	case ASSOCIATED:
		if (!client)
			carry_datagrams(connection);
		else if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			drop(connection);
		return;
	default:
		break;
	}
	if (!connection->dead && (client ? events & ~(uint32_t)EPOLLOUT : events & EPOLLOUT))
		carry(&connection->client, &connection->server);
	if (!connection->dead && (client ? events & EPOLLOUT : events & ~(uint32_t)EPOLLOUT))
		carry(&connection->server, &connection->client);
}

static void accept_all(int listener)
{
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		struct connection *connection = calloc(1, sizeof(*connection));

		if (!connection)
			errx(1, "out of memory");
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		connection->client = (struct end){ .fd = fd, .connection = connection };
		connection->server = (struct end){ .fd = -1, .connection = connection };
		watch(&connection->client, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
	}
}

static void serve(void)
{
	int listener = tcp_socket(), on = 1;
	struct epoll_event events[EVENTS], none = { .events = EPOLLIN };

	loop_fd = epoll_create1(EPOLL_CLOEXEC);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&own_address, sizeof(own_address)) < 0 ||
		listen(listener, 4096) < 0 || epoll_ctl(loop_fd, EPOLL_CTL_ADD, listener, &none) < 0)
		err(1, "listen");
	for (;;) {
		int count = epoll_wait(loop_fd, events, EVENTS, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.ptr)
				ready(events[i].data.ptr, events[i].events);
			else
				accept_all(listener);
		}
		bury();
	}
}

int main(int argc, char **argv)
{
	struct rlimit files;
	int workers = argc > 3 ? atoi(argv[3]) : 2;

	own_address = (struct sockaddr_in){ .sin_family = AF_INET };
	if (argc < 3 || inet_pton(AF_INET, argv[1], &own_address.sin_addr) != 1)
		errx(2, "usage: proxy ADDRESS PORT [WORKERS]");
	own_address.sin_port = htons((uint16_t)atoi(argv[2]));
	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	for (int i = 1; i < workers; i++) {
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			break;
		}
	}
	serve();
}
