/* SOCKS5, the client's words: see socks.h. The proxy's answers are not trusted: every length is checked.
 */
#include "netns/socks.h"
#include "netns/packet.h"
#include "spec/cleanup.h"

#include <string.h>

enum {
	VERSION = 5,
	AUTHENTICATION_VERSION = 1,
	METHOD_NONE = 0,
	METHOD_PASSWORD = 2,
	TYPE_IPV4 = 1,
	TYPE_NAME = 3,
	TYPE_IPV6 = 4,
	REPLY_START = 5, /* version, code, reserved, address type, and the first byte of the address */
};

static const int reply_errors[] = {
	[0] = 0,
	[1] = EHOSTUNREACH, /* general failure: a name that does not resolve, with most servers */
	[2] = EACCES,
	[3] = ENETUNREACH,
	[4] = EHOSTUNREACH,
	[5] = ECONNREFUSED,
	[6] = EHOSTUNREACH, /* TTL expired */
	[7] = EOPNOTSUPP,   /* command not supported */
	[8] = ENETUNREACH,  /* address type not supported: no IPv6 there */
};

static void expect(struct socks *socks, enum socks_step step, size_t want)
{
	socks->step = step;
	socks->have = 0;
	socks->want = want;
}

size_t socks_start(struct socks *socks, const struct proxy *proxy, uint8_t message[static SOCKS_MESSAGE_MAX])
{
	bool password = proxy->user[0];

	memset(socks, 0, sizeof(*socks));
	socks->proxy = proxy;
	expect(socks, SOCKS_METHOD, 2);
	message[0] = VERSION;
	message[1] = password ? 2 : 1;
	message[2] = METHOD_NONE;
	message[3] = METHOD_PASSWORD;
	return password ? 4 : 3;
}

size_t socks_put_target(uint8_t *bytes, const struct socks_target *target)
{
	const struct endpoint *address = &target->address;
	size_t length;

	if (target->name) {
		length = strnlen(target->name, SOCKS_NAME_MAX);
		bytes[0] = TYPE_NAME;
		bytes[1] = (uint8_t)length;
		memcpy(bytes + 2, target->name, length);
		length += 2;
	} else {
		size_t size = address->family == AF_INET ? 4 : 16;

		bytes[0] = address->family == AF_INET ? TYPE_IPV4 : TYPE_IPV6;
		memcpy(bytes + 1, &address->v6, size);
		length = 1 + size;
	}
	put16(bytes + length, address->port);
	return length + 2;
}

size_t socks_get_endpoint(struct endpoint *endpoint, const uint8_t *bytes, size_t length)
{
	size_t size, start = 1;

	memset(endpoint, 0, sizeof(*endpoint));
	if (length < 2)
		return 0;
	switch (bytes[0]) {
	case TYPE_IPV4:
		endpoint->family = AF_INET;
		size = 4;
		break;
	case TYPE_IPV6:
		endpoint->family = AF_INET6;
		size = 16;
		break;
	case TYPE_NAME:
		start = 2;
		size = bytes[1];
		break;
	default:
		return 0;
	}
	if (length < start + size + 2) {
		endpoint->family = 0;
		return 0;
	}
	if (endpoint->family)
		memcpy(&endpoint->v6, bytes + start, size);
	endpoint->port = get16(bytes + start + size);
	return start + size + 2;
}

size_t socks_put_request(struct socks *socks, enum socks_command command, const struct socks_target *target,
	uint8_t message[static SOCKS_MESSAGE_MAX])
{
	expect(socks, SOCKS_REPLY_START, REPLY_START);
	message[0] = VERSION;
	message[1] = (uint8_t)command;
	message[2] = 0;
	return 3 + socks_put_target(message + 3, target);
}

static int be_greeted(struct socks *socks)
{
	socks->step = SOCKS_GREETED;
	return 0;
}

static int put_password(struct socks *socks, uint8_t *message)
{
	size_t user = strlen(socks->proxy->user), password = strlen(socks->proxy->password);

	if (user > 255 || password > 255)
		return -EACCES;
	expect(socks, SOCKS_AUTHENTICATION, 2);
	message[0] = AUTHENTICATION_VERSION;
	message[1] = (uint8_t)user;
	memcpy(message + 2, socks->proxy->user, user);
	message[2 + user] = (uint8_t)password;
	memcpy(message + 3 + user, socks->proxy->password, password);
	return (int)(3 + user + password);
}

static int take_method(struct socks *socks, uint8_t *message)
{
	if (socks->reply[0] != VERSION)
		return -EPROTO;
	if (socks->reply[1] == METHOD_NONE)
		return be_greeted(socks);
	if (socks->reply[1] == METHOD_PASSWORD && socks->proxy->user[0])
		return put_password(socks, message);
	return -EACCES;
}

/* The second read fetches exactly the rest: what follows belongs to the container. */
static int take_reply_start(struct socks *socks)
{
	size_t size = socks->reply[3] == TYPE_IPV4   ? 4
		      : socks->reply[3] == TYPE_IPV6 ? 16
						     : 1u + socks->reply[4];

	socks->step = SOCKS_REPLY_REST;
	socks->want = 4 + size + 2;
	return 0;
}

static int reply_error(const struct socks *socks)
{
	uint8_t code = socks->reply[1];

	if (socks->reply[0] != VERSION)
		return -EPROTO;
	return code < ARRAY_SIZE(reply_errors) ? -reply_errors[code] : -EHOSTUNREACH;
}

int socks_take(struct socks *socks, size_t received, uint8_t message[static SOCKS_MESSAGE_MAX])
{
	bool reply = socks->step == SOCKS_REPLY_START;

	socks->have += received;
	/* A refusal may be shorter than the standard says: the second byte is enough. */
	if (reply && socks->have >= 2 && reply_error(socks))
		return reply_error(socks);
	if (socks->have < socks->want)
		return 0;
	switch (socks->step) {
	case SOCKS_METHOD:
		return take_method(socks, message);
	case SOCKS_AUTHENTICATION:
		return socks->reply[1] == 0 ? be_greeted(socks) : -EACCES;
	case SOCKS_REPLY_START:
		return take_reply_start(socks);
	default:
		socks->step = SOCKS_DONE;
		return socks_get_endpoint(&socks->bound, socks->reply + 3, socks->have - 3) ? 0
											    : -ENETUNREACH;
	}
}

/* A proxy that says "any address" means its own, and so does one far away that says "loopback": this host's is nothing that it could send us
 * to. One that says a name, or another family than it can mean, is of no use. */
bool socks_association(const struct socks *socks, struct endpoint *relay)
{
	const struct endpoint *proxy = &socks->proxy->address;
	bool unspecified = socks->bound.family == AF_INET ? socks->bound.v4.s_addr == INADDR_ANY
							  : IN6_IS_ADDR_UNSPECIFIED(&socks->bound.v6);
	bool elsewhere = proxy->family != AF_UNIX && !endpoint_is_loopback(proxy);

	*relay = socks->bound;
	if (unspecified || (elsewhere && endpoint_is_loopback(relay))) {
		*relay = *proxy;
		relay->port = socks->bound.port;
	}
	return socks->bound.family && relay->port && relay->family != AF_UNIX;
}
