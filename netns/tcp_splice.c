/* See tcp_splice.h. */
#include "netns/tcp_splice.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/epoll.h>

enum {
	PIPE_SIZE =
		512 << 10, /* an unprivileged user's pipes may have 64 MiB together (pipe-user-pages-soft) */
	PIPES_KEPT = 8,
	PIECES_PER_TURN = 8, /* of one direction before the others have their turn */
	COPY_SIZE = 4096,
};

struct half {
	int pipe[2]; /* 0: none */
	uint32_t in_pipe;
	bool blocked; /* the receiving end is full: EPOLLOUT will tell */
	bool urgent;  /* had urgent data, which splice() does not get past */
	bool ended, shut;
};

struct splice {
	struct watch client;
	struct tcp_flow *flow;
	struct half out, in; /* from the client, to it */
};

static int kept[PIPES_KEPT][2];
static size_t kept_count;

static bool take_pipe(struct half *half)
{
	if (half->pipe[0])
		return true;
	if (kept_count) {
		memcpy(half->pipe, kept[--kept_count], sizeof(half->pipe));
		return true;
	}
	if (pipe2(half->pipe, O_CLOEXEC | O_NONBLOCK) < 0) {
		half->pipe[0] = 0;
		return false;
	}
	fcntl(half->pipe[1], F_SETPIPE_SZ,
		PIPE_SIZE); /* or the usual size, where that is too much for the user */
	return true;
}

static void give_pipe(struct half *half)
{
	if (!half->pipe[0])
		return;
	if (!half->in_pipe && kept_count < PIPES_KEPT) {
		memcpy(kept[kept_count++], half->pipe, sizeof(half->pipe));
	} else {
		close_fd(half->pipe[0]);
		close_fd(half->pipe[1]);
	}
	half->pipe[0] = 0;
}

/* recv() reads on behind the mark that urgent data leaves. */
static ssize_t fill_by_copy(struct half *half, int from)
{
	char bytes[COPY_SIZE];
	ssize_t got = recv(from, bytes, sizeof(bytes), MSG_DONTWAIT);

	return got <= 0 ? got : write(half->pipe[1], bytes, (size_t)got);
}

/* What read() would return. The pipe is empty, so EAGAIN can only mean that the socket is. */
static ssize_t fill(struct half *half, int from)
{
	ssize_t got = splice(from, NULL, half->pipe[1], NULL, PIPE_SIZE, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

	if (got < 0 && errno == EAGAIN && half->urgent)
		got = fill_by_copy(half, from);
	if (got > 0)
		half->in_pipe = (uint32_t)got;
	half->ended = got == 0;
	return got;
}

/* False with EAGAIN: the socket is full. */
static bool drain(struct half *half, int to, uint64_t *counter)
{
	half->blocked = false;
	while (half->in_pipe) {
		ssize_t put = splice(
			half->pipe[0], NULL, to, NULL, half->in_pipe, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);

		if (put <= 0) {
			half->blocked = put < 0 && errno == EAGAIN;
			return false;
		}
		half->in_pipe -= (uint32_t)put;
		*counter += (uint64_t)put;
	}
	return true;
}

/* False: the connection has failed. */
static bool carry(struct tcp_flow *flow, struct half *half, int from, int to)
{
	uint64_t uncounted = 0, *counter = &uncounted;

	if (flow->record)
		counter = half == &flow->splice->out ? &flow->record->sent : &flow->record->received;
	for (int i = 0; !half->ended; i++) {
		if (!drain(half, to, counter))
			return half->blocked;
		if (i == PIECES_PER_TURN) {
			loop_set_timer(tcp_loop(flow->tcp), &flow->timer, 0);
			return true;
		}
		if (!take_pipe(half))
			return false;
		if (fill(half, from) < 0) {
			bool empty = errno == EAGAIN;

			give_pipe(half);
			return empty;
		}
	}
	if (!drain(half, to, counter))
		return half->blocked;
	give_pipe(half);
	if (!half->shut)
		shutdown(to, SHUT_WR);
	half->shut = true;
	return true;
}

static bool carry_out(struct tcp_flow *flow)
{
	struct half *out = &flow->splice->out;

	if (flow->first_words) {
		int done = first_words_carry(&flow->first_words, flow->splice->client.fd, flow->upstream.fd);

		out->blocked = done < 0 && errno == EAGAIN;
		if (done <= 0)
			return done == 0 || out->blocked;
	}
	return carry(flow, out, flow->splice->client.fd, flow->upstream.fd);
}

static bool carry_in(struct tcp_flow *flow)
{
	return carry(flow, &flow->splice->in, flow->upstream.fd, flow->splice->client.fd);
}

static void settle(struct tcp_flow *flow, bool sound)
{
	if (!sound)
		flow_abort(flow);
	else if (flow->splice->out.shut && flow->splice->in.shut)
		flow_close(flow);
}

void splice_continue(struct tcp_flow *flow)
{
	settle(flow, carry_out(flow) && carry_in(flow));
}

/* Events of the end that `from` reads and `to` writes. False: the connection has failed. */
static bool heed(struct tcp_flow *flow, uint32_t events, struct half *from, struct half *to,
	bool (*carry_from)(struct tcp_flow *), bool (*carry_to)(struct tcp_flow *))
{
	from->urgent |= !!(events & EPOLLPRI);
	if ((events & EPOLLERR) && from->ended) /* nothing more will be read, which would tell */
		return false;
	if ((events & ~(uint32_t)EPOLLOUT) && !from->blocked && !carry_from(flow))
		return false;
	return !(events & EPOLLOUT) || !to->blocked || carry_to(flow);
}

static void client_ready(struct watch *watch, uint32_t events)
{
	struct splice *splice = (struct splice *)watch;
	struct tcp_flow *flow = splice->flow;

	settle(flow, heed(flow, events, &splice->out, &splice->in, carry_out, carry_in));
}

static void upstream_ready(struct watch *watch, uint32_t events)
{
	struct tcp_flow *flow = (struct tcp_flow *)watch;
	struct splice *splice = flow->splice;

	settle(flow, heed(flow, events, &splice->in, &splice->out, carry_in, carry_out));
}

int splice_start(struct tcp_flow *flow, int client)
{
	static const uint32_t events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET;
	struct loop *loop = tcp_loop(flow->tcp);
	struct splice *splice = calloc(1, sizeof(*splice));

	if (!splice) {
		close_fd(client);
		return -1;
	}
	flow->splice = splice;
	splice->flow = flow;
	splice->client.fd = client;
	splice->client.ready = client_ready;
	flow->upstream.ready = upstream_ready;
	if (loop_add(loop, &splice->client, events, NULL) < 0)
		return -1;
	return loop_modify(
		loop, &flow->upstream, events); /* looks again at what it may have reported before */
}

void splice_end(struct tcp_flow *flow, bool abort)
{
	struct splice *splice = flow->splice;

	if (!splice)
		return;
	if (abort)
		socket_reset_at_close(splice->client.fd);
	loop_close(tcp_loop(flow->tcp), &splice->client);
	give_pipe(&splice->out);
	give_pipe(&splice->in);
	free(splice);
	flow->splice = NULL;
}

bool splice_has_all(const struct tcp_flow *flow)
{
	return flow->splice && flow->splice->out.shut;
}
