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

int handshake_start(struct handshake *handshake, int fd, const struct proxy *proxy,
	enum socks_command command, const struct socks_target *target)
{
	uint8_t message[SOCKS_MESSAGE_MAX];
	char request[HTTP_REQUEST_MAX];

	handshake->proxy = proxy;
	if (proxy->kind == PROXY_SOCKS5)
		return send_message(fd, message, socks_start(&handshake->socks, proxy, command, message));
	memset(&handshake->http, 0, sizeof(handshake->http));
	return send_message(fd, request, http_put_connect(request, proxy, target));
}

static int continue_socks(struct socks *socks, int fd, const struct socks_target *target)
{
	uint8_t message[SOCKS_MESSAGE_MAX];

	while (socks->step != SOCKS_DONE) {
		ssize_t received = recv(fd, socks->reply + socks->have, socks->want - socks->have, 0);
		int length;

		if (received < 0 && errno == EAGAIN)
			return HANDSHAKE_WAITS;
		if (received <= 0)
			return HANDSHAKE_BROKEN;
		length = socks_take(socks, (size_t)received, target, message);
		if (length < 0)
			return length;
		if (length > 0 && send_message(fd, message, (size_t)length) == HANDSHAKE_BROKEN)
			return HANDSHAKE_BROKEN;
	}
	return HANDSHAKE_DONE;
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

int handshake_continue(struct handshake *handshake, int fd, const struct socks_target *target)
{
	return handshake->proxy->kind == PROXY_SOCKS5 ? continue_socks(&handshake->socks, fd, target)
						      : continue_http(&handshake->http, fd);
}
