/* The record of decisions: one JSON line each, to a descriptor that is open already. It never makes the relay wait, and a
 * flood of decisions does not become a flood of lines: what was left out is counted.
 */
#pragma once

#include "netns/endpoint.h"

struct log {
	int fd;		 /* or -1: nothing is written */
	uint64_t second; /* of the lines that were counted last */
	unsigned int lines, left_out;
};

struct decision {
	const char *event;		/* "connect", "query" */
	const char *protocol;		/* "tcp", "udp", or NULL */
	const char *name;		/* or NULL */
	const struct endpoint *address; /* family 0, or NULL: not known */
	uint16_t port;			/* or 0 */
	bool permitted;
	const char *rule; /* what decided */
};

void log_decision(struct log *log, const struct decision *decision);
