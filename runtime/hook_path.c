/* See hook_path.h. /proc/self/exe is of no help: once sealed (seal.c), we run from a file without a name. */
#include "runtime/hook_path.h"

#include "spec/cleanup.h"

#include <limits.h>
#include <string.h>

#define HOOK_NAME "fence-network"

/* The binary that was asked for, as the shell found it. */
static char *own_path(struct arena *arena)
{
	const char *name = program_invocation_name, *path = getenv("PATH"), *end;

	if (strchr(name, '/'))
		return realpath(name, NULL);
	for (; path && *path; path = *end ? end + 1 : end) {
		end = strchrnul(path, ':');
		char *candidate = arena_printf(arena, "%.*s/%s", (int)(end - path), path, name);

		if (access(candidate, X_OK) == 0)
			return realpath(candidate, NULL);
	}
	return NULL;
}

const char *hook_path(struct arena *arena)
{
	_cleanup_free_ char *self = own_path(arena);
	char *beside;

	if (self) {
		beside = arena_printf(arena, "%.*s" HOOK_NAME, (int)(strrchr(self, '/') + 1 - self), self);
		if (access(beside, X_OK) == 0)
			return beside;
	}
	return FENCE_LIBEXECDIR "/" HOOK_NAME;
}
