/* See mount_idmap.h. A user namespace is made by a process that enters it; it is not needed any more once we have the fd. */
#include "runtime/mount_idmap.h"

#include "runtime/idmap.h"
#include "runtime/namespaces.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static pid_t start_holder(void)
{
	_cleanup_close_ int pidfd = -1;
	pid_t parent = getpid(), pid;
	bool in_cgroup;

	pid = namespaces_clone(CLONE_NEWUSER, -1, &pidfd, &in_cgroup);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent)
		pause();
	_exit(0);
}

static void stop_holder(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
}

static int open_namespace(
	pid_t pid, const oci_id_mappings *uids, const oci_id_mappings *gids, struct error *err)
{
	bool can_set_groups;
	char path[64];
	int fd;

	if (idmap_write(pid, uids, gids, &can_set_groups, err) < 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "cannot open %s", path) : fd;
}

int mount_idmap_namespace(const struct oci_config *config, const struct oci_mount *mount, struct error *err)
{
	bool own = mount->uid_mappings.count > 0;
	const oci_id_mappings *uids = own ? &mount->uid_mappings : &config->linux->uid_mappings;
	const oci_id_mappings *gids = own ? &mount->gid_mappings : &config->linux->gid_mappings;
	pid_t pid;
	int fd;

	if (!uids->count || !gids->count)
		return error_set(err, 0,
			"\"idmap\" has no mappings; give uidMappings and gidMappings, or the container a "
			"user "
			"namespace with some");
	pid = start_holder();
	if (pid < 0)
		return error_set(err, errno, "cannot make a user namespace for id mappings");
	fd = open_namespace(pid, uids, gids, err);
	stop_holder(pid);
	return fd;
}
