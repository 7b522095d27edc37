/* Resolving one path, link by link, so that every link on the way is known. See facts_internal.h. */
#include "spec/facts_internal.h"

#include "spec/cleanup.h"

#include <limits.h>
#include <string.h>
#include <sys/stat.h>

enum { LINKS_MAX = 40 }; /* as in the kernel */

struct resolution {
	struct gatherer *gatherer;
	struct path_fact *fact;
	const char *rest; /* what is still to be looked up, without a leading slash */
	const char *done; /* canonical so far; "" is the root */
	unsigned int links;
};

bool path_is_within(const char *path, const char *directory)
{
	size_t length = strlen(directory);

	if (length == 1)
		return true; /* "/" */
	return strncmp(path, directory, length) == 0 && (!path[length] || path[length] == '/');
}

bool path_is_within_any(const char *path, const struct path_facts *list)
{
	for (size_t i = 0; i < list->count; i++)
		if (path_is_within(path, list->items[i].path))
			return true;
	return false;
}

void note_fault(struct gatherer *gatherer, int number, const char *path)
{
	/* The last two are of a network or FUSE file system that is gone. */
	static const int expected[] = { ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG, ENOTCONN, ESTALE };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (number == expected[i])
			return;
	if (!gatherer->failed)
		error_set(gatherer->err, number, "cannot look at %s", path);
	gatherer->failed = true;
}

bool path_exists(struct gatherer *gatherer, const char *path)
{
	struct stat status;

	if (lstat(path, &status) == 0)
		return true;
	note_fault(gatherer, errno, path);
	return false;
}

bool is_own(struct gatherer *gatherer, const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0)
		return status.st_uid == geteuid();
	note_fault(gatherer, errno, path);
	return false;
}

bool take_locked_directory(struct gatherer *gatherer, struct path_fact *fact)
{
	if (!fact->locked || !is_own(gatherer, fact->locked))
		return false;
	*fact = (struct path_fact){
		.path = fact->locked, .kind = PATH_DIRECTORY, .directory_wanted = true, .links = fact->links
	};
	return true;
}

bool can_be_made(struct gatherer *gatherer, const struct path_fact *fact)
{
	const char *slash = strrchr(fact->missing, '/');
	const char *parent = slash == fact->missing ? "/"
						    : arena_strndup(gatherer->arena, fact->missing,
							      (size_t)(slash - fact->missing));

	if (gatherer->asked_parent && strcmp(gatherer->asked_parent, parent) == 0)
		return gatherer->parent_writable;
	gatherer->asked_parent = parent;
	gatherer->parent_writable = access(parent, W_OK) == 0;
	if (gatherer->parent_writable)
		return true;
	if (errno != EROFS)
		note_fault(gatherer, errno, parent);
	/* An owner can give itself the right. */
	gatherer->parent_writable = is_own(gatherer, parent);
	return gatherer->parent_writable;
}

static enum path_kind kind_of(mode_t mode)
{
	switch (mode & S_IFMT) {
	case S_IFDIR:
		return PATH_DIRECTORY;
	case S_IFREG:
		return PATH_FILE;
	case S_IFLNK:
		return PATH_SYMLINK;
	}
	return PATH_OTHER;
}

static void remember_link(struct resolution *resolution, const char *path, const char *target)
{
	struct facts *facts = resolution->gatherer->facts;
	struct arena *arena = resolution->gatherer->arena;
	struct path_fact *fact = resolution->fact;
	struct path_link *link;
	size_t i = 0;

	*(const char **)arena_push(arena, &fact->links.items, &fact->links.count, sizeof(const char *)) =
		path;
	while (i < facts->links.count && strcmp(facts->links.items[i].path, path) != 0)
		i++;
	if (i < facts->links.count)
		return;
	link = arena_push(arena, &facts->links.items, &facts->links.count, sizeof(*link));
	link->path = path;
	link->target = target;
}

static const char *parent_of(struct arena *arena, const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? arena_strndup(arena, path, (size_t)(slash - path)) : "";
}

/* What does not exist has no links: the rest is taken by its words. */
static void finish_missing(struct resolution *resolution, const char *missing)
{
	resolution->fact->kind = PATH_MISSING;
	resolution->fact->missing = missing;
}

static void follow(struct resolution *resolution, const char *path)
{
	struct arena *arena = resolution->gatherer->arena;
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);

	if (length < 0)
		note_fault(resolution->gatherer, errno, path);
	if (length <= 0 || ++resolution->links > LINKS_MAX) {
		finish_missing(resolution, NULL);
		resolution->done = path;
		return;
	}
	target[length] = '\0';
	remember_link(resolution, path, arena_strdup(arena, target));
	resolution->rest = arena_printf(arena, "%s/%s", target, resolution->rest);
	if (*target == '/')
		resolution->done = "";
}

static void step(struct resolution *resolution, const char *name, bool last, bool follow_last)
{
	struct arena *arena = resolution->gatherer->arena;
	struct path_fact *fact = resolution->fact;
	struct stat status;
	const char *path;

	if (strcmp(name, "..") == 0) {
		resolution->done = parent_of(arena, resolution->done);
		fact->kind = fact->missing ? PATH_MISSING : PATH_DIRECTORY;
		return;
	}
	path = arena_printf(arena, "%s/%s", resolution->done, name);
	if (fact->kind == PATH_MISSING ||
		(!last && string_list_has(&resolution->gatherer->directories, path))) {
		resolution->done = path;
		return;
	}
	if (lstat(path, &status) < 0) {
		note_fault(resolution->gatherer, errno, path);
		if (errno == EACCES)
			fact->locked = *resolution->done ? resolution->done : "/";
		finish_missing(resolution, errno == ENOENT ? path : NULL);
	} else if (S_ISLNK(status.st_mode) && (!last || follow_last)) {
		follow(resolution, path);
		return;
	} else {
		fact->kind = kind_of(status.st_mode);
		if (fact->kind == PATH_DIRECTORY)
			string_list_add(arena, &resolution->gatherer->directories, path);
		else if (!last)
			finish_missing(resolution, NULL);
	}
	resolution->done = path;
}

void resolve_path(struct gatherer *gatherer, const char *path, bool follow_last, struct path_fact *fact)
{
	struct resolution resolution = { .gatherer = gatherer, .fact = fact, .rest = path, .done = "" };

	*fact = (struct path_fact){ .kind = PATH_DIRECTORY };
	for (;;) {
		size_t length;
		const char *name;

		resolution.rest += strspn(resolution.rest, "/");
		length = strcspn(resolution.rest, "/");
		if (!length)
			break;
		name = arena_strndup(gatherer->arena, resolution.rest, length);
		resolution.rest += length;
		if (strcmp(name, ".") == 0)
			continue;
		step(&resolution, name, !resolution.rest[strspn(resolution.rest, "/")], follow_last);
	}
	fact->path = *resolution.done ? resolution.done : "/";
}
