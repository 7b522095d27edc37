/* The helper inside the container's network namespace, and the relay's side of it: see inner.h.
 */
#include "netns/inner.h"
#include "netns/helper.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>

static const struct {
	int family, type;
} kinds[INNER_KINDS] = {
	[INNER_TCP_IPV4] = { AF_INET, SOCK_STREAM },
	[INNER_TCP_IPV6] = { AF_INET6, SOCK_STREAM },
	[INNER_UDP_IPV4] = { AF_INET, SOCK_DGRAM },
	[INNER_UDP_IPV6] = { AF_INET6, SOCK_DGRAM },
};

static int make_socket(void *data, uint8_t kind)
{
	(void)data;
	if (kind < INNER_KINDS)
		return socket(kinds[kind].family, kinds[kind].type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	errno = EINVAL;
	return -1;
}

void inner_serve(int socket_to_relay)
{
	static const unsigned int calls[] = { __NR_socket };

	helper_enter_cell(socket_to_relay, "fence-inner", calls, ARRAY_SIZE(calls), 0);
	helper_serve(make_socket, NULL);
}

int inner_request(int socket, enum inner_kind kind)
{
	return helper_request(socket, (uint8_t)kind);
}

int inner_receive(int socket)
{
	return helper_receive(socket, MSG_DONTWAIT);
}
