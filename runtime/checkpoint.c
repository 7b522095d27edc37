/* See checkpoint.h: dumping. */
#include "runtime/checkpoint_internal.h"

#include "runtime/bundle.h"
#include "runtime/mountinfo.h"
#include "runtime/path.h"
#include "runtime/protections.h"

#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static const char log_name[] = "dump.log";

struct dump {
	struct arena *arena;
	const struct checkpoint_options *options;
	const struct state *state;
	const struct oci_config *config;
	struct cgroup *cgroup;
	struct checkpoint_directories directories;
	struct criu_request request;
	struct criu criu;
	struct mount_table mounts; /* the container's */
	int root;
	struct json *descriptors;
};

/* ---- mounts and namespaces ---- */

static const struct mount_entry *find_mount(const struct dump *dump, uint64_t id)
{
	for (size_t i = 0; i < dump->mounts.count; i++)
		if (dump->mounts.items[i].id == id)
			return &dump->mounts.items[i];
	return NULL;
}

/* CRIU knows a mount by the place where it is, to which symbolic links may have led. */
static int add_mount(void *data, const struct checkpoint_mount *mount, struct error *err)
{
	struct dump *dump = data;
	_cleanup_close_ int fd = path_open_in_root(dump->root, mount->destination, O_PATH, 0);
	const struct mount_entry *entry;
	struct statx status;

	if (fd < 0) /* the container may have unmounted it, and masks need not be there */
		return 0;
	if (statx(fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &status) < 0)
		return error_set(err, errno, "cannot look at %s in the container", mount->destination);
	entry = find_mount(dump, status.stx_mnt_id);
	if (!entry || !(status.stx_attributes & STATX_ATTR_MOUNT_ROOT) ||
		(mount->mask && S_ISDIR(status.stx_mode)))
		return 0;
	criu_add_pair(&dump->request, CRIU_EXTERNAL_MOUNT, entry->path, mount->destination);
	return 0;
}

static int add_mounts(struct dump *dump, struct error *err)
{
	const char *root = arena_printf(dump->arena, "/proc/%d/root", (int)dump->state->pid.value);
	int result;

	dump->root = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dump->root < 0)
		return error_set(err, errno, "cannot open %s", root);
	result = checkpoint_visit_mounts(dump->arena, dump->config, dump->cgroup, add_mount, dump, err);
	dump->root = close_fd(dump->root);
	return result;
}

static int add_namespaces(struct dump *dump, struct error *err)
{
	for (size_t i = 0; i < dump->config->linux->namespaces.count; i++) {
		const struct oci_namespace *namespace = &dump->config->linux->namespaces.items[i];
		const char *name = checkpoint_external_namespace(namespace->type);
		const char *proc = strcmp(namespace->type, "network") == 0 ? "net" : "pid";
		struct stat status;

		if (!namespace->path || !name)
			continue;
		if (stat(namespace->path, &status) < 0)
			return error_set(err, errno, "cannot look at the namespace %s", namespace->path);
		criu_add_text(&dump->request, CRIU_EXTERNAL,
			arena_printf(dump->arena, "%s[%lu]:%s", proc, (unsigned long)status.st_ino, name));
	}
	return 0;
}

/* ---- standard streams ---- */

/* Reads "mnt_id:	123" of a file descriptor; 0 where there is none. */
static uint64_t mount_of(const struct dump *dump, int fd)
{
	const char *path = arena_printf(dump->arena, "/proc/%d/fdinfo/%d", (int)dump->state->pid.value, fd);
	_cleanup_fclose_ FILE *file = fopen(path, "re");
	unsigned long id;
	char line[256];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "mnt_id: %lu", &id) == 1)
			return id;
	return 0;
}

static const char *stream_path(const struct dump *dump, int fd)
{
	return arena_printf(dump->arena, "/proc/%d/fd/%d", (int)dump->state->pid.value, fd);
}

/* What CRIU calls a standard stream: "pipe:[123]", a path inside, or, for a file on a mount of the host's, a name by which it
 * leaves it out. */
static const char *name_stream(struct dump *dump, int fd)
{
	const char *path = stream_path(dump, fd), *name;
	uint64_t mount = mount_of(dump, fd);
	char target[PATH_MAX];
	ssize_t length = readlink(path, target, sizeof(target) - 1);
	struct stat status;

	target[length < 0 ? 0 : length] = '\0';
	if (target[0] != '/' || !mount || find_mount(dump, mount) || stat(path, &status) < 0)
		return arena_strdup(dump->arena, target);
	name = arena_printf(dump->arena, "file[%lx:%lx]", (unsigned long)mount, (unsigned long)status.st_ino);
	criu_add_text(&dump->request, CRIU_EXTERNAL, name);
	return name;
}

static void name_streams(struct dump *dump)
{
	dump->descriptors = json_new_array(dump->arena);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		struct json *stream = json_new_object(dump->arena);

		json_add(dump->arena, stream, CHECKPOINT_NAME,
			json_new_string(dump->arena, name_stream(dump, fd)));
		json_add(dump->arena, stream, CHECKPOINT_KIND,
			json_new_string(dump->arena, checkpoint_stream_kind(stream_path(dump, fd))));
		json_append(dump->arena, dump->descriptors, stream);
	}
}

/* ---- the request ---- */

static int add_parent(struct dump *dump, struct error *err)
{
	const char *path = dump->options->parent_path;
	struct stat status;

	if (!path)
		return 0;
	if (path[0] == '/')
		return error_set(err, 0, "--parent-path: %s is not relative to --image-path", path);
	if (fstatat(dump->directories.images, path, &status, 0) < 0)
		return error_set(err, errno, "--parent-path: %s", path);
	if (!S_ISDIR(status.st_mode))
		return error_set(err, 0, "--parent-path: %s is not a directory", path);
	criu_add_text(&dump->request, CRIU_PARENT_IMAGES, path);
	return 0;
}

static int check_lazy_pages(const struct checkpoint_options *options, struct error *err)
{
	static const char everywhere[] = "0.0.0.0:";
	int flags;

	if (options->status_fd.set && !options->lazy_pages)
		return error_set(
			err, 0, "--status-fd: is for --lazy-pages; without, the end of the command tells");
	if (!options->lazy_pages)
		return 0;
	if (options->pre_dump)
		return error_set(err, 0, "--lazy-pages: not with --pre-dump, which saves only memory");
	if (!options->page_server || strncmp(options->page_server, everywhere, strlen(everywhere)) != 0)
		return error_set(err, 0,
			"--lazy-pages: needs --page-server %sPORT, where CRIU then serves the memory, at "
			"every "
			"address of the host",
			everywhere);
	if (!options->status_fd.set)
		return 0;
	flags = options->status_fd.value > INT_MAX ? -1 : fcntl((int)options->status_fd.value, F_GETFL);
	if (flags < 0 || (flags & O_ACCMODE) == O_RDONLY)
		return error_set(err, 0, "--status-fd: descriptor %llu is not open for writing",
			(unsigned long long)options->status_fd.value);
	return 0;
}

/* restore.c has the images as a mount of their own, from which no link leads to others. */
static int check_steps(const struct dump *dump, struct error *err)
{
	if ((dump->options->pre_dump || dump->options->parent_path) &&
		oci_namespace_find(dump->config, "user"))
		return error_set(err, 0,
			"--pre-dump, --parent-path: a container with a user namespace is saved in one step "
			"only");
	return 0;
}

static int describe(struct dump *dump, struct error *err)
{
	const struct checkpoint_options *options = dump->options;
	const char *freezer = cgroup_freezer_path(dump->cgroup);

	criu_add_number(&dump->request, CRIU_PID, (uint64_t)dump->state->pid.value);
	criu_add_text(&dump->request, CRIU_ROOT, dump->state->rootfs);
	/* It would wait for ever for somebody who fetches the memory, with the container standing still. */
	dump->request.tied = options->lazy_pages;
	if (options->leave_running)
		criu_add_number(&dump->request, CRIU_LEAVE_RUNNING, 1);
	if (options->pre_dump || options->parent_path)
		criu_add_number(&dump->request, CRIU_TRACK_MEMORY, 1);
	if (freezer)
		criu_add_text(&dump->request, CRIU_FREEZE_CGROUP, freezer);
	if (check_lazy_pages(options, err) < 0 || check_steps(dump, err) < 0 || add_parent(dump, err) < 0 ||
		mountinfo_read(dump->arena, (pid_t)dump->state->pid.value, &dump->mounts, err) < 0 ||
		add_mounts(dump, err) < 0 || add_namespaces(dump, err) < 0)
		return -1;
	name_streams(dump);
	checkpoint_describe_directories(&dump->request, &dump->directories);
	return checkpoint_describe(&dump->request, options, dump->config, log_name, err);
}

/* ---- the conversation ---- */

static int write_record(struct dump *dump, struct error *err)
{
	struct json *record = json_new_object(dump->arena), *protections;
	const char *text;
	size_t length;

	protections = protections_read(dump->arena, (pid_t)dump->state->pid.value, err);
	if (!protections)
		return -1;
	/* Such a checkpoint could never be restored: the container would be lost. */
	if (!criu_is_at_least(&dump->criu, 3, 19) && protections_forbid_new_privileges(protections))
		return error_set(err, 0,
			"CRIU %d.%d does not bring back no_new_privs, which processes of the container have: "
			"version 3.19 or later is needed",
			dump->criu.major, dump->criu.minor);
	json_add(dump->arena, record, CHECKPOINT_DESCRIPTORS, dump->descriptors);
	json_add(dump->arena, record, CHECKPOINT_FOREGROUND,
		json_new_boolean(dump->arena, dump->state->foreground.value));
	json_add(dump->arena, record, CHECKPOINT_PROTECTIONS, protections);
	text = json_format(dump->arena, record, false, &length);
	return bundle_write_file(dump->directories.images, CHECKPOINT_RECORD, text, length, 0600, err);
}

static int notice(void *data, const char *stage, pid_t pid, int fd, struct error *err)
{
	struct dump *dump = data;

	(void)pid, (void)fd;
	/* All is saved but lazy pages, and the processes still stand. */
	if (strcmp(stage, "post-dump") == 0)
		return write_record(dump, err);
	if (strcmp(stage, "status-ready") == 0 && dump->options->status_fd.set &&
		write((int)dump->options->status_fd.value, "", 1) != 1)
		return error_set(err, errno, "--status-fd: cannot write to it");
	return 0;
}

static int converse(struct dump *dump, struct error *err)
{
	enum criu_request_type type = dump->options->pre_dump ? CRIU_PRE_DUMP : CRIU_DUMP;
	const char *log = checkpoint_log(dump->arena, dump->options, log_name);
	pid_t pid;
	int result;

	/* Without it, what is there of an earlier checkpoint is no whole one any more. */
	unlinkat(dump->directories.images, CHECKPOINT_RECORD, 0);
	result = criu_start(&dump->criu, &dump->request, NULL, NULL, err);
	if (result == 0)
		result = criu_call(&dump->criu, &dump->request, type, notice, dump, log, &pid, err);
	criu_end(&dump->criu, result < 0 ? err : NULL);
	/* If CRIU was killed it has left that to us. */
	if (result < 0)
		cgroup_freeze(dump->cgroup, false, NULL);
	return result;
}

int container_checkpoint(struct arena *arena, const char *root, const char *id,
	const struct checkpoint_options *options, struct error *err)
{
	_cleanup_existing_ struct existing existing = NO_CONTAINER;
	struct dump dump = { .arena = arena,
		.options = options,
		.directories = NO_DIRECTORIES,
		.request.arena = arena,
		.root = -1 };
	_cleanup_directories_ struct checkpoint_directories directories = NO_DIRECTORIES;

	if (state_look_up(arena, root, id, &existing, err) < 0 ||
		state_load_config(arena, &existing.directory, existing.state, &existing.config, err) < 0)
		return -1;
	if (existing.status != CONTAINER_RUNNING)
		return error_set(err, 0, "cannot checkpoint a container that is %s",
			container_status_name(existing.status));
	if (checkpoint_refuse(arena, existing.config, err) < 0 ||
		checkpoint_open(options, true, &directories, err) < 0)
		return -1;
	dump.directories = directories;
	dump.state = existing.state;
	dump.config = existing.config;
	dump.cgroup = existing.cgroup;
	if (describe(&dump, err) < 0 || converse(&dump, err) < 0)
		return -1;
	return options->leave_running || options->pre_dump ? 0 : container_delete(arena, root, id, true, err);
}
