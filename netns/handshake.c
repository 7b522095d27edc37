/* See handshake.h. Each message is one write: some proxies read no more than one segment at a time. */
#include "netns/handshake.h"

#include "spec/cleanup.h"

#include <string.h>
#include <sys/socket.h>

static int send_message(int fd, const void *message, size_t length)
{
	return send(fd, message, length, MSG_NOSIGNAL) == (ssize_t)length ? HANDSHAKE_WAITS
									  : HANDSHAKE_BROKEN;
}

/* On the loopback a connection stands as soon as connect() has returned. Nothing can be sent before it does, not even nothing: that
 * is the greeting of HTTP. */
int handshake_start(struct handshake *handshake, int fd, const struct proxy *proxy)
{
	uint8_t message[SOCKS_MESSAGE_MAX];
	size_t length = 0;
	int result;

	handshake->proxy = proxy;
	if (proxy->kind == PROXY_SOCKS5)
		length = socks_start(&handshake->socks, proxy, message);
	else
		memset(&handshake->http, 0, sizeof(handshake->http));
	result = send_message(fd, message, length);
	if (result == HANDSHAKE_BROKEN && errno == EAGAIN)
		return HANDSHAKE_CONNECTING;
	return result == HANDSHAKE_WAITS && !length ? HANDSHAKE_GREETED : result;
}

int handshake_request(
	struct handshake *handshake, int fd, enum socks_command command, const struct socks_target *target)
{
	uint8_t message[SOCKS_MESSAGE_MAX];
	char request[HTTP_REQUEST_MAX];

	if (handshake->proxy->kind == PROXY_SOCKS5)
		return send_message(
			fd, message, socks_put_request(&handshake->socks, command, target, message));
	return send_message(fd, request, http_put_connect(request, handshake->proxy, target));
}

static int continue_socks(struct socks *socks, int fd)
{
	uint8_t message[SOCKS_MESSAGE_MAX];

	while (socks->step != SOCKS_DONE && socks->step != SOCKS_GREETED) {
		ssize_t received = recv(fd, socks->reply + socks->have, socks->want - socks->have, 0);
		int length;

		if (received < 0 && errno == EAGAIN)
			return HANDSHAKE_WAITS;
		if (received <= 0)
			return HANDSHAKE_BROKEN;
		length = socks_take(socks, (size_t)received, message);
		if (length < 0)
			return length == -EPROTO ? HANDSHAKE_BROKEN : length;
		if (length > 0 && send_message(fd, message, (size_t)length) == HANDSHAKE_BROKEN)
			return HANDSHAKE_BROKEN;
	}
	return socks->step == SOCKS_DONE ? HANDSHAKE_DONE : HANDSHAKE_GREETED;
}

/* Looked at before it is taken: what stands behind the head stays in the socket. */
static int continue_http(struct http_reply *reply, int fd)
{
	uint8_t bytes[1024];

	for (;;) {
		ssize_t received = recv(fd, bytes, sizeof(bytes), MSG_PEEK);
		size_t used;
		int result;

		if (received < 0 && errno == EAGAIN)
			return HANDSHAKE_WAITS;
		if (received <= 0)
			return HANDSHAKE_BROKEN;
		result = http_take(reply, bytes, (size_t)received, &used);
		if (result == -EPROTO || recv(fd, bytes, used, 0) != (ssize_t)used)
			return HANDSHAKE_BROKEN;
		if (result != 0)
			return result < 0 ? result : HANDSHAKE_DONE;
	}
}

bool handshake_is_answering(const struct handshake *handshake)
{
	return handshake->proxy->kind == PROXY_SOCKS5 ? handshake->socks.have > 0
						      : handshake->http.status_length > 0;
}

int handshake_continue(struct handshake *handshake, int fd)
{
	return handshake->proxy->kind == PROXY_SOCKS5 ? continue_socks(&handshake->socks, fd)
						      : continue_http(&handshake->http, fd);
}
