/* What making a container's first process and putting a later one into it have in common, on both sides of the handshake.
 */
#pragma once

#include "runtime/handshake.h"
#include "runtime/seccomp.h"
#include "spec/oci.h"

#include <sys/types.h>

/* ---- the runtime's side ---- */

struct spawned {
	pid_t pid;
	int pidfd;
	int handshake;	    /* our end */
	int console_master; /* the terminal, when it is ours to relay; or -1 */
	int exit_status;    /* with an error: 126, 127 or -1 */
	bool supervised;    /* supervise() will follow */
	struct seccomp_program program;
};
#define SPAWNED_NONE                                                                             \
	(struct spawned)                                                                         \
	{                                                                                        \
		.pid = -1, .pidfd = -1, .handshake = -1, .console_master = -1, .exit_status = -1 \
	}

void spawned_close(struct spawned *spawned);

/* Starts a process that is to make our child where one clone() cannot (it enters namespaces first). */
pid_t spawn_intermediate(void (*run)(void *data), void *data, struct error *err);

/* Learns of the child that the intermediate process made, and reaps the latter. `write_maps` is called when it asks. */
int spawn_adopt(struct spawned *spawned, pid_t intermediate,
	int (*write_maps)(void *data, pid_t pid, struct error *err), void *data, struct error *err);

/* Compiles linux.seccomp (NULL: nothing), which takes its time. `cache`: see seccomp_compile(). */
int spawn_compile(struct spawned *spawned, const struct oci_seccomp *seccomp, int cache, struct error *err);

/* Sends the result, which tells the child to finish. */
int spawn_send_program(struct spawned *spawned, struct error *err);

/* Listens to the child until it has executed its program (returns 0), or is ready and waits for `start` (1), or has failed. */
struct spawn_service {
	const struct oci_seccomp *seccomp;
	struct oci_state state; /* for the seccomp agent */
	int (*mounted)(void *data, struct error *err);
	int (*map_source)(void *data, size_t index, int fd, struct error *err);
	void *data;
};
int spawn_serve(struct spawned *spawned, const struct spawn_service *service, struct error *err);

/* The error of a child that has ended, if that was the reason: the rest of what it said is dropped. */
bool spawn_hear_failure(struct spawned *spawned, struct error *err);

/* ---- the child's side ---- */

/* In the intermediate process: clones the child as our sibling. Returns 0 in the child, once the runtime knows of it; does
 * not return in the intermediate process, but for an error. */
int spawn_sibling(int handshake, uint64_t flags, struct error *err);

/* Waits for the program: 1, or 0 if there is none. It stays valid until the next message. */
int spawn_receive_program(int handshake, struct seccomp_program *program, struct error *err);

/* Has the runtime map the ids of the detached mount `fd`, the source of mounts[index]. */
int spawn_map_source(int handshake, size_t index, int fd, struct error *err);

/* Makes a terminal on the devpts and sends it to the console socket, or to the runtime if that is -1. Returns the slave. */
int spawn_open_console(int handshake, int console_socket, int devpts_fd, const struct oci_console_size *size,
	struct error *err);

void spawn_report_failure(int handshake, int exit_status, const struct error *err);
