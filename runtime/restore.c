/* See checkpoint.h: restoring. CRIU makes the processes, their namespaces and mounts; the cgroup, hooks, terminal, state and
 * supervision are ours, as for `run`. The restored process is a child of ours, not of CRIU's. */
#include "runtime/checkpoint_internal.h"

#include "runtime/bundle.h"
#include "runtime/console.h"
#include "runtime/creation.h"
#include "runtime/hooks.h"
#include "runtime/idmap.h"
#include "runtime/mount.h"
#include "runtime/mount_calls.h"
#include "runtime/mount_idmap.h"
#include "runtime/process.h"
#include "runtime/protections.h"
#include "runtime/restore_mounts.h"
#include "runtime/supervise.h"
#include "runtime/sysctl.h"

#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

static const char log_name[] = "restore.log";

struct restore {
	struct creation *creation;
	const struct checkpoint_options *options;
	struct criu_request request;
	const struct json *record;
	size_t mounts; /* that CRIU has been told of */
	int images;    /* as CRIU has them, while it works */
	bool has_terminal, checked;
};

/* ---- before CRIU ---- */

static bool has_user_namespace(const struct creation *creation)
{
	return creation->namespaces.create & CLONE_NEWUSER;
}

/* A mount of theirs that is in no namespace, so that map_images() can map its ids. */
static int detach_images(
	const struct restore *restore, struct checkpoint_directories *directories, struct error *err)
{
	const struct mount_options options = { .own.set =
						       restore->options->auto_dedup ? 0 : MOUNT_ATTR_RDONLY };
	_cleanup_close_ int mount = -1;

	if (!has_user_namespace(restore->creation))
		return 0;
	mount = mount_clone(directories->images, "", false, false);
	if (mount < 0 || mount_set(mount, &options, true, -1) < 0)
		return error_set(err, errno, "cannot mount the images for CRIU");
	close_fd(directories->images);
	directories->images = steal_fd(&mount);
	return 0;
}

/* The namespace is CRIU's own, and ends with it: the root has to be a mount point there, and its working directory in there. */
static int prepare(void *data, int fds[CRIU_PREPARED_FDS], struct error *err)
{
	struct restore *restore = data;
	const struct creation *creation = restore->creation;
	const char *root = creation->state.rootfs;
	struct checkpoint_directories directories;

	if (unshare(CLONE_NEWNS) < 0 || call_mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
		return error_set(err, errno, "cannot make a mount namespace for CRIU");
	if (restore_mounts_prepare(
		    restore->request.arena, creation->config, creation->state.bundle, root, err) < 0 ||
		(has_user_namespace(creation) &&
			restore_mounts_prepare_sources(restore->request.arena, creation->config,
				creation->cgroup, creation->state.bundle, err) < 0) ||
		checkpoint_open(restore->options, false, &directories, err) < 0 ||
		detach_images(restore, &directories, err) < 0)
		return -1;
	fds[0] = directories.images;
	fds[1] = directories.work;
	/* What it forks is in the container's cgroup, and has not our session keyring, from the start. */
	if (init_new_keyring(restore->request.arena, restore->creation->options->id, err) < 0)
		return -1;
	if (cgroup_enter(restore->creation->cgroup, false, err) < 0)
		return -1;
	process_reset_cpu_affinity();
	/* If CRIU is to have nothing to do with cgroups, it does not make a namespace of them either. */
	if (restore->options->cgroups_mode == CGROUPS_IGNORE && restore->creation->namespaces.create_cgroup &&
		unshare(CLONE_NEWCGROUP) < 0)
		return error_set(err, errno, "cannot make a cgroup namespace");
	return 0;
}

static bool is_true(const struct json *value)
{
	return value && value->type == JSON_BOOLEAN && value->boolean;
}

static int read_record(struct restore *restore, struct error *err)
{
	_cleanup_directories_ struct checkpoint_directories directories = NO_DIRECTORIES;
	_cleanup_close_ int fd = -1;
	struct json *record;
	bool tied;

	if (checkpoint_open(restore->options, false, &directories, err) < 0)
		return -1;
	fd = openat(directories.images, CHECKPOINT_RECORD, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(
			err, errno, "this is no whole checkpoint of fence's: cannot open " CHECKPOINT_RECORD);
	if (json_parse_fd(restore->creation->arena, fd, CHECKPOINT_RECORD, JSON_STRICT, &record, err) < 0)
		return -1;
	restore->record = record;
	tied = is_true(json_get(record, CHECKPOINT_FOREGROUND));
	restore->creation->state.foreground = (struct optional_bool){ tied, tied };
	if (tied && !restore->creation->foreground)
		return error_set(err, 0,
			"this container ran in the foreground, and ends with its supervisor: restore it "
			"without --detach");
	return 0;
}

/* ---- what CRIU is told ---- */

static int add_mount(void *data, const struct checkpoint_mount *mount, struct error *err)
{
	struct restore *restore = data;
	const struct creation *creation = restore->creation;
	const char *source =
		has_user_namespace(creation)
			? restore_mounts_open_source(restore->request.arena, restore->mounts++)
			: bundle_path(restore->request.arena, creation->state.bundle, mount->source);

	(void)err;
	criu_add_pair(&restore->request, CRIU_EXTERNAL_MOUNT, mount->destination, source);
	return 0;
}

static void add_namespaces(struct restore *restore)
{
	static const struct {
		enum namespace_kind kind;
		const char *type;
	} inherited[] = { { NAMESPACE_NETWORK, "network" }, { NAMESPACE_PID, "pid" } },
	  joined[] = { { NAMESPACE_IPC, "ipc" }, { NAMESPACE_UTS, "uts" } };
	const int *fds = restore->creation->namespaces.join;

	for (size_t i = 0; i < ARRAY_SIZE(inherited); i++)
		if (fds[inherited[i].kind] >= 0)
			criu_add_inherited(&restore->request,
				checkpoint_external_namespace(inherited[i].type), fds[inherited[i].kind]);
	for (size_t i = 0; i < ARRAY_SIZE(joined); i++)
		if (fds[joined[i].kind] >= 0)
			criu_add_pair(&restore->request, CRIU_JOIN_NAMESPACE, joined[i].type,
				oci_namespace_find(restore->creation->config, joined[i].type)->path);
}

static void add_cgroups(struct restore *restore)
{
	const struct cgroup_hierarchy *hierarchies;
	size_t count;

	if (!restore->creation->cgroup || restore->options->cgroups_mode == CGROUPS_IGNORE)
		return;
	count = cgroup_hierarchies(restore->creation->cgroup, &hierarchies);
	for (size_t i = 0; i < count; i++)
		criu_add_pair(
			&restore->request, CRIU_CGROUP_ROOT, hierarchies[i].controllers, hierarchies[i].path);
}

/* A pipe or a file of the host's that was a standard stream becomes ours. */
static int add_stream(struct restore *restore, const struct json *stream, int fd, struct error *err)
{
	const struct json *name = json_get(stream, CHECKPOINT_NAME);
	const struct json *kind = json_get(stream, CHECKPOINT_KIND);
	const char *path = arena_printf(restore->request.arena, "/proc/self/fd/%d", fd);

	if (!name || name->type != JSON_STRING ||
		(strncmp(name->string, "pipe:", 5) != 0 && strncmp(name->string, "file[", 5) != 0))
		return 0;
	/* CRIU goes to where in a file it was, and gives a pipe the size that it had. */
	if (kind && kind->type == JSON_STRING && strcmp(kind->string, checkpoint_stream_kind(path)) != 0)
		return error_set(err, 0, "descriptor %d of the container was a %s, and has to be one again",
			fd, kind->string);
	criu_add_inherited(&restore->request, name->string, fd);
	return 0;
}

static int add_streams(struct restore *restore, struct error *err)
{
	const struct json *list = json_get(restore->record, CHECKPOINT_DESCRIPTORS);

	for (size_t i = 0; list && list->type == JSON_ARRAY && i < list->array.count && i <= STDERR_FILENO;
		i++)
		if (add_stream(restore, list->array.items[i], (int)i, err) < 0)
			return -1;
	return 0;
}

static int describe(struct restore *restore, struct error *err)
{
	const struct checkpoint_options *options = restore->options;
	struct creation *creation = restore->creation;

	if (checkpoint_describe(&restore->request, options, creation->config, log_name, err) < 0 ||
		checkpoint_visit_mounts(
			creation->arena, creation->config, creation->cgroup, add_mount, restore, err) < 0)
		return -1;
	criu_add_text(&restore->request, CRIU_ROOT, creation->state.rootfs);
	criu_add_number(&restore->request, CRIU_RESTORE_SIBLING, 1);
	if (options->lsm_profile)
		criu_add_text(&restore->request, CRIU_LSM_PROFILE, options->lsm_profile);
	if (options->lsm_mount_context)
		criu_add_text(&restore->request, CRIU_LSM_MOUNT_CONTEXT, options->lsm_mount_context);
	add_namespaces(restore);
	add_cgroups(restore);
	return add_streams(restore, err);
}

/* ---- while CRIU works ---- */

/* On record before anything else is done with it. */
static int take_process(struct creation *creation, pid_t pid, struct error *err)
{
	if (pid <= 1)
		return error_set(err, 0, "CRIU names no process");
	creation->child.pidfd = pidfd_open(pid, 0);
	if (creation->child.pidfd < 0)
		return error_set(err, errno, "cannot open the restored process");
	creation->child.pid = pid;
	creation->state.restoring = (struct optional_bool){ true, true };
	return creation_write_down_pid(creation, err) < 0 ? -1 : creation_write_down_config(creation, err);
}

static int run_hooks(const struct creation *creation, struct error *err)
{
	const struct oci_hooks *hooks = creation->config->hooks;
	struct oci_state state = state_oci(&creation->state, CONTAINER_CREATED);

	if (!hooks || hooks_run(&hooks->prestart, "prestart", &state, NULL, err) < 0)
		return hooks ? -1 : 0;
	return hooks_run(&hooks->create_runtime, "createRuntime", &state, NULL, err);
}

/* The first is the container's own: other terminals without a master belonged to those who had joined it. */
static int take_terminal(struct restore *restore, int master, struct error *err)
{
	struct creation *creation = restore->creation;
	_cleanup_close_ int socket = -1;

	if (restore->has_terminal)
		return 0;
	restore->has_terminal = true;
	if (creation->options->console_socket) {
		socket = console_connect(creation->options->console_socket, err);
		return socket < 0 ? -1 : console_send(socket, master, err);
	}
	if (!creation->foreground || !creation->config->process->terminal.value)
		return 0;
	creation->child.console_master = fcntl(master, F_DUPFD_CLOEXEC, 0);
	return creation->child.console_master < 0 ? error_set(err, errno, "cannot keep the terminal") : 0;
}

/* They have stayed in a namespace of another's, or CRIU has made them anew. */
static int check_net_devices(const struct oci_linux *linux, struct error *err)
{
	for (size_t i = 0; i < linux->net_devices.count; i++) {
		const struct oci_net_device *device = &linux->net_devices.items[i];
		const char *name = device->name ? device->name : device->host_name;

		if (!if_nametoindex(name))
			return error_set(
				err, errno, "linux.netDevices: the restored namespace has no %s", name);
	}
	return 0;
}

/* What create does in the container's namespaces and CRIU leaves out. */
static int complete_inside(struct restore *restore, struct error *err)
{
	const struct creation *creation = restore->creation;
	const struct oci_linux *linux = creation->config->linux;
	const int flags = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

	if ((linux->sysctl.count || linux->net_devices.count) && setns(creation->child.pidfd, flags) < 0)
		return error_set(err, errno, "cannot enter the restored namespaces");
	if (check_net_devices(linux, err) < 0 || sysctl_write(linux, err) < 0)
		return -1;
	return protections_regain(
		creation->arena, json_get(restore->record, CHECKPOINT_PROTECTIONS), creation->child.pid, err);
}

/* In a process of its own, which does not come back from there. */
static int complete(struct restore *restore, struct error *err)
{
	struct error *its =
		mmap(NULL, sizeof(*its), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int status = 0, result = 0;
	pid_t pid;

	if (its == MAP_FAILED)
		return error_set(err, errno, "cannot share memory");
	pid = fork();
	if (pid == 0)
		_exit(complete_inside(restore, its) < 0);
	if (pid < 0)
		result = error_set(err, errno, "cannot fork");
	while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (pid > 0 && status != 0)
		result = error_set(err, 0, "%s",
			*its->message ? its->message : "the process that completes the container was killed");
	munmap(its, sizeof(*its));
	return result;
}

static int make_safe(struct restore *restore, struct error *err)
{
	struct creation *creation = restore->creation;
	const struct oci_linux *linux = creation->config->linux;

	/* First of all: nothing may be changed in namespaces of the host's. */
	if (namespaces_check(&creation->namespaces, creation->child.pid, err) < 0 ||
		(has_user_namespace(creation) && idmap_check(creation->child.pid, &linux->uid_mappings,
							 &linux->gid_mappings, err) < 0) ||
		complete(restore, err) < 0)
		return -1;
	return protections_check(creation->arena, json_get(restore->record, CHECKPOINT_PROTECTIONS),
		creation->child.pid, !restore->options->lsm_profile, err);
}

/* CRIU goes on when it is told of a failure at this stage: what is not as safe as it was must die before it can run. */
static int check_process(struct restore *restore, struct error *err)
{
	struct creation *creation = restore->creation;

	if (creation->child.pid <= 0)
		return error_set(err, 0, "CRIU did not say what process it has restored");
	if (creation->foreground)
		supervise_begin();
	restore->checked = make_safe(restore, err) == 0;
	if (restore->checked)
		return 0;
	pidfd_send_signal(creation->child.pidfd, SIGKILL, NULL, 0);
	cgroup_kill(creation->cgroup, SIGKILL, NULL);
	return -1;
}

/* The first process has opened what it needs as the host's root, and goes on as root of its user namespace. */
static int map_images(struct restore *restore, struct error *err)
{
	static const struct mount_options no_options = { 0 };
	static const struct oci_mount by_container = { 0 };
	const struct creation *creation = restore->creation;
	_cleanup_close_ int namespace = -1;

	if (!has_user_namespace(creation))
		return 0;
	namespace = mount_idmap_namespace(creation->arena, creation->config, &by_container, NULL, err);
	if (namespace < 0)
		return -1;
	if (mount_set(restore->images, &no_options, true, namespace) < 0)
		return error_set(err, errno,
			"cannot map the ids of the images to the container's: they have to be on a file "
			"system "
			"that allows id-mapped mounts");
	return 0;
}

static int notice(void *data, const char *stage, pid_t pid, int fd, struct error *err)
{
	struct restore *restore = data;

	if (strcmp(stage, "setup-namespaces") == 0)
		return take_process(restore->creation, pid, err) < 0 || map_images(restore, err) < 0
			       ? -1
			       : run_hooks(restore->creation, err);
	if (strcmp(stage, "orphan-pts-master") == 0 && fd >= 0)
		return take_terminal(restore, fd, err);
	/* All is there, and nothing of it has run. */
	if (strcmp(stage, "pre-resume") == 0)
		return check_process(restore, err);
	return 0;
}

/* ---- all of it ---- */

static int converse(struct restore *restore, struct error *err)
{
	const struct creation *creation = restore->creation;
	struct checkpoint_directories directories;
	struct criu criu;
	pid_t pid = -1;
	int result = criu_start(&criu, &restore->request, prepare, restore, err);

	if (result == 0) {
		directories = (struct checkpoint_directories){ criu.fds[0], criu.fds[1] };
		checkpoint_describe_directories(&restore->request, &directories);
		restore->images = directories.images;
		result = criu_call(&criu, &restore->request, CRIU_RESTORE, notice, restore,
			checkpoint_log(creation->arena, restore->options, log_name), &pid, err);
	}
	criu_end(&criu, result < 0 ? err : NULL);
	if (result == 0 && (!restore->checked || pid != creation->child.pid))
		return error_set(err, 0, "CRIU has not restored the container as it was told to");
	return result;
}

/* Not before CRIU has ended: until then whoever removes the container has to kill that too. */
static int write_down_end(struct creation *creation, struct error *err)
{
	/* Made by CRIU, so that clocks go on from where they were. */
	if (!namespaces_shared(NAMESPACE_TIME, creation->child.pid))
		creation->state.time_namespace = (struct optional_bool){ true, true };
	creation->state.restoring = (struct optional_bool){ false, false };
	return creation_write_down_pid(creation, err);
}

/* What comes back wrong has to be killed before it runs, all of it at once. */
static int check_killable(const struct creation *creation, struct error *err)
{
	if ((creation->namespaces.create & CLONE_NEWPID) ||
		(creation->cgroup && !cgroup_is_shared(creation->cgroup)))
		return 0;
	return error_set(err, 0,
		"a container with neither a pid namespace nor a cgroup of its own cannot be restored");
}

/* To whom the container's user is here. */
static void give_streams(const struct creation *creation)
{
	struct oci_user user = *creation->config->process->user;

	if (!has_user_namespace(creation) ||
		idmap_outside(&creation->config->linux->uid_mappings, user.uid.value, &user.uid.value))
		launch_give_streams(&user);
}

static int make(struct creation *creation, void *data, struct error *err)
{
	struct restore *restore = data;
	const struct oci_resources *resources = creation->config->linux->resources;

	restore->creation = creation;
	restore->request.arena = creation->arena;
	if (checkpoint_refuse(creation->arena, creation->config, err) < 0 ||
		namespaces_plan(creation->config, &creation->namespaces, err) < 0 ||
		creation_write_down(creation, err) < 0 || read_record(restore, err) < 0)
		return -1;
	if (cgroup_create(creation->cgroup, resources, &creation->config->annotations, err) < 0 ||
		check_killable(creation, err) < 0 || cgroup_apply(creation->cgroup, resources, err) < 0 ||
		(creation->namespaces.create_cgroup &&
			cgroup_delegate(creation->cgroup, creation->config, err) < 0) ||
		describe(restore, err) < 0)
		return -1;
	give_streams(creation);
	if (converse(restore, err) < 0 || write_down_end(creation, err) < 0)
		return -1;
	if (creation->config->process->terminal.value && !restore->has_terminal)
		return error_set(err, 0, "process.terminal is true, but the checkpoint has no terminal");
	cgroup_settle(creation->cgroup);
	return pid_file_write(creation->arena, creation->options->pid_file, creation->child.pid, err);
}

int container_restore(struct arena *arena, const struct container_options *container,
	const struct checkpoint_options *options, int *exit_status, struct error *err)
{
	struct restore restore = { .options = options };

	return container_run_made(arena, container, make, &restore, exit_status, err);
}
