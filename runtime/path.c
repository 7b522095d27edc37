/* See path.h. */
#include "runtime/path.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

enum {
	SYMLINKS_MAX = 40, /* as the kernel's own */
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

/* A path on its way to being resolved: `done` is what has been walked, free of symbolic links, and `fd` is there. */
struct walk {
	int root_fd, fd;
	char done[PATH_MAX], rest[PATH_MAX];
	unsigned int symlinks;
};

static void walk_close(struct walk *walk)
{
	close_fd(walk->fd);
}

/* Fails like the kernel with paths that are too long. */
static bool join(char path[PATH_MAX], const char *head, const char *tail)
{
	char joined[PATH_MAX];
	int length = snprintf(joined, sizeof(joined), "%s/%s", head, tail);

	if (length < 0 || length >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return false;
	}
	memcpy(path, joined, (size_t)length + 1);
	return true;
}

static bool go_to(struct walk *walk, int fd)
{
	if (fd < 0)
		return false;
	close_fd(walk->fd);
	walk->fd = fd;
	return true;
}

static bool go_back_to(struct walk *walk, size_t length)
{
	walk->done[length] = '\0';
	return go_to(walk,
		path_open_in_root(walk->root_fd, walk->done, O_PATH | O_DIRECTORY, RESOLVE_NO_SYMLINKS));
}

static bool go_up(struct walk *walk)
{
	const char *slash = strrchr(walk->done, '/');

	return go_back_to(walk, slash ? (size_t)(slash - walk->done) : 0);
}

static bool follow(struct walk *walk, int link_fd)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(link_fd, "", target, sizeof(target) - 1);

	if (length < 0)
		return false;
	target[length] = '\0';
	if (++walk->symlinks > SYMLINKS_MAX) {
		errno = ELOOP;
		return false;
	}
	if (!join(walk->rest, target, walk->rest))
		return false;
	return target[0] == '/' ? go_back_to(walk, 0) : true;
}

/* `name` is a single component, so that it cannot lead anywhere but down; a symbolic link is opened itself. */
static int open_or_make(int directory, const char *name, mode_t type)
{
	int fd = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);

	if (fd >= 0 || errno != ENOENT)
		return fd;
	if (type == S_IFDIR) {
		if (mkdirat(directory, name, DIRECTORY_MODE) < 0 && errno != EEXIST)
			return -1;
	} else {
		fd = openat(directory, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
		if (fd < 0 && errno != EEXIST)
			return -1;
		close_fd(fd);
	}
	return openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
}

/* Takes the first component off walk->rest. */
static void next_component(struct walk *walk, char name[PATH_MAX])
{
	const char *from = walk->rest + strspn(walk->rest, "/");
	size_t length = strcspn(from, "/");

	memcpy(name, from, length);
	name[length] = '\0';
	from += length;
	from += strspn(from, "/");
	memmove(walk->rest, from, strlen(from) + 1);
}

static bool step(struct walk *walk, mode_t type)
{
	_cleanup_close_ int child = -1;
	char name[PATH_MAX];
	struct stat status;

	next_component(walk, name);
	if (!*name || strcmp(name, ".") == 0)
		return true;
	if (strcmp(name, "..") == 0)
		return go_up(walk);
	child = open_or_make(walk->fd, name, *walk->rest ? S_IFDIR : type);
	if (child < 0 || fstat(child, &status) < 0)
		return false;
	if (S_ISLNK(status.st_mode))
		return follow(walk, child);
	return join(walk->done, walk->done, name) && go_to(walk, steal_fd(&child));
}

int path_make_in_root(int root_fd, const char *path, mode_t type, struct error *err)
{
	_cleanup_(walk_close) struct walk walk = { .root_fd = root_fd, .fd = -1 };
	int fd = path_open_in_root(root_fd, path, O_PATH, 0);

	if (fd >= 0)
		return fd;
	if (errno != ENOENT)
		return error_set(err, errno, "cannot open %s in the rootfs", path);
	if (strlen(path) >= sizeof(walk.rest))
		return error_set(err, ENAMETOOLONG, "cannot make a mount point");
	strcpy(walk.rest, path);
	if (!go_back_to(&walk, 0))
		return error_set(err, errno, "cannot open the rootfs");
	while (*walk.rest)
		if (!step(&walk, type))
			return error_set(err, errno, "cannot make %s in the rootfs", path);
	return steal_fd(&walk.fd);
}

int path_make_parent_in_root(int root_fd, const char *path, const char **name, struct error *err)
{
	char parent[PATH_MAX];
	size_t length = strlen(path);

	while (length > 0 && path[length - 1] == '/')
		length--;
	while (length > 0 && path[length - 1] != '/')
		length--;
	*name = path + length;
	if (length >= sizeof(parent) || !**name || strchr(*name, '/'))
		return error_set(err, EINVAL, "cannot make %s in the rootfs", path);
	memcpy(parent, path, length);
	parent[length] = '\0';
	return path_make_in_root(root_fd, parent, S_IFDIR, err);
}
