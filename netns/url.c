/* See url.h. */
#include "netns/url.h"

#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { FIELD_MAX = 256 }; /* RFC 1929: a user and a password have at most 255 bytes */

static const struct scheme {
	const char *prefix;
	enum proxy_kind kind;
	bool remote_names, path;
} schemes[] = {
	{ "socks5://", PROXY_SOCKS5, false, false },
	{ "socks5h://", PROXY_SOCKS5, true, false },
	{ "http://", PROXY_HTTP, true, false },
	{ "socks5+unix:", PROXY_SOCKS5, false, true },
	{ "socks5h+unix:", PROXY_SOCKS5, true, true },
};

/* A part of a text that is not NUL-terminated. */
struct part {
	const char *start;
	size_t length;
};

static bool read_port(struct part text, uint16_t *port)
{
	unsigned int value = 0;

	if (text.length < 1 || text.length > 5)
		return false;
	for (size_t i = 0; i < text.length; i++) {
		if (!isdigit((unsigned char)text.start[i]))
			return false;
		value = value * 10 + (unsigned int)(text.start[i] - '0');
	}
	*port = (uint16_t)value;
	return value >= 1 && value <= UINT16_MAX;
}

static const char *copy_host(struct part text, bool bracketed, char host[static FIELD_MAX])
{
	struct in6_addr address;

	if (text.length == 0)
		return "the host is missing";
	if (text.length >= FIELD_MAX)
		return "the host's name is longer than 255 characters";
	memcpy(host, text.start, text.length);
	host[text.length] = '\0';
	if (bracketed)
		return inet_pton(AF_INET6, host, &address) == 1 ? NULL
								: "in brackets an IPv6 address must stand";
	for (size_t i = 0; i < text.length; i++) {
		unsigned char c = (unsigned char)host[i];

		if (!isalnum(c) && c != '-' && c != '.' && c != '_')
			return "the host's name has a character that no name has (an IPv6 address is written "
			       "in "
			       "brackets)";
	}
	return NULL;
}

/* "host:port" to the end of `text`; NULL or what is wrong. */
static const char *read_host_port(
	struct part text, uint16_t default_port, char host[static FIELD_MAX], uint16_t *port)
{
	const char *end = text.start + text.length, *colon;
	bool bracketed = text.length && *text.start == '[';
	struct part name;
	const char *fault;

	if (bracketed) {
		const char *bracket = memchr(text.start, ']', text.length);

		if (!bracket)
			return "\"[\" without \"]\"";
		name = (struct part){ text.start + 1, (size_t)(bracket - text.start - 1) };
		colon = bracket + 1;
	} else {
		colon = memchr(text.start, ':', text.length);
		colon = colon ? colon : end;
		name = (struct part){ text.start, (size_t)(colon - text.start) };
		if (colon != end && memchr(colon + 1, ':', (size_t)(end - colon - 1)))
			return "an IPv6 address is written in brackets";
	}
	fault = copy_host(name, bracketed, host);
	if (fault)
		return fault;
	if (colon == end && default_port) {
		*port = default_port;
		return NULL;
	}
	if (colon == end)
		return "the port is missing; write HOST:PORT";
	if (*colon != ':' || !read_port((struct part){ colon + 1, (size_t)(end - colon - 1) }, port))
		return "the port must be a number from 1 to 65535";
	return NULL;
}

static const char *decode(struct part text, char decoded[static FIELD_MAX])
{
	size_t length = 0;

	for (size_t i = 0; i < text.length; i++) {
		char c = text.start[i];

		if (length == FIELD_MAX - 1)
			return "the user or the password is longer than 255 bytes";
		if (c == '%') {
			char digits[3] = "";

			memcpy(digits, text.start + i + 1, text.length - i > 2 ? 2 : 0);
			if (!isxdigit((unsigned char)digits[0]) || !isxdigit((unsigned char)digits[1]))
				return "\"%\" in the user or password must be followed by two hexadecimal "
				       "digits; "
				       "write \"%\" itself as %25";
			c = (char)strtoul(digits, NULL, 16);
			i += 2;
		}
		if (c == '\0')
			return "the user or the password holds a NUL byte";
		decoded[length++] = c;
	}
	decoded[length] = '\0';
	return NULL;
}

static const char *read_credentials(struct part text, struct proxy_url *url)
{
	const char *end = text.start + text.length;
	const char *colon = memchr(text.start, ':', text.length);
	struct part user = { text.start, colon ? (size_t)(colon - text.start) : text.length };
	const char *fault = decode(user, url->user);

	if (!fault && !url->user[0])
		fault = "the user before \"@\" is missing";
	if (!fault && colon)
		fault = decode((struct part){ colon + 1, (size_t)(end - colon - 1) }, url->password);
	return fault;
}

static const char *read_after_scheme(const char *text, struct proxy_url *url)
{
	size_t length = strcspn(text, "/?#");
	const char *rest = text + length;
	const char *at = memrchr(text, '@', length);
	const char *host = at ? at + 1 : text;
	const char *fault = NULL;

	if (*rest == '/')
		rest++;
	if (*rest)
		return "after the port nothing may follow (\"/\", \"?\" and \"#\" in a password are written "
		       "%2F, %3F and "
		       "%23)";
	if (at)
		fault = read_credentials((struct part){ text, (size_t)(at - text) }, url);
	if (!fault)
		fault = read_host_port(
			(struct part){ host, length - (size_t)(host - text) }, 0, url->host, &url->port);
	return fault;
}

/* "/path", or "///path" as some write it. */
static const char *read_path(const char *text, char path[static UNIX_PATH_MAX])
{
	if (strncmp(text, "///", 3) == 0)
		text += 2;
	if (text[0] != '/' || text[1] == '/' || !text[1])
		return "after it the whole path of a socket must stand, beginning with \"/\"";
	if (strlen(text) >= UNIX_PATH_MAX)
		return "the path is longer than the 107 bytes that a socket's may have";
	strcpy(path, text);
	return NULL;
}

int url_read_proxy(const char *text, struct proxy_url *url, struct error *err)
{
	*url = (struct proxy_url){ 0 };
	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++) {
		const struct scheme *scheme = &schemes[i];
		size_t length = strlen(scheme->prefix);
		const char *fault;

		if (strncasecmp(text, scheme->prefix, length) != 0)
			continue;
		url->kind = scheme->kind;
		url->remote_names = scheme->remote_names;
		fault = scheme->path ? read_path(text + length, url->path)
				     : read_after_scheme(text + length, url);
		return fault ? error_set(err, 0, "the proxy's URL (%s…): %s", scheme->prefix, fault) : 0;
	}
	return error_set(
		err, 0, "the proxy's URL must begin with socks5://, socks5h://, http:// or socks5+unix:");
}

int url_read_host(const char *text, uint16_t default_port, const char *what, char host[static 256],
	uint16_t *port, struct error *err)
{
	const char *fault = read_host_port((struct part){ text, strlen(text) }, default_port, host, port);

	return fault ? error_set(err, 0, "%s \"%s\": %s", what, text, fault) : 0;
}

static const char *read_listen_address(struct part text, struct endpoint *endpoint)
{
	char host[FIELD_MAX];
	bool bracketed = text.length >= 2 && text.start[0] == '[' && text.start[text.length - 1] == ']';
	const char *fault;

	if (bracketed)
		text = (struct part){ text.start + 1, text.length - 2 };
	fault = copy_host(text, bracketed, host);
	if (fault)
		return fault;
	endpoint->family = bracketed ? AF_INET6 : AF_INET;
	return inet_pton(endpoint->family, host, &endpoint->v6) == 1 ? NULL
								     : "the address must be a numeric one";
}

/* After the address: "port" or "port:inner". */
static const char *read_port_pair(struct part text, struct inbound *inbound)
{
	static const char fault[] = "a port must be a number from 1 to 65535";
	const char *colon = memchr(text.start, ':', text.length);
	size_t outer = colon ? (size_t)(colon - text.start) : text.length;

	if (!read_port((struct part){ text.start, outer }, &inbound->listen.port))
		return fault;
	inbound->inner_port = inbound->listen.port;
	if (colon && !read_port((struct part){ colon + 1, text.length - outer - 1 }, &inbound->inner_port))
		return fault;
	return NULL;
}

static const char *read_inbound(struct part text, struct inbound *inbound)
{
	size_t digits = strspn(text.start, "0123456789");
	const char *fault, *colon;

	inbound->listen = (struct endpoint){ .family = AF_INET, .v4 = { htonl(INADDR_LOOPBACK) } };
	if (digits >= text.length || text.start[digits] == ':')
		return read_port_pair(text, inbound);
	colon = *text.start == '[' ? memchr(text.start, ']', text.length) : text.start;
	colon = colon ? memchr(colon, ':', text.length - (size_t)(colon - text.start)) : NULL;
	if (!colon)
		return "write it [ADDRESS:]PORT[:INNER-PORT][/udp], an IPv6 address in brackets";
	fault = read_listen_address(
		(struct part){ text.start, (size_t)(colon - text.start) }, &inbound->listen);
	if (fault)
		return fault;
	text.length -= (size_t)(colon + 1 - text.start);
	text.start = colon + 1;
	return read_port_pair(text, inbound);
}

int url_read_inbound(const char *text, struct inbound *inbound, struct error *err)
{
	const char *slash = strchr(text, '/'), *fault = NULL;
	size_t length = slash ? (size_t)(slash - text) : strlen(text);

	*inbound = (struct inbound){ .listen_fd = -1, .udp = slash && strcmp(slash, "/udp") == 0 };
	if (slash && !inbound->udp && strcmp(slash, "/tcp") != 0)
		fault = "after \"/\" only tcp or udp may stand";
	else
		fault = read_inbound((struct part){ text, length }, inbound);
	return fault ? error_set(err, 0, "inbound port \"%s\": %s", text, fault) : 0;
}
