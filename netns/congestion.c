/* See congestion.h. */
#include "netns/congestion.h"

#include "spec/cleanup.h"

#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

static bool paced;

void congestion_learn_default(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char name[16] = "";
	socklen_t length = sizeof(name) - 1;

	if (fd < 0 || getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name, &length) < 0)
		return;
	paced = strncmp(name, "bbr", 3) == 0;
}

static void set_unpaced(int fd)
{
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, CONGESTION_UNPACED, sizeof(CONGESTION_UNPACED) - 1);
}

void congestion_suit_loopback(int fd, const struct endpoint *peer)
{
	if (paced && endpoint_is_loopback(peer))
		set_unpaced(fd);
}

void congestion_suit_host(int fd, const struct endpoint *peer)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	struct endpoint own;

	if (!paced || getsockname(fd, (struct sockaddr *)&address, &length) < 0 ||
		!endpoint_from_sockaddr(&own, &address))
		return;
	own.port = peer->port;
	if (endpoint_equal(&own, peer))
		set_unpaced(fd);
}
