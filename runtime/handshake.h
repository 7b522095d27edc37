/* The conversation between the runtime and the container's first process, over one SOCK_SEQPACKET pair.
 *
 * Who waits for what is decided by the config alone, which both sides have (the child is a copy of its parent), so that
 * messages which nobody needs are never sent. The socket closes at exec: that is how the runtime learns of success.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>

enum message_type {
	/* to the child, in this order */
	MESSAGE_MAPPED,	       /* struct mapped: the user namespace has its id maps */
	MESSAGE_SOURCE_MAPPED, /* what MESSAGE_SOURCE asked for is done */
	MESSAGE_HOOKED,	       /* pid_t, its own pid outside: the runtime's hooks have run */
	MESSAGE_PROGRAM,       /* the seccomp program, or nothing: finish */
	MESSAGE_TAKEN,	       /* the runtime has the seccomp listener */
	/* to the runtime */
	MESSAGE_NEED_MAPS, /* from the intermediate process: write my maps */
	MESSAGE_PID,	   /* from the intermediate process: pid_t, the init process */
	MESSAGE_SOURCE,	   /* size_t, the index in `mounts`, with the fd of a mount: map its ids */
	MESSAGE_MOUNTED,   /* all mounts are ready, pivot_root is next */
	MESSAGE_CONSOLE,   /* with the fd of the terminal's master */
	MESSAGE_LISTENER,  /* int, the seccomp listener's number in the sender */
	MESSAGE_READY,	   /* create: all is set up */
	MESSAGE_ERROR,	   /* struct failure */
};

struct mapped {
	bool can_set_groups;
};

struct failure {
	int exit_status; /* 126, 127, or -1 */
	struct error error;
};

enum { MESSAGE_PAYLOAD_MAX = 64 * 1024 };

struct message {
	enum message_type type;
	int fd; /* -1, or received: the caller's to close */
	size_t length;
	_Alignas(16) char payload[MESSAGE_PAYLOAD_MAX];
};

int handshake_pair(int *ours, int *theirs, struct error *err);

/* From the child, without a fd, it is one writev(2): a seccomp filter that is loaded already will have allowed that. */
int handshake_send(
	int socket, enum message_type type, const void *payload, size_t length, int fd, struct error *err);

/* 1: received; 0: the other side is gone; -1: error. */
int handshake_receive(int socket, struct message *message, struct error *err);

/* Receives, and makes anything but `type` an error. */
int handshake_expect(int socket, enum message_type type, struct message *message, struct error *err);

/* Waits for a message without payload, by read(2) alone. */
int handshake_wait(int socket, enum message_type type, struct error *err);
