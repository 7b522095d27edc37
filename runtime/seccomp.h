/* Seccomp: linux.seccomp becomes a BPF program (libseccomp), loaded just before the process starts.
 */
#pragma once

#include "spec/oci.h"

struct seccomp_program {
	void *instructions; /* struct sock_filter[], malloc'ed */
	size_t length;	    /* bytes */
	unsigned int flags; /* of seccomp(2) */
	bool notify;	    /* some rule is SCMP_ACT_NOTIFY: loading yields a listener */
};

/* Needs no privilege and touches no process: the parent compiles while the child mounts. `cache` is a directory fd for
 * compiled programs keyed by content, or -1. */
int seccomp_compile(
	const struct oci_seccomp *seccomp, int cache, struct seccomp_program *program, struct error *err);
void seccomp_free(struct seccomp_program *program);

/* A refusal by a name that libseccomp does not know would be lost: an error for a policy's syscalls.deny. */
int seccomp_check_refused(const struct string_list *names, struct error *err);

/* Loads it into the calling process; *listener is -1 or the notification fd (O_CLOEXEC). Needs no_new_privs or CAP_SYS_ADMIN.
 * With a listener the parent is best told its number by write(2), which no profile may notify on, and takes it by
 * pidfd_getfd(2): any other call can be one that waits for the agent that does not have the listener yet. */
int seccomp_install(const struct seccomp_program *program, int *listener, struct error *err);

/* Sends the listener to linux.seccomp.listenerPath with the container process state of the specification. */
int seccomp_send_listener(const struct oci_seccomp *seccomp, int listener, const struct oci_state *state,
	pid_t pid, struct error *err);
