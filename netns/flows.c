/* See flows.h. */
#include "netns/flows.h"

#include "netns/log.h"

#include <stdlib.h>
#include <string.h>

struct flows {
	struct loop *loop;
	struct log log;
	LIST_HEAD(, flow_record) records; /* the newest first */
	uint64_t full_until;		  /* said that there is no room; 0: never */
};

struct flows *flows_new(struct loop *loop, int log_fd)
{
	struct flows *flows = calloc(1, sizeof(*flows));

	if (!flows)
		return NULL;
	flows->loop = loop;
	flows->log.fd = log_fd;
	return flows;
}

void flows_free(struct flows *flows)
{
	if (!flows)
		return;
	while (!LIST_EMPTY(&flows->records))
		flows_end(LIST_FIRST(&flows->records));
	free(flows);
}

struct flow_record *flows_begin(struct flows *flows, const struct flow_description *description)
{
	const char *name = description->name ? description->name : "";
	size_t size = strlen(name) + 1;
	struct flow_record *record = calloc(1, sizeof(*record) + size);

	if (!record)
		return NULL;
	record->flows = flows;
	record->protocol = description->protocol;
	record->rule = description->rule;
	record->address = description->address;
	record->inbound = description->inbound;
	record->begun = loop_now(flows->loop);
	memcpy(record->name, name, size);
	LIST_INSERT_HEAD(&flows->records, record, link);
	return record;
}

static struct log_entry entry_of(const struct flow_record *record)
{
	return (struct log_entry){
		.event = record->inbound ? "inbound" : "flow",
		.protocol = record->protocol,
		.name = record->name[0] ? record->name : NULL,
		.address = record->address,
		.permitted = !record->refused,
		.rule = record->rule,
		.server_name = record->server_name,
		.is_flow = true,
		.sent = record->sent,
		.received = record->received,
		.milliseconds = loop_now(record->flows->loop) - record->begun,
		.error_number = record->error_number,
	};
}

void flows_forget(struct flow_record *record)
{
	if (!record)
		return;
	LIST_REMOVE(record, link);
	free(record->server_name);
	free(record);
}

void flows_refuse(struct flow_record *record, const char *why, const char *server_name)
{
	if (!record)
		return;
	record->refused = true;
	record->rule = why;
	free(record->server_name);
	record->server_name = server_name && *server_name ? strdup(server_name) : NULL;
}

void flows_end(struct flow_record *record)
{
	struct log_entry entry;

	if (!record)
		return;
	entry = entry_of(record);
	log_write(&record->flows->log, &entry);
	flows_forget(record);
}

void flows_deny(struct flows *flows, const struct flow_description *description)
{
	struct log_entry entry = { .event = description->inbound ? "inbound" : "flow",
		.protocol = description->protocol,
		.name = description->name,
		.address = description->address,
		.rule = description->rule };

	log_write(&flows->log, &entry);
}

void flows_full(struct flows *flows, const char *protocol)
{
	struct log_entry entry = {
		.event = "full", .protocol = protocol, .rule = "RLIMIT_NOFILE allows no more at once"
	};

	if (loop_now(flows->loop) < flows->full_until)
		return;
	flows->full_until = loop_now(flows->loop) + FLOWS_FULL_INTERVAL;
	log_write(&flows->log, &entry);
}

void flows_query(struct flows *flows, const char *name, bool permitted, const char *rule)
{
	struct log_entry entry = { .event = "query", .name = name, .permitted = permitted, .rule = rule };

	log_write(&flows->log, &entry);
}

size_t flows_describe(const struct flows *flows, char *text, size_t room)
{
	const struct flow_record *record = LIST_FIRST(&flows->records);
	size_t length = 0, left_out = 0;

	/* Kept free for the line that says what was left out. */
	for (; record && length + LOG_LINE_MAX * 2 <= room; record = LIST_NEXT(record, link)) {
		struct log_entry entry = entry_of(record);

		length += log_format(&entry, text + length);
	}
	for (; record; record = LIST_NEXT(record, link))
		left_out++;
	if (left_out && length + LOG_LINE_MAX <= room) {
		struct log_entry entry = { .event = "more", .left_out = left_out };

		length += log_format(&entry, text + length);
	}
	return length;
}
