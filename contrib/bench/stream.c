/* stream: the ends and the middle of the bulk benchmark, a SOCKS5 proxy among them that splices, so that it is no limit.
 *
 *   stream serve ADDRESS PORT                                a server that sends or swallows
 *   stream proxy ADDRESS PORT                                a SOCKS5 proxy (no authentication, IPv4, CONNECT)
 *   stream get|put ADDRESS PORT BYTES [PROXY-ADDRESS PORT]   one transfer; prints seconds
 *
 * Addresses are numeric IPv4: a benchmark talks to namespaces of its own and resolves nothing.
 */
#include <arpa/inet.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CHUNK = 1 << 20 };

static char buffer[CHUNK];

static struct sockaddr_in parse(const char *address, const char *port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", address);
	return result;
}

static int stream_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

/* Returns -1 when the other side refuses: the proxy has to say so. */
static int connect_to(const struct sockaddr_in *address)
{
	int fd = stream_socket();

	if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0)
		return fd;
	close(fd);
	return -1;
}

static int read_whole(int fd, void *data, size_t length)
{
	return recv(fd, data, length, MSG_WAITALL) == (ssize_t)length ? 0 : -1;
}

static int write_whole(int fd, const void *data, size_t length)
{
	while (length) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);

		if (sent < 0)
			return -1;
		data = (const char *)data + sent;
		length -= (size_t)sent;
	}
	return 0;
}

static int send_bytes(int fd, uint64_t count)
{
	while (count) {
		size_t length = count < CHUNK ? (size_t)count : CHUNK;

		if (write_whole(fd, buffer, length) < 0)
			return -1;
		count -= length;
	}
	return 0;
}

static uint64_t swallow(int fd, uint64_t count)
{
	static __thread char received[CHUNK / 8];
	uint64_t done = 0;

	while (done < count) {
		ssize_t got = recv(fd, received, sizeof(received), 0);

		if (got <= 0)
			break;
		done += (uint64_t)got;
	}
	return done;
}

/* --- serve --- */

struct request {
	uint64_t direction, count; /* 'g' or 'p' */
};

static void *serve_one(void *data)
{
	int fd = (int)(intptr_t)data;
	struct request request;

	if (read_whole(fd, &request, sizeof(request)) == 0) {
		if (request.direction == 'g')
			send_bytes(fd, request.count);
		else if (swallow(fd, request.count) == request.count)
			write_whole(fd, "!", 1);
	}
	close(fd);
	return NULL;
}

/* --- proxy --- */

struct half {
	int from, to;
};

static void *carry(void *data)
{
	struct half *half = data;
	int pipe_fds[2];

	if (pipe2(pipe_fds, O_CLOEXEC) == 0) {
		fcntl(pipe_fds[1], F_SETPIPE_SZ, CHUNK);
		for (;;) {
			ssize_t got = splice(half->from, NULL, pipe_fds[1], NULL, CHUNK, SPLICE_F_MOVE);

			if (got <= 0)
				break;
			while (got > 0) {
				ssize_t put =
					splice(pipe_fds[0], NULL, half->to, NULL, (size_t)got, SPLICE_F_MOVE);

				if (put <= 0)
					goto done;
				got -= put;
			}
		}
	done:
		close(pipe_fds[0]);
		close(pipe_fds[1]);
	}
	shutdown(half->to, SHUT_WR);
	return NULL;
}

static int handshake(int client)
{
	unsigned char greeting[2], methods[255], request[10];
	unsigned char reply[10] = { 5, 0, 0, 1 };
	struct sockaddr_in target = { .sin_family = AF_INET };
	int upstream;

	if (read_whole(client, greeting, 2) < 0 || read_whole(client, methods, greeting[1]) < 0 ||
		write_whole(client, "\5\0", 2) < 0 || read_whole(client, request, sizeof(request)) < 0)
		return -1;
	if (request[1] != 1 || request[3] != 1)
		return -1;
	memcpy(&target.sin_addr, request + 4, 4);
	memcpy(&target.sin_port, request + 8, 2);
	upstream = connect_to(&target);
	reply[1] = upstream < 0 ? 5 : 0;
	if (write_whole(client, reply, sizeof(reply)) == 0)
		return upstream;
	if (upstream >= 0)
		close(upstream);
	return -1;
}

static void *proxy_one(void *data)
{
	int client = (int)(intptr_t)data;
	int upstream = handshake(client);

	if (upstream >= 0) {
		struct half out = { client, upstream }, in = { upstream, client };
		pthread_t other;

		if (pthread_create(&other, NULL, carry, &out) == 0) {
			carry(&in);
			pthread_join(other, NULL);
		}
		close(upstream);
	}
	close(client);
	return NULL;
}

static void accept_forever(const struct sockaddr_in *address, void *(*handler)(void *))
{
	int listener = stream_socket(), on = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (const struct sockaddr *)address, sizeof(*address)) < 0 ||
		listen(listener, 1024) < 0)
		err(1, "listen");
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		pthread_t thread;

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (pthread_create(&thread, NULL, handler, (void *)(intptr_t)fd) == 0)
			pthread_detach(thread);
		else
			close(fd);
	}
}

/* --- get and put --- */

static int connect_through(const struct sockaddr_in *proxy, const struct sockaddr_in *target)
{
	unsigned char request[10] = { 5, 1, 0, 1 }, reply[10];
	int fd = connect_to(proxy);

	memcpy(request + 4, &target->sin_addr, 4);
	memcpy(request + 8, &target->sin_port, 2);
	if (fd < 0 || write_whole(fd, "\5\1\0", 3) < 0 || read_whole(fd, reply, 2) < 0 ||
		write_whole(fd, request, sizeof(request)) < 0 || read_whole(fd, reply, sizeof(reply)) < 0 ||
		reply[1])
		errx(1, "the proxy did not connect");
	return fd;
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void transfer(int fd, bool get, uint64_t count)
{
	struct request request = { get ? 'g' : 'p', count };
	double start = now();
	char end;

	if (write_whole(fd, &request, sizeof(request)) < 0)
		err(1, "send");
	if (get ? swallow(fd, count) != count : send_bytes(fd, count) < 0 || read_whole(fd, &end, 1) < 0)
		errx(1, "the transfer ended early");
	printf("%.6f\n", now() - start);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 3 ? argv[1] : "";
	struct sockaddr_in address, proxy;
	int fd;

	signal(SIGPIPE, SIG_IGN);
	if (argc == 4 && !strcmp(verb, "serve")) {
		address = parse(argv[2], argv[3]);
		accept_forever(&address, serve_one);
	}
	if (argc == 4 && !strcmp(verb, "proxy")) {
		address = parse(argv[2], argv[3]);
		accept_forever(&address, proxy_one);
	}
	if ((argc != 5 && argc != 7) || (strcmp(verb, "get") && strcmp(verb, "put")))
		errx(2, "usage: stream serve|proxy ADDRESS PORT, stream get|put ADDRESS PORT BYTES "
			"[PROXY-ADDRESS PORT]");
	address = parse(argv[2], argv[3]);
	if (argc == 7) {
		proxy = parse(argv[5], argv[6]);
		fd = connect_through(&proxy, &address);
	} else {
		fd = connect_to(&address);
	}
	if (fd < 0)
		err(1, "connect");
	transfer(fd, !strcmp(verb, "get"), strtoull(argv[4], NULL, 10));
	return 0;
}
