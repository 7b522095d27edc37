/* See hook_path.h. /proc/self/exe is of no help: once sealed (seal.c), we run from a file without a name. */
#include "runtime/hook_path.h"

#include "spec/cleanup.h"

#include <string.h>

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
	/* Relative to our own folder: a build tree or a copy of both; an installation under any prefix. */
	static const char *const places[] = { "fence-network", "../libexec/fence/fence-network" };
	_cleanup_free_ char *self = own_path(arena);

	for (size_t i = 0; self && i < ARRAY_SIZE(places); i++) {
		int folder = (int)(strrchr(self, '/') + 1 - self);
		_cleanup_free_ char *hook =
			realpath(arena_printf(arena, "%.*s%s", folder, self, places[i]), NULL);

		if (hook)
			return arena_strdup(arena, hook);
	}
	return FENCE_LIBEXECDIR "/fence-network";
}
