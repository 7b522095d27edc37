/* The containers that a relay serves: one, or those of a pod, which share a network namespace. The relay lives as long as one of
 * their init processes does.
 */
#pragma once

#include "netns/loop.h"
#include "netns/relay.h"

struct residents;

typedef void residents_gone(void *data);

/* Of `config`, init_pidfd is the first's; others join by control_fd (control_join() of control.h), if the user that starts the
 * relay, or root, sends them, and their rules are the same. When the last has ended `gone` is called. Before the cell: it notes who that user is. The same users
 * are told by control_fd, too, which flows live (control_flows()). */
struct residents *residents_new(struct loop *loop, const struct relay_config *config, residents_gone *gone,
	void *data, struct error *err);
bool residents_are_gone(const struct residents *residents); /* another may have come after `gone` */
void residents_free(struct residents *residents);
