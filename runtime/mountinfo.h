/* /proc/PID/mountinfo: what is mounted for a process, and with which restrictions.
 */
#pragma once

#include "spec/arena.h"
#include "spec/error.h"

#include <stdint.h>
#include <sys/types.h>

struct mount_entry {
	uint64_t id;
	const char *path; /* as the process sees it */
	uint64_t
		attributes; /* MOUNT_ATTR_*: those that deny something; a read-only file system counts as a read-only mount */
};

struct mount_table {
	struct mount_entry *items; /* what lies over another comes after it */
	size_t count;
};

int mountinfo_read(struct arena *arena, pid_t pid, struct mount_table *table, struct error *err);

/* The names of those attributes, as mountinfo writes them. NULL-terminated, in the order of mountinfo_attribute(). */
extern const char *const mountinfo_words[];
uint64_t mountinfo_attribute(const char *word); /* 0: none of them */

/* In place: space, tab, newline and backslash are written as \040 and so on. Returns `text`. */
char *mountinfo_unescape(char *text);
