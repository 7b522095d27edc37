/* See glob.h. */
#include "spec/glob.h"

#include "spec/cleanup.h"
#include "spec/policy.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

bool glob_is_pattern(const char *text)
{
	return strpbrk(text, "*?[") != NULL;
}

/* After "[": does the class hold `c`? *end is behind its "]"; NULL if there is none, and "[" stands for itself. */
static bool class_has(const char *class, char c, const char **end)
{
	bool negated = *class == '!' || *class == '^', found = false;
	const char *p = class + negated;

	do {
		char low = *p, high = low;

		if (!low) {
			*end = NULL;
			return false;
		}
		if (p[1] == '-' && p[2] && p[2] != ']') {
			high = p[2];
			p += 2;
		}
		found |= low <= c && c <= high;
		p++;
	} while (*p != ']');
	*end = p + 1;
	return found != negated;
}

bool glob_match(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL, *end;

	while (*text) {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
			continue;
		}
		if (*pattern == '[') {
			bool in_class = class_has(pattern + 1, *text, &end);

			if (end ? in_class : *text == '[') {
				pattern = end ? end : pattern + 1;
				text++;
				continue;
			}
		} else if (*pattern && (*pattern == '?' || *pattern == *text)) {
			pattern++;
			text++;
			continue;
		}
		if (!star)
			return false;
		/* The last "*" takes one character more. */
		pattern = star;
		text = ++resume;
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

struct search {
	struct arena *arena;
	struct string_list *paths, *locked;
	size_t entries; /* seen so far */
	struct error *err;
};

static int search_below(struct search *search, const char *directory, const char *pattern);

static bool never_searched(const char *path)
{
	static const char *const kernel[] = { "/proc", "/sys", "/dev" };

	for (size_t i = 0; i < ARRAY_SIZE(kernel); i++)
		if (strcmp(path, kernel[i]) == 0)
			return true;
	return false;
}

/* Half an answer would be worse than none. But it may be gone, be no directory, or of a network or FUSE file system that is gone. */
static int cannot_search(struct search *search, const char *path)
{
	static const int expected[] = { EACCES, ENOENT, ENOTDIR, ELOOP, ENOTCONN, ESTALE };

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++)
		if (errno == expected[i])
			return 0;
	return error_set(search->err, errno, "cannot look at %s", *path ? path : "/");
}

/* `pattern`: what is left of it, without a leading slash. */
static int found(struct search *search, const char *path, const char *pattern)
{
	struct stat status;

	if (*pattern)
		return search_below(search, path, pattern);
	if (lstat(path, &status) < 0 && !(errno == EACCES && search->locked))
		return cannot_search(search, path);
	string_list_add(search->arena, search->paths, path);
	return 0;
}

static bool is_directory(int fd, const struct dirent *entry)
{
	struct stat status;

	if (entry->d_type != DT_UNKNOWN)
		return entry->d_type == DT_DIR;
	return fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(status.st_mode);
}

/* Each entry that matches `name`, a pattern; with name NULL each directory, where `pattern` ("**" first) is tried again. */
static int search_entries(struct search *search, const char *directory, const char *name, const char *pattern)
{
	_cleanup_closedir_ DIR *stream = NULL;
	struct dirent *entry;
	/* The walk of "**" comes to no link but at its beginning: it goes by the type of each entry. */
	int fd = open(*directory ? directory : "/",
		O_RDONLY | O_DIRECTORY | O_CLOEXEC | (search->locked ? 0 : O_NOFOLLOW));

	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream) {
		close_fd(fd);
		if (errno == EACCES && search->locked)
			string_list_add(search->arena, search->locked, directory);
		return cannot_search(search, directory);
	}
	while (errno = 0, (entry = readdir(stream))) {
		const char *path;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (++search->entries > GLOB_ENTRIES_MAX)
			return error_set(search->err, 0,
				"there are more than %d files to look at; name a directory that is smaller",
				GLOB_ENTRIES_MAX);
		if (name ? !glob_match(name, entry->d_name) : !is_directory(fd, entry))
			continue;
		path = arena_printf(search->arena, "%s/%s", directory, entry->d_name);
		if (!name && never_searched(path))
			continue;
		if (found(search, path, pattern) < 0)
			return -1;
	}
	return errno ? error_set(search->err, errno, "cannot list %s", directory) : 0;
}

/* `directory` is "" for the root. */
static int search_below(struct search *search, const char *directory, const char *pattern)
{
	size_t length = strcspn(pattern, "/");
	const char *name = arena_strndup(search->arena, pattern, length), *rest = pattern + length;

	rest += strspn(rest, "/");
	if (strcmp(name, "**") == 0) {
		/* At the end it means the whole directory, which is the directory. */
		if (found(search, directory, rest) < 0)
			return -1;
		if (!*rest)
			return 0;
		return search_entries(search, directory, NULL, pattern);
	}
	if (!glob_is_pattern(name))
		return found(search, arena_printf(search->arena, "%s/%s", directory, name), rest);
	return search_entries(search, directory, name, rest);
}

int glob_expand_below(struct arena *arena, const char *directory, const char *pattern,
	struct string_list *paths, struct error *err)
{
	struct search search = { .arena = arena, .paths = paths, .err = err };

	return search_below(&search, directory, pattern + strspn(pattern, "/"));
}

int glob_expand(struct arena *arena, const char *pattern, struct string_list *paths,
	struct string_list *locked, struct error *err)
{
	struct search search = { .arena = arena, .paths = paths, .locked = locked, .err = err };

	return search_below(&search, "", pattern + strspn(pattern, "/"));
}
