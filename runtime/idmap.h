/* User namespace mappings: written by us where the kernel lets us, else by newuidmap(1) and newgidmap(1).
 */
#pragma once

#include "spec/oci.h"

#include <sys/types.h>

/* Writes the maps of `pid`, which is in a new user namespace. *can_set_groups tells whether setgroups(2) works in it. */
int idmap_write(pid_t pid, const oci_id_mappings *uids, const oci_id_mappings *gids, bool *can_set_groups,
	struct error *err);

/* That those are the maps of `pid`. */
int idmap_check(pid_t pid, const oci_id_mappings *uids, const oci_id_mappings *gids, struct error *err);

/* What an id of the container's is on the outside; false: it is not mapped. */
bool idmap_outside(const oci_id_mappings *mappings, uint32_t inside, uint32_t *outside);

/* Whether setgroups(2) works in the user namespace of `pid`: a denial is inherited by those made in it. */
bool idmap_can_set_groups(pid_t pid);
