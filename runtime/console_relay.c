/* The relay of console.h: two directions, each with a buffer; whoever cannot take more stops the other. */
#include "runtime/console.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>

struct direction {
	int from, to;
	char buffer[4096];
	size_t start, end;
	bool closed;
};

struct console_relay {
	int master;
	bool is_terminal;
	struct termios before;
	struct direction in, out;
};

int console_relay_start(struct console_relay **relay, int master_fd, struct error *err)
{
	struct console_relay *new = calloc(1, sizeof(*new));
	struct termios raw;

	if (!new)
		return error_set(err, ENOMEM, "cannot relay the terminal");
	new->master = master_fd;
	new->in = (struct direction){ .from = STDIN_FILENO, .to = master_fd };
	new->out = (struct direction){ .from = master_fd, .to = STDOUT_FILENO };
	new->is_terminal = tcgetattr(STDIN_FILENO, &new->before) == 0;
	fcntl(master_fd, F_SETFL, fcntl(master_fd, F_GETFL) | O_NONBLOCK);
	*relay = new;
	if (!new->is_terminal)
		return 0;
	console_relay_resize(new);
	raw = new->before;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0) {
		free(new);
		*relay = NULL;
		return error_set(err, errno, "cannot make the terminal raw");
	}
	return 0;
}

void console_relay_fds(const struct console_relay *relay, struct pollfd *terminal, struct pollfd *master)
{
	bool in_pending = relay->in.start < relay->in.end;

	terminal->fd = relay->in.closed || in_pending ? -1 : STDIN_FILENO;
	terminal->events = POLLIN;
	/* Output is written at once: we wait for our standard output, as any program. */
	master->fd = relay->out.closed && !in_pending ? -1 : relay->master;
	master->events = (short)((relay->out.closed ? 0 : POLLIN) | (in_pending ? POLLOUT : 0));
}

static void flush(struct direction *direction)
{
	struct pollfd room = { .fd = direction->to, .events = POLLOUT };

	while (direction->start < direction->end) {
		ssize_t n = write(direction->to, direction->buffer + direction->start,
			direction->end - direction->start);

		if (n < 0 && errno == EAGAIN && direction->to != STDOUT_FILENO)
			return;
		if (n < 0 && errno == EAGAIN)
			poll(&room, 1, -1); /* whoever shares our standard output has made it so */
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			direction->closed = true;
		direction->start = n < 0 ? direction->end : direction->start + (size_t)n;
	}
	direction->start = direction->end = 0;
}

/* False when there is nothing (more) to read now. */
static bool fill(struct direction *direction)
{
	ssize_t n = read(direction->from, direction->buffer, sizeof(direction->buffer));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return false;
	/* A master says EIO when the last user of the other end is gone. */
	if (n <= 0) {
		direction->closed = true;
		return false;
	}
	direction->end = (size_t)n;
	return true;
}

static void send_end_of_file(struct console_relay *relay)
{
	struct termios settings;

	if (relay->is_terminal || tcgetattr(relay->master, &settings) < 0)
		return;
	relay->in.buffer[0] = (char)settings.c_cc[VEOF];
	relay->in.end = 1;
	flush(&relay->in);
}

void console_relay_step(
	struct console_relay *relay, const struct pollfd *terminal, const struct pollfd *master)
{
	if (terminal->revents && !relay->in.closed) {
		if (fill(&relay->in))
			flush(&relay->in);
		else if (relay->in.closed)
			send_end_of_file(relay);
	}
	if (master->revents & POLLOUT)
		flush(&relay->in);
	if ((master->revents & (POLLIN | POLLHUP | POLLERR)) && !relay->out.closed && fill(&relay->out))
		flush(&relay->out);
}

void console_relay_drain(struct console_relay *relay)
{
	while (!relay->out.closed && fill(&relay->out))
		flush(&relay->out);
}

void console_relay_resize(struct console_relay *relay)
{
	struct winsize window;

	if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == 0)
		ioctl(relay->master, TIOCSWINSZ, &window);
}

void console_restore(struct console_relay *relay)
{
	if (!relay)
		return;
	if (relay->is_terminal)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &relay->before);
	free(relay);
}
