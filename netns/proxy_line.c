/* See proxy_line.h. */
#include "netns/proxy_line.h"

#include "netns/connect.h"
#include "netns/unix_door.h"
#include "spec/cleanup.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>

static int advance(struct proxy_line *line, int result)
{
	if (result == HANDSHAKE_WAITS && line->state == LINE_CONNECTING)
		line->state = LINE_GREETING;
	else if (result == HANDSHAKE_GREETED)
		line->state = LINE_GREETED;
	return result;
}

static int start(struct proxy_line *line, const struct relay_config *config)
{
	return advance(
		line, handshake_start(&line->handshake, line->watch.fd, &config->proxies[line->proxy]));
}

int line_open(struct proxy_line *line, struct loop *loop, const struct relay_config *config, size_t number)
{
	const struct proxy *proxy = &config->proxies[number];

	line->proxy = number;
	line->reported = 0;
	line->state = LINE_CONNECTING;
	line->watch.fd = proxy->address.family == AF_UNIX
				 ? unix_door_open(config->unix_door, proxy->unix_path)
				 : connect_begin(&proxy->address);
	if (line->watch.fd < 0)
		return HANDSHAKE_BROKEN;
	if (loop_add(loop, &line->watch, CONNECT_EVENTS, NULL) < 0) {
		line->watch.fd = close_fd(line->watch.fd);
		return HANDSHAKE_BROKEN;
	}
	return start(line, config);
}

int line_continue(struct proxy_line *line, const struct relay_config *config, uint32_t events)
{
	line->reported |= events;
	if (line->state == LINE_CONNECTING)
		return start(line, config);
	if (line->state == LINE_GREETED) /* and nobody has asked it anything: it has no reason to speak */
		return events & ~(uint32_t)EPOLLOUT ? HANDSHAKE_BROKEN : HANDSHAKE_GREETED;
	return advance(line, handshake_continue(&line->handshake, line->watch.fd));
}

int line_ask(struct proxy_line *line, enum socks_command command, const struct socks_target *target)
{
	line->state = LINE_ASKED;
	return handshake_request(&line->handshake, line->watch.fd, command, target);
}

bool line_is_answering(const struct proxy_line *line)
{
	return line->state == LINE_ASKED && handshake_is_answering(&line->handshake);
}

bool line_is_heard(const struct proxy_line *line)
{
	int queued = 0;

	return line->state == LINE_ASKED && ioctl(line->watch.fd, SIOCOUTQ, &queued) == 0 && queued == 0;
}

void line_move(struct loop *loop, struct proxy_line *from, struct proxy_line *to)
{
	loop_move(loop, &from->watch, &to->watch);
	to->reported = from->reported;
	to->proxy = from->proxy;
	to->state = from->state;
	to->handshake = from->handshake;
}

void line_close(struct loop *loop, struct proxy_line *line)
{
	loop_close(loop, &line->watch);
}
