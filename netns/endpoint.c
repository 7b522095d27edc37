/* Addresses and ports: to and from the kernel's form and text. Numeric only: it never asks a resolver.
 */
#include "netns/endpoint.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

socklen_t endpoint_to_sockaddr(const struct endpoint *endpoint, struct sockaddr_storage *address)
{
	memset(address, 0, sizeof(*address));
	if (endpoint->family == AF_INET6) {
		struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;

		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(endpoint->port);
		v6->sin6_addr = endpoint->v6;
		return sizeof(*v6);
	}
	struct sockaddr_in *v4 = (struct sockaddr_in *)address;

	v4->sin_family = AF_INET;
	v4->sin_port = htons(endpoint->port);
	v4->sin_addr = endpoint->v4;
	return sizeof(*v4);
}

bool endpoint_from_sockaddr(struct endpoint *endpoint, const struct sockaddr_storage *address)
{
	memset(endpoint, 0, sizeof(*endpoint));
	if (address->ss_family == AF_INET) {
		const struct sockaddr_in *v4 = (const struct sockaddr_in *)address;

		endpoint->port = ntohs(v4->sin_port);
		endpoint->v4 = v4->sin_addr;
	} else if (address->ss_family == AF_INET6) {
		const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)address;

		endpoint->port = ntohs(v6->sin6_port);
		endpoint->v6 = v6->sin6_addr;
	} else {
		return false;
	}
	endpoint->family = address->ss_family;
	return true;
}

static bool parse_port(const char *text, uint16_t *port)
{
	unsigned long value = 0;

	if (!*text || strlen(text) > 5)
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return false;
		value = value * 10 + (unsigned long)(*text - '0');
	}
	*port = (uint16_t)value;
	return value <= 65535;
}

bool endpoint_parse(struct endpoint *endpoint, const char *text)
{
	const char *colon = strrchr(text, ':'), *start = text, *end = colon;
	char host[INET6_ADDRSTRLEN];

	memset(endpoint, 0, sizeof(*endpoint));
	if (!colon || !parse_port(colon + 1, &endpoint->port))
		return false;
	if (*text == '[') {
		start = text + 1;
		end = colon - 1;
		if (end <= start || *end != ']')
			return false;
	}
	if ((size_t)(end - start) >= sizeof(host))
		return false;
	memcpy(host, start, (size_t)(end - start));
	host[end - start] = '\0';
	endpoint->family = *text == '[' ? AF_INET6 : AF_INET;
	return inet_pton(endpoint->family, host, &endpoint->v6) == 1;
}

bool endpoint_parse_host(struct endpoint *endpoint, const char *host)
{
	char text[INET6_ADDRSTRLEN];
	size_t length = strlen(host);

	memset(endpoint, 0, sizeof(*endpoint));
	if (length && host[length - 1] == '.')
		length--;
	if (!length || length >= sizeof(text))
		return false;
	memcpy(text, host, length);
	text[length] = '\0';
	if (inet_aton(text, &endpoint->v4))
		endpoint->family = AF_INET;
	else if (inet_pton(AF_INET6, text, &endpoint->v6) == 1)
		endpoint->family = AF_INET6;
	return endpoint->family;
}

bool endpoint_equal(const struct endpoint *a, const struct endpoint *b)
{
	if (a->family != b->family || a->port != b->port)
		return false;
	if (a->family == AF_INET)
		return a->v4.s_addr == b->v4.s_addr;
	return a->family != AF_INET6 || memcmp(&a->v6, &b->v6, sizeof(a->v6)) == 0;
}

bool endpoint_is_loopback(const struct endpoint *endpoint)
{
	const uint8_t *v6 = endpoint->v6.s6_addr;

	if (endpoint->family == AF_INET)
		return ntohl(endpoint->v4.s_addr) >> 24 == 127;
	return endpoint->family == AF_INET6 &&
	       (IN6_IS_ADDR_LOOPBACK(&endpoint->v6) ||
		       (IN6_IS_ADDR_V4MAPPED(&endpoint->v6) && v6[12] == 127));
}

const char *endpoint_format(const struct endpoint *endpoint, char text[static ENDPOINT_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN] = "none";

	if (endpoint->family)
		inet_ntop(endpoint->family, &endpoint->v6, host, sizeof(host));
	snprintf(text, ENDPOINT_TEXT_MAX, endpoint->family == AF_INET6 ? "[%s]:%u" : "%s:%u", host,
		endpoint->port);
	return text;
}

bool socket_is_unix(int fd)
{
	int domain = AF_UNSPEC;
	socklen_t size = sizeof(domain);

	getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size);
	return domain == AF_UNIX;
}

void socket_reset_at_close(int fd)
{
	static const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
}

size_t endpoints_by_turns(struct endpoint *sorted, size_t max, const struct endpoint *endpoints, size_t count,
	sa_family_t first)
{
	size_t next[2] = { 0 }, sorted_count = 0; /* next: by family, AF_INET, AF_INET6 */
	sa_family_t family = first;

	while (sorted_count < max && (next[0] < count || next[1] < count)) {
		size_t *at = &next[family == AF_INET6];

		while (*at < count && endpoints[*at].family != family)
			++*at;
		if (*at < count)
			sorted[sorted_count++] = endpoints[(*at)++];
		family = family == AF_INET ? AF_INET6 : AF_INET;
	}
	return sorted_count;
}
