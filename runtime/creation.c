/* See creation.h. The order is dictated by what must be on record before it exists, and by what can be done while the init
 * process is busy mounting: writing down its pid, compiling seccomp. */
#include "runtime/creation.h"

#include "runtime/bundle.h"
#include "runtime/console.h"
#include "runtime/engine_policy.h"
#include "runtime/fd_socket.h"
#include "runtime/handshake.h"
#include "runtime/hooks.h"
#include "runtime/host_mounts.h"
#include "runtime/idmap.h"
#include "runtime/log.h"
#include "runtime/net_devices.h"
#include "runtime/placeholder.h"
#include "runtime/process.h"
#include "runtime/removal.h"
#include "runtime/resctrl.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

void creation_begin(struct creation *creation, struct arena *arena, const struct container_options *options)
{
	*creation = (struct creation){
		.arena = arena,
		.options = options,
		.directory.fd = -1,
		.child = SPAWNED_NONE,
		.init = {
			.handshake = -1,
			.runtime_end = -1,
			.console_socket = -1,
			.start_fifo = -1,
		},
	};
	memset(creation->namespaces.join, -1, sizeof(creation->namespaces.join));
}

void creation_end(struct creation *creation)
{
	struct init_context *init = &creation->init;
	int *fds[] = { &creation->directory.fd, &init->handshake, &init->console_socket, &init->start_fifo };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		*fds[i] = close_fd(*fds[i]);
	namespaces_close(&creation->namespaces);
	spawned_close(&creation->child);
}

/* ---- what is asked for ---- */

static int load_bundle(struct creation *creation, struct error *err)
{
	const char *bundle = creation->options->bundle ? creation->options->bundle : ".";
	_cleanup_free_ char *absolute = realpath(bundle, NULL);
	struct json *tree;
	const char *path;

	if (!absolute)
		return error_set(err, errno, "cannot find the bundle %s", bundle);
	creation->state.bundle = arena_strdup(creation->arena, absolute);
	path = bundle_path(creation->arena, creation->state.bundle,
		creation->options->config ? creation->options->config : "config.json");
	if (bundle_read_file(creation->arena, path, &creation->config_text, &creation->config_length, err) <
		0)
		return -1;
	if (json_parse(creation->arena, creation->config_text, creation->config_length, path, JSON_STRICT,
		    &tree, err) < 0)
		return -1;
	if (oci_config_read(creation->arena, tree, path, &creation->config, err) < 0)
		return -1;
	oci_complete_process(creation->arena, creation->config);
	return 0;
}

static const char *absolute_rootfs(const struct creation *creation)
{
	const char *path = creation->config->root ? creation->config->root->path : NULL;

	return path ? bundle_path(creation->arena, creation->state.bundle, path) : NULL;
}

static int check_terminal(const struct creation *creation, struct error *err)
{
	const struct container_options *options = creation->options;
	bool terminal = creation->config->process->terminal.value;

	if (options->console_socket && !terminal)
		return error_set(
			err, 0, "--console-socket is of no use: process.terminal is not true in config.json");
	if (terminal && !options->console_socket && !creation->foreground)
		return error_set(err, 0,
			"process.terminal is true: name a --console-socket that takes the terminal, or run "
			"in the foreground");
	return 0;
}

static int check_linux(const struct oci_linux *linux, struct error *err)
{
	if (!linux)
		return error_set(
			err, 0, "config.json: there is no linux section: this is another platform's");
	return 0;
}

static int check_root(const struct creation *creation, struct error *err)
{
	const char *path = absolute_rootfs(creation);
	struct stat status;

	if (!path)
		return error_set(err, 0, "config.json: there is no root.path");
	if (stat(path, &status) < 0)
		return error_set(err, errno, "root.path: %s", path);
	return S_ISDIR(status.st_mode) ? 0 : error_set(err, 0, "root.path: %s is not a directory", path);
}

static int check_config(const struct creation *creation, struct error *err)
{
	const struct oci_config *config = creation->config;

	/* The specification has it be there when the container is started. */
	if (!creation->waits_for_start && launch_check_program(config->process, err) < 0)
		return -1;
	if (check_linux(config->linux, err) < 0 || check_root(creation, err) < 0)
		return -1;
	return check_terminal(creation, err);
}

int creation_load(struct creation *creation, struct error *err)
{
	if (creation->options->prepare)
		return 0;
	if (load_bundle(creation, err) < 0)
		return -1;
	return check_config(creation, err);
}

/* ---- on record ---- */

static const char *now(struct arena *arena)
{
	struct timespec time;
	struct tm utc;
	char text[64];

	clock_gettime(CLOCK_REALTIME, &time);
	gmtime_r(&time.tv_sec, &utc);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
	return arena_printf(arena, "%s.%09ldZ", text, time.tv_nsec);
}

static int locate_cgroup(struct creation *creation, struct error *err)
{
	const struct container_options *options = creation->options;
	struct state *state = &creation->state;

	if (cgroup_locate(creation->arena, options->cgroup_manager, creation->config->linux->cgroups_path,
		    options->id, state->rootless.value, &creation->cgroup, err) < 0)
		return -1;
	if (creation->cgroup)
		state->cgroup = cgroup_save(creation->arena, creation->cgroup);
	return 0;
}

static int describe(struct creation *creation, struct error *err)
{
	struct state *state = &creation->state;

	state->oci_version = OCI_VERSION;
	state->id = creation->options->id;
	state->owner = (struct optional_uint32){ true, geteuid() };
	state->rootless = (struct optional_bool){ true, state_is_rootless() };
	state->foreground = (struct optional_bool){ creation->foreground, creation->foreground };
	state->rootfs = absolute_rootfs(creation);
	state->annotations = creation->config->annotations;
	return host_mounts_note(creation->config, state->rootfs, &state->root_mount, err);
}

static int prepare_bundle(struct creation *creation, struct error *err)
{
	const struct container_options *options = creation->options;

	creation->state.bundle = arena_printf(creation->arena, "%s/" STATE_BUNDLE, creation->directory.path);
	creation->state.config = STATE_BUNDLE "/config.json";
	if (options->prepare(options->prepare_data, creation->arena, creation->directory.path,
		    creation->directory.fd, &creation->config, err) < 0)
		return -1;
	return check_config(creation, err);
}

/* What is kept is the config in effect: exec and poststop go by it. */
static int keep_config(struct creation *creation, struct error *err)
{
	const char *text = creation->config_text;
	size_t length = creation->config_length;

	if (engine_policy_wanted(creation->config)) {
		if (engine_policy_apply(creation->arena, creation->config, creation->state.bundle,
			    creation->directory.path, creation->directory.fd, err) < 0)
			return -1;
		text = json_format(
			creation->arena, oci_config_write(creation->arena, creation->config), false, &length);
	}
	creation->state.config = "config.json";
	creation->config_text = text;
	creation->config_length = length;
	return 0;
}

int creation_take(struct creation *creation, struct error *err)
{
	const struct container_options *options = creation->options;

	return state_take(creation->arena, options->root, options->id, &creation->directory, err);
}

static int write_down_state(struct creation *creation, struct error *err)
{
	if (!creation->state.created)
		creation->state.created = now(creation->arena);
	return state_save(creation->arena, &creation->directory, &creation->state, err);
}

int creation_write_down(struct creation *creation, struct error *err)
{
	if ((creation->options->prepare ? prepare_bundle : keep_config)(creation, err) < 0)
		return -1;
	if (describe(creation, err) < 0)
		return -1;
	if (placeholders_claim(
		    creation->arena, creation->directory.root, creation->state.id, creation->config, err) < 0)
		return -1;
	if (locate_cgroup(creation, err) < 0)
		return -1;
	log_debug("%s: bundle %s, state %s", creation->state.id, creation->state.bundle,
		creation->directory.path);
	/* Else there is nothing yet that the directory's name does not tell; the pid follows soon. */
	return creation->cgroup || creation->state.root_mount.set ? write_down_state(creation, err) : 0;
}

/* ---- the init process ---- */

/* What the runtime does once the init process is in its namespaces and has mounted everything, and before anything of the container's
 * runs. */
static bool has_to_wait_for_runtime(const struct creation *creation)
{
	const struct oci_config *config = creation->config;
	const struct oci_hooks *hooks = config->hooks;

	return config->linux->net_devices.count || rootfs_maps_sources(&creation->rootfs) ||
	       oci_annotation(config, ANNOTATION_PLACEHOLDERS) ||
	       (hooks && (hooks->prestart.count || hooks->create_runtime.count ||
				 hooks->create_container.count || hooks->start_container.count));
}

static int open_start(struct creation *creation, struct error *err)
{
	int directory = creation->directory.fd;

	if (!creation->waits_for_start)
		return 0;
	if (mkfifoat(directory, STATE_START_FIFO, 0600) < 0)
		return error_set(err, errno, "cannot make %s/" STATE_START_FIFO, creation->directory.path);
	/* For writing too: then reading waits for a byte, not for whoever may open it. */
	creation->init.start_fifo = openat(directory, STATE_START_FIFO, O_RDWR | O_CLOEXEC);
	if (creation->init.start_fifo < 0)
		return error_set(err, errno, "cannot open %s/" STATE_START_FIFO, creation->directory.path);
	return 0;
}

static void describe_rootfs(struct creation *creation)
{
	creation->rootfs = (struct rootfs_context){
		.config = creation->config,
		.bundle = creation->state.bundle,
		.cgroup = creation->cgroup,
		.user_namespace = creation->namespaces.present[NAMESPACE_USER],
		.cgroup_namespace = creation->namespaces.present[NAMESPACE_CGROUP],
		.mount_namespace = creation->namespaces.present[NAMESPACE_MOUNT],
		.mounts = creation->namespaces.present[NAMESPACE_MOUNT] || creation->state.root_mount.set,
		.no_pivot = creation->options->no_pivot,
		.root_fd = -1,
		.arena = creation->arena,
	};
}

/* The kernel asks for CAP_SYS_RESOURCE outside of any user namespace, which the init process has not. */
static bool sets_oom_score(const struct creation *creation)
{
	return creation->rootfs.user_namespace && geteuid() == 0;
}

static void describe_init(struct creation *creation)
{
	const struct container_options *options = creation->options;
	struct init_context *init = &creation->init;
	bool reaper = oci_annotation(creation->config, ANNOTATION_INIT) != NULL;

	init->arena = creation->arena;
	init->config = creation->config;
	init->id = options->id;
	init->namespaces = &creation->namespaces;
	init->rootfs = &creation->rootfs;
	init->cgroup = creation->cgroup;
	init->state = state_oci(&creation->state, CONTAINER_CREATED);
	init->runtime_end = creation->child.handshake;
	init->waits_for_hooks = has_to_wait_for_runtime(creation);
	init->own_session = !reaper;
	init->new_keyring = !options->no_new_keyring;
	init->launch = (struct launch){
		.arena = creation->arena,
		.config = creation->config,
		.process = creation->config->process,
		.handshake = init->handshake,
		.can_set_groups = !creation->state.rootless.value || idmap_can_set_groups(getpid()),
		.own_user_namespace = (creation->namespaces.create & CLONE_NEWUSER) != 0,
		.makes_directory = true,
		.reaper = reaper,
		.has_oom_score = sets_oom_score(creation),
		.preserve_fds = options->preserve_fds,
		.listen_fds = launch_listen_fds(),
		.death_signal = creation->foreground ? SIGKILL : 0,
		.exit_status = -1,
	};
}

static int write_maps(void *data, pid_t pid, struct error *err)
{
	struct creation *creation = data;
	const struct oci_linux *linux = creation->config->linux;
	struct mapped mapped;

	if (idmap_write(pid, &linux->uid_mappings, &linux->gid_mappings, &mapped.can_set_groups, err) < 0)
		return -1;
	return handshake_send(creation->child.handshake, MESSAGE_MAPPED, &mapped, sizeof(mapped), -1, err);
}

static int clone_by_intermediate(struct creation *creation, struct error *err)
{
	pid_t intermediate = spawn_intermediate(init_intermediate, &creation->init, err);

	if (intermediate < 0)
		return -1;
	creation->init.handshake = close_fd(creation->init.handshake);
	return spawn_adopt(&creation->child, intermediate, write_maps, creation, err);
}

static int clone_init(struct creation *creation, struct error *err)
{
	const struct namespaces *namespaces = &creation->namespaces;
	pid_t pid;

	if (handshake_pair(&creation->child.handshake, &creation->init.handshake, err) < 0)
		return -1;
	describe_init(creation);
	creation->child.supervised = creation->foreground;
	if (creation->rootfs.user_namespace)
		process_raise_rlimits(creation->config->process);
	if (namespaces->intermediate)
		return clone_by_intermediate(creation, err);
	pid = namespaces_clone(namespaces->create, cgroup_clone_fd(creation->cgroup), &creation->child.pidfd,
		&creation->init.in_cgroup);
	if (pid < 0)
		return error_set(err, errno, "cannot clone the container's init process with its namespaces");
	if (pid == 0)
		init_main(&creation->init);
	creation->child.pid = pid;
	log_debug("%s: the init process is %d", creation->state.id, pid);
	creation->init.handshake = close_fd(creation->init.handshake);
	return namespaces->create & CLONE_NEWUSER ? write_maps(creation, pid, err) : 0;
}

int creation_write_down_pid(struct creation *creation, struct error *err)
{
	struct state *state = &creation->state;
	struct process_status status = { 0 };

	state->pid = (struct optional_int64){ true, creation->child.pid };
	/* A process that is gone by now is reported by the handshake. By another time than its own nobody would know it again. */
	if (process_status(creation->child.pid, &status) < 0 && errno != ENOENT && errno != ESRCH)
		return error_set(err, errno, "cannot read when the init process was started");
	state->pid_start_time = (struct optional_uint64){ true, status.start_time };
	return write_down_state(creation, err);
}

/* Who reads it are exec, and the hooks and whoever cleans up after them: it can wait until the init process is busy. */
int creation_write_down_config(struct creation *creation, struct error *err)
{
	const struct state *state = &creation->state;
	int directory = creation->directory.fd;

	if (creation->options->prepare)
		creation->config_text = json_format(creation->arena,
			oci_config_write(creation->arena, creation->config), false, &creation->config_length);
	return bundle_write_file(
		directory, state->config, creation->config_text, creation->config_length, 0600, err);
}

static int prepare_namespaces(void *data, struct error *err)
{
	struct creation *creation = data;
	struct oci_state state = state_oci(&creation->state, CONTAINER_CREATED);

	if (oci_annotation(creation->config, ANNOTATION_PLACEHOLDERS) &&
		placeholders_identify(creation->arena, creation->directory.root, creation->options->id, err) <
			0)
		return -1;
	if (net_devices_move(creation->arena, creation->config->linux, creation->child.pid, err) < 0)
		return -1;
	if (hooks_run_on_host(creation->config->hooks, &state, &creation->early_hook, err) < 0)
		return -1;
	if (handshake_send(creation->child.handshake, MESSAGE_HOOKED, &creation->child.pid,
		    sizeof(creation->child.pid), -1, err) < 0)
		return -1;
	return spawn_send_program(&creation->child, err);
}

static int map_source(void *data, size_t index, int fd, struct error *err)
{
	struct creation *creation = data;

	return rootfs_map_source(&creation->rootfs, index, fd, err);
}

/* A namespace that is joined by path is not there yet. */
static int start_early_hook(struct creation *creation, struct error *err)
{
	struct oci_state state = state_oci(&creation->state, CONTAINER_CREATED);

	if (!creation->options->early_hook || creation->config->linux->net_devices.count ||
		!(creation->namespaces.create & CLONE_NEWNET) || creation->namespaces.intermediate)
		return 0;
	return hooks_start_early(
		creation->arena, creation->config->hooks, &state, &creation->early_hook, err);
}

/* On record before it is there. */
static int prepare_resctrl(struct creation *creation, struct error *err)
{
	const struct oci_intel_rdt *rdt = creation->config->linux->intel_rdt;

	if (!rdt)
		return 0;
	creation->state.resctrl = (struct optional_bool){ true, true };
	if (write_down_state(creation, err) < 0)
		return -1;
	if (resctrl_prepare(rdt, creation->options->id, err) == 0)
		return 0;
	if (err->number == EEXIST)
		creation->state.resctrl.value = false;
	return -1;
}

static int complete_init(struct creation *creation, struct error *err)
{
	const struct oci_seccomp *seccomp = creation->config->linux->seccomp;
	struct spawn_service service = {
		.seccomp = seccomp,
		.mounted = prepare_namespaces,
		.map_source = map_source,
		.data = creation,
	};
	_cleanup_close_ int cache = -1;
	int result;

	/* If we are killed before these are on record, the init process sees the handshake end, and ends too. */
	if (creation_write_down_pid(creation, err) < 0 || creation_write_down_config(creation, err) < 0 ||
		resctrl_join(creation->config->linux->intel_rdt, creation->options->id, creation->child.pid,
			err) < 0 ||
		start_early_hook(creation, err) < 0)
		return -1;
	if (sets_oom_score(creation) &&
		process_set_oom_score_of(creation->child.pid, creation->config->process, err) < 0)
		return -1;
	cache = seccomp ? state_open_cache(&creation->directory) : -1;
	if (spawn_compile(&creation->child, seccomp, cache, err) < 0)
		return -1;
	/* Else it waits for the hooks, and prepare_namespaces() sends it afterwards. */
	if (!creation->init.waits_for_hooks && spawn_send_program(&creation->child, err) < 0)
		return -1;
	service.state = state_oci(&creation->state, CONTAINER_CREATED);
	result = spawn_serve(&creation->child, &service, err);
	if (result == 0 && creation->waits_for_start)
		return error_set(err, 0, "the container's init process was killed before it was ready");
	return result < 0 ? -1 : 0;
}

/* The maps of a process that is ending cannot be written (EACCES), like those of one that is too well protected. */
static bool is_ending(const struct creation *creation)
{
	enum { PATIENCE_MS = 2000 }; /* a busy machine takes its time to bury it */
	struct pollfd ended = { .fd = creation->child.pidfd, .events = POLLIN };

	return ended.fd < 0 || poll(&ended, 1, PATIENCE_MS) == 1;
}

/* When something failed since the init process has given up, it tells better why. One that lives may be waiting for us. */
static void prefer_its_error(struct creation *creation, struct error *err)
{
	bool has_hung_up = err->number == EPIPE || err->number == ECONNRESET;
	bool may_be_ending = err->number == ESRCH || err->number == EACCES;
	struct error its = { 0 };

	if ((has_hung_up || (may_be_ending && is_ending(creation))) &&
		spawn_hear_failure(&creation->child, &its))
		*err = its;
}

static void warn_of_capabilities(const struct creation *creation)
{
	const struct oci_capabilities *capabilities = creation->config->process->capabilities;
	char text[1024];

	if (capabilities_lacking(capabilities, text, sizeof(text)))
		log_warning(
			"process.capabilities: this host cannot grant %s; the container runs without", text);
	if (capabilities_not_ambient(capabilities, text, sizeof(text)))
		log_warning("can't raise ambient capability %s: not inheritable and permitted", text);
}

int creation_make(struct creation *creation, struct error *err)
{
	const struct container_options *options = creation->options;
	const struct oci_resources *resources;

	if (creation_write_down(creation, err) < 0)
		return -1;
	resources = creation->config->linux->resources;
	/* Also without resources: the common devices, and no others, are what a container has then. */
	if (cgroup_create(creation->cgroup, resources, &creation->config->annotations, err) < 0 ||
		cgroup_apply(creation->cgroup, resources, err) < 0 || prepare_resctrl(creation, err) < 0)
		return -1;
	if (namespaces_plan(creation->config, &creation->namespaces, err) < 0 ||
		(creation->namespaces.create_cgroup &&
			cgroup_delegate(creation->cgroup, creation->config, err) < 0))
		return -1;
	describe_rootfs(creation);
	if (options->console_socket) {
		creation->init.console_socket = console_connect(options->console_socket, err);
		if (creation->init.console_socket < 0)
			return -1;
	}
	warn_of_capabilities(creation);
	if (rootfs_open_sources(&creation->rootfs, err) < 0 || open_start(creation, err) < 0)
		return -1;
	if (clone_init(creation, err) < 0 || complete_init(creation, err) < 0) {
		prefer_its_error(creation, err);
		rootfs_close_sources(&creation->rootfs);
		return -1;
	}
	rootfs_close_sources(&creation->rootfs);
	cgroup_settle(creation->cgroup);
	if (fd_socket_pass("--pidfd-socket", options->pidfd_socket, creation->child.pidfd, "pidfd", err) < 0)
		return -1;
	return pid_file_write(creation->arena, options->pid_file, creation->child.pid, err);
}

void creation_undo(struct creation *creation)
{
	struct error err = { 0 }, ignored;
	int status;

	hooks_await(&creation->early_hook, &ignored); /* what it made, poststop takes away */
	if (creation->child.pid > 0) {
		kill(creation->child.pid, SIGKILL);
		waitpid(creation->child.pid, &status, 0);
		creation->child.pid = -1;
	}
	if (creation->directory.fd < 0)
		return;
	if (removal_run(creation->arena, &creation->directory, creation->config ? &creation->state : NULL,
		    creation->cgroup, creation->config, &err) < 0)
		log_warning("%s", err.message);
}
