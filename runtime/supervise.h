/* The foreground: waiting for a container or an exec'ed process, with its signals and its terminal.
 */
#pragma once

#include "spec/arena.h"
#include "spec/error.h"

#include <stdbool.h>
#include <sys/types.h>

struct supervised {
	pid_t pid; /* our child */
	int pidfd;
	int console_master;  /* its terminal, relayed to ours; or -1 */
	bool shares_session; /* what our terminal sends, it gets by itself */
};

/* To be called before the child can execute anything: from then on signals wait for supervise(). */
void supervise_begin(void);

/* Passes signals on until the child ends; a second SIGINT or SIGTERM kills it. *exit_status is its own, or 128+signal. */
int supervise(const struct supervised *child, int *exit_status, struct error *err);

/* A process beside us that removes the container if we are killed (SIGKILL too). It is told what the id will be, when that is
 * ours, and when all is removed. Started early it is cheap: there is little memory yet that a fork would have to share. */
struct watcher {
	pid_t pid;
	int socket;
};
int watcher_start(struct watcher *watcher, struct error *err);
int watcher_name(struct watcher *watcher, const char *root, const char *id, struct error *err);
void watcher_id_taken(struct watcher *watcher);
void watcher_end(struct watcher *watcher);
