/* Lines of JSON about flows and queries, and the descriptor they go to, which is open already. It never makes the relay
 * wait, and a flood of events does not become a flood of lines: what was left out is counted.
 */
#pragma once

#include "netns/endpoint.h"

#include <stddef.h>

enum { LOG_LINE_MAX = 2048 /* a write this short is whole or not at all, also into a pipe */ };

struct log {
	int fd;		 /* or -1: nothing is written */
	uint64_t second; /* of the lines that were counted last */
	unsigned int lines, left_out;
};

struct log_entry {
	const char *event;	 /* "flow", "inbound", "query", "full" */
	const char *protocol;	 /* or NULL */
	const char *name;	 /* or NULL */
	struct endpoint address; /* family 0: not known; port 0: none */
	bool permitted;
	const char *rule;	 /* what decided, or NULL */
	const char *server_name; /* printable; that a refused flow was for, or NULL */
	bool is_flow;		 /* it was carried: the following are known */
	uint64_t sent, received, milliseconds;
	int error_number; /* or 0 */
	size_t left_out;  /* lines, before this one */
};

void log_write(struct log *log, const struct log_entry *entry);
/* With the time at which it is called; without the end of a string. The length is returned. */
size_t log_format(const struct log_entry *entry, char text[static LOG_LINE_MAX]);
