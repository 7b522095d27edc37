/* load: the two ends of the network benchmarks.
 *
 *   load serve ADDRESS PORT                            a TCP server that sends or swallows, and a UDP echo
 *   load get|put … STREAMS SECONDS                     bulk: bytes per second
 *   load connect … THREADS SECONDS                     connections, one byte each: how many a second, and p50, p99 and the
 *                                                      longest microseconds from connect() to that byte
 *   load hold … COUNT                                  opens COUNT connections, says so, holds them until its input ends
 *   load datagrams … RATE SECONDS                      datagrams there and back: sent a second, and the share that was lost
 *
 * For …: ADDRESS PORT, and PROXY-ADDRESS:PORT or "-". Addresses are numeric IPv4: a benchmark talks to namespaces of its own and
 * resolves nothing.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	CHUNK = 1 << 17,
	STACK = 65536,
	THREADS_MAX = 64,
	SAMPLES_MAX = 1 << 20,
	DATAGRAM = 1200, /* QUIC's */
	UDP_HEADER = 10, /* SOCKS5's, for an IPv4 address */
	BATCH = 32,
};

static struct sockaddr_in target, proxy;
static bool through_proxy;
static double until;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static struct sockaddr_in parse(const char *address, const char *port)
{
	struct sockaddr_in result = { .sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port)) };

	if (inet_pton(AF_INET, address, &result.sin_addr) != 1)
		errx(2, "not an IPv4 address: %s", address);
	return result;
}

static int open_socket(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return fd;
}

static bool read_whole(int fd, void *data, size_t length)
{
	return recv(fd, data, length, MSG_WAITALL) == (ssize_t)length;
}

static bool write_whole(int fd, const void *data, size_t length)
{
	while (length) {
		ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);

		if (sent < 0)
			return false;
		data = (const char *)data + sent;
		length -= (size_t)sent;
	}
	return true;
}

static void start_thread(void *(*run)(void *), void *data, pthread_t *thread)
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK + CHUNK);
	if (pthread_create(thread, &attributes, run, data) != 0)
		errx(1, "cannot start a thread");
	pthread_attr_destroy(&attributes);
}

/* --- serve --- */

static void *serve_one(void *data)
{
	int fd = (int)(intptr_t)data;
	static char zeros[CHUNK];
	char received[CHUNK], verb;

	while (read_whole(fd, &verb, 1)) {
		if (verb == 'b' && !write_whole(fd, "b", 1))
			break;
		while (verb == 'g' && write_whole(fd, zeros, sizeof(zeros)))
			;
		if (verb == 'p') {
			while (recv(fd, received, sizeof(received), 0) > 0)
				;
			write_whole(fd, "!", 1);
			break;
		}
	}
	close(fd);
	return NULL;
}

static void *echo_datagrams(void *data)
{
	int fd = (int)(intptr_t)data;
	static char bytes[BATCH][2048];
	struct sockaddr_in peers[BATCH];
	struct iovec pieces[BATCH];
	struct mmsghdr messages[BATCH];

	for (;;) {
		int got;

		for (int i = 0; i < BATCH; i++) {
			pieces[i] = (struct iovec){ bytes[i], sizeof(bytes[i]) };
			messages[i].msg_hdr = (struct msghdr){ .msg_name = &peers[i],
				.msg_namelen = sizeof(peers[i]),
				.msg_iov = &pieces[i],
				.msg_iovlen = 1 };
		}
		got = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < got; i++)
			pieces[i].iov_len = messages[i].msg_len;
		if (got > 0)
			sendmmsg(fd, messages, (unsigned)got, 0);
	}
	return NULL;
}

static void serve(void)
{
	int listener = open_socket(), datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	pthread_t thread;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(listener, (struct sockaddr *)&target, sizeof(target)) < 0 || listen(listener, 4096) < 0 ||
		bind(datagrams, (struct sockaddr *)&target, sizeof(target)) < 0)
		err(1, "listen");
	start_thread(echo_datagrams, (void *)(intptr_t)datagrams, &thread);
	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		start_thread(serve_one, (void *)(intptr_t)fd, &thread);
		pthread_detach(thread);
	}
}

/* --- the clients --- */

static void socks(int fd, unsigned char command, const struct sockaddr_in *to, struct sockaddr_in *bound)
{
	unsigned char request[10] = { 5, command, 0, 1 }, reply[10];

	memcpy(request + 4, &to->sin_addr, 4);
	memcpy(request + 8, &to->sin_port, 2);
	if (!write_whole(fd, "\5\1\0", 3) || !read_whole(fd, reply, 2) ||
		!write_whole(fd, request, sizeof(request)) || !read_whole(fd, reply, sizeof(reply)) ||
		reply[1])
		errx(1, "the proxy did not do it");
	*bound = (struct sockaddr_in){ .sin_family = AF_INET };
	memcpy(&bound->sin_addr, reply + 4, 4);
	memcpy(&bound->sin_port, reply + 8, 2);
}

static int connect_out(void)
{
	const struct sockaddr_in *to = through_proxy ? &proxy : &target;
	struct sockaddr_in bound;
	int fd = open_socket();

	if (connect(fd, (const struct sockaddr *)to, sizeof(*to)) < 0)
		err(1, "connect");
	if (through_proxy)
		socks(fd, 1, &target, &bound);
	return fd;
}

struct stream {
	pthread_t thread;
	uint64_t bytes;
	double seconds;
};

static void *get_one(void *data)
{
	struct stream *stream = data;
	int fd = connect_out();
	double start = now();
	char received[CHUNK];
	ssize_t got;

	if (!write_whole(fd, "g", 1))
		err(1, "send");
	while (now() < until && (got = recv(fd, received, sizeof(received), 0)) > 0)
		stream->bytes += (uint64_t)got;
	if (now() < until)
		errx(1, "the transfer ended early");
	stream->seconds = now() - start;
	close(fd);
	return NULL;
}

static void *put_one(void *data)
{
	static char zeros[CHUNK];
	struct stream *stream = data;
	int fd = connect_out();
	double start = now();
	char end;

	if (!write_whole(fd, "p", 1))
		err(1, "send");
	while (now() < until) {
		if (!write_whole(fd, zeros, sizeof(zeros)))
			err(1, "send");
		stream->bytes += sizeof(zeros);
	}
	shutdown(fd, SHUT_WR);
	if (!read_whole(fd, &end, 1))
		errx(1, "the transfer ended early");
	stream->seconds = now() - start;
	close(fd);
	return NULL;
}

static void bulk(void *(*run)(void *), int streams)
{
	struct stream all[THREADS_MAX] = { 0 };
	uint64_t bytes = 0;
	double rate = 0;

	for (int i = 0; i < streams; i++)
		start_thread(run, &all[i], &all[i].thread);
	for (int i = 0; i < streams; i++) {
		pthread_join(all[i].thread, NULL);
		rate += (double)all[i].bytes / all[i].seconds;
		bytes += all[i].bytes;
	}
	printf("%.0f %" PRIu64 "\n", rate, bytes);
}

static float samples[SAMPLES_MAX]; /* microseconds */
static uint32_t sample_count;

static void *connect_many(void *data)
{
	(void)data;
	while (now() < until) {
		double start = now();
		int fd = connect_out();
		uint32_t place;
		char byte;

		if (!write_whole(fd, "b", 1) || !read_whole(fd, &byte, 1))
			errx(1, "a connection failed");
		place = __atomic_fetch_add(&sample_count, 1, __ATOMIC_RELAXED);
		if (place >= SAMPLES_MAX)
			errx(1, "too many connections to keep count of");
		samples[place] = (float)((now() - start) * 1e6);
		close(fd);
	}
	return NULL;
}

static int compare_samples(const void *a, const void *b)
{
	float first = *(const float *)a, second = *(const float *)b;

	return first < second ? -1 : first > second;
}

static void connections(int threads, double seconds)
{
	pthread_t all[THREADS_MAX];

	for (int i = 0; i < threads; i++)
		start_thread(connect_many, NULL, &all[i]);
	for (int i = 0; i < threads; i++)
		pthread_join(all[i], NULL);
	qsort(samples, sample_count, sizeof(*samples), compare_samples);
	printf("%.0f %.1f %.1f %.1f\n", sample_count / seconds, (double)samples[sample_count / 2],
		(double)samples[sample_count / 100 * 99], (double)samples[sample_count - 1]);
}

static void hold(int count)
{
	char byte;

	for (int i = 0; i < count; i++) {
		int fd = connect_out();

		if (!write_whole(fd, "b", 1) || !read_whole(fd, &byte, 1))
			errx(1, "a connection failed");
	}
	printf("held\n");
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
}

static int take_echoes(int fd)
{
	static char bytes[DATAGRAM + UDP_HEADER];
	int count = 0;

	while (recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		count++;
	return count;
}

/* The generator's own pace, not a wait for anything: a fifth of a millisecond between bursts. */
static void wait_a_little(void)
{
	nanosleep(&(struct timespec){ .tv_nsec = 200000 }, NULL);
}

static void datagrams(int rate, double seconds)
{
	static unsigned char bytes[UDP_HEADER + DATAGRAM] = { 0, 0, 0, 1 };
	struct sockaddr_in to = target;
	size_t header = through_proxy ? UDP_HEADER : 0;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), room = 1 << 22, association;
	uint64_t sent = 0, received = 0;
	double start, end;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room));
	memcpy(bytes + 4, &target.sin_addr, 4);
	memcpy(bytes + 8, &target.sin_port, 2);
	if (through_proxy) {
		association = open_socket();
		if (connect(association, (struct sockaddr *)&proxy, sizeof(proxy)) < 0)
			err(1, "connect");
		socks(association, 3, &(struct sockaddr_in){ 0 }, &to);
	}
	if (connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "connect");
	start = now();
	end = start + seconds;
	while (now() < end) {
		while ((double)sent < (now() - start) * rate && now() < end) {
			send(fd, bytes + UDP_HEADER - header, DATAGRAM + header, MSG_DONTWAIT);
			sent++; /* a full queue, or an ICMP error of an earlier one, is a datagram that is lost */
			received += (uint64_t)take_echoes(fd);
		}
		wait_a_little();
	}
	for (end = now() + 0.3; now() < end; wait_a_little())
		received += (uint64_t)take_echoes(fd);
	printf("%.0f %.4f\n", (double)sent / seconds, 1 - (double)received / (double)sent);
}

int main(int argc, char **argv)
{
	const char *verb = argc > 3 ? argv[1] : "", *colon;
	double seconds = argc == 7 ? atof(argv[6]) : 0;
	int number = argc > 5 ? atoi(argv[5]) : 0;
	struct rlimit files;
	char address[32] = "";

	signal(SIGPIPE, SIG_IGN);
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	if (argc > 3)
		target = parse(argv[2], argv[3]);
	if (argc == 4 && !strcmp(verb, "serve"))
		serve();
	if (argc > 4 && (colon = strchr(argv[4], ':')) && colon - argv[4] < 32) {
		memcpy(address, argv[4], (size_t)(colon - argv[4]));
		proxy = parse(address, colon + 1);
		through_proxy = true;
	}
	until = now() + seconds;
	if (argc == 6 && !strcmp(verb, "hold"))
		hold(number);
	else if (argc == 7 && !strcmp(verb, "get") && number <= THREADS_MAX)
		bulk(get_one, number);
	else if (argc == 7 && !strcmp(verb, "put") && number <= THREADS_MAX)
		bulk(put_one, number);
	else if (argc == 7 && !strcmp(verb, "connect") && number <= THREADS_MAX)
		connections(number, seconds);
	else if (argc == 7 && !strcmp(verb, "datagrams"))
		datagrams(number, seconds);
	else
		errx(2, "usage: see the head of load.c");
	return 0;
}
