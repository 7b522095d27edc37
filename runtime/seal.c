/* See seal.h. */
#include "runtime/seal.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

enum { WANTED_SEALS = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE };

extern char **environ;

static bool is_sealed(int fd)
{
	struct statvfs status;
	int seals;

	if (fstatvfs(fd, &status) == 0 && (status.f_flag & ST_RDONLY))
		return true;
	seals = fcntl(fd, F_GET_SEALS);
	return seals >= 0 && (seals & WANTED_SEALS) == WANTED_SEALS;
}

/* Nobody in a container has more rights over the file than we have ourselves. */
static bool out_of_reach(int fd)
{
	struct stat status;

	return geteuid() != 0 && fstat(fd, &status) == 0 && status.st_uid != geteuid() &&
	       faccessat(fd, "", W_OK, AT_EMPTY_PATH | AT_EACCESS) < 0;
}

/* A view of the file through a mount of its own, which is in no namespace and read-only. */
static int read_only_view(void)
{
	_cleanup_close_ int fd = open_tree(AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	struct mount_attr attributes = { .attr_set = MOUNT_ATTR_RDONLY };

	if (fd < 0 || mount_setattr(fd, "", AT_EMPTY_PATH, &attributes, sizeof(attributes)) < 0)
		return -1;
	return steal_fd(&fd);
}

/* Without the privilege to mount, or before Linux 5.12: a copy in memory that nobody can change any more. */
static int sealed_copy(int self, struct error *err)
{
	_cleanup_close_ int fd = memfd_create("fence", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	struct stat status;
	off_t offset = 0;

	if (fd < 0 || fstat(self, &status) < 0)
		return error_set(err, errno, "cannot copy fence's own binary into memory");
	while (offset < status.st_size)
		if (sendfile(fd, self, &offset, (size_t)(status.st_size - offset)) <= 0)
			return error_set(err, errno, "cannot copy fence's own binary into memory");
	if (fcntl(fd, F_ADD_SEALS, WANTED_SEALS) < 0)
		return error_set(err, errno, "cannot seal the copy of fence's own binary");
	return steal_fd(&fd);
}

int seal_self(char **argv, struct error *err)
{
	_cleanup_close_ int self = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int sealed = -1;

	if (self < 0)
		return error_set(err, errno, "cannot open /proc/self/exe");
	if (is_sealed(self) || out_of_reach(self))
		return 0;
	sealed = read_only_view();
	if (sealed < 0)
		sealed = sealed_copy(self, err);
	if (sealed < 0)
		return -1;
	syscall(SYS_execveat, sealed, "", argv, environ, AT_EMPTY_PATH);
	return error_set(err, errno, "cannot execute the sealed copy of fence");
}
