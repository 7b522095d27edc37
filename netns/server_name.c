/* See server_name.h. */
#include "netns/server_name.h"

#include <string.h>
#include <strings.h>

enum {
	TLS_CHANGE_CIPHER_SPEC = 20, /* the lowest type of a record */
	TLS_HANDSHAKE = 22,
	TLS_HEARTBEAT = 24, /* the highest */
	TLS_MAJOR = 3,
	TLS_RECORD_HEADER = 5,
	TLS_RECORD_MAX = 1 << 14,
	TLS_CLIENT_HELLO = 1,
	TLS_HANDSHAKE_HEADER = 4,
	TLS_SERVER_NAME = 0,	 /* the extension */
	TLS_HOST_NAME = 0,	 /* the type of a name in it */
	QUIC_INITIAL_MIN = 1200, /* a server drops a shorter one (RFC 9000, 14.1) */
	QUIC_LONG_HEADER = 0x80,
	HTTP_PORT = 80,
	HTTPS_PORT = 443,
};

/* A part of what was said: taken from its beginning, piece by piece. */
struct span {
	const uint8_t *bytes;
	size_t length;
};

struct inquiry {
	const char *resolved;
	bool ended;
	struct server_name_fault *fault;
};

static enum server_name_verdict bad(struct inquiry *inquiry, const char *why)
{
	inquiry->fault->why = why;
	return SERVER_NAME_BAD;
}

/* What is not whole yet. */
static enum server_name_verdict unfinished(struct inquiry *inquiry, const char *why)
{
	return inquiry->ended ? bad(inquiry, why) : SERVER_NAME_OPEN;
}

static size_t without_final_dot(const char *name, size_t length)
{
	return length && name[length - 1] == '.' ? length - 1 : length;
}

static enum server_name_verdict compare(struct inquiry *inquiry, struct span said)
{
	const char *name = (const char *)said.bytes;
	size_t length = without_final_dot(name, said.length);
	size_t kept = said.length < SERVER_NAME_TEXT_MAX ? said.length : SERVER_NAME_TEXT_MAX;

	if (length && length == without_final_dot(inquiry->resolved, strlen(inquiry->resolved)) &&
		strncasecmp(name, inquiry->resolved, length) == 0)
		return SERVER_NAME_GOOD;
	for (size_t i = 0; i < kept; i++)
		inquiry->fault->said[i] = name[i] > ' ' && name[i] < 0x7f ? name[i] : '?';
	inquiry->fault->said[kept] = '\0';
	return bad(inquiry, "the server's name is another");
}

/* TLS. */

static bool take(struct span *from, size_t length, struct span *taken)
{
	if (length > from->length)
		return false;
	*taken = (struct span){ from->bytes, length };
	from->bytes += length;
	from->length -= length;
	return true;
}

static bool take_number(struct span *from, size_t width, size_t *number)
{
	struct span digits;

	if (!take(from, width, &digits))
		return false;
	for (*number = 0; digits.length; digits.length--)
		*number = *number << 8 | *digits.bytes++;
	return true;
}

/* What has its length before it, in `width` bytes. */
static bool take_vector(struct span *from, size_t width, struct span *taken)
{
	size_t length;

	return take_number(from, width, &length) && take(from, length, taken);
}

/* The list has one name: a second could be the one that the server takes. */
static bool take_host_name(struct span extension, struct span *name)
{
	struct span list;
	size_t type;

	return take_vector(&extension, 2, &list) && !extension.length && take_number(&list, 1, &type) &&
	       type == TLS_HOST_NAME && take_vector(&list, 2, name) && !list.length;
}

static enum server_name_verdict judge_hello(struct inquiry *inquiry, struct span hello)
{
	static const char malformed[] = "malformed TLS";
	struct span skipped, extensions, extension, name = { 0 };
	size_t type;
	bool found = false;

	if (!take(&hello, 2 + 32, &skipped) /* version, random */ ||
		!take_vector(&hello, 1, &skipped) /* session */ ||
		!take_vector(&hello, 2, &skipped) /* ciphers */ ||
		!take_vector(&hello, 1, &skipped) /* compression */)
		return bad(inquiry, malformed);
	if (!hello.length)
		return bad(inquiry, "TLS without a server's name");
	if (!take_vector(&hello, 2, &extensions) || hello.length)
		return bad(inquiry, malformed);
	while (extensions.length) {
		if (!take_number(&extensions, 2, &type) || !take_vector(&extensions, 2, &extension))
			return bad(inquiry, malformed);
		if (type != TLS_SERVER_NAME)
			continue;
		if (found || !take_host_name(extension, &name))
			return bad(inquiry, malformed);
		found = true;
	}
	return found ? compare(inquiry, name) : bad(inquiry, "TLS without a server's name");
}

/* A handshake message may be divided over records, and records over segments. */
static enum server_name_verdict judge_tls(struct inquiry *inquiry, struct span said)
{
	uint8_t message[SERVER_NAME_BYTES_MAX];
	struct span all = { message, 0 }, rest, hello;
	size_t type, version, length;

	while (said.length >= TLS_RECORD_HEADER) {
		take_number(&said, 1, &type);
		take_number(&said, 2, &version);
		take_number(&said, 2, &length);
		if (type != TLS_HANDSHAKE || version >> 8 != TLS_MAJOR || !length || length > TLS_RECORD_MAX)
			return bad(inquiry, "malformed TLS");
		if (length > said.length)
			length = said.length;
		memcpy(message + all.length, said.bytes, length);
		all.length += length;
		said.bytes += length;
		said.length -= length;
		if (message[0] != TLS_CLIENT_HELLO && all.length)
			return bad(inquiry, "malformed TLS");
		if (all.length < TLS_HANDSHAKE_HEADER)
			continue;
		rest = (struct span){ message + 1, all.length - 1 };
		if (take_vector(&rest, 3, &hello))
			return judge_hello(inquiry, hello);
	}
	return unfinished(inquiry, "TLS without a server's name");
}

/* What servers take for TLS: a record of it, or the ClientHello in SSL 2's form, which has no server_name. */
static bool is_tls(struct span said)
{
	const uint8_t *bytes = said.bytes;

	return bytes[0] >= TLS_CHANGE_CIPHER_SPEC && bytes[0] <= TLS_HEARTBEAT &&
	       (said.length < 2 || bytes[1] == TLS_MAJOR);
}

static bool is_ssl2(struct span said)
{
	const uint8_t *bytes = said.bytes;

	return bytes[0] & 0x80 && (said.length < 3 || bytes[2] == TLS_CLIENT_HELLO) &&
	       (said.length < 4 || bytes[3] == TLS_MAJOR);
}

/* HTTP/1. Where servers are known to be lenient, so is what is taken for HTTP; what is HTTP must be written as RFC 9112 has it. */

static bool is_space(uint8_t byte)
{
	return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static bool take_line(struct span *from, struct span *line)
{
	const uint8_t *end = memchr(from->bytes, '\n', from->length);

	if (!end)
		return false;
	take(from, (size_t)(end - from->bytes) + 1, line);
	line->length--;
	if (line->length && line->bytes[line->length - 1] == '\r')
		line->length--;
	return true;
}

static struct span take_word(struct span *line)
{
	struct span word = { line->bytes, 0 };

	while (word.length < line->length && !is_space(line->bytes[word.length]))
		word.length++;
	take(line, word.length, &word);
	while (line->length && is_space(*line->bytes)) {
		line->bytes++;
		line->length--;
	}
	return word;
}

/* As much of a first line as has come: a printable word, and no NUL, which no server takes. */
static bool may_be_request(struct span line)
{
	struct span rest = line, method = take_word(&rest);

	for (size_t i = 0; i < method.length; i++) {
		if (method.bytes[i] <= ' ' || method.bytes[i] >= 0x7f)
			return false;
	}
	return method.length && !memchr(line.bytes, '\0', line.length);
}

static bool is_request(struct span line)
{
	static const char version[] = "HTTP/";

	for (size_t i = 0; may_be_request(line) && i + strlen(version) <= line.length; i++) {
		if (strncasecmp((const char *)line.bytes + i, version, strlen(version)) == 0)
			return true;
	}
	return false;
}

/* A host, with or without a port. */
static enum server_name_verdict compare_authority(struct inquiry *inquiry, struct span authority)
{
	const uint8_t *colon = memrchr(authority.bytes, ':', authority.length);
	size_t host = colon ? (size_t)(colon - authority.bytes) : authority.length, i = host + 1;

	while (i < authority.length && authority.bytes[i] >= '0' && authority.bytes[i] <= '9')
		i++;
	if (i >= authority.length)
		authority.length = host;
	return compare(inquiry, authority);
}

/* "/path" and "*" name no host; "http://host/path" and CONNECT's "host:port" do, and servers heed it. */
static enum server_name_verdict judge_target(struct inquiry *inquiry, struct span line)
{
	struct span target, scheme;
	const uint8_t *separator;
	size_t length = 0;

	take_word(&line); /* the method */
	target = take_word(&line);
	if (target.length && (*target.bytes == '/' || *target.bytes == '*'))
		return SERVER_NAME_GOOD;
	separator = memmem(target.bytes, target.length, "://", 3);
	if (separator)
		take(&target, (size_t)(separator - target.bytes) + 3, &scheme);
	while (length < target.length && !memchr("/?#", target.bytes[length], 3))
		length++;
	target.length = length;
	return compare_authority(inquiry, target);
}

/* "Name: value"; a line that continues another, a space before the colon and control characters are how servers are told
 * different things. */
static bool split_field(struct span line, struct span *name, struct span *value)
{
	const uint8_t *colon = memchr(line.bytes, ':', line.length);

	if (!colon || colon == line.bytes)
		return false;
	for (size_t i = 0; i < line.length; i++) {
		bool in_name = line.bytes + i < colon;

		if ((line.bytes[i] <= ' ' && in_name) || (line.bytes[i] < ' ' && line.bytes[i] != '\t') ||
			line.bytes[i] == 0x7f)
			return false;
	}
	*name = (struct span){ line.bytes, (size_t)(colon - line.bytes) };
	*value = (struct span){ colon + 1, line.length - name->length - 1 };
	while (value->length && is_space(*value->bytes))
		*value = (struct span){ value->bytes + 1, value->length - 1 };
	while (value->length && is_space(value->bytes[value->length - 1]))
		value->length--;
	return true;
}

static enum server_name_verdict judge_head(struct inquiry *inquiry, struct span said)
{
	static const char missing[] = "HTTP without a host";
	struct span line, name, value;
	enum server_name_verdict verdict;
	bool found = false;

	take_line(&said, &line);
	verdict = judge_target(inquiry, line);
	while (verdict == SERVER_NAME_GOOD && take_line(&said, &line)) {
		if (!line.length)
			return found ? SERVER_NAME_GOOD : bad(inquiry, missing);
		if (!split_field(line, &name, &value))
			return bad(inquiry, "malformed HTTP");
		if (name.length != 4 || strncasecmp((const char *)name.bytes, "host", 4) != 0)
			continue;
		verdict = found ? bad(inquiry, "HTTP with more than one host")
				: compare_authority(inquiry, value);
		found = true;
	}
	return verdict == SERVER_NAME_GOOD ? unfinished(inquiry, missing) : verdict;
}

static enum server_name_verdict judge_other(struct inquiry *inquiry, uint16_t port)
{
	if (port == HTTP_PORT || port == HTTPS_PORT)
		return bad(inquiry, "neither TLS nor HTTP, on a port for these");
	return SERVER_NAME_GOOD;
}

static enum server_name_verdict judge(struct inquiry *inquiry, uint16_t port, struct span said)
{
	struct span rest, line;

	if (is_tls(said))
		return judge_tls(inquiry, said);
	if (is_ssl2(said) && (said.length >= 4 || !inquiry->ended))
		return said.length >= 4 ? bad(inquiry, "TLS without a server's name") : SERVER_NAME_OPEN;
	while (said.length && (*said.bytes == '\r' || *said.bytes == '\n')) /* servers skip empty lines */
		take(&said, 1, &line);
	rest = said;
	if (take_line(&rest, &line))
		return is_request(line) ? judge_head(inquiry, said) : judge_other(inquiry, port);
	if (!inquiry->ended && (!said.length || may_be_request(said)))
		return SERVER_NAME_OPEN;
	return judge_other(inquiry, port);
}

bool server_name_is_quic(const uint8_t *datagram, size_t length)
{
	struct span version = { datagram + 1, 4 };
	size_t number;

	return length >= QUIC_INITIAL_MIN && datagram[0] & QUIC_LONG_HEADER &&
	       take_number(&version, 4, &number) &&
	       (number == 1 || number == 0x6b3343cf /* 2 */ || number >> 8 == 0xff0000 /* drafts */);
}

enum server_name_verdict server_name_judge(const char *resolved, uint16_t port, const uint8_t *bytes,
	size_t length, bool ended, struct server_name_fault *fault)
{
	struct inquiry inquiry = { resolved, ended, fault };
	struct span said = { bytes, length < SERVER_NAME_BYTES_MAX ? length : SERVER_NAME_BYTES_MAX };
	enum server_name_verdict verdict;

	fault->said[0] = '\0';
	if (!length)
		return ended ? SERVER_NAME_GOOD : SERVER_NAME_OPEN;
	verdict = judge(&inquiry, port, said);
	if (verdict == SERVER_NAME_OPEN && length >= SERVER_NAME_BYTES_MAX)
		return bad(&inquiry, "no server's name in the first 16 KiB");
	return verdict;
}
