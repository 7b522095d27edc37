/* See path.h. */
#include "runtime/path.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
	STEPS_MAX = 128, /* missing directories and dangling links on the way; more is a loop, or a prank */
	ATTEMPTS_MAX =
		1024, /* the kernel says EAGAIN when a rename elsewhere might have led a ".." out of the root */
	DIRECTORY_MODE = 0755,
	FILE_MODE = 0644,
};

int path_open_in_root(int root_fd, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve,
	};
	int fd;

	for (int attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
		fd = (int)syscall(SYS_openat2, root_fd, *path ? path : "/", &how, sizeof(how));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd;
}

static bool fail(int number)
{
	errno = number;
	return false;
}

/* "a/b/c/" is "a/b/" and "c". */
static bool split(const char *path, char parent[PATH_MAX], char name[NAME_MAX + 1])
{
	size_t end = strlen(path), start;

	while (end > 0 && path[end - 1] == '/')
		end--;
	for (start = end; start > 0 && path[start - 1] != '/';)
		start--;
	if (start >= PATH_MAX || end - start > NAME_MAX)
		return fail(ENAMETOOLONG);
	memcpy(parent, path, start);
	parent[start] = '\0';
	memcpy(name, path + start, end - start);
	name[end - start] = '\0';
	return true;
}

static int make(int root_fd, const char *path, mode_t type, uint64_t resolve, unsigned int depth);

/* `name`, in the directory `parent`, is a symbolic link: makes what it leads to. */
static int make_at_end_of_link(int root_fd, const char *parent_path, int parent, const char *name,
	mode_t type, uint64_t resolve, unsigned int depth)
{
	char target[PATH_MAX], path[2 * PATH_MAX];
	ssize_t length = readlinkat(parent, name, target, sizeof(target) - 1);

	if (length < 0)
		return -1;
	target[length] = '\0';
	snprintf(path, sizeof(path), "%s/%s", target[0] == '/' ? "" : parent_path, target);
	return make(root_fd, path, type, resolve, depth + 1);
}

/* A single component: it cannot lead anywhere but down, and what was just made is no symbolic link. */
static int make_entry(int parent, const char *name, mode_t type)
{
	if (type == S_IFREG)
		return openat(parent, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
	if (mkdirat(parent, name, DIRECTORY_MODE) < 0)
		return -1;
	return openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* Makes what was not there a moment ago: the directory that holds it, then itself. */
static int make(int root_fd, const char *path, mode_t type, uint64_t resolve, unsigned int depth)
{
	char parent_path[PATH_MAX], name[NAME_MAX + 1];
	_cleanup_close_ int parent = -1;
	int fd;

	if (depth > STEPS_MAX) {
		errno = ELOOP;
		return -1;
	}
	if (!split(path, parent_path, name))
		return -1;
	parent = path_open_in_root(root_fd, parent_path, O_PATH | O_DIRECTORY, resolve);
	if (parent < 0 && errno == ENOENT && *name)
		parent = make(root_fd, parent_path, S_IFDIR, resolve, depth + 1);
	if (parent < 0)
		return -1;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return path_open_in_root(root_fd, path, O_PATH, resolve);
	fd = make_entry(parent, name, type);
	if (fd >= 0 || errno != EEXIST)
		return fd;
	fd = path_open_in_root(root_fd, path, O_PATH, resolve);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	return make_at_end_of_link(root_fd, parent_path, parent, name, type, resolve, depth);
}

int path_make_in_root(
	int root_fd, const char *path, mode_t type, uint64_t resolve, bool *made, struct error *err)
{
	int fd = path_open_in_root(root_fd, path, O_PATH, resolve);

	if (made)
		*made = fd < 0;
	if (fd < 0 && errno == ENOENT)
		fd = make(root_fd, path, type, resolve, 0);
	return fd < 0 ? error_set(err, errno, "cannot open or make %s in the rootfs", path) : fd;
}

int path_open_parent_in_root(int root_fd, const char *path, uint64_t resolve, char name[NAME_MAX + 1])
{
	char parent[PATH_MAX];

	if (!split(path, parent, name))
		return -1;
	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		errno = EINVAL;
		return -1;
	}
	return path_open_in_root(root_fd, parent, O_PATH | O_DIRECTORY, resolve);
}

int path_make_parent_in_root(int root_fd, const char *path, const char **name, struct error *err)
{
	char parent[PATH_MAX], last[NAME_MAX + 1];

	if (!split(path, parent, last))
		return error_set(err, errno, "cannot make %s in the rootfs", path);
	*name = path + strlen(parent);
	if (!*last || strcmp(*name, last) != 0)
		return error_set(err, EINVAL, "cannot make %s in the rootfs", path);
	return path_make_in_root(root_fd, parent, S_IFDIR, 0, NULL, err);
}
