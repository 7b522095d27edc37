/* Fuzzes the first bytes of a connection. The first byte of the input says which port it is to and whether more may come, the second
 * where the rest is divided: whatever has been decided by a part stays so with all of it.
 */
#include "netns/server_name.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char name[] = "www.example.com";

/* In a buffer of its own, whose end is guarded. */
static enum server_name_verdict judge(const uint8_t *data, size_t size, uint16_t port, bool ended)
{
	struct server_name_fault fault = { .said = "x" };
	uint8_t *bytes = malloc(size + !size);
	enum server_name_verdict verdict;

	memcpy(bytes, data, size);
	verdict = server_name_judge(name, port, bytes, size, ended, &fault);
	assert(!ended || verdict != SERVER_NAME_OPEN);
	assert(size < SERVER_NAME_BYTES_MAX || verdict != SERVER_NAME_OPEN);
	if (verdict == SERVER_NAME_BAD)
		assert(fault.why && strlen(fault.said) <= SERVER_NAME_TEXT_MAX);
	free(bytes);
	return verdict;
}

static bool says_name(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i + strlen(name) <= size; i++) {
		if (strncasecmp((const char *)data + i, name, strlen(name)) == 0)
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	enum server_name_verdict part, all;
	uint16_t port;
	bool ended;

	if (size < 2)
		return 0;
	port = data[0] & 1 ? 443 : 22;
	ended = data[0] & 2;
	size -= 2;
	server_name_is_quic(data + 2, size);
	part = judge(data + 2, data[1] < size ? data[1] : size, port, false);
	all = judge(data + 2, size, port, false);
	assert(part == SERVER_NAME_OPEN || part == all);
	if (ended)
		judge(data + 2, size, port, true);
	if (all == SERVER_NAME_GOOD && port == 443 &&
		data[2] != 22) /* a record's header may stand in a name */
		assert(says_name(data + 2, size));
	return 0;
}
