/* Talking to CRIU: `criu swrk FD` takes requests over a socket pair, calls back at each stage, and answers.
 *
 * CRIU runs with our privileges. Of our fds it inherits the socket, the standard streams, and those that the restored processes are
 * to have; what it opens by a number it opens in our /proc/PID/fd. Knows nothing of containers.
 */
#pragma once

#include "runtime/criu_message.h"
#include "spec/error.h"

enum { CRIU_PREPARED_FDS = 2 };

/* In CRIU's process, before it is executed. `fds` are then ours too: opened there, since CRIU may be in a mount namespace of its
 * own. */
typedef int criu_prepare(void *data, int fds[CRIU_PREPARED_FDS], struct error *err);

/* At a stage: "setup-namespaces", "post-dump", … `pid` is the first process, where there is one; `fd` the terminal of
 * "orphan-pts-master", or -1. On failure CRIU is told, and gives up. */
typedef int criu_notify(void *data, const char *stage, pid_t pid, int fd, struct error *err);

struct criu {
	struct arena *arena;
	pid_t pid;
	int pidfd; /* what it has forked can have the socket too: only this tells of its end */
	int socket;
	int major, minor; /* its version */
	int fds[CRIU_PREPARED_FDS];
};

/* `criu` in PATH. */
bool criu_is_installed(void);

/* Starts it with the fds that `request` says are inherited, and sees that it is one that knows every field that we may send. To be
 * ended also if this fails. */
int criu_start(struct criu *criu, const struct criu_request *request, criu_prepare *prepare, void *data,
	struct error *err);

bool criu_is_at_least(const struct criu *criu, int major, int minor);

/* `log` is where CRIU says more, for messages. On success *pid is the restored process. */
int criu_call(struct criu *criu, const struct criu_request *request, enum criu_request_type type,
	criu_notify *notify, void *data, const char *log, pid_t *pid, struct error *err);

/* Waits for CRIU's own end. Where `err` says only that it ended too soon, it may get a better reason. */
void criu_end(struct criu *criu, struct error *err);
