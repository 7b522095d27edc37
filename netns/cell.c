/* See cell.h. */
#include "netns/cell.h"

#include "netns/cell_filter.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

enum {
	NOBODY = 65534,
	DESCRIPTORS_MAX = 65536 + 64,
	ADDRESS_SPACE_MAX = 512 << 20, /* 65,536 flows of 1 KiB, the names, the buffers: some 150 MiB */
};

/* User 65534, by this process itself: only as root of a user namespace that has that user. */
static bool can_become_nobody(void)
{
	bool mapped;

	if (geteuid() != 0)
		return false;
	setfsuid(NOBODY); /* which fails in silence where there is no such user */
	mapped = setfsuid(0) == NOBODY;
	return mapped;
}

static int write_file(const char *path, const char *text, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		return error_set(err, errno, "cannot write %s for the relay's user namespace", path);
	return 0;
}

/* An ordinary user stays who it is, in a user namespace of its own: there it may make the other namespaces, and has nothing else. */
pid_t cell_fork(struct cell *cell, struct error *err)
{
	unsigned long flags = CLONE_NEWPID | SIGCHLD;
	pid_t process;

	*cell = (struct cell){ !can_become_nobody(), geteuid(), getegid() };
	if (cell->user_namespace)
		flags |= CLONE_NEWUSER;
	process = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
	if (process < 0)
		return error_set(err, errno,
			"cannot make the relay's namespaces (kernel.unprivileged_userns_clone, "
			"user.max_user_namespaces, user.max_pid_namespaces or AppArmor forbid it)");
	return process;
}

int cell_settle(const struct cell *cell, struct error *err)
{
	char map[64];

	if (!cell->user_namespace)
		return 0;
	snprintf(map, sizeof(map), "%u %u 1", cell->uid, cell->uid);
	if (write_file("/proc/self/setgroups", "deny", err) < 0 ||
		write_file("/proc/self/uid_map", map, err) < 0)
		return -1;
	snprintf(map, sizeof(map), "%u %u 1", cell->gid, cell->gid);
	return write_file("/proc/self/gid_map", map, err);
}

static int set_option(int fs, unsigned int command, const char *key, const char *value)
{
	return (int)syscall(SYS_fsconfig, fs, command, key, value, 0);
}

static int make_empty_root(void)
{
	_cleanup_close_ int fs = (int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs < 0 || set_option(fs, FSCONFIG_SET_STRING, "size", "4096") < 0 ||
		set_option(fs, FSCONFIG_SET_STRING, "mode", "0555") < 0 ||
		set_option(fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
		return -1;
	return (int)syscall(SYS_fsmount, fs, FSMOUNT_CLOEXEC,
		MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

/* The new root goes over the old one, which is then let go: nothing of the host is mounted any more. */
static int enter_empty_root(struct error *err)
{
	_cleanup_close_ int root = -1;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return error_set(err, errno, "cannot make the relay's mount namespace");
	root = make_empty_root();
	if (root < 0 || syscall(SYS_move_mount, root, "", AT_FDCWD, "/", MOVE_MOUNT_F_EMPTY_PATH) < 0 ||
		fchdir(root) < 0)
		return error_set(err, errno, "cannot make the relay's empty root");
	if (syscall(SYS_pivot_root, ".", ".") == 0) {
		if (umount2(".", MNT_DETACH) < 0)
			return error_set(err, errno, "cannot let go of the host's root");
	} else if (errno !=
		   EINVAL) { /* EINVAL: the host runs from its initramfs, which cannot be let go of */
		return error_set(err, errno, "cannot enter the relay's empty root");
	}
	if (chroot(".") < 0 || chdir("/") < 0)
		return error_set(err, errno, "cannot enter the relay's empty root");
	return 0;
}

static int lock_capabilities(struct error *err)
{
	for (int capability = 0, held; (held = prctl(PR_CAPBSET_READ, capability)) >= 0; capability++) {
		if (held && prctl(PR_CAPBSET_DROP, capability) < 0)
			return error_set(err, errno, "cannot drop capability %d", capability);
	}
	if (prctl(PR_SET_SECUREBITS, SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP_LOCKED |
					     SECBIT_KEEP_CAPS_LOCKED | SECBIT_NO_CAP_AMBIENT_RAISE |
					     SECBIT_NO_CAP_AMBIENT_RAISE_LOCKED) < 0)
		return error_set(err, errno, "cannot lock the relay's capabilities");
	return 0;
}

static int become_nobody(struct error *err)
{
	if (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
		setresuid(NOBODY, NOBODY, NOBODY) < 0)
		return error_set(err, errno, "cannot become user %d", NOBODY);
	return 0;
}

static int drop_capabilities(struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = { 0 };

	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		syscall(SYS_capset, &header, none) < 0)
		return error_set(err, errno, "cannot drop the relay's capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return error_set(err, errno, "cannot set no_new_privs on the relay");
	return 0;
}

/* Never above the hard limit, which may not be raised even by root. */
static int set_limit(__rlimit_resource_t resource, rlim_t wanted, const char *name, struct error *err)
{
	struct rlimit limit;

	if (getrlimit(resource, &limit) < 0)
		return error_set(err, errno, "cannot read the limit of %s", name);
	if (limit.rlim_max == RLIM_INFINITY || limit.rlim_max > wanted)
		limit.rlim_max = wanted;
	limit.rlim_cur = limit.rlim_max;
	return setrlimit(resource, &limit) < 0 ? error_set(err, errno, "cannot limit the relay's %s", name)
					       : 0;
}

static int set_limits(struct error *err)
{
	if (set_limit(RLIMIT_NOFILE, DESCRIPTORS_MAX, "descriptors", err) < 0 ||
		set_limit(RLIMIT_CORE, 0, "core dumps", err) < 0 ||
		set_limit(RLIMIT_MEMLOCK, 0, "locked memory", err) < 0)
		return -1;
	return SANITIZED ? 0 : set_limit(RLIMIT_AS, ADDRESS_SPACE_MAX, "memory", err);
}

/* Landlock's own numbers, since the headers of older distributions lack the newer ones. */
struct landlock_ruleset {
	uint64_t handled_access_fs, handled_access_net, scoped;
};

struct landlock_port {
	uint64_t access, port;
};

enum {
	LANDLOCK_VERSION = 1,	/* flag of landlock_create_ruleset */
	LANDLOCK_PORT_RULE = 2, /* type of landlock_add_rule */
	LANDLOCK_NET_BIND_TCP = 1,
	LANDLOCK_NET_CONNECT_TCP = 2, /* both ABI 4 */
	LANDLOCK_SCOPE_ALL = 1 | 2,   /* ABI 6: abstract Unix sockets, signals */
};

static int allow_port(int ruleset, uint16_t port)
{
	struct landlock_port rule = { LANDLOCK_NET_CONNECT_TCP, port };

	return (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_PORT_RULE, &rule, 0);
}

/* Where all goes by proxies, the relay itself connects to them, the resolver and the servers inside, and nowhere else. */
static int allow_ports(int ruleset, const struct relay_config *config)
{
	if (config->dns.family && allow_port(ruleset, config->dns.port) < 0)
		return -1;
	for (size_t i = 0; i < config->proxy_count; i++) {
		if (config->proxies[i].address.family != AF_UNIX &&
			allow_port(ruleset, config->proxies[i].address.port) < 0)
			return -1;
	}
	for (size_t i = 0; i < config->inbound_count; i++) {
		if (!config->inbound[i].udp && allow_port(ruleset, config->inbound[i].inner_port) < 0)
			return -1;
	}
	return 0;
}

/* Every access to files is handled and none granted. Where the kernel has no Landlock, the empty root and the filter do. */
static int deny_by_landlock(const struct relay_config *config, struct error *err)
{
	static const unsigned int fs_rights[] = { 0, 13, 14, 15, 15, 16 }; /* by ABI */
	int abi = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	_cleanup_close_ int ruleset = -1;
	struct landlock_ruleset all = { 0 };

	if (abi <= 0)
		return 0;
	all.handled_access_fs =
		(1u << fs_rights[abi < (int)ARRAY_SIZE(fs_rights) ? abi : (int)ARRAY_SIZE(fs_rights) - 1]) -
		1;
	if (abi >= 4)
		all.handled_access_net =
			LANDLOCK_NET_BIND_TCP | (config->proxy_count ? LANDLOCK_NET_CONNECT_TCP : 0);
	all.scoped = abi >= 6 ? LANDLOCK_SCOPE_ALL : 0;
	ruleset = (int)syscall(SYS_landlock_create_ruleset, &all,
		abi >= 6 ? sizeof(all)
			 : offsetof(struct landlock_ruleset, scoped) - (abi < 4 ? sizeof(uint64_t) : 0),
		0);
	if (ruleset < 0 ||
		((all.handled_access_net & LANDLOCK_NET_CONNECT_TCP) && allow_ports(ruleset, config) < 0) ||
		syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_set(err, errno, "cannot set Landlock on the relay");
	return 0;
}

int cell_enter(const struct relay_config *config, struct error *err)
{
	if (enter_empty_root(err) < 0 || lock_capabilities(err) < 0 ||
		(!config->cell.user_namespace && become_nobody(err) < 0) || drop_capabilities(err) < 0 ||
		set_limits(err) < 0 || deny_by_landlock(config, err) < 0)
		return -1;
	return SANITIZED ? 0 : cell_filter_install(err);
}
