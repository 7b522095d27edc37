/* See sysctl.h. */
#include "runtime/sysctl.h"

#include "runtime/mount.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

enum { KEY_MAX = 512 };

/* "net.ipv4.conf.eth0/1.forwarding" and "net/ipv4/conf/eth0.1/forwarding" are the same, as sysctl(8) has it: whichever of
 * the two comes first separates. */
static bool path_of(const char *key, char path[KEY_MAX])
{
	size_t length = strlen(key);
	bool dots = key[strcspn(key, "./")] == '.';

	if (length == 0 || length >= KEY_MAX)
		return false;
	for (size_t i = 0; i <= length; i++) {
		path[i] = key[i];
		if (dots && (key[i] == '.' || key[i] == '/'))
			path[i] = key[i] == '.' ? '/' : '.';
	}
	return !strstr(path, ".."); /* the second wall behind the validation: it would be the host's */
}

static bool is_procfs(int fd)
{
	struct statfs status;

	return fstatfs(fd, &status) == 0 && status.f_type == PROC_SUPER_MAGIC;
}

/* -1 with errno. */
static int write_one(int sys, const char *path, const char *value)
{
	struct open_how how = {
		.flags = O_WRONLY | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS,
	};
	_cleanup_close_ int fd = (int)syscall(SYS_openat2, sys, path, &how, sizeof(how));

	if (fd < 0)
		return -1;
	return write(fd, value, strlen(value)) < 0 ? -1 : 0;
}

/* A runtime in a container finds /proc/sys read-only. */
static int new_procfs_sys(struct error *err)
{
	static const struct mount_options none = { 0 };
	_cleanup_close_ int procfs = -1;
	int sys;

	if (mount_create("proc", "proc", &none, NULL, false, &procfs, err) < 0)
		return -1;
	sys = openat(procfs, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	return sys < 0 ? error_set(err, errno, "cannot open sys in a new procfs") : sys;
}

static int write_all(int sys, const struct oci_linux *linux, struct error *err)
{
	char path[KEY_MAX];

	for (size_t i = 0; i < linux->sysctl.count; i++) {
		const char *key = linux->sysctl.items[i].key, *value = linux->sysctl.items[i].value;

		if (!path_of(key, path))
			return error_set(err, 0, "linux.sysctl: \"%s\" is no name of a setting", key);
		if (write_one(sys, path, value) < 0)
			return error_set(err, errno, "linux.sysctl: cannot set %s to \"%s\"", key, value);
	}
	return 0;
}

int sysctl_write(const struct oci_linux *linux, struct error *err)
{
	_cleanup_close_ int sys = -1, new_sys = -1;
	struct error why = { 0 };

	if (!linux || !linux->sysctl.count)
		return 0;
	sys = open("/proc/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (sys < 0 || !is_procfs(sys))
		error_set(&why, ENOENT, "/proc is no procfs");
	else if (write_all(sys, linux, &why) == 0)
		return 0;
	if (why.number == EROFS || why.number == ENOENT)
		new_sys = new_procfs_sys(err);
	if (new_sys >= 0)
		return write_all(new_sys, linux, err);
	if (err)
		*err = why;
	return -1;
}
