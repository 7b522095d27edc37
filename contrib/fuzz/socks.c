/* Fuzzes what a proxy answers. The first byte says how the handshake goes: SOCKS5 with or without a password, connecting or
 * associating, or HTTP; the second in which pieces the rest arrives.
 */
#include "netns/http.h"

#include <assert.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct proxy proxy = { .password = "secret" };
static const struct socks_target target = { .name = "www.example.com", .address = { .port = 443 } };

static void as_socks(const uint8_t *data, size_t size, size_t piece, enum socks_command command)
{
	uint8_t message[SOCKS_MESSAGE_MAX];
	struct socks socks;

	assert(socks_start(&socks, &proxy, message) <= sizeof(message));
	while (size && socks.step != SOCKS_DONE) {
		size_t room = socks.want - socks.have, take = size < piece ? size : piece;
		int length;

		assert(room && socks.want <= sizeof(socks.reply));
		take = take < room ? take : room;
		memcpy(socks.reply + socks.have, data, take);
		data += take;
		size -= take;
		length = socks_take(&socks, take, message);
		if (length < 0)
			return;
		if (socks.step == SOCKS_GREETED)
			length = (int)socks_put_request(&socks, command, &target, message);
		assert((size_t)length <= sizeof(message));
	}
}

static void as_http(const uint8_t *data, size_t size, size_t piece)
{
	struct http_reply reply = { 0 };
	char request[HTTP_REQUEST_MAX];
	size_t used;

	assert(http_put_connect(request, &proxy, &target) < sizeof(request));
	for (; size; data += used, size -= used) {
		size_t take = size < piece ? size : piece;
		int result = http_take(&reply, data, take, &used);

		assert(used <= take && (result != 0 || used == take));
		if (result != 0)
			return;
	}
}

/* The header of a relayed datagram: what is read is what was written. */
static void as_header(const uint8_t *data, size_t size)
{
	uint8_t written[SOCKS_MESSAGE_MAX];
	struct endpoint endpoint, again;
	size_t length = socks_get_endpoint(&endpoint, data, size);
	struct socks_target read = { .address = endpoint };

	assert(length <= size);
	if (!length || !endpoint.family)
		return;
	assert(socks_put_target(written, &read) == length && memcmp(written, data, length) == 0);
	assert(socks_get_endpoint(&again, written, length) == length && endpoint_equal(&again, &endpoint));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t piece;

	if (size < 2)
		return 0;
	piece = data[1] ? data[1] : size;
	strcpy(proxy.user, data[0] & 1 ? "user" : "");
	if (data[0] & 2)
		as_http(data + 2, size - 2, piece);
	else if (data[0] & 4)
		as_header(data + 2, size - 2);
	else
		as_socks(data + 2, size - 2, piece, data[0] & 8 ? SOCKS_ASSOCIATE : SOCKS_CONNECT);
	return 0;
}
