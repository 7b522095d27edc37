/* What a policy can and cannot give: system calls denied by default, capabilities refused, sizes as people write them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct denied_system_call {
	const char *name;
	bool mandatory; /* no policy can allow it */
};
extern const struct denied_system_call denied_system_calls[];
extern const size_t denied_system_call_count;
const struct denied_system_call *denied_system_call(const char *name); /* NULL: it is not denied */

struct refused_capability {
	const char *name, *reason; /* the rest of a sentence that begins with the name */
};
const struct refused_capability *refused_capability(const char *name); /* NULL: it can be had */
bool capability_known(const char *name);

int64_t parse_memory(const char *text); /* bytes; -1: malformed */
int64_t parse_cpus(const char *text);	/* thousandths of a CPU; -1: malformed */
