/* The messages that CRIU takes and sends, protocol buffers: only the few fields that a container needs are written and read, by
 * their numbers, as criu's rpc.proto has them.
 *
 * What is read comes from another program: nothing in it is taken for granted.
 */
#pragma once

#include "spec/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum criu_request_type {
	CRIU_DUMP = 1,
	CRIU_RESTORE = 2,
	CRIU_PRE_DUMP = 4,
	CRIU_NOTIFY = 6,
	CRIU_VERSION = 10,
};

/* Fields of criu_opts. */
enum criu_option {
	CRIU_IMAGES_DIR_FD = 1,
	CRIU_PID = 2,
	CRIU_LEAVE_RUNNING = 3,
	CRIU_EXT_UNIX_SK = 4,
	CRIU_TCP_ESTABLISHED = 5,
	CRIU_EVASIVE_DEVICES = 6,
	CRIU_SHELL_JOB = 7,
	CRIU_FILE_LOCKS = 8,
	CRIU_LOG_LEVEL = 9,
	CRIU_LOG_FILE = 10,
	CRIU_PAGE_SERVER = 11,
	CRIU_NOTIFY_SCRIPTS = 12,
	CRIU_ROOT = 13,
	CRIU_PARENT_IMAGES = 14,
	CRIU_TRACK_MEMORY = 15,
	CRIU_AUTO_DEDUP = 16,
	CRIU_WORK_DIR_FD = 17,
	CRIU_LINK_REMAP = 18,
	CRIU_EXTERNAL_MOUNT = 23,
	CRIU_CGROUP_ROOT = 25,
	CRIU_RESTORE_SIBLING = 26,
	CRIU_INHERIT_FD = 27,
	CRIU_MANAGE_CGROUPS_MODE = 34,
	CRIU_EXTERNAL = 37,
	CRIU_EMPTY_NAMESPACES = 38,
	CRIU_JOIN_NAMESPACE = 39,
	CRIU_FREEZE_CGROUP = 44,
	CRIU_TCP_SKIP_IN_FLIGHT = 46,
	CRIU_LAZY_PAGES = 48,
	CRIU_ORPHAN_PTS_MASTER = 50,
	CRIU_CONFIG_FILE = 51,
	CRIU_TCP_CLOSE = 52,
	CRIU_LSM_PROFILE = 53,
	CRIU_LSM_MOUNT_CONTEXT = 63,
	CRIU_NETWORK_LOCK = 64,
};

struct criu_request {
	struct arena *arena;
	char *options; /* what was added so far */
	size_t length;
	int *inherited; /* fds that the restored processes get, under the same numbers in CRIU */
	size_t inherited_count;
	bool tied; /* CRIU is to end with us */
};

void criu_add_number(struct criu_request *request, enum criu_option field, uint64_t value);
void criu_add_text(struct criu_request *request, enum criu_option field, const char *text);
void criu_add_pair(struct criu_request *request, enum criu_option field, const char *key, const char *value);
void criu_add_inherited(struct criu_request *request, const char *key, int fd);
void criu_add_page_server(struct criu_request *request, const char *address, uint64_t port);

/* The whole message. */
struct criu_bytes {
	char *bytes;
	size_t length;
};
struct criu_bytes criu_write_request(const struct criu_request *request, enum criu_request_type type);
struct criu_bytes criu_write_version_request(struct arena *arena);
struct criu_bytes criu_write_notified(struct arena *arena, bool success);

struct criu_response {
	uint64_t type; /* that of the request, or CRIU_NOTIFY */
	uint64_t number;
	bool success;
	char message[512]; /* CRIU's first complaint */
	char stage[64];
	pid_t pid;
	uint64_t major, minor;
};

/* False for what is no such message. */
bool criu_read_response(struct criu_response *response, const char *bytes, size_t length);
