/* The environment of a container's process.
 */
#pragma once

#include "spec/table.h"

/* process.env, in which a later setting of a name replaces an earlier one; HOME, from the container's /etc/passwd, where that
 * is missing or empty; for `listen_fds` passed fds, the variables of the socket activation protocol. NULL-terminated. */
char **environment_make(struct arena *arena, const struct string_list *env, unsigned int listen_fds);

/* Only the process that will execute the program knows its pid, and calls this. */
void environment_name_listener(struct arena *arena, char **env);
