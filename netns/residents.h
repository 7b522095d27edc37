/* The containers that a relay serves: one, or those of a pod, which share a network namespace. The relay lives as long as one of
 * their init processes does.
 */
#pragma once

#include "netns/loop.h"

struct residents;

typedef void residents_gone(void *data);

/* `init_pidfd` is the first's; others join by `control_fd` (control_join() of control.h), if the user that starts the relay, or
 * root, sends them. When the last has ended `gone` is called. Before the cell: it notes who that user is. */
struct residents *residents_new(struct loop *loop, int init_pidfd, int control_fd, residents_gone *gone,
	void *data, struct error *err);
bool residents_are_gone(const struct residents *residents); /* another may have come after `gone` */
void residents_free(struct residents *residents);
