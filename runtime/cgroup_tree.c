/* A cgroup and all that is nested in it, which a container may have made, and as deep as it likes.
 *
 * Must never need more of us for a deeper tree than memory for the names.
 */
#include "runtime/cgroup_internal.h"

#include <fcntl.h>

/* One on the way down. */
struct level {
	struct level *above;
	const char *name;	  /* in the one above */
	struct string_list inner; /* directories that are still to be visited */
};

struct walk {
	struct arena *arena;
	struct level *level;
	int directory; /* of the level */
};

static bool enter(struct walk *walk, int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), copy;
	_cleanup_closedir_ DIR *stream = NULL;
	struct dirent *entry;
	struct level *level;

	if (fd < 0)
		return errno == ENOENT;
	close_fd(walk->directory);
	walk->directory = fd;
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	stream = copy < 0 ? NULL : fdopendir(copy);
	if (!stream) {
		close_fd(copy);
		return false;
	}
	level = arena_alloc(walk->arena, sizeof(*level));
	*level = (struct level){ .above = walk->level, .name = name };
	while ((entry = readdir(stream)))
		if (entry->d_type == DT_DIR && entry->d_name[0] != '.')
			*(const char **)arena_push(walk->arena, &level->inner.items, &level->inner.count,
				sizeof(char *)) = arena_strdup(walk->arena, entry->d_name);
	walk->level = level;
	return true;
}

/* The one above, for the top wherever paths begin. A cgroup is not moved to another parent. */
static bool leave(struct walk *walk)
{
	bool is_top = !walk->level->above;
	int above = is_top ? AT_FDCWD : openat(walk->directory, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (!is_top && above < 0)
		return false;
	close_fd(walk->directory);
	walk->directory = above;
	walk->level = walk->level->above;
	return true;
}

static void walk_end(struct walk *walk)
{
	close_fd(walk->directory);
	arena_free(walk->arena);
}

bool cgroup_visit_tree(const char *path, cgroup_visitor *visit, void *data)
{
	_cleanup_(walk_end) struct walk walk = { .arena = arena_new(), .directory = -1 };

	if (!enter(&walk, AT_FDCWD, path))
		return false;
	while (walk.level) {
		struct string_list *inner = &walk.level->inner;
		const char *name = walk.level->name;

		if (inner->count) {
			if (!enter(&walk, walk.directory, inner->items[--inner->count]))
				return false;
		} else if (!leave(&walk) || !visit(walk.directory, name, data)) {
			return false;
		}
	}
	return true;
}
