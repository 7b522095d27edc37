/* Where a container's cgroup is in each hierarchy: mounts, our own membership, linux.cgroupsPath; saved and recalled.
 *
 * Creates nothing.
 */
#include "runtime/cgroup_internal.h"
#include "runtime/mountinfo.h"
#include "runtime/proc_file.h"
#include "runtime/cgroup_systemd.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/vfs.h>

static const char v2_mount_point[] = "/sys/fs/cgroup";

/* One line of /proc/self/cgroup with the mount where that hierarchy can be reached. */
struct membership {
	char *controllers, *own;	      /* "cpu,cpuacct", the path from the hierarchy's root */
	const char *mount_point, *mount_root; /* NULL: not mounted */
};

struct memberships {
	struct membership *items;
	size_t count;
};

bool cgroup_list_has(const char *list, const char *word)
{
	size_t length = strlen(word);

	while (*list) {
		size_t item = strcspn(list, ", ");

		if (item == length && strncmp(list, word, length) == 0)
			return true;
		list += item + (list[item] != '\0');
	}
	return false;
}

/* "4:memory:/path" per line; the v2 one is "0::/path". */
static int read_memberships(
	struct arena *arena, const char *file, struct memberships *memberships, struct error *err)
{
	char *text = proc_file_read(arena, file), *line;

	if (!text)
		return error_set(err, errno, "cannot read %s", file);
	while ((line = strsep(&text, "\n"))) {
		struct membership *membership;
		char *controllers;

		strsep(&line, ":");
		controllers = strsep(&line, ":");
		if (!controllers || !line)
			continue;
		membership = arena_push(arena, &memberships->items, &memberships->count, sizeof(*membership));
		membership->controllers = controllers;
		membership->own = line;
	}
	return 0;
}

static void match_mount(
	struct memberships *memberships, const char *type, const char *options, char *root, char *mount_point)
{
	bool v2 = strcmp(type, "cgroup2") == 0;

	for (size_t i = 0; i < memberships->count; i++) {
		struct membership *membership = &memberships->items[i];
		char first[64];

		snprintf(first, sizeof(first), "%.*s", (int)strcspn(membership->controllers, ","),
			membership->controllers);
		if (membership->mount_point || v2 != (*first == '\0') ||
			(!v2 && !cgroup_list_has(options, first)))
			continue;
		membership->mount_root = mountinfo_unescape(root);
		membership->mount_point = mountinfo_unescape(mount_point);
		return;
	}
}

/* "31 23 0:28 ROOT MOUNT_POINT options optional… - TYPE SOURCE SUPER_OPTIONS" */
static int find_mounts(struct arena *arena, struct memberships *memberships, struct error *err)
{
	static const char file[] = "/proc/self/mountinfo";
	char *text = proc_file_read(arena, file), *line;

	if (!text)
		return error_set(err, errno, "cannot read %s", file);
	while ((line = strsep(&text, "\n"))) {
		char *separator = strstr(line, " - cgroup"), *type, *root, *mount_point;

		if (!separator)
			continue;
		*separator = '\0';
		separator += strlen(" - ");
		for (int field = 0; field < 3; field++)
			strsep(&line, " ");
		root = strsep(&line, " ");
		mount_point = strsep(&line, " ");
		type = strsep(&separator, " ");
		strsep(&separator, " "); /* the source */
		if (mount_point && separator)
			match_mount(memberships, type, separator, root, mount_point);
	}
	return 0;
}

bool cgroup_host_is_unified(void)
{
	struct statfs file_system;

	return statfs(v2_mount_point, &file_system) == 0 && file_system.f_type == CGROUP2_SUPER_MAGIC;
}

/* Also where v2 is mounted elsewhere, and nothing of v1 is. */
static bool has_v1(const struct memberships *memberships)
{
	for (size_t i = 0; i < memberships->count; i++)
		if (*memberships->items[i].controllers && memberships->items[i].mount_point)
			return true;
	return false;
}

/* Removes empty and "." components, and ".." with what is before it: never above the root. */
static char *clean_path(struct arena *arena, const char *path)
{
	char *clean = arena_alloc(arena, strlen(path) + 2);
	size_t length = 0;

	while (*path) {
		size_t component = strcspn(path, "/");

		if (component == 2 && strncmp(path, "..", 2) == 0) {
			while (length > 0 && clean[--length] != '/')
				;
		} else if (component > 0 && !(component == 1 && *path == '.')) {
			clean[length++] = '/';
			memcpy(clean + length, path, component);
			length += component;
		}
		path += component + (path[component] == '/');
	}
	clean[length] = '\0';
	return clean;
}

static int check_path(const char *path, struct error *err)
{
	for (const char *character = path; *character; character++)
		if ((unsigned char)*character < ' ')
			return error_set(err, 0, "linux.cgroupsPath: has a control character");
	return 0;
}

/* Our own cgroup's path below the mount point, "" for its root; NULL where the mount does not show it. */
static char *own_path(struct arena *arena, const struct membership *membership)
{
	size_t length = strlen(membership->mount_root);

	if (length == 1) /* "/" */
		return clean_path(arena, membership->own);
	if (strncmp(membership->own, membership->mount_root, length) != 0 ||
		(membership->own[length] != '/' && membership->own[length] != '\0'))
		return NULL;
	return clean_path(arena, membership->own + length);
}

/* v2 forbids processes in a cgroup whose children have controllers, and we are in ours: so beside it. */
static char *parent_path(struct arena *arena, char *path)
{
	char *slash = strrchr(path, '/');

	return slash ? arena_strndup(arena, path, slash - path) : path;
}

static void add_hierarchy(
	struct cgroup *cgroup, const char *controllers, const char *mount_point, const char *path)
{
	size_t index = cgroup->count++;

	cgroup->hierarchies[index] = (struct cgroup_hierarchy){
		.controllers = controllers, .mount_point = mount_point, .path = path
	};
	cgroup->directories[index] = (struct cgroup_directory){ .hierarchy = &cgroup->hierarchies[index],
		.path = arena_printf(cgroup->arena, "%s%s", mount_point, path),
		.fd = -1,
		.entry = -1 };
}

static struct cgroup *new_cgroup(struct arena *arena, size_t hierarchies)
{
	struct cgroup *cgroup = arena_alloc(arena, sizeof(*cgroup));

	cgroup->arena = arena;
	cgroup->hierarchies = arena_array(arena, hierarchies, sizeof(*cgroup->hierarchies));
	cgroup->directories = arena_array(arena, hierarchies, sizeof(*cgroup->directories));
	return cgroup;
}

static int memberships_load(struct arena *arena, struct memberships *memberships, struct error *err)
{
	return read_memberships(arena, "/proc/self/cgroup", memberships, err) < 0
		       ? -1
		       : find_mounts(arena, memberships, err);
}

/* Whether somebody was in it before us: looked up once, before anything is made. */
static bool has_processes(const struct cgroup *cgroup)
{
	for (size_t i = 0; i < cgroup->count; i++) {
		_cleanup_free_ char *file = NULL;
		_cleanup_close_ int fd = -1;
		char character;

		if (asprintf(&file, "%s/cgroup.procs", cgroup->directories[i].path) < 0)
			return true;
		fd = open(file, O_RDONLY | O_CLOEXEC);
		if (fd >= 0 && read(fd, &character, 1) > 0)
			return true;
	}
	return false;
}

static int locate_relative(
	struct cgroup *cgroup, const struct membership *membership, const char *below, struct error *err)
{
	char *own = own_path(cgroup->arena, membership);

	if (!own)
		return error_set(err, 0,
			"linux.cgroupsPath: is relative to our own cgroup, but the mount at %s does not show "
			"%s; use an "
			"absolute path",
			membership->mount_point, membership->own);
	if (cgroup->unified)
		own = parent_path(cgroup->arena, own);
	add_hierarchy(cgroup, membership->controllers, membership->mount_point,
		arena_printf(cgroup->arena, "%s%s", own, below));
	return 0;
}

static int locate_all(struct cgroup *cgroup, const struct memberships *memberships, const char *below,
	bool relative, struct error *err)
{
	for (size_t i = 0; i < memberships->count; i++) {
		const struct membership *membership = &memberships->items[i];

		if (!membership->mount_point)
			continue;
		if (!relative)
			add_hierarchy(cgroup, membership->controllers, membership->mount_point, below);
		else if (locate_relative(cgroup, membership, below, err) < 0)
			return -1;
	}
	return 0;
}

int cgroup_locate(struct arena *arena, enum cgroup_manager manager, const char *cgroups_path, const char *id,
	bool rootless, struct cgroup **result, struct error *err)
{
	struct memberships memberships = { 0 };
	bool unified, relative;
	struct cgroup *cgroup;
	const char *below, *unit = NULL;

	*result = NULL;
	if (manager == CGROUP_MANAGER_DISABLED)
		return 0;
	if (manager == CGROUP_MANAGER_SYSTEMD &&
		cgroup_systemd_locate(arena, cgroups_path, id, rootless, &unit, &cgroups_path, err) < 0)
		return -1;
	if (!cgroups_path || !*cgroups_path)
		cgroups_path = id;
	relative = *cgroups_path != '/';
	below = clean_path(arena, cgroups_path);
	if (check_path(below, err) < 0)
		return -1;
	if (!*below)
		return error_set(
			err, 0, "linux.cgroupsPath: \"%s\" names no cgroup below the root", cgroups_path);
	unified = cgroup_host_is_unified();
	/* The commonest case needs neither file, and mountinfo is long where many containers run. */
	if ((!unified || relative) && memberships_load(arena, &memberships, err) < 0)
		return -1;
	cgroup = new_cgroup(arena, memberships.count + 1);
	cgroup->rootless = rootless;
	cgroup->unified = unified || !has_v1(&memberships);
	if (unified && !relative)
		add_hierarchy(cgroup, "", v2_mount_point, below);
	else if (locate_all(cgroup, &memberships, below, relative, err) < 0)
		return -1;
	cgroup->path = below;
	cgroup->unit = unit;
	*result = cgroup;
	return 0;
}

void cgroup_examine(struct cgroup *cgroup)
{
	if (!cgroup->examined && !cgroup->unit) /* nobody is in a unit before it is made */
		cgroup->joined = has_processes(cgroup);
	cgroup->examined = true;
}

/* "owned", "joined" or "unit", "rootless" or "privileged", "/a"; then a line per hierarchy: "memory:/a/b". */
const char *cgroup_save(struct arena *arena, struct cgroup *cgroup)
{
	char *text;

	if (!cgroup)
		return NULL;
	cgroup_examine(cgroup);
	text = arena_printf(arena, "%s %s %s",
		cgroup->unit	 ? "unit"
		: cgroup->joined ? "joined"
				 : "owned",
		cgroup->rootless ? "rootless" : "privileged", cgroup->path);
	for (size_t i = 0; i < cgroup->count; i++)
		text = arena_printf(arena, "%s\n%s:%s", text, cgroup->hierarchies[i].controllers,
			cgroup->hierarchies[i].path);
	return text;
}

static const char *mount_point_of(const struct memberships *memberships, const char *controllers)
{
	for (size_t i = 0; i < memberships->count; i++)
		if (strcmp(memberships->items[i].controllers, controllers) == 0)
			return memberships->items[i].mount_point;
	return NULL;
}

int cgroup_recall(struct arena *arena, const char *saved, struct cgroup **result, struct error *err)
{
	struct memberships memberships = { 0 };
	bool unified = cgroup_host_is_unified(), is_unit;
	struct cgroup *cgroup;
	char *text, *line, *word;

	*result = NULL;
	if (!saved)
		return 0;
	text = arena_strdup(arena, saved);
	line = strsep(&text, "\n");
	if (!unified && memberships_load(arena, &memberships, err) < 0)
		return -1;
	cgroup = new_cgroup(arena, memberships.count + 1);
	cgroup->unified = unified || !has_v1(&memberships);
	word = strsep(&line, " ");
	cgroup->joined = strcmp(word, "joined") == 0;
	is_unit = strcmp(word, "unit") == 0;
	cgroup->examined = true;
	word = strsep(&line, " ");
	cgroup->rootless = word && strcmp(word, "rootless") == 0;
	cgroup->path = line ? line : "";
	if (is_unit)
		cgroup->unit = basename(cgroup->path);
	while ((line = strsep(&text, "\n"))) {
		const char *controllers = strsep(&line, ":");
		const char *mount_point =
			unified ? v2_mount_point : mount_point_of(&memberships, controllers);

		if (!line || !mount_point || cgroup->count > memberships.count)
			return error_set(err, 0,
				"the cgroup hierarchy \"%s\" that the container is in is not mounted any "
				"more",
				controllers);
		add_hierarchy(cgroup, controllers, mount_point, line);
	}
	*result = cgroup;
	return 0;
}

static void lead(struct cgroup *cgroup, struct cgroup_directory *directory, const char *path)
{
	directory->path = arena_printf(cgroup->arena, "%s%s", directory->hierarchy->mount_point, path);
	directory->fd = close_fd(directory->fd);
	directory->entry = close_fd(directory->entry);
}

static bool leads_up(struct arena *arena, const char *path)
{
	char *rest = arena_strdup(arena, path), *component;

	while ((component = strsep(&rest, "/")))
		if (strcmp(component, "..") == 0)
			return true;
	return false;
}

static int descend_one(struct cgroup *cgroup, const char *controller, const char *path, struct error *err)
{
	for (size_t i = 0; i < cgroup->count; i++) {
		const struct cgroup_hierarchy *hierarchy = &cgroup->hierarchies[i];

		if (controller && !cgroup_list_has(hierarchy->controllers, controller))
			continue;
		lead(cgroup, &cgroup->directories[i],
			arena_printf(cgroup->arena, "%s%s", hierarchy->path, path));
		if (controller)
			return 0;
	}
	return controller ? error_set(err, 0, "--cgroup: unknown controller \"%s\"", controller) : 0;
}

int cgroup_descend(struct cgroup *cgroup, const struct string_list *places, struct error *err)
{
	for (size_t i = 0; i < places->count; i++) {
		char *path = arena_strdup(cgroup->arena, places->items[i]), *controller;
		char *controllers = strchr(path, ':') ? strsep(&path, ":") : NULL;

		if (leads_up(cgroup->arena, path))
			return error_set(err, 0,
				"--cgroup: bad sub cgroup path \"%s\": it leads out of the container's",
				path);
		path = clean_path(cgroup->arena, path);
		if (!controllers && descend_one(cgroup, NULL, path, err) < 0)
			return -1;
		while ((controller = strsep(&controllers, ",")))
			if (descend_one(cgroup, controller, path, err) < 0)
				return -1;
	}
	return 0;
}

static bool takes_processes(const struct cgroup_directory *directory)
{
	char controllers[512];

	return cgroup_read(directory->fd, "cgroup.subtree_control", controllers, sizeof(controllers)) &&
	       !*controllers;
}

int cgroup_follow_init(struct cgroup *cgroup, pid_t init, struct error *err)
{
	struct cgroup_directory *directory = cgroup && cgroup->unified ? cgroup_v2_directory(cgroup) : NULL;
	struct memberships memberships = { 0 };
	const char *file;

	if (!directory || !cgroup_directory_open(directory) || takes_processes(directory))
		return 0;
	file = arena_printf(cgroup->arena, "/proc/%d/cgroup", init);
	if (read_memberships(cgroup->arena, file, &memberships, err) < 0)
		return -1;
	for (size_t i = 0; i < memberships.count; i++)
		if (!*memberships.items[i].controllers)
			lead(cgroup, directory, clean_path(cgroup->arena, memberships.items[i].own));
	return 0;
}
