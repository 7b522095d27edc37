/* What git leaves aside in a repository, as .git/info/exclude has it now. See facts_internal.h; compile_git_exclude.c adds to it.
 *
 * It must never hinder the start: what is not an ordinary file, or cannot be made, stays as it is.
 */
#include "spec/facts_internal.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

enum { CONTENT_MAX = 1024 * 1024 };

static const char *read_text(struct arena *arena, int fd, size_t size)
{
	char *text = arena_alloc(arena, size + 1);
	size_t length = 0;
	ssize_t count;

	while (length < size && (count = read(fd, text + length, size - length)) > 0)
		length += (size_t)count;
	return length == size && strlen(text) == size ? text : NULL;
}

/* May the command read it? Root without capabilities cannot read all that root can. */
static bool is_shown(const struct stat *status)
{
	return S_ISREG(status->st_mode) && status->st_size <= CONTENT_MAX &&
	       (status->st_uid == 0 || geteuid() != 0 || status->st_mode & S_IROTH);
}

/* NULL: it is to be left alone; "": it is missing, or another fence's placeholder. A command can have put a link there, or a FIFO, for us
 * to wait at, and another one can do so meanwhile. */
static const char *read_exclude(struct gatherer *gatherer, const char *git_directory, const char *info)
{
	_cleanup_close_ int directory = open(info, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	struct stat status;

	if (directory < 0)
		return errno == ENOENT && access(git_directory, W_OK) == 0 ? "" : NULL;
	fd = openat(directory, "exclude", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if ((fd < 0 && errno != ENOENT) || (fd >= 0 && (fstat(fd, &status) < 0 || !is_shown(&status))))
		return NULL;
	if (fd < 0 || !status.st_size)
		return faccessat(directory, ".", W_OK, 0) == 0 ? "" : NULL;
	return read_text(gatherer->arena, fd, (size_t)status.st_size);
}

static struct git_exclude *find(const struct facts *facts, const char *path)
{
	for (size_t i = 0; i < facts->git_excludes.count; i++)
		if (strcmp(facts->git_excludes.items[i].path, path) == 0)
			return &facts->git_excludes.items[i];
	return NULL;
}

void gather_git_exclude(struct gatherer *gatherer, const char *worktree, const char *git_directory)
{
	struct facts *facts = gatherer->facts;
	struct git_exclude exclude = { 0 }, *known;
	struct path_fact fact;
	const char *info;

	if (!path_is_within_any(worktree, &facts->allow_write))
		return; /* nothing is put there */
	resolve_path(gatherer, git_directory, true, &fact);
	if (fact.kind != PATH_DIRECTORY)
		return;
	info = arena_printf(gatherer->arena, "%s/info", fact.path);
	exclude.path = arena_printf(gatherer->arena, "%s/exclude", info);
	known = find(facts, exclude.path);
	if (known) {
		if (!string_list_has(&known->worktrees, worktree))
			string_list_add(gatherer->arena, &known->worktrees, worktree);
		return;
	}
	exclude.content = read_exclude(gatherer, fact.path, info);
	if (!exclude.content) {
		string_list_note(gatherer->arena, &facts->notes,
			"%s cannot be read, or made: git sees the empty files that stand for protected ones",
			exclude.path);
		return;
	}
	string_list_add(gatherer->arena, &exclude.worktrees, worktree);
	*(struct git_exclude *)arena_push(gatherer->arena, &facts->git_excludes.items,
		&facts->git_excludes.count, sizeof(exclude)) = exclude;
}
