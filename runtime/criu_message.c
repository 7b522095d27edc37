/* See criu_message.h. A message is a row of fields, each a key (number and wire type) and a value: a varint, or a length and bytes.
 * That is all of protocol buffers that is needed here: a library, which this statically linked program would carry, is more. */
#include "runtime/criu_message.h"

#include <stdio.h>
#include <string.h>

enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 };

/* Fields of criu_req and criu_resp, and of what is in them. */
enum {
	REQUEST_TYPE = 1,
	REQUEST_OPTIONS = 2,
	REQUEST_NOTIFY_SUCCESS = 3,
	REQUEST_KEEP_OPEN = 4,
	RESPONSE_TYPE = 1,
	RESPONSE_SUCCESS = 2,
	RESPONSE_RESTORE = 4,
	RESPONSE_NOTIFY = 5,
	RESPONSE_ERRNO = 7,
	RESPONSE_MESSAGE = 9,
	RESPONSE_VERSION = 10,
	NOTIFY_SCRIPT = 1,
	NOTIFY_PID = 2,
	RESTORE_PID = 1,
	VERSION_MAJOR = 1,
	VERSION_MINOR = 2,
};

struct buffer {
	struct arena *arena;
	char *bytes;
	size_t length;
};

static void put_byte(struct buffer *buffer, unsigned int byte)
{
	*(char *)arena_push(buffer->arena, &buffer->bytes, &buffer->length, 1) = (char)byte;
}

static void put_varint(struct buffer *buffer, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		put_byte(buffer, (unsigned int)(value & 0x7f) | 0x80);
	put_byte(buffer, (unsigned int)value);
}

static void put_number(struct buffer *buffer, unsigned int field, uint64_t value)
{
	put_varint(buffer, field << 3 | VARINT);
	put_varint(buffer, value);
}

static void put_bytes(struct buffer *buffer, unsigned int field, const char *bytes, size_t length)
{
	put_varint(buffer, field << 3 | BYTES);
	put_varint(buffer, length);
	for (size_t i = 0; i < length; i++)
		put_byte(buffer, (unsigned char)bytes[i]);
}

static struct buffer begin(const struct criu_request *request)
{
	return (struct buffer){ request->arena, request->options, request->length };
}

static void end(struct criu_request *request, const struct buffer *buffer)
{
	request->options = buffer->bytes;
	request->length = buffer->length;
}

static void add_message(struct criu_request *request, enum criu_option field, const struct buffer *message)
{
	struct buffer buffer = begin(request);

	put_bytes(&buffer, field, message->bytes, message->length);
	end(request, &buffer);
}

void criu_add_number(struct criu_request *request, enum criu_option field, uint64_t value)
{
	struct buffer buffer = begin(request);

	put_number(&buffer, field, value);
	end(request, &buffer);
}

void criu_add_text(struct criu_request *request, enum criu_option field, const char *text)
{
	struct buffer buffer = begin(request);

	put_bytes(&buffer, field, text, strlen(text));
	end(request, &buffer);
}

void criu_add_pair(struct criu_request *request, enum criu_option field, const char *key, const char *value)
{
	struct buffer pair = { .arena = request->arena };

	put_bytes(&pair, 1, key, strlen(key));
	put_bytes(&pair, 2, value, strlen(value));
	add_message(request, field, &pair);
}

void criu_add_inherited(struct criu_request *request, const char *key, int fd)
{
	struct buffer pair = { .arena = request->arena };

	put_bytes(&pair, 1, key, strlen(key));
	put_number(&pair, 2, (uint64_t)fd);
	add_message(request, CRIU_INHERIT_FD, &pair);
	*(int *)arena_push(request->arena, &request->inherited, &request->inherited_count, sizeof(fd)) = fd;
}

void criu_add_page_server(struct criu_request *request, const char *address, uint64_t port)
{
	struct buffer server = { .arena = request->arena };

	put_bytes(&server, 1, address, strlen(address));
	put_number(&server, 2, port);
	add_message(request, CRIU_PAGE_SERVER, &server);
}

struct criu_bytes criu_write_request(const struct criu_request *request, enum criu_request_type type)
{
	struct buffer buffer = { .arena = request->arena };

	put_number(&buffer, REQUEST_TYPE, type);
	put_bytes(&buffer, REQUEST_OPTIONS, request->options, request->length);
	return (struct criu_bytes){ buffer.bytes, buffer.length };
}

struct criu_bytes criu_write_version_request(struct arena *arena)
{
	struct buffer buffer = { .arena = arena };

	put_number(&buffer, REQUEST_TYPE, CRIU_VERSION);
	put_number(&buffer, REQUEST_KEEP_OPEN, 1);
	return (struct criu_bytes){ buffer.bytes, buffer.length };
}

struct criu_bytes criu_write_notified(struct arena *arena, bool success)
{
	struct buffer buffer = { .arena = arena };

	put_number(&buffer, REQUEST_TYPE, CRIU_NOTIFY);
	put_number(&buffer, REQUEST_NOTIFY_SUCCESS, success);
	return (struct criu_bytes){ buffer.bytes, buffer.length };
}

/* ---- reading ---- */

struct reader {
	const unsigned char *next, *end;
};

struct value {
	unsigned int field;
	uint64_t number;
	struct reader bytes;
};

static bool read_varint(struct reader *reader, uint64_t *value)
{
	*value = 0;
	for (unsigned int shift = 0; shift < 64 && reader->next < reader->end; shift += 7) {
		unsigned char byte = *reader->next++;

		*value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

static bool read_field(struct reader *reader, struct value *value)
{
	uint64_t key, length;

	*value = (struct value){ .bytes = { reader->next, reader->next } };
	if (!read_varint(reader, &key))
		return false;
	value->field = (unsigned int)(key >> 3);
	switch (key & 7) {
	case VARINT:
		return read_varint(reader, &value->number);
	case BYTES:
		if (!read_varint(reader, &length))
			return false;
		break;
	case FIXED64:
		length = 8;
		break;
	case FIXED32:
		length = 4;
		break;
	default:
		return false;
	}
	if (length > (uint64_t)(reader->end - reader->next))
		return false;
	value->bytes = (struct reader){ reader->next, reader->next + length };
	reader->next += length;
	return true;
}

static void copy_text(char *text, size_t size, const struct reader *bytes)
{
	snprintf(text, size, "%.*s", (int)(bytes->end - bytes->next), (const char *)bytes->next);
}

static void take_inner(struct criu_response *response, unsigned int outer, const struct value *value)
{
	switch (outer) {
	case RESPONSE_NOTIFY:
		if (value->field == NOTIFY_SCRIPT)
			copy_text(response->stage, sizeof(response->stage), &value->bytes);
		else if (value->field == NOTIFY_PID)
			response->pid = (pid_t)value->number;
		break;
	case RESPONSE_RESTORE:
		if (value->field == RESTORE_PID)
			response->pid = (pid_t)value->number;
		break;
	case RESPONSE_VERSION:
		if (value->field == VERSION_MAJOR)
			response->major = value->number;
		else if (value->field == VERSION_MINOR)
			response->minor = value->number;
		break;
	}
}

static bool read_inner(struct criu_response *response, unsigned int outer, struct reader inner)
{
	struct value value;

	while (inner.next < inner.end) {
		if (!read_field(&inner, &value))
			return false;
		take_inner(response, outer, &value);
	}
	return true;
}

static bool take(struct criu_response *response, const struct value *value)
{
	switch (value->field) {
	case RESPONSE_TYPE:
		response->type = value->number;
		break;
	case RESPONSE_SUCCESS:
		response->success = value->number != 0;
		break;
	case RESPONSE_ERRNO:
		response->number = value->number;
		break;
	case RESPONSE_MESSAGE:
		copy_text(response->message, sizeof(response->message), &value->bytes);
		break;
	case RESPONSE_RESTORE:
	case RESPONSE_NOTIFY:
	case RESPONSE_VERSION:
		return read_inner(response, value->field, value->bytes);
	}
	return true;
}

bool criu_read_response(struct criu_response *response, const char *bytes, size_t length)
{
	struct reader reader = { (const unsigned char *)bytes, (const unsigned char *)bytes + length };
	struct value value;

	*response = (struct criu_response){ 0 };
	while (reader.next < reader.end)
		if (!read_field(&reader, &value) || !take(response, &value))
			return false;
	return true;
}
