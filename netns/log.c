/* See log.h. */
#include "netns/log.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LINE_MAX_LENGTH = 2048, LINES_PER_SECOND = 500 };

struct line {
	char text[LINE_MAX_LENGTH]; /* a write this short is whole or not at all, also into a pipe */
	size_t length;
};

static void put_raw(struct line *line, const char *text)
{
	size_t length = strlen(text);

	if (line->length + length >= sizeof(line->text))
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

static void put_number(struct line *line, const char *key, unsigned int value)
{
	char text[64];

	if (!value)
		return;
	snprintf(text, sizeof(text), ",\"%s\":%u", key, value);
	put_raw(line, text);
}

/* Seconds since 1970: gmtime_r() would look for the time zone's file, which the relay's cell has not. */
static void put_time(struct line *line, const struct timespec *now)
{
	char text[64];

	snprintf(text, sizeof(text), "{\"time\":%lld.%03ld", (long long)now->tv_sec, now->tv_nsec / 1000000);
	put_raw(line, text);
}

static bool is_flood(struct log *log, uint64_t second)
{
	if (second != log->second) {
		log->second = second;
		log->lines = 0;
	}
	if (++log->lines <= LINES_PER_SECOND)
		return false;
	log->left_out++;
	return true;
}

void log_decision(struct log *log, const struct decision *decision)
{
	struct line line = { .length = 0 };
	char address[INET6_ADDRSTRLEN];
	struct timespec now;

	if (log->fd < 0)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	if (is_flood(log, (uint64_t)now.tv_sec))
		return;
	put_time(&line, &now);
	put_string(&line, "event", decision->event);
	put_string(&line, "protocol", decision->protocol);
	put_string(&line, "name", decision->name);
	if (decision->address && decision->address->family &&
		inet_ntop(decision->address->family, &decision->address->v6, address, sizeof(address)))
		put_string(&line, "address", address);
	put_number(&line, "port", decision->port);
	put_string(&line, "verdict", decision->permitted ? "allow" : "deny");
	put_string(&line, "rule", decision->rule);
	put_number(&line, "leftOut", log->left_out);
	put_raw(&line, "}\n");
	if (write(log->fd, line.text, line.length) > 0)
		log->left_out = 0;
	else
		log->left_out++;
}
