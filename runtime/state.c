/* See state.h. */
#include "runtime/state.h"

#include "runtime/bundle.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

static const struct field state_fields[] = {
	FIELD(struct state, oci_version, "ociVersion", STRING),
	FIELD(struct state, id, "id", STRING, .required = true),
	FIELD(struct state, bundle, "bundle", STRING, .required = true),
	FIELD(struct state, rootfs, "rootfs", STRING),
	FIELD(struct state, created, "created", STRING),
	FIELD(struct state, cgroup, "cgroup", STRING),
	FIELD(struct state, config, "config", STRING),
	FIELD(struct state, pid, "pid", INT64),
	FIELD(struct state, pid_start_time, "pidStartTime", UINT64),
	FIELD(struct state, owner, "owner", UINT32),
	FIELD(struct state, rootless, "rootless", BOOLEAN),
	FIELD(struct state, foreground, "foreground", BOOLEAN),
	FIELD(struct state, restoring, "restoring", BOOLEAN),
	FIELD(struct state, time_namespace, "timeNamespace", BOOLEAN),
	FIELD(struct state, resctrl, "resctrl", BOOLEAN),
	FIELD(struct state, root_mount, "rootMount", UINT64),
	FIELD(struct state, annotations, "annotations", STRING_MAP),
};
static const struct object_type state_type = OBJECT_TYPE(struct state, state_fields);

static const char *const status_names[] = {
	[CONTAINER_CREATING] = "creating",
	[CONTAINER_CREATED] = "created",
	[CONTAINER_RUNNING] = "running",
	[CONTAINER_PAUSED] = "paused",
	[CONTAINER_STOPPED] = "stopped",
};

const char *container_status_name(enum container_status status)
{
	return status_names[status];
}

static int check_private(const char *path, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot open the state directory %s", path);
	if (status.st_uid != geteuid() || (status.st_mode & 0077))
		return error_set(err, 0,
			"the state directory %s is not ours alone: remove it, or name another with --root",
			path);
	return 0;
}

static bool look_at_mappings(void)
{
	_cleanup_close_ int fd = -1;
	unsigned int inside, outside, size;
	char text[128];
	ssize_t length;

	if (geteuid() != 0)
		return true;
	fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
	length = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return sscanf(text, "%u %u %u", &inside, &outside, &size) != 3 || outside != 0 || size != UINT32_MAX;
}

static enum state_rootless rootless;

void state_set_rootless(enum state_rootless answer)
{
	rootless = answer;
}

bool state_is_rootless(void)
{
	if (rootless == STATE_ROOTLESS_AUTO)
		rootless = look_at_mappings() ? STATE_ROOTLESS : STATE_ROOTFUL;
	return rootless == STATE_ROOTLESS;
}

int state_root(struct arena *arena, const char *given, const char **root, struct error *err)
{
	const char *runtime_directory = getenv("XDG_RUNTIME_DIR");
	bool shared_parent = false;

	if (given) {
		*root = given;
	} else if (!state_is_rootless()) {
		*root = "/run/fence";
	} else if (runtime_directory && runtime_directory[0] == '/') {
		*root = arena_printf(arena, "%s/fence", runtime_directory);
	} else if (geteuid() == 0 && access("/run", W_OK) == 0) {
		*root = "/run/fence"; /* root in a container, whose /run is its own */
	} else {
		*root = arena_printf(arena, "/tmp/fence-%u", geteuid());
		shared_parent = true;
	}
	/* Anybody can make a name in /tmp, before us: it must be a directory of ours, not a link. */
	if (mkdir(*root, 0700) < 0 && errno != EEXIST && errno != ENOENT)
		return error_set(err, errno, "cannot make the state directory %s", *root);
	return shared_parent ? check_private(*root, err) : 0;
}

static int check_id(const char *id, struct error *err)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+-.";

	if (!*id || *id == '.' || id[strspn(id, allowed)] || strlen(id) > 255)
		return error_set(err, 0,
			"invalid container id \"%s\": use letters, digits and _ + - . , at most 255, not "
			"beginning with a dot",
			id);
	return 0;
}

static int describe(struct arena *arena, const char *root, const char *id, struct state_directory *directory,
	struct error *err)
{
	*directory = (struct state_directory){ .fd = -1 };
	if (check_id(id, err) < 0 || state_root(arena, root, &root, err) < 0)
		return -1;
	directory->root = root;
	directory->id = id;
	directory->path = arena_printf(arena, "%s/%s", root, id);
	return 0;
}

/* --root may name a directory whose parents do not exist either. */
static int make_parents(struct arena *arena, const char *path, struct error *err)
{
	char *copy = arena_strdup(arena, path);

	for (char *slash = strchr(copy + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(copy, 0700) < 0 && errno != EEXIST)
			return error_set(err, errno, "cannot make the state directory %s", copy);
		*slash = '/';
	}
	return 0;
}

int state_take(struct arena *arena, const char *root, const char *id, struct state_directory *directory,
	struct error *err)
{
	int result;

	if (describe(arena, root, id, directory, err) < 0)
		return -1;
	result = mkdir(directory->path, 0700);
	if (result < 0 && errno == ENOENT) {
		if (make_parents(arena, directory->path, err) < 0)
			return -1;
		result = mkdir(directory->path, 0700);
	}
	if (result < 0 && errno == EEXIST)
		return error_set(err, EEXIST, "container with id \"%s\" exists already", id);
	if (result < 0)
		return error_set(err, errno, "cannot make the state directory %s", directory->path);
	directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory->fd < 0) {
		error_set(err, errno, "cannot open the state directory %s", directory->path);
		rmdir(directory->path);
		return -1;
	}
	return 0;
}

int state_open(struct arena *arena, const char *root, const char *id, struct state_directory *directory,
	struct error *err)
{
	if (describe(arena, root, id, directory, err) < 0)
		return -1;
	directory->fd = open(directory->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (directory->fd < 0 && errno == ENOENT) {
		error_set(err, 0, "container does not exist: there is no \"%s\" in %s", id, directory->root);
		err->number = ENOENT;
		return -1;
	}
	if (directory->fd < 0)
		return error_set(err, errno, "cannot open the state directory %s", directory->path);
	return 0;
}

int state_save(struct arena *arena, const struct state_directory *directory, const struct state *state,
	struct error *err)
{
	static const char new_name[] = "state.json.new", name[] = "state.json";
	size_t length;
	const char *text = json_format(arena, table_write(arena, &state_type, state), false, &length);

	/* What a killed predecessor left. */
	unlinkat(directory->fd, new_name, 0);
	if (bundle_write_file(directory->fd, new_name, text, length, 0600, err) < 0)
		return error_wrap(err, "%s", directory->path);
	if (renameat(directory->fd, new_name, directory->fd, name) < 0)
		return error_set(err, errno, "cannot rename %s/%s", directory->path, new_name);
	return 0;
}

static int read_tree(struct arena *arena, const struct state_directory *directory, const char *file,
	struct json **tree, struct error *err)
{
	const char *name = arena_printf(arena, "%s/%s", directory->path, file);
	_cleanup_close_ int fd = openat(directory->fd, file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno, "cannot open %s", name);
	return json_parse_fd(arena, fd, name, JSON_BYTES, tree, err);
}

int state_load(
	struct arena *arena, const struct state_directory *directory, struct state **state, struct error *err)
{
	const char *name = arena_printf(arena, "%s/state.json", directory->path);
	struct json *tree;

	if (read_tree(arena, directory, "state.json", &tree, err) < 0)
		return -1;
	*state = arena_alloc(arena, sizeof(**state));
	return table_read(arena, &state_type, tree, name, "", *state, err);
}

int state_load_config(struct arena *arena, const struct state_directory *directory, const struct state *state,
	struct oci_config **config, struct error *err)
{
	struct json *tree;

	if (read_tree(arena, directory, state->config, &tree, err) < 0)
		return -1;
	if (oci_config_read(arena, tree, state->config, config, err) < 0)
		return -1;
	oci_complete_process(arena, *config);
	return 0;
}

int process_status(pid_t pid, struct process_status *status)
{
	enum { PF_EXITING = 0x4, PF_FORKNOEXEC = 0x40 }; /* the kernel's include/linux/sched.h */
	enum { FIELD_STATE = 3, FIELD_FLAGS = 9, FIELD_START_TIME = 22 };
	_cleanup_close_ int fd = -1;
	char path[64], text[1024], *field;
	unsigned long flags = 0;
	ssize_t length;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	length = read(fd, text, sizeof(text) - 1);
	if (length < 0)
		return -1;
	text[length] = '\0';
	errno = ESRCH;
	/* The second field is the name, in parentheses, and may hold anything: count from its end. */
	field = strrchr(text, ')');
	if (!field || field[1] != ' ')
		return -1;
	field += 2;
	status->zombie = *field == 'Z' || *field == 'X';
	for (int number = FIELD_STATE; number < FIELD_START_TIME && field; number++) {
		if (number == FIELD_FLAGS)
			flags = strtoul(field, NULL, 10);
		field = strchr(field + 1, ' ');
	}
	if (!field)
		return -1;
	status->ends_as_forked = flags & PF_EXITING && flags & PF_FORKNOEXEC;
	status->start_time = strtoull(field, NULL, 10);
	return 0;
}

int state_pidfd(const struct state *state)
{
	_cleanup_close_ int pidfd = -1;
	struct process_status status;

	errno = ESRCH;
	if (!state->pid.set || state->pid.value <= 0)
		return -1;
	pidfd = pidfd_open((pid_t)state->pid.value, 0);
	if (pidfd < 0)
		return -1;
	if (process_status((pid_t)state->pid.value, &status) < 0) {
		if (errno == ENOENT)
			errno = ESRCH;
		return -1;
	}
	errno = ESRCH;
	return status.zombie || status.start_time != state->pid_start_time.value ? -1 : steal_fd(&pidfd);
}

enum container_status state_status(
	const struct state_directory *directory, const struct state *state, struct cgroup *cgroup)
{
	_cleanup_close_ int pidfd = -1;

	if (!state->pid.set)
		return CONTAINER_CREATING;
	pidfd = state_pidfd(state);
	/* For want of a fd, say, it must not pass for one that may be deleted. */
	if (pidfd < 0 && errno == ESRCH)
		return CONTAINER_STOPPED;
	if (state->restoring.value)
		return CONTAINER_CREATING;
	/* Whatever it was before: it neither goes on nor dies until it is thawed. */
	if (cgroup && cgroup_frozen(cgroup))
		return CONTAINER_PAUSED;
	if (faccessat(directory->fd, STATE_START_FIFO, F_OK, 0) == 0)
		return CONTAINER_CREATED;
	return CONTAINER_RUNNING;
}

const char *const cgroup_manager_names[] = {
	[CGROUP_MANAGER_CGROUPFS] = "cgroupfs",
	[CGROUP_MANAGER_SYSTEMD] = "systemd",
	[CGROUP_MANAGER_DISABLED] = "disabled",
	NULL,
};

int state_cgroup(struct arena *arena, const struct state *state, struct cgroup **cgroup, struct error *err)
{
	*cgroup = NULL;
	return state->cgroup ? cgroup_recall(arena, state->cgroup, cgroup, err) : 0;
}

int state_look_up(
	struct arena *arena, const char *root, const char *id, struct existing *existing, struct error *err)
{
	*existing = NO_CONTAINER;
	if (state_open(arena, root, id, &existing->directory, err) < 0 ||
		state_load(arena, &existing->directory, &existing->state, err) < 0 ||
		state_cgroup(arena, existing->state, &existing->cgroup, err) < 0)
		return -1;
	existing->status = state_status(&existing->directory, existing->state, existing->cgroup);
	return 0;
}

struct oci_state state_oci(const struct state *state, enum container_status status)
{
	struct oci_state oci = {
		.oci_version = OCI_VERSION,
		.id = state->id,
		.status = container_status_name(status),
		.bundle = state->bundle,
		.annotations = state->annotations,
		.pid = state->pid,
	};

	if (status == CONTAINER_STOPPED || status == CONTAINER_CREATING)
		oci.pid = (struct optional_int64){ 0 };
	return oci;
}

int state_remove(const struct state_directory *directory, struct error *err)
{
	return bundle_remove(directory->path, err);
}

int state_open_cache(const struct state_directory *directory)
{
	static const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	int fd = openat(directory->fd, "../" STATE_CACHE, flags);

	if (fd < 0 && errno == ENOENT && mkdirat(directory->fd, "../" STATE_CACHE, 0700) == 0)
		fd = openat(directory->fd, "../" STATE_CACHE, flags);
	return fd;
}

int pid_file_write(struct arena *arena, const char *path, pid_t pid, struct error *err)
{
	const char *new_path;
	char text[32];
	int length;

	if (!path)
		return 0;
	/* Renamed: an engine that watches for the file must not find it empty. */
	new_path = arena_printf(arena, "%s.%d", path, getpid());
	length = snprintf(text, sizeof(text), "%d", pid);
	if (bundle_write_file(AT_FDCWD, new_path, text, (size_t)length, 0644, err) == 0) {
		if (rename(new_path, path) == 0)
			return 0;
		error_set(err, errno, "cannot rename %s to %s", new_path, path);
	}
	unlink(new_path);
	return error_wrap(err, "--pid-file");
}
