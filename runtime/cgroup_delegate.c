/* Giving a v2 cgroup to whom the container's processes run as, so that an init system in it can make cgroups below: config-linux.md,
 * "Cgroup ownership".
 *
 * Must never give away a file that the kernel does not list for that: the limits stay out of the container's reach.
 */
#include "runtime/cgroup_internal.h"
#include "runtime/idmap.h"
#include "runtime/proc_file.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static bool has_option(const struct oci_mount *mount, const char *option)
{
	for (size_t i = 0; i < mount->options.count; i++)
		if (strcmp(mount->options.items[i], option) == 0)
			return true;
	return false;
}

static bool may_write(const struct oci_config *config)
{
	for (size_t i = 0; i < config->mounts.count; i++) {
		const struct oci_mount *mount = &config->mounts.items[i];

		if (mount->source && strcmp(mount->source, "cgroup") == 0 &&
			strcmp(mount->destination, "/sys/fs/cgroup") == 0 && !has_option(mount, "ro"))
			return true;
	}
	return false;
}

/* Who process.user.uid is on the host. False: in a user namespace that the config only names, or without a mapping. */
static bool find_owner(const struct oci_config *config, uid_t *owner)
{
	*owner = config->process && config->process->user ? config->process->user->uid.value : 0;
	return !oci_namespace_find(config, "user") ||
	       idmap_outside(&config->linux->uid_mappings, *owner, owner);
}

int cgroup_delegate(struct cgroup *cgroup, const struct oci_config *config, struct error *err)
{
	struct cgroup_directory *directory = cgroup && cgroup->unified ? cgroup_v2_directory(cgroup) : NULL;
	char *files, *file;
	uid_t owner;

	if (!directory || cgroup->rootless || cgroup_is_shared(cgroup) || !may_write(config) ||
		!find_owner(config, &owner) || owner == geteuid() || !cgroup_directory_open(directory))
		return 0;
	/* Linux 4.15 */
	files = proc_file_read(cgroup->arena, "/sys/kernel/cgroup/delegate");
	if (!files)
		files = arena_strdup(cgroup->arena, "cgroup.procs\ncgroup.subtree_control\ncgroup.threads");
	if (fchownat(directory->fd, "", owner, (gid_t)-1, AT_EMPTY_PATH) < 0)
		return error_set(
			err, errno, "cannot give the cgroup %s to the user %u", directory->path, owner);
	while ((file = strsep(&files, "\n")))
		if (*file && fchownat(directory->fd, file, owner, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 &&
			errno != ENOENT) /* of a controller that is not enabled */
			return error_set(
				err, errno, "cannot give %s/%s to the user %u", directory->path, file, owner);
	return 0;
}
