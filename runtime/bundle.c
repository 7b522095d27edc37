/* See bundle.h. */
#include "runtime/bundle.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

const char *bundle_path(struct arena *arena, const char *bundle, const char *path)
{
	return path[0] == '/' ? path : arena_printf(arena, "%s/%s", bundle, path);
}

static int check_empty(int fd, const char *path, struct error *err)
{
	_cleanup_closedir_ DIR *directory = fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 3));
	struct dirent *entry;

	if (!directory)
		return error_set(err, errno, "cannot read the bundle directory %s", path);
	while ((entry = readdir(directory)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			return error_set(err, 0,
				"the bundle directory %s is not empty (it holds %s): name a new or an empty "
				"one",
				path, entry->d_name);
	return 0;
}

int bundle_open(const char *path, struct error *err)
{
	_cleanup_close_ int fd = -1;
	bool made = mkdir(path, 0755) == 0;

	if (!made && errno != EEXIST)
		return error_set(err, errno, "cannot make the bundle directory %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, errno, "cannot open the bundle directory %s", path);
	if (!made && check_empty(fd, path, err) < 0)
		return -1;
	return steal_fd(&fd);
}

int bundle_read_file(
	struct arena *arena, const char *path, const char **text, size_t *length, struct error *err)
{
	enum { TOO_LONG = 16 * 1024 * 1024 + 1 }; /* for json_parse() */
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t wanted = TOO_LONG;
	struct stat status;
	char *bytes;
	ssize_t n;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot open %s", path);
	if (S_ISREG(status.st_mode) && status.st_size < TOO_LONG)
		wanted = (size_t)status.st_size; /* a pipe has none */
	bytes = arena_alloc(arena, wanted + 1);
	for (*length = 0; *length < wanted; *length += (size_t)n) {
		n = read(fd, bytes + *length, wanted - *length);
		if (n < 0)
			return error_set(err, errno, "cannot read %s", path);
		if (n == 0)
			break;
	}
	*text = bytes;
	return 0;
}

int bundle_write_file(int directory_fd, const char *path, const char *content, size_t length, mode_t mode,
	struct error *err)
{
	_cleanup_close_ int fd =
		openat(directory_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	size_t written = 0;

	if (fd < 0)
		return error_set(err, errno, "cannot create %s", path);
	while (written < length) {
		ssize_t n = write(fd, content + written, length - written);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return error_set(err, errno, "cannot write %s", path);
		written += (size_t)n;
	}
	/* Not the mode of openat(): the caller's umask must not decide. */
	if (mode != 0600 && fchmod(fd, mode) < 0)
		return error_set(err, errno, "cannot set the mode of %s", path);
	return 0;
}

static int copy_file(
	int directory_fd, const char *path, const char *source_path, mode_t mode, struct error *err)
{
	_cleanup_close_ int source = open(source_path, O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int fd = -1;
	ssize_t n;

	if (source < 0)
		return error_set(err, errno, "cannot open %s", source_path);
	fd = openat(directory_fd, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return error_set(err, errno, "cannot create %s", path);
	do
		n = sendfile(fd, source, NULL, INT_MAX);
	while (n > 0);
	if (n < 0 || fchmod(fd, mode) < 0)
		return error_set(err, errno, "cannot copy %s", source_path);
	return 0;
}

static int write_entry(int bundle_fd, const struct bundle_entry *entry, struct error *err)
{
	switch (entry->kind) {
	case BUNDLE_DIRECTORY:
		if (mkdirat(bundle_fd, entry->path, entry->mode) < 0)
			return error_set(err, errno, "cannot make the directory %s", entry->path);
		return 0;
	case BUNDLE_SYMLINK:
		if (symlinkat(entry->content, bundle_fd, entry->path) < 0)
			return error_set(err, errno, "cannot make the link %s", entry->path);
		return 0;
	case BUNDLE_COPY:
		return copy_file(bundle_fd, entry->path, entry->content, entry->mode, err);
	case BUNDLE_FILE:
		return bundle_write_file(
			bundle_fd, entry->path, entry->content, strlen(entry->content), entry->mode, err);
	}
	return error_set(err, 0, "%s: a bundle entry of unknown kind", entry->path);
}

int bundle_write_entries(
	struct arena *arena, int bundle_fd, const struct compiled *compiled, struct error *err)
{
	const char *text;
	size_t length, i;

	for (i = 0; i < compiled->entries.count; i++)
		if (write_entry(bundle_fd, &compiled->entries.items[i], err) < 0)
			return error_wrap(err, "the bundle");
	if (!compiled->network)
		return 0;
	text = json_format(arena, network_file_write(arena, compiled->network), true, &length);
	return bundle_write_file(bundle_fd, "network.json", text, length, 0600, err) < 0
		       ? error_wrap(err, "the bundle")
		       : 0;
}

int bundle_write_config(struct arena *arena, int directory_fd, const char *path,
	const struct oci_config *config, struct error *err)
{
	size_t length;
	const char *text = json_format(arena, oci_config_write(arena, config), true, &length);

	return bundle_write_file(directory_fd, path, text, length, 0644, err);
}

static int remove_contents(int fd, dev_t device, struct error *err)
{
	_cleanup_closedir_ DIR *directory = fdopendir(fd);
	struct dirent *entry;

	if (!directory) {
		close_fd(fd);
		return error_set(err, errno, "cannot read a bundle directory");
	}
	while ((entry = readdir(directory))) {
		_cleanup_close_ int child = -1;
		struct stat status;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		/* Most directories are empty. Two may remove it at once: the watcher of a supervisor that was killed, and `delete`. */
		if (unlinkat(dirfd(directory), entry->d_name, entry->d_type == DT_DIR ? AT_REMOVEDIR : 0) ==
				0 ||
			errno == ENOENT)
			continue;
		if (errno != EISDIR && errno != EPERM && errno != ENOTEMPTY)
			return error_set(err, errno, "cannot remove %s", entry->d_name);
		child = openat(
			dirfd(directory), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (child < 0 && errno == ENOENT)
			continue;
		if (child < 0 || fstat(child, &status) < 0)
			return error_set(err, errno, "cannot open %s to remove it", entry->d_name);
		if (status.st_dev != device)
			return error_set(err, EBUSY, "%s is a mount point", entry->d_name);
		if (remove_contents(steal_fd(&child), device, err) < 0)
			return error_wrap(err, "%s", entry->d_name);
		if (unlinkat(dirfd(directory), entry->d_name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			return error_set(err, errno, "cannot remove the directory %s", entry->d_name);
	}
	return 0;
}

int bundle_remove(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot open %s to remove it", path);
	if (remove_contents(steal_fd(&fd), status.st_dev, err) < 0)
		return error_wrap(err, "%s", path);
	if (rmdir(path) < 0 && errno != ENOENT)
		return error_set(err, errno, "cannot remove %s", path);
	return 0;
}
