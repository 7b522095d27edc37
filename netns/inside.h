/* What the hook makes inside a container's network namespace, which it enters for good: lo up, tun0 with its addresses as
 * the only way out, or, without TUN, a listener.
 */
#pragma once

#include "netns/intercept.h"
#include "netns/namespace.h"
#include "netns/way_out.h"

#include <stdbool.h>

enum inside_way { INSIDE_TUN, INSIDE_TUN_IF_POSSIBLE, INSIDE_LISTENER };

/* How TCP goes by tun0: spliced where the kernel and the privileges allow, translated, or one of them. Plain is for kernels whose TUN has no offloads, and for measuring and testing what that is like. */
enum inside_datapath { DATAPATH_AUTO, DATAPATH_SPLICE, DATAPATH_TRANSLATE, DATAPATH_PLAIN };

struct inside_request {
	enum inside_way way;
	enum inside_datapath datapath;
	bool ipv6;
	bool helper; /* keep a child there that makes sockets for the relay (inner.h) */
};

struct inside {
	struct way_out out;
	struct error no_splice;	  /* why TCP is translated although splicing was to be tried */
	struct error tun_missing; /* why there is no TUN although it was preferred; message "" otherwise */
};

/* How TCP would be carried here, tried in a namespace of its own; an error says why not spliced. */
int inside_check_splice(struct error *err);

/* The process stays in the namespace. */
int inside_make(const struct network_namespace *namespace, const struct inside_request *request,
	struct inside *inside, struct error *err);
