/* See namespace.h. */
#include "netns/namespace.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <poll.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

void namespace_close(struct network_namespace *namespace)
{
	namespace->net = close_fd(namespace->net);
	namespace->owner = close_fd(namespace->owner);
}

static bool same_file(int fd, const char *path, struct stat *status)
{
	struct stat other;

	return fstat(fd, status) == 0 && stat(path, &other) == 0 && status->st_dev == other.st_dev &&
	       status->st_ino == other.st_ino;
}

static int open_owner(struct network_namespace *namespace, struct error *err)
{
	struct stat status;

	namespace->owner = ioctl(namespace->net, NS_GET_USERNS);
	if (namespace->owner < 0)
		return error_set(err, errno,
			"cannot find the user namespace that owns the container's network; the hook must run "
			"as the "
			"container's owner or as root");
	if (same_file(namespace->owner, "/proc/self/ns/user", &status))
	namespace->owner = close_fd(namespace->owner);
	return 0;
}

int namespace_open(pid_t pid, int pidfd, struct network_namespace *namespace, struct error *err)
{
	struct pollfd ended = { .fd = pidfd, .events = POLLIN };
	struct stat status;
	char path[64];

	*namespace = NAMESPACE_NONE;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", (int)pid);
	namespace->net = open(path, O_RDONLY | O_CLOEXEC);
	if (namespace->net < 0)
		return error_set(err, errno, "cannot open %s, the container's network namespace", path);
	if (poll(&ended, 1, 0) != 0) {
		namespace_close(namespace);
		return error_set(err, ESRCH, "the container's process %d has ended already", (int)pid);
	}
	if (same_file(namespace->net, "/proc/self/ns/net", &status)) {
		namespace_close(namespace);
		return error_set(err, 0,
			"the container shares the host's network; give it its own: "
			"{\"type\": \"network\"} in linux.namespaces");
	}
	namespace->device = status.st_dev;
	namespace->inode = status.st_ino;
	if (open_owner(namespace, err) < 0) {
		namespace_close(namespace);
		return -1;
	}
	return 0;
}

int namespace_enter(const struct network_namespace *namespace, struct error *err)
{
	if (namespace->owner >= 0 && setns(namespace->owner, CLONE_NEWUSER) < 0)
		return error_set(
			err, errno, "cannot join the user namespace that owns the container's network");
	if (setns(namespace->net, CLONE_NEWNET) < 0)
		return error_set(err, errno, "cannot join the container's network namespace");
	return 0;
}
