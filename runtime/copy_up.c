/* See copy_up.h. */
#include "runtime/copy_up.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

enum { DEPTH_MAX = 128 };

static bool copy_content(int from, int to)
{
	char buffer[65536];
	ssize_t length;

	for (;;) {
		length = read(from, buffer, sizeof(buffer));
		if (length < 0 && errno == EINTR)
			continue;
		if (length <= 0)
			return length == 0;
		for (ssize_t done = 0, n; done < length; done += n) {
			n = write(to, buffer + done, (size_t)(length - done));
			if (n < 0)
				return false;
		}
	}
}

/* A tmpfs has no room for some (user.* before Linux 6.6), and in a user namespace others are refused. */
static void copy_attributes(int from, int to)
{
	char names[4096], value[4096];
	ssize_t length = flistxattr(from, names, sizeof(names));

	for (const char *name = names; length > 0 && name < names + length; name += strlen(name) + 1) {
		ssize_t size = fgetxattr(from, name, value, sizeof(value));

		if (size >= 0 && fsetxattr(to, name, value, (size_t)size, 0) < 0 && errno != ENOTSUP &&
			errno != EPERM)
			return;
	}
}

/* Owner first: it takes set-uid bits away. An owner that is not mapped stays ours. */
static bool copy_status(int to, const struct stat *status)
{
	const struct timespec times[] = { status->st_atim, status->st_mtim };

	if (fchown(to, status->st_uid, status->st_gid) < 0 && errno != EINVAL && errno != EPERM)
		return false;
	return fchmod(to, status->st_mode & 07777) == 0 && futimens(to, times) == 0;
}

static bool copy_file(int from, int to, const char *name, const struct stat *status)
{
	_cleanup_close_ int source = openat(from, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	_cleanup_close_ int copy =
		openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (source < 0 || copy < 0 || !copy_content(source, copy))
		return false;
	copy_attributes(source, copy);
	return copy_status(copy, status);
}

static bool copy_link(int from, int to, const char *name, const struct stat *status)
{
	char target[PATH_MAX];
	ssize_t length = readlinkat(from, name, target, sizeof(target) - 1);

	if (length < 0)
		return false;
	target[length] = '\0';
	if (symlinkat(target, to, name) < 0)
		return false;
	return fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) == 0 ||
	       errno == EINVAL || errno == EPERM;
}

/* Devices, FIFOs, sockets. */
static bool copy_node(int to, const char *name, const struct stat *status)
{
	if (mknodat(to, name, status->st_mode, status->st_rdev) < 0)
		return errno == EPERM; /* in a user namespace there are no devices to copy */
	return fchownat(to, name, status->st_uid, status->st_gid, AT_SYMLINK_NOFOLLOW) == 0 ||
	       errno == EINVAL || errno == EPERM;
}

static bool copy_directory(int from, int to, unsigned int depth);

static bool copy_entry(int from, int to, const char *name, unsigned int depth)
{
	_cleanup_close_ int source = -1, copy = -1;
	struct stat status;

	if (fstatat(from, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return false;
	if (S_ISREG(status.st_mode))
		return copy_file(from, to, name, &status);
	if (S_ISLNK(status.st_mode))
		return copy_link(from, to, name, &status);
	if (!S_ISDIR(status.st_mode))
		return copy_node(to, name, &status);
	source = openat(from, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (source < 0 || mkdirat(to, name, 0700) < 0)
		return false;
	copy = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return copy >= 0 && copy_directory(source, copy, depth + 1);
}

/* The directory's own status comes last: copying into it changes its times. */
static bool copy_directory(int from, int to, unsigned int depth)
{
	_cleanup_closedir_ DIR *stream = NULL;
	struct dirent *entry;
	struct stat status;
	int fd;

	if (depth > DEPTH_MAX) {
		errno = ELOOP;
		return false;
	}
	fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	stream = fd < 0 ? NULL : fdopendir(fd);
	if (!stream || fstat(fd, &status) < 0)
		return false;
	for (errno = 0; (entry = readdir(stream)); errno = 0)
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 &&
			!copy_entry(fd, to, entry->d_name, depth))
			return false;
	if (errno != 0)
		return false;
	copy_attributes(fd, to);
	return copy_status(to, &status);
}

int copy_up(int from, int to, struct error *err)
{
	_cleanup_close_ int copy = openat(to, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (copy < 0 || !copy_directory(from, copy, 0))
		return error_set(err, errno, "cannot copy what is there");
	return 0;
}
