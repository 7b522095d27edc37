/* command.* and ssh.* of a policy: may these words be run?
 *
 * Looked at before anything runs. It stops mistakes and habits, not an adversary: a program can do by itself what it was not let run
 * for. What must hold is in the mounts, the system calls and the network.
 */
#pragma once

#include "spec/policy.h"

/* The words of one program, or of a shell with its -c line. Returns false with the reason in *why: the rest of a sentence that begins
 * with the command. */
bool command_permitted(
	struct arena *arena, const struct policy *policy, const struct string_list *args, const char **why);
