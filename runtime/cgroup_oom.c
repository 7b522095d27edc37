/* Being told when the kernel kills a process of the container for want of memory.
 */
#include "runtime/cgroup_internal.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>

/* v1 signals an eventfd that is registered with the file that is watched. */
static int watch_v1(int directory)
{
	_cleanup_close_ int control = openat(directory, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	_cleanup_close_ int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	char text[64];

	snprintf(text, sizeof(text), "%d %d", event, control);
	if (control < 0 || event < 0 || !cgroup_write(directory, "cgroup.event_control", text))
		return -1;
	return steal_fd(&event);
}

static bool read_kills(int events, uint64_t *kills)
{
	char text[512], *found;
	ssize_t length = pread(events, text, sizeof(text) - 1, 0);

	if (length < 0)
		return false;
	text[length] = '\0';
	found = strstr(text, "oom_kill ");
	*kills = found ? strtoull(found + strlen("oom_kill "), NULL, 10) : 0;
	return found != NULL;
}

int cgroup_oom_watch(struct cgroup *cgroup, struct cgroup_oom *oom, struct error *err)
{
	struct cgroup_directory *directory = cgroup ? cgroup_controller(cgroup, "memory") : NULL;

	*oom = (struct cgroup_oom){ .fd = -1 };
	if (!directory || !cgroup_directory_open(directory))
		return error_set(err, directory ? errno : 0,
			"the container has no memory cgroup that would tell of killed processes");
	oom->directory = directory->fd;
	oom->v2 = hierarchy_is_v2(directory->hierarchy);
	oom->fd = oom->v2 ? openat(directory->fd, "memory.events", O_RDONLY | O_CLOEXEC)
			  : watch_v1(directory->fd);
	if (oom->fd < 0 || (oom->v2 && !read_kills(oom->fd, &oom->kills)))
		return error_set(err, errno, "cannot watch %s for killed processes", directory->path);
	return 0;
}

short cgroup_oom_events(const struct cgroup_oom *oom)
{
	return oom->v2 ? POLLPRI : POLLIN;
}

bool cgroup_oom_happened(struct cgroup_oom *oom)
{
	uint64_t before = oom->kills, count;

	if (oom->v2)
		return read_kills(oom->fd, &oom->kills) && oom->kills > before;
	/* v1 signals the end of the cgroup too. */
	return read(oom->fd, &count, sizeof(count)) == sizeof(count) &&
	       faccessat(oom->directory, "cgroup.event_control", F_OK, 0) == 0;
}
