/* See container_paths.h. */
#include "spec/container_paths.h"

#include "spec/facts.h"
#include "spec/glob.h"

#include <string.h>
#include <sys/stat.h>

struct expansion {
	struct arena *arena;
	const struct oci_config *config;
	const char *pattern;
	struct string_list *paths;
	struct error *err;
};

static const char *next_part(const char *path, size_t *length)
{
	path += strspn(path, "/");
	*length = strcspn(path, "/");
	return path;
}

/* What lies at `destination` is the directory `source` on the host: searched for what is left of the pattern. */
static int search(struct expansion *expansion, const char *destination, const char *source, const char *rest)
{
	struct string_list matches = { 0 };
	size_t skip = strlen(source);
	const char *prefix = strcmp(destination, "/") == 0 ? "" : destination;

	/* The source's own name must not be taken for a pattern. */
	if (glob_expand_below(expansion->arena, source, rest, &matches, expansion->err) < 0)
		return error_wrap(expansion->err, "the pattern \"%s\"", expansion->pattern);
	for (size_t i = 0; i < matches.count; i++)
		string_list_add(expansion->arena, expansion->paths,
			arena_printf(expansion->arena, "%s%s", prefix, matches.items[i] + skip));
	return 0;
}

/* Walks the pattern along `remaining`, a part of a mount's destination; at its end the mount is searched. */
static int enter(struct expansion *expansion, const char *remaining, const char *pattern,
	const char *destination, const char *source)
{
	size_t name_length, part_length;
	const char *name = next_part(remaining, &name_length), *part = next_part(pattern, &part_length);
	bool any_depth = part_length == 2 && strncmp(part, "**", 2) == 0;

	if (!name_length && !part_length) {
		string_list_add(expansion->arena, expansion->paths, destination);
		return 0;
	}
	if (!name_length)
		return search(expansion, destination, source, part);
	if (!part_length)
		return 0;
	if (any_depth && enter(expansion, remaining, part + part_length, destination, source) < 0)
		return -1;
	if (!any_depth && !glob_match(arena_strndup(expansion->arena, part, part_length),
				  arena_strndup(expansion->arena, name, name_length)))
		return 0;
	return enter(
		expansion, name + name_length, any_depth ? part : part + part_length, destination, source);
}

bool container_mount_is_bind(const struct oci_mount *mount)
{
	return mount->source && *mount->source == '/' &&
	       (!mount->type || strcmp(mount->type, "bind") == 0 ||
		       string_list_has(&mount->options, "bind") || string_list_has(&mount->options, "rbind"));
}

int container_paths_expand(struct arena *arena, const struct oci_config *config, const char *bundle,
	const char *pattern, struct string_list *paths, struct error *err)
{
	struct expansion expansion = { arena, config, pattern, paths, err };
	const char *root = config->root ? config->root->path : NULL;

	if (root && *root != '/')
		root = bundle ? arena_printf(arena, "%s/%s", bundle, root) : NULL;
	if (!root)
		return error_set(err, 0,
			"the pattern \"%s\": where the container's root is cannot be told; name the path",
			pattern);
	if (enter(&expansion, "", pattern, "/", root) < 0)
		return -1;
	for (size_t i = 0; i < config->mounts.count; i++) {
		const struct oci_mount *mount = &config->mounts.items[i];

		if (container_mount_is_bind(mount) &&
			enter(&expansion, mount->destination, pattern, mount->destination, mount->source) < 0)
			return -1;
	}
	return 0;
}
