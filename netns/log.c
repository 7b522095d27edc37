/* See log.h. */
#include "netns/log.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINES_PER_SECOND = 500 };

struct line {
	char *text;
	size_t length;
};

static void put_raw(struct line *line, const char *text)
{
	size_t length = strlen(text);

	if (line->length + length >= LOG_LINE_MAX)
		return;
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

/* Names come from the container. */
static void put_escaped(struct line *line, const char *text)
{
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;
		char escaped[8];

		if (c < 0x20 || c >= 0x7f || c == '"' || c == '\\')
			snprintf(escaped, sizeof(escaped), "\\u%04x", c);
		else
			snprintf(escaped, sizeof(escaped), "%c", c);
		put_raw(line, escaped);
	}
}

static void put_string(struct line *line, const char *key, const char *value)
{
	if (!value)
		return;
	put_raw(line, ",\"");
	put_raw(line, key);
	put_raw(line, "\":\"");
	put_escaped(line, value);
	put_raw(line, "\"");
}

static void put_number(struct line *line, const char *key, uint64_t value)
{
	char text[64];

	snprintf(text, sizeof(text), ",\"%s\":%llu", key, (unsigned long long)value);
	put_raw(line, text);
}

/* Seconds since 1970: gmtime_r() would look for the time zone's file, which the relay's cell has not. */
static void put_time(struct line *line)
{
	struct timespec now;
	char text[64];

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(text, sizeof(text), "{\"time\":%lld.%03ld", (long long)now.tv_sec, now.tv_nsec / 1000000);
	put_raw(line, text);
}

static void put_carried(struct line *line, const struct log_entry *entry)
{
	char text[64];

	put_number(line, "bytesSent", entry->sent);
	put_number(line, "bytesReceived", entry->received);
	snprintf(text, sizeof(text), ",\"seconds\":%llu.%03u",
		(unsigned long long)(entry->milliseconds / 1000), (unsigned int)(entry->milliseconds % 1000));
	put_raw(line, text);
	if (entry->error_number)
		put_string(line, "error", strerrordesc_np(entry->error_number));
}

size_t log_format(const struct log_entry *entry, char text[static LOG_LINE_MAX])
{
	struct line line = { .text = text };
	char address[INET6_ADDRSTRLEN];

	put_time(&line);
	put_string(&line, "event", entry->event);
	put_string(&line, "protocol", entry->protocol);
	put_string(&line, "name", entry->name);
	if (entry->address.family &&
		inet_ntop(entry->address.family, &entry->address.v6, address, sizeof(address)))
		put_string(&line, "address", address);
	if (entry->address.port)
		put_number(&line, "port", entry->address.port);
	if (entry->protocol || entry->name)
		put_string(&line, "verdict", entry->permitted ? "allow" : "deny");
	put_string(&line, "rule", entry->rule);
	put_string(&line, "serverName", entry->server_name);
	if (entry->is_flow)
		put_carried(&line, entry);
	if (entry->left_out)
		put_number(&line, "leftOut", entry->left_out);
	put_raw(&line, "}\n");
	return line.length;
}

static bool is_flood(struct log *log)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if ((uint64_t)now.tv_sec != log->second) {
		log->second = (uint64_t)now.tv_sec;
		log->lines = 0;
	}
	if (++log->lines <= LINES_PER_SECOND)
		return false;
	log->left_out++;
	return true;
}

/* A line always fits where a pipe has room at all. O_NONBLOCK would be everybody's who has the descriptor. */
static bool has_room(int fd)
{
	struct pollfd end = { .fd = fd, .events = POLLOUT };

	return poll(&end, 1, 0) == 1 && (end.revents & POLLOUT);
}

void log_write(struct log *log, const struct log_entry *entry)
{
	struct log_entry counted = *entry;
	char text[LOG_LINE_MAX];

	if (log->fd < 0 || is_flood(log))
		return;
	if (!has_room(log->fd)) {
		log->left_out++;
		return;
	}
	counted.left_out = log->left_out;
	if (write(log->fd, text, log_format(&counted, text)) > 0)
		log->left_out = 0;
	else
		log->left_out++;
}
