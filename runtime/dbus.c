/* See dbus.h. The wire format is that of the D-Bus specification, "Message Protocol", in this machine's byte order, which the
 * peer, being on the same machine, has too. */
#include "runtime/dbus.h"

#include "runtime/clock.h"
#include "spec/cleanup.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

enum { METHOD_CALL = 1, METHOD_RETURN = 2, ERROR_REPLY = 3, SIGNAL = 4 };
enum {
	FIELD_PATH = 1,
	FIELD_INTERFACE = 2,
	FIELD_MEMBER = 3,
	FIELD_ERROR = 4,
	FIELD_REPLY_TO = 5,
	FIELD_SIGNATURE = 8
};
enum { HEADER_SIZE = 16, MESSAGE_MAX = 1 << 20, PATIENCE_MS = 30000, VERSION = 1 };

static const char byte_order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? 'l' : 'B';

static size_t align(size_t offset, size_t alignment)
{
	return (offset + alignment - 1) & ~(alignment - 1);
}

/* ---- writing ---- */

static unsigned char *extend(struct dbus_body *body, size_t alignment, size_t size)
{
	size_t start = align(body->length, alignment), end = start + size;

	if (end > body->room) {
		size_t room = end < 256 ? 512 : 2 * end;
		unsigned char *bytes = arena_alloc(body->arena, room);

		if (body->length)
			memcpy(bytes, body->bytes, body->length);
		body->bytes = bytes;
		body->room = room;
	}
	memset(body->bytes + body->length, 0, end - body->length); /* the padding must be */
	body->length = end;
	return body->bytes + start;
}

void dbus_put_byte(struct dbus_body *body, uint8_t value)
{
	*extend(body, 1, 1) = value;
}

void dbus_put_uint32(struct dbus_body *body, uint32_t value)
{
	memcpy(extend(body, 4, sizeof(value)), &value, sizeof(value));
}

void dbus_put_bool(struct dbus_body *body, bool value)
{
	dbus_put_uint32(body, value);
}

void dbus_put_uint64(struct dbus_body *body, uint64_t value)
{
	memcpy(extend(body, 8, sizeof(value)), &value, sizeof(value));
}

void dbus_put_string(struct dbus_body *body, const char *text)
{
	size_t length = strlen(text);

	dbus_put_uint32(body, (uint32_t)length);
	memcpy(extend(body, 1, length + 1), text, length + 1);
}

void dbus_put_signature(struct dbus_body *body, const char *text)
{
	size_t length = strlen(text);

	dbus_put_byte(body, (uint8_t)length);
	memcpy(extend(body, 1, length + 1), text, length + 1);
}

void dbus_put_struct(struct dbus_body *body)
{
	extend(body, 8, 0);
}

size_t dbus_begin_array(struct dbus_body *body, size_t alignment)
{
	size_t begun;

	dbus_put_uint32(body, 0);
	begun = body->length;
	extend(body, alignment, 0);
	return begun;
}

/* Its length is without the padding before the first element. */
void dbus_end_array(struct dbus_body *body, size_t alignment, size_t begun)
{
	uint32_t length = (uint32_t)(body->length - align(begun, alignment));

	memcpy(body->bytes + begun - sizeof(length), &length, sizeof(length));
}

static void put_field(struct dbus_body *header, uint8_t field, const char *type, const char *value)
{
	if (!value)
		return;
	dbus_put_struct(header);
	dbus_put_byte(header, field);
	dbus_put_signature(header, type);
	if (*type == 'g')
		dbus_put_signature(header, value);
	else
		dbus_put_string(header, value);
}

static struct dbus_body make_header(struct dbus *dbus, const struct dbus_method *method, size_t body_length)
{
	struct dbus_body header = { .arena = dbus->arena };
	size_t fields;

	dbus_put_byte(&header, (uint8_t)byte_order);
	dbus_put_byte(&header, METHOD_CALL);
	dbus_put_byte(&header, 0);
	dbus_put_byte(&header, VERSION);
	dbus_put_uint32(&header, (uint32_t)body_length);
	dbus_put_uint32(&header, ++dbus->serial);
	fields = dbus_begin_array(&header, 8);
	put_field(&header, FIELD_PATH, "o", method->path);
	put_field(&header, FIELD_INTERFACE, "s", method->interface);
	put_field(&header, FIELD_MEMBER, "s", method->member);
	put_field(&header, FIELD_SIGNATURE, "g", method->signature);
	dbus_end_array(&header, 8, fields);
	dbus_put_struct(&header);
	return header;
}

/* ---- reading ---- */

static const unsigned char *take(struct dbus_message *message, size_t alignment, size_t size)
{
	size_t start = align(message->offset, alignment);

	if (message->malformed || start > message->length || size > message->length - start) {
		message->malformed = true;
		return NULL;
	}
	message->offset = start + size;
	return message->bytes + start;
}

uint32_t dbus_get_uint32(struct dbus_message *message)
{
	const unsigned char *bytes = take(message, 4, sizeof(uint32_t));
	uint32_t value = 0;

	if (bytes)
		memcpy(&value, bytes, sizeof(value));
	return value;
}

static const char *get_text(struct dbus_message *message, size_t length)
{
	const char *text = (const char *)take(message, 1, length + 1);

	if (!text || text[length] != '\0')
		message->malformed = true;
	return message->malformed ? "" : text;
}

const char *dbus_get_string(struct dbus_message *message)
{
	return get_text(message, dbus_get_uint32(message));
}

const char *dbus_get_signature(struct dbus_message *message)
{
	const unsigned char *length = take(message, 1, 1);

	return length ? get_text(message, *length) : "";
}

static void read_field(struct dbus_message *message, uint8_t field)
{
	const char *type = dbus_get_signature(message), *text = "";
	uint32_t number = 0;

	if (strcmp(type, "s") == 0 || strcmp(type, "o") == 0)
		text = dbus_get_string(message);
	else if (strcmp(type, "g") == 0)
		text = dbus_get_signature(message);
	else if (strcmp(type, "u") == 0)
		number = dbus_get_uint32(message);
	else
		message->malformed = true;
	if (field == FIELD_MEMBER)
		message->member = text;
	else if (field == FIELD_ERROR)
		message->error = text;
	else if (field == FIELD_SIGNATURE)
		message->signature = text;
	else if (field == FIELD_REPLY_TO)
		message->reply_to = number;
}

/* Leaves `offset` at the body. */
static void read_header(struct dbus_message *message, size_t fields_end)
{
	message->offset = HEADER_SIZE;
	while (!message->malformed && message->offset < fields_end) {
		const unsigned char *field = take(message, 8, 1);

		if (field)
			read_field(message, *field);
	}
	message->offset = align(fields_end, 8);
}

/* ---- the connection ---- */

static int wait_for(struct dbus *dbus, int64_t deadline, struct error *err)
{
	struct pollfd poll_fd = { .fd = dbus->fd, .events = POLLIN };
	int64_t left = deadline - monotonic_ms();
	int ready = poll(&poll_fd, 1, left > 0 ? (int)left : 0);

	if (ready > 0 || (ready < 0 && errno == EINTR))
		return 0;
	return error_set(err, ready < 0 ? errno : ETIMEDOUT, "%s does not answer", dbus->peer);
}

static int receive(struct dbus *dbus, void *bytes, size_t length, int64_t deadline, struct error *err)
{
	for (size_t done = 0; done < length;) {
		ssize_t n = recv(dbus->fd, (char *)bytes + done, length - done, MSG_DONTWAIT);

		if (n > 0)
			done += (size_t)n;
		else if (n == 0)
			return error_set(err, ECONNRESET, "%s closed the connection", dbus->peer);
		else if (errno != EAGAIN && errno != EINTR)
			return error_set(err, errno, "cannot hear from %s", dbus->peer);
		else if (wait_for(dbus, deadline, err) < 0)
			return -1;
	}
	return 0;
}

static int send_all(struct dbus *dbus, struct iovec *parts, size_t count, struct error *err)
{
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = count };
	size_t length = 0;
	ssize_t sent;

	for (size_t i = 0; i < count; i++)
		length += parts[i].iov_len;
	sent = sendmsg(dbus->fd, &message, MSG_NOSIGNAL);
	if (sent == (ssize_t)length)
		return 0;
	return error_set(err, sent < 0 ? errno : EMSGSIZE, "cannot speak to %s", dbus->peer);
}

/* A line of the authentication, and not a byte more: what follows it may be a signal already. */
static int receive_line(struct dbus *dbus, char *line, size_t size, int64_t deadline, struct error *err)
{
	size_t length = 0;

	while (length + 1 < size) {
		ssize_t n = recv(dbus->fd, line + length, size - length - 1, MSG_PEEK | MSG_DONTWAIT);
		char *end = n > 0 ? memchr(line + length, '\n', (size_t)n) : NULL;
		size_t taken = end ? (size_t)(end + 1 - (line + length)) : n > 0 ? (size_t)n : 1;

		/* Waits where there is nothing yet. */
		if (receive(dbus, line + length, taken, deadline, err) < 0)
			return -1;
		length += taken;
		line[length] = '\0';
		if (line[length - 1] == '\n')
			return 0;
	}
	return error_set(err, EPROTO, "%s does not speak D-Bus", dbus->peer);
}

/* EXTERNAL: the socket tells who we are. We name no uid, which in a user namespace would not be the peer's, so it asks for DATA,
 * of which there is none; systemd before 246 says OK twice instead. All at once, as systemd's own tools do: a call that
 * arrives together with BEGIN is never read. */
static int authenticate(struct dbus *dbus, struct error *err)
{
	static char hello[] = "\0AUTH EXTERNAL\r\nDATA\r\nBEGIN\r\n";
	struct iovec part = { hello, sizeof(hello) - 1 };
	int64_t deadline = monotonic_ms() + PATIENCE_MS;
	char line[256];

	if (send_all(dbus, &part, 1, err) < 0)
		return -1;
	for (int answers = 0; answers < 2; answers++)
		if (receive_line(dbus, line, sizeof(line), deadline, err) < 0)
			return -1;
	return strncmp(line, "OK", 2) == 0 ? 0 : error_set(err, EACCES, "%s does not let us in", dbus->peer);
}

int dbus_open(struct dbus *dbus, struct arena *arena, const char *peer, const char *path, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	*dbus = (struct dbus){ .fd = -1, .arena = arena, .peer = peer };
	if (strlen(path) >= sizeof(address.sun_path))
		return error_set(err, ENAMETOOLONG, "cannot reach %s at %s", peer, path);
	strcpy(address.sun_path, path);
	dbus->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (dbus->fd < 0 || connect(dbus->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
		return error_set(err, errno, "cannot reach %s at %s", peer, path);
	return authenticate(dbus, err);
}

void dbus_close(struct dbus *dbus)
{
	dbus->fd = close_fd(dbus->fd);
}

/* ---- calls and signals ---- */

static int receive_message(
	struct dbus *dbus, int64_t deadline, struct dbus_message *message, struct error *err)
{
	unsigned char header[HEADER_SIZE], *bytes;
	uint32_t body_length, fields_length;
	size_t fields_end;

	if (receive(dbus, header, sizeof(header), deadline, err) < 0)
		return -1;
	memcpy(&body_length, header + 4, sizeof(body_length));
	memcpy(&fields_length, header + 12, sizeof(fields_length));
	if (header[0] != (unsigned char)byte_order || header[3] != VERSION || body_length > MESSAGE_MAX ||
		fields_length > MESSAGE_MAX)
		return error_set(err, EPROTO, "%s sent what is no D-Bus message", dbus->peer);
	fields_end = HEADER_SIZE + fields_length;
	*message = (struct dbus_message){
		.type = header[1],
		.length = align(fields_end, 8) + body_length,
		.member = "",
		.signature = "",
	};
	bytes = arena_alloc(dbus->arena, message->length);
	memcpy(bytes, header, sizeof(header));
	message->bytes = bytes;
	if (receive(dbus, bytes + sizeof(header), message->length - sizeof(header), deadline, err) < 0)
		return -1;
	read_header(message, fields_end);
	return message->malformed ? error_set(err, EPROTO, "%s sent a malformed D-Bus message", dbus->peer)
				  : 0;
}

static int error_reply(struct dbus *dbus, struct dbus_message *reply, struct error *err)
{
	const char *text = *reply->signature == 's' ? dbus_get_string(reply) : "";

	if (!reply->error)
		reply->error = "";
	return error_set(err, 0, "%s: %s", dbus->peer, *text ? text : reply->error);
}

int dbus_call(struct dbus *dbus, const struct dbus_method *method, const struct dbus_body *body,
	struct dbus_message *reply, struct error *err)
{
	size_t body_length = body ? body->length : 0;
	struct dbus_body header = make_header(dbus, method, body_length);
	struct iovec parts[] = { { header.bytes, header.length },
		{ body ? body->bytes : NULL, body_length } };
	int64_t deadline = monotonic_ms() + PATIENCE_MS;

	*reply = (struct dbus_message){ 0 };
	if (send_all(dbus, parts, ARRAY_SIZE(parts), err) < 0)
		return -1;
	do {
		if (receive_message(dbus, deadline, reply, err) < 0)
			return -1;
	} while ((reply->type != METHOD_RETURN && reply->type != ERROR_REPLY) ||
		 reply->reply_to != dbus->serial);
	return reply->type == ERROR_REPLY ? error_reply(dbus, reply, err) : 0;
}

int dbus_wait_signal(struct dbus *dbus, const char *member, const char *signature,
	struct dbus_message *signal, struct error *err)
{
	int64_t deadline = monotonic_ms() + PATIENCE_MS;

	do {
		if (receive_message(dbus, deadline, signal, err) < 0)
			return -1;
	} while (signal->type != SIGNAL || strcmp(signal->member, member) != 0 ||
		 strcmp(signal->signature, signature) != 0);
	return 0;
}
