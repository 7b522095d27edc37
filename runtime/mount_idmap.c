/* See mount_idmap.h. A user namespace is made by a process that enters it; it is not needed any more once we have the fd. */
#include "runtime/mount_idmap.h"

#include "runtime/idmap.h"
#include "runtime/namespaces.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
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

static int open_namespace(const char *path, struct error *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? error_set(err, errno, "cannot open the user namespace %s", path) : fd;
}

static int namespace_with(const oci_id_mappings *uids, const oci_id_mappings *gids, struct error *err)
{
	pid_t pid = start_holder();
	bool can_set_groups;
	char path[64];
	int fd = -1;

	if (pid < 0)
		return error_set(err, errno, "cannot make a user namespace for id mappings");
	snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
	if (idmap_write(pid, uids, gids, &can_set_groups, err) == 0)
		fd = open_namespace(path, err);
	stop_holder(pid);
	return fd;
}

/* ---- mappings in an option ---- */

static int bad_words(const char *words, struct error *err)
{
	return error_set(err, 0, "\"idmap=%s\": write uids=FROM-TO-COUNT#…;gids=FROM-TO-COUNT#…", words);
}

static int parse_range(struct arena *arena, const char *range, const oci_id_mappings *container,
	oci_id_mappings *mappings, struct error *err)
{
	bool relative = *range == '@';
	struct oci_id_mapping *mapping;
	uint32_t from, to, count;
	int length = 0;

	if (sscanf(range + relative, "%" SCNu32 "-%" SCNu32 "-%" SCNu32 "%n", &from, &to, &count, &length) !=
			3 ||
		range[relative + length])
		return bad_words(range, err);
	if (relative && !idmap_outside(container, to, &to))
		return error_set(err, 0, "\"idmap\": %u is not mapped in the container's user namespace", to);
	mapping = arena_push(arena, &mappings->items, &mappings->count, sizeof(*mapping));
	mapping->container_id = (struct optional_uint32){ true, from };
	mapping->host_id = (struct optional_uint32){ true, to };
	mapping->size = (struct optional_uint32){ true, count };
	return 0;
}

static int parse_words(struct arena *arena, const char *words, const struct oci_linux *linux,
	oci_id_mappings *uids, oci_id_mappings *gids, struct error *err)
{
	char *rest = arena_strdup(arena, words), *list, *range;

	while ((list = strsep(&rest, ";"))) {
		bool users = strncmp(list, "uids=", 5) == 0;

		if (!users && strncmp(list, "gids=", 5) != 0)
			return bad_words(words, err);
		list += 5;
		while ((range = strsep(&list, "#")))
			if (parse_range(arena, range, users ? &linux->uid_mappings : &linux->gid_mappings,
				    users ? uids : gids, err) < 0)
				return -1;
	}
	return uids->count && gids->count ? 0 : bad_words(words, err);
}

int mount_idmap_namespace(struct arena *arena, const struct oci_config *config, const struct oci_mount *mount,
	const char *words, struct error *err)
{
	const struct oci_namespace *joined = oci_namespace_find(config, "user");
	const struct oci_linux *linux = config->linux;
	oci_id_mappings uids = { 0 }, gids = { 0 };

	if (words)
		return parse_words(arena, words, linux, &uids, &gids, err) < 0
			       ? -1
			       : namespace_with(&uids, &gids, err);
	if (mount->uid_mappings.count)
		return namespace_with(&mount->uid_mappings, &mount->gid_mappings, err);
	if (joined && joined->path)
		return open_namespace(joined->path, err);
	if (linux && linux->uid_mappings.count && linux->gid_mappings.count)
		return namespace_with(&linux->uid_mappings, &linux->gid_mappings, err);
	return error_set(err, 0,
		"\"idmap\" has no mappings; give uidMappings and gidMappings, or the container a user "
		"namespace with "
		"some");
}
