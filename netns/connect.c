/* See connect.h. */
#include "netns/connect.h"

#include "netns/congestion.h"
#include "spec/cleanup.h"

#include <netinet/tcp.h>

int connect_begin(const struct endpoint *to)
{
	struct sockaddr_storage address;
	socklen_t length = endpoint_to_sockaddr(to, &address);
	_cleanup_close_ int fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int on = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
	congestion_suit_loopback(fd, to);
	if (connect(fd, (struct sockaddr *)&address, length) < 0 && errno != EINPROGRESS)
		return -1;
	return steal_fd(&fd);
}
