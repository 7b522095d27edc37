/* The mount system calls, without libc: glibc 2.36's <sys/mount.h> and the kernel's <linux/mount.h> exclude each other,
 * older libcs have only half of them, and a static libc may lack a newer one. All are Linux 5.2, mount_setattr 5.12.
 */
#pragma once

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { UNMOUNT_DETACH = 2 }; /* MNT_DETACH, which only <sys/mount.h> has */

static inline int call_mount(
	const char *source, const char *target, const char *type, unsigned long flags, const void *data)
{
	return (int)syscall(SYS_mount, source, target, type, flags, data);
}

static inline int call_umount(const char *target, int flags)
{
	return (int)syscall(SYS_umount2, target, flags);
}

static inline int call_pivot_root(const char *new_root, const char *old_root)
{
	return (int)syscall(SYS_pivot_root, new_root, old_root);
}

static inline int call_open_tree(int directory, const char *path, unsigned int flags)
{
	return (int)syscall(SYS_open_tree, directory, path, flags);
}

static inline int call_move_mount(
	int from, const char *from_path, int to, const char *to_path, unsigned int flags)
{
	return (int)syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

static inline int call_fsopen(const char *type, unsigned int flags)
{
	return (int)syscall(SYS_fsopen, type, flags);
}

static inline int call_fspick(int directory, const char *path, unsigned int flags)
{
	return (int)syscall(SYS_fspick, directory, path, flags);
}

static inline int call_fsconfig(int fd, unsigned int command, const char *key, const void *value, int aux)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, aux);
}

static inline int call_fsmount(int fd, unsigned int flags, unsigned int attributes)
{
	return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

static inline int call_mount_setattr(
	int directory, const char *path, unsigned int flags, const struct mount_attr *attributes)
{
	return (int)syscall(
		SYS_mount_setattr, directory, path, flags, attributes, (size_t)MOUNT_ATTR_SIZE_VER0);
}
