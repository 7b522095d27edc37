/* HTTP CONNECT: see http.h. The proxy's answer is not trusted: its length is bounded, and only its status is believed. */
#include "netns/http.h"

#include "spec/cleanup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { HEAD_MAX = 16384, STATUS_LENGTH = sizeof("HTTP/1.1 200") - 1 };

/* Proxies use these for more than one thing; each is the most telling error that is true for all that it is used for. */
static const struct {
	int status, error_number;
} errors[] = {
	{ 401, EACCES },
	{ 403, EACCES },
	{ 405, EACCES },
	{ 407, EACCES },
	{ 429, EACCES }, /* refused by rule */
	{ 408, ETIMEDOUT },
	{ 504, ETIMEDOUT },
};

static size_t put_base64(char *text, const uint8_t *bytes, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *at = text;

	for (size_t i = 0; i < length; i += 3) {
		uint32_t three = (uint32_t)bytes[i] << 16 |
				 (i + 1 < length ? (uint32_t)bytes[i + 1] << 8 : 0) |
				 (i + 2 < length ? bytes[i + 2] : 0);

		*at++ = digits[three >> 18];
		*at++ = digits[three >> 12 & 63];
		*at++ = i + 1 < length ? digits[three >> 6 & 63] : '=';
		*at++ = i + 2 < length ? digits[three & 63] : '=';
	}
	*at = '\0';
	return (size_t)(at - text);
}

static void format_authority(const struct socks_target *target, char text[static 272])
{
	if (target->name)
		snprintf(text, 272, "%s:%u", target->name, target->address.port);
	else
		endpoint_format(&target->address, text);
}

size_t http_put_connect(
	char request[static HTTP_REQUEST_MAX], const struct proxy *proxy, const struct socks_target *target)
{
	char authority[272], credentials[sizeof(proxy->user) + sizeof(proxy->password)];
	int length;

	format_authority(target, authority);
	length = snprintf(
		request, HTTP_REQUEST_MAX, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n", authority, authority);
	if (proxy->user[0]) {
		int plain = snprintf(credentials, sizeof(credentials), "%s:%s", proxy->user, proxy->password);

		length += snprintf(
			request + length, HTTP_REQUEST_MAX - (size_t)length, "Proxy-Authorization: Basic ");
		length += (int)put_base64(request + length, (uint8_t *)credentials, (size_t)plain);
		length += snprintf(request + length, HTTP_REQUEST_MAX - (size_t)length, "\r\n");
		explicit_bzero(credentials, sizeof(credentials));
	}
	length += snprintf(request + length, HTTP_REQUEST_MAX - (size_t)length, "\r\n");
	return (size_t)length;
}

static int verdict(const struct http_reply *reply)
{
	int status = 0, used = 0;

	if (sscanf(reply->status, "HTTP/1.%*1[01] %3d%n", &status, &used) != 1 || status < 100)
		return -EPROTO;
	if (status / 100 == 1) /* an interim answer (RFC 9110, 15.2): the real one follows */
		return 0;
	if (status / 100 == 2)
		return 1;
	for (size_t i = 0; i < ARRAY_SIZE(errors); i++) {
		if (errors[i].status == status)
			return -errors[i].error_number;
	}
	return -EHOSTUNREACH;
}

int http_take(struct http_reply *reply, const uint8_t *bytes, size_t length, size_t *used)
{
	for (*used = 0; *used < length;) {
		char c = (char)bytes[(*used)++];
		int result;

		if (reply->status_length < STATUS_LENGTH) {
			reply->status[reply->status_length++] = c;
			if (reply->status_length == STATUS_LENGTH &&
				strncmp(reply->status, "HTTP/1.", 7) != 0)
				return -EPROTO;
		}
		if (++reply->length > HEAD_MAX)
			return -EPROTO;
		if (c == '\n') {
			if (!reply->line_length && (result = verdict(reply)))
				return result;
			if (!reply->line_length)
				reply->status_length = 0;
			reply->line_length = 0;
		} else if (c != '\r') {
			reply->line_length = 1;
		}
	}
	return 0;
}
