/* See dns_message.h. */
#include "netns/dns_message.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum {
	LABEL_MAX = 63,
	POINTER = 0xc0,
	NAME_POINTER_TO_QUESTION = 0xc00c, /* the question's name begins right after the header */
	OPTION_EXTENDED_ERROR = 15,
	EDNS_DNSSEC_OK = 0x8000, /* in the OPT record's TTL field, low half */
};

enum flags {
	FLAG_RESPONSE = 0x8000,
	FLAG_OPCODE = 0x7800,
	FLAG_TRUNCATED = 0x0200,
	FLAG_RECURSION_DESIRED = 0x0100,
	FLAG_RECURSION_AVAILABLE = 0x0080,
	FLAG_CHECKING_DISABLED = 0x0010,
	FLAG_RCODE = 0x000f,
};

/* The header's six numbers, by position. */
enum { ID, FLAGS, QUESTIONS, ANSWERS, AUTHORITIES, ADDITIONALS };

static uint16_t get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static uint32_t get32(const uint8_t *bytes)
{
	return (uint32_t)get16(bytes) << 16 | get16(bytes + 2);
}

static uint8_t *put16(uint8_t *bytes, unsigned int value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
	return bytes + 2;
}

static uint8_t *put32(uint8_t *bytes, uint32_t value)
{
	return put16(put16(bytes, value >> 16), value & 0xffff);
}

static uint16_t header(const uint8_t *message, int position)
{
	return get16(message + 2 * position);
}

uint16_t dns_id(const uint8_t *message)
{
	return header(message, ID);
}

void dns_set_id(uint8_t *message, uint16_t id)
{
	put16(message, id);
}

bool dns_is_truncated(const uint8_t *reply)
{
	return header(reply, FLAGS) & FLAG_TRUNCATED;
}

enum dns_rcode dns_rcode(const uint8_t *reply)
{
	return header(reply, FLAGS) & FLAG_RCODE;
}

/* The end of the name at `offset` as it stands there, or 0: what a pointer points at is not followed. */
static size_t skip_name(const uint8_t *message, size_t length, size_t offset)
{
	while (offset < length) {
		uint8_t label = message[offset];

		if (label == 0)
			return offset + 1;
		if ((label & POINTER) == POINTER)
			return offset + 2 <= length ? offset + 2 : 0;
		if (label & POINTER)
			return 0;
		offset += 1u + label;
	}
	return 0;
}

/* The question's name, uncompressed, as text. Returns its end or 0. */
static size_t read_name(const uint8_t *message, size_t length, size_t offset, struct dns_question *question)
{
	size_t used = 0;

	question->host_name = true;
	while (offset < length) {
		uint8_t label = message[offset++];

		if (label == 0) {
			question->host_name &= used > 0;
			question->name[question->host_name ? used : 0] = '\0';
			return offset;
		}
		if (label > LABEL_MAX || offset + label > length || used + label + 2 > DNS_NAME_TEXT_MAX)
			return 0;
		if (used)
			question->name[used++] = '.';
		for (size_t i = 0; i < label; i++) {
			uint8_t c = message[offset++];

			question->host_name &= c < 0x80 && (isalnum(c) || c == '-' || c == '_');
			question->name[used++] = (char)tolower(c);
		}
	}
	return 0;
}

struct record {
	uint16_t type, class;
	uint32_t ttl;
	size_t ttl_offset, data, data_length; /* offsets in the message */
};

/* Reads the record at *offset and moves that on. */
static bool read_record(const uint8_t *message, size_t length, size_t *offset, struct record *record)
{
	size_t at = skip_name(message, length, *offset);

	if (!at || length - at < 10)
		return false;
	record->type = get16(message + at);
	record->class = get16(message + at + 2);
	record->ttl = get32(message + at + 4);
	record->ttl_offset = at + 4;
	record->data_length = get16(message + at + 8);
	record->data = at + 10;
	if (length - record->data < record->data_length)
		return false;
	*offset = record->data + record->data_length;
	return true;
}

static size_t record_count(const uint8_t *message)
{
	return (size_t)header(message, ANSWERS) + header(message, AUTHORITIES) + header(message, ADDITIONALS);
}

static int read_edns(const uint8_t *message, size_t length, struct dns_question *question)
{
	size_t offset = question->end;

	for (size_t i = record_count(message); i > 0; i--) {
		struct record record;

		if (!read_record(message, length, &offset, &record))
			return DNS_FORMERR;
		if (record.type != DNS_TYPE_OPT)
			continue;
		if (question->edns)
			return DNS_FORMERR;
		question->edns = true;
		question->edns_options = record.data_length > 0;
		question->dnssec_ok = record.ttl & EDNS_DNSSEC_OK;
		question->udp_size = record.class < DNS_UDP_MIN ? DNS_UDP_MIN : record.class;
		if (question->udp_size > DNS_UDP_MAX)
			question->udp_size = DNS_UDP_MAX;
	}
	return DNS_NOERROR;
}

int dns_read_query(const uint8_t *message, size_t length, struct dns_question *question)
{
	*question = (struct dns_question){ .udp_size = DNS_UDP_MIN, .end = DNS_HEADER_SIZE };
	if (length < DNS_HEADER_SIZE || (header(message, FLAGS) & FLAG_RESPONSE))
		return -1;
	if (header(message, FLAGS) & FLAG_OPCODE)
		return DNS_NOTIMP;
	if (header(message, QUESTIONS) != 1 || header(message, ANSWERS) || length > DNS_QUERY_MAX)
		return DNS_FORMERR;
	question->end = read_name(message, length, DNS_HEADER_SIZE, question);
	if (!question->end || length - question->end < 4) {
		question->end = DNS_HEADER_SIZE;
		return DNS_FORMERR;
	}
	question->type = get16(message + question->end);
	question->class = get16(message + question->end + 2);
	question->end += 4;
	question->checking_disabled = header(message, FLAGS) & FLAG_CHECKING_DISABLED;
	question->recursion_desired = header(message, FLAGS) & FLAG_RECURSION_DESIRED;
	return read_edns(message, length, question);
}

bool dns_is_reply_to(
	const uint8_t *reply, size_t length, const uint8_t *query, const struct dns_question *question)
{
	size_t asked = question->end - DNS_HEADER_SIZE;

	if (length < question->end || !(header(reply, FLAGS) & FLAG_RESPONSE) ||
		dns_id(reply) != dns_id(query) || header(reply, QUESTIONS) != 1)
		return false;
	/* A label's length is never a letter, so comparing without regard to case compares just the letters. */
	for (size_t i = 0; i < asked; i++) {
		if (tolower(reply[DNS_HEADER_SIZE + i]) != tolower(query[DNS_HEADER_SIZE + i]))
			return false;
	}
	return true;
}

static size_t skip_questions(const uint8_t *message, size_t length)
{
	size_t offset = DNS_HEADER_SIZE;

	for (size_t i = header(message, QUESTIONS); i > 0; i--) {
		offset = skip_name(message, length, offset);
		if (!offset || length - offset < 4)
			return 0;
		offset += 4;
	}
	return offset;
}

int dns_read_addresses(
	const uint8_t *reply, size_t length, uint16_t type, struct endpoint *addresses, size_t max)
{
	size_t size = type == DNS_TYPE_A ? sizeof(addresses->v4) : sizeof(addresses->v6);
	size_t count = 0, offset;

	if (length < DNS_HEADER_SIZE || !(offset = skip_questions(reply, length)))
		return -1;
	for (size_t i = header(reply, ANSWERS); i > 0 && count < max; i--) {
		struct record record;

		if (!read_record(reply, length, &offset, &record))
			return -1;
		if (record.type != type || record.class != DNS_CLASS_IN || record.data_length != size)
			continue;
		addresses[count] = (struct endpoint){ .family = type == DNS_TYPE_A ? AF_INET : AF_INET6 };
		memcpy(&addresses[count++].v6, reply + record.data, size);
	}
	return (int)count;
}

bool dns_age(uint8_t *reply, size_t length, uint32_t age, uint32_t none, uint32_t *ttl)
{
	bool any = false;
	size_t offset;

	*ttl = none;
	if (length < DNS_HEADER_SIZE || !(offset = skip_questions(reply, length)))
		return false;
	for (size_t i = record_count(reply); i > 0; i--) {
		struct record record;

		if (!read_record(reply, length, &offset, &record))
			return false;
		if (record.type == DNS_TYPE_OPT) /* whose "TTL" is flags */
			continue;
		if (record.ttl > INT32_MAX) /* RFC 2181, 8: as zero */
			record.ttl = 0;
		if (!any || record.ttl < *ttl)
			*ttl = record.ttl;
		any = true;
		if (age)
			put32(reply + record.ttl_offset, record.ttl > age ? record.ttl - age : 0);
	}
	return true;
}

/* Header and question; `flags` besides those that every reply has. */
static uint8_t *begin_reply(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	unsigned int flags, unsigned int answers)
{
	uint16_t asked = header(query, FLAGS);
	size_t question_size = question->end - DNS_HEADER_SIZE;
	uint8_t *at = put16(reply, dns_id(query));

	at = put16(at, FLAG_RESPONSE | FLAG_RECURSION_AVAILABLE | flags |
			       (asked & (FLAG_OPCODE | FLAG_RECURSION_DESIRED | FLAG_CHECKING_DISABLED)));
	at = put16(at, question_size ? 1 : 0);
	at = put16(at, answers);
	at = put16(at, 0);
	at = put16(at, question->edns ? 1 : 0);
	memcpy(at, query + DNS_HEADER_SIZE, question_size);
	return at + question_size;
}

static size_t end_reply(uint8_t *reply, uint8_t *at, const struct dns_question *question, int extended_error)
{
	if (!question->edns)
		return (size_t)(at - reply);
	*at++ = 0;
	at = put16(at, DNS_TYPE_OPT);
	at = put16(at, DNS_UDP_MAX);
	at = put32(at, question->dnssec_ok ? EDNS_DNSSEC_OK : 0);
	at = put16(at, extended_error < 0 ? 0 : 6);
	if (extended_error >= 0) {
		at = put16(at, OPTION_EXTENDED_ERROR);
		at = put16(at, 2);
		at = put16(at, (unsigned int)extended_error);
	}
	return (size_t)(at - reply);
}

static uint8_t *put_answer(uint8_t *at, uint16_t type, uint32_t ttl, size_t size)
{
	at = put16(at, NAME_POINTER_TO_QUESTION);
	at = put16(at, type);
	at = put16(at, DNS_CLASS_IN);
	at = put32(at, ttl);
	return put16(at, (unsigned int)size);
}

size_t dns_write_empty(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	enum dns_rcode rcode, int extended_error)
{
	return end_reply(reply, begin_reply(reply, query, question, rcode, 0), question, extended_error);
}

size_t dns_write_truncated(
	uint8_t *reply, const uint8_t *query, const struct dns_question *question, enum dns_rcode rcode)
{
	return end_reply(reply, begin_reply(reply, query, question, rcode | FLAG_TRUNCATED, 0), question,
		DNS_NO_EXTENDED_ERROR);
}

size_t dns_write_address(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	const struct endpoint *address, uint32_t ttl)
{
	size_t size = address->family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
	uint8_t *at = begin_reply(reply, query, question, DNS_NOERROR, 1);

	at = put_answer(at, question->type, ttl, size);
	memcpy(at, &address->v6, size);
	return end_reply(reply, at + size, question, DNS_NO_EXTENDED_ERROR);
}

/* `name` in labels; NULL when it is none. At most 255 bytes. */
static uint8_t *put_name(uint8_t *at, const char *name)
{
	if (strlen(name) >= DNS_NAME_TEXT_MAX)
		return NULL;
	while (*name) {
		size_t label = strcspn(name, ".");

		if (label == 0 || label > LABEL_MAX)
			return NULL;
		*at++ = (uint8_t)label;
		memcpy(at, name, label);
		at += label;
		name += label;
		if (*name == '.')
			name++;
	}
	*at++ = 0;
	return at;
}

size_t dns_write_name(uint8_t *reply, const uint8_t *query, const struct dns_question *question,
	const char *name, uint32_t ttl)
{
	uint8_t labels[DNS_NAME_TEXT_MAX + 2];
	const uint8_t *end = put_name(labels, name);
	size_t size = end ? (size_t)(end - labels) : 0;
	uint8_t *at;

	/* A name of 255 bytes in a question of 271, with the OPT record: 565; longer than a client without EDNS takes. */
	if (!end || question->end + 12 + size + 11 > DNS_UDP_MIN)
		return dns_write_truncated(reply, query, question, DNS_NOERROR);
	at = begin_reply(reply, query, question, DNS_NOERROR, 1);
	at = put_answer(at, DNS_TYPE_PTR, ttl, size);
	memcpy(at, labels, size);
	return end_reply(reply, at + size, question, DNS_NO_EXTENDED_ERROR);
}

size_t dns_write_query(uint8_t query[static DNS_UDP_MIN], const char *name, uint16_t type)
{
	uint8_t *at = put16(query, 0);

	at = put16(at, FLAG_RECURSION_DESIRED);
	at = put16(at, 1);
	at = put32(at, 0);
	at = put16(at, 1);
	at = *name ? put_name(at, name) : NULL;
	if (!at)
		return 0;
	at = put16(at, type);
	at = put16(at, DNS_CLASS_IN);
	return end_reply(query, at, &(struct dns_question){ .edns = true }, DNS_NO_EXTENDED_ERROR);
}

static bool reverse_ipv4(const char *name, struct endpoint *address)
{
	unsigned int parts[4];
	int used = 0;

	if (sscanf(name, "%3u.%3u.%3u.%3u%n", &parts[3], &parts[2], &parts[1], &parts[0], &used) != 4 ||
		strcmp(name + used, ".in-addr.arpa") != 0)
		return false;
	for (int i = 0; i < 4; i++) {
		if (parts[i] > UINT8_MAX)
			return false;
		((uint8_t *)&address->v4)[i] = (uint8_t)parts[i];
	}
	address->family = AF_INET;
	return true;
}

static bool reverse_ipv6(const char *name, struct endpoint *address)
{
	enum { NIBBLES = 32 };

	if (strlen(name) < 2 * NIBBLES || strcmp(name + 2 * NIBBLES, "ip6.arpa") != 0)
		return false;
	for (size_t i = 0; i < NIBBLES; i++) {
		char digit = name[2 * i];
		uint8_t value = (uint8_t)(isdigit((unsigned char)digit) ? digit - '0' : digit - 'a' + 10);

		if (!isxdigit((unsigned char)digit) || name[2 * i + 1] != '.')
			return false;
		address->v6.s6_addr[15 - i / 2] |= (uint8_t)(i % 2 ? value << 4 : value);
	}
	address->family = AF_INET6;
	return true;
}

bool dns_reverse_address(const char *name, struct endpoint *address)
{
	*address = (struct endpoint){ 0 };
	return reverse_ipv4(name, address) || reverse_ipv6(name, address);
}
