/* See hook_path.h. /proc/self/exe is of no help: once sealed (seal.c), we run from a file without a name. */
#include "runtime/hook_path.h"

#include "spec/cleanup.h"

#include <string.h>

const char *program_in_path(struct arena *arena, const char *name)
{
	const char *path = getenv("PATH"), *end;

	for (; path && *path; path = *end ? end + 1 : end) {
		const char *candidate;

		end = strchrnul(path, ':');
		candidate = arena_printf(arena, "%.*s/%s", (int)(end - path), path, name);
		if (access(candidate, X_OK) == 0)
			return candidate;
	}
	return NULL;
}

/* The binary that was asked for, as the shell found it. */
static char *own_path(struct arena *arena)
{
	const char *name = program_invocation_name;
	const char *path = strchr(name, '/') ? name : program_in_path(arena, name);

	return path ? realpath(path, NULL) : NULL;
}

static const char *installed_path(struct arena *arena, const char *name)
{
	/* Relative to our own folder: a build tree or a copy of it; an installation under any prefix. */
	static const char *const places[] = { "", "../libexec/fence/" };
	_cleanup_free_ char *self = own_path(arena);

	for (size_t i = 0; self && i < ARRAY_SIZE(places); i++) {
		int folder = (int)(strrchr(self, '/') + 1 - self);
		_cleanup_free_ char *path =
			realpath(arena_printf(arena, "%.*s%s%s", folder, self, places[i], name), NULL);

		if (path)
			return arena_strdup(arena, path);
	}
	return arena_printf(arena, FENCE_LIBEXECDIR "/%s", name);
}

const char *hook_path(struct arena *arena)
{
	return installed_path(arena, "fence-network");
}

const char *exec_helper_path(struct arena *arena)
{
	return installed_path(arena, "fence-exec");
}
