/* A container's network namespace: finding it from a process, and entering it, for good, in a child.
 */
#pragma once

#include "spec/cleanup.h"
#include "spec/error.h"

#include <sys/types.h>

struct network_namespace {
	int net;      /* the network namespace */
	int owner;    /* the user namespace that owns it; -1: the caller's own */
	dev_t device; /* with inode: the network namespace's identity while it lives */
	ino_t inode;
};

#define NAMESPACE_NONE ((struct network_namespace){ .net = -1, .owner = -1 })

/* The namespace of `pid`, which `pidfd` pins. Refused: the caller's own, since that is the host's network. */
int namespace_open(pid_t pid, int pidfd, struct network_namespace *namespace, struct error *err);
void namespace_close(struct network_namespace *namespace);

static inline void cleanup_namespace(struct network_namespace *namespace)
{
	namespace_close(namespace);
}
#define _cleanup_namespace_ _cleanup_(cleanup_namespace)

/* Joins the owning user namespace where it is another, then the network namespace. Single-threaded callers only. */
int namespace_enter(const struct network_namespace *namespace, struct error *err);
