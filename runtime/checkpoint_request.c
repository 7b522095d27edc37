/* See checkpoint_internal.h: the options, the mounts, and what is refused. */
#include "runtime/checkpoint_internal.h"

#include "runtime/devices.h"
#include "runtime/engine_policy.h"
#include "runtime/launch.h"
#include "runtime/mount_options.h"
#include "runtime/placeholder.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>

#define LOG_LEVEL_INFORMATION 4

/* ---- directories ---- */

static const char *image_path(const struct checkpoint_options *options)
{
	return options->image_path ? options->image_path : "checkpoint";
}

static const char *work_path(const struct checkpoint_options *options)
{
	return options->work_path ? options->work_path : image_path(options);
}

static int open_directory(const char *path, bool make, struct error *err)
{
	int fd;

	if (make && mkdir(path, 0700) < 0 && errno != EEXIST)
		return error_set(err, errno, "cannot make %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? error_set(err, errno, "cannot open %s", path) : fd;
}

int checkpoint_open(const struct checkpoint_options *options, bool make,
	struct checkpoint_directories *directories, struct error *err)
{
	*directories = NO_DIRECTORIES;
	directories->images = open_directory(image_path(options), make, err);
	if (directories->images < 0)
		return -1;
	directories->work = open_directory(work_path(options), true, err);
	return directories->work < 0 ? -1 : 0;
}

const char *checkpoint_log(
	struct arena *arena, const struct checkpoint_options *options, const char *log_name)
{
	return arena_printf(arena, "%s/%s", work_path(options), log_name);
}

void checkpoint_describe_directories(
	struct criu_request *request, const struct checkpoint_directories *directories)
{
	criu_add_number(request, CRIU_IMAGES_DIR_FD, (uint64_t)directories->images);
	criu_add_number(request, CRIU_WORK_DIR_FD, (uint64_t)directories->work);
}

/* ---- options ---- */

static int add_page_server(struct criu_request *request, const char *text, struct error *err)
{
	const char *colon = strrchr(text, ':');
	char *end;
	unsigned long port = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (!colon || colon == text || !port || port > USHRT_MAX || *end)
		return error_set(err, 0, "--page-server: \"%s\" is not ADDRESS:PORT", text);
	criu_add_page_server(request, arena_strndup(request->arena, text, (size_t)(colon - text)), port);
	return 0;
}

static int add_empty_namespaces(
	struct criu_request *request, const struct string_list *namespaces, struct error *err)
{
	for (size_t i = 0; i < namespaces->count; i++)
		if (strcmp(namespaces->items[i], "network") != 0)
			return error_set(
				err, 0, "--empty-ns: \"%s\" is not known; use network", namespaces->items[i]);
	if (namespaces->count)
		criu_add_number(request, CRIU_EMPTY_NAMESPACES, CLONE_NEWNET);
	return 0;
}

/* What an administrator wants for all containers, or the config for this one: it overrides what we say. */
static void add_configuration(struct criu_request *request, const struct oci_config *config)
{
	static const char *const files[] = { "/etc/criu/fence.conf", "/etc/criu/runc.conf" };
	const char *file = oci_annotation(config, ANNOTATION_CRIU_CONFIG);

	for (size_t i = 0; !file && i < ARRAY_SIZE(files); i++)
		if (access(files[i], F_OK) == 0)
			file = files[i];
	if (file)
		criu_add_text(request, CRIU_CONFIG_FILE, file);
}

static void add_flags(struct criu_request *request, const struct checkpoint_options *options)
{
	const struct {
		enum criu_option field;
		bool value;
	} flags[] = {
		{ CRIU_TCP_ESTABLISHED, options->tcp_established },
		{ CRIU_TCP_SKIP_IN_FLIGHT, options->tcp_skip_in_flight },
		{ CRIU_TCP_CLOSE, options->tcp_close },
		{ CRIU_EXT_UNIX_SK, options->external_unix_sockets },
		{ CRIU_SHELL_JOB, options->shell_job },
		{ CRIU_FILE_LOCKS, options->file_locks },
		{ CRIU_LINK_REMAP, options->link_remap },
		{ CRIU_AUTO_DEDUP, options->auto_dedup },
		{ CRIU_LAZY_PAGES, options->lazy_pages },
		{ CRIU_NOTIFY_SCRIPTS, true },
		{ CRIU_ORPHAN_PTS_MASTER, true },
		{ CRIU_EVASIVE_DEVICES, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++)
		if (flags[i].value)
			criu_add_number(request, flags[i].field, 1);
}

int checkpoint_describe(struct criu_request *request, const struct checkpoint_options *options,
	const struct oci_config *config, const char *log_name, struct error *err)
{
	/* enum criu_cg_mode */
	static const uint64_t cgroups_modes[] = {
		[CGROUPS_SOFT] = 3,
		[CGROUPS_FULL] = 4,
		[CGROUPS_STRICT] = 5,
		[CGROUPS_IGNORE] = 0,
	};

	criu_add_text(request, CRIU_LOG_FILE, log_name);
	criu_add_number(request, CRIU_LOG_LEVEL, LOG_LEVEL_INFORMATION);
	criu_add_number(request, CRIU_MANAGE_CGROUPS_MODE, cgroups_modes[options->cgroups_mode]);
	if (options->network_lock != LOCK_DEFAULT)
		criu_add_number(request, CRIU_NETWORK_LOCK, (uint64_t)options->network_lock);
	add_flags(request, options);
	add_configuration(request, config);
	if (options->page_server && add_page_server(request, options->page_server, err) < 0)
		return -1;
	return add_empty_namespaces(request, &options->empty_namespaces, err);
}

const char *checkpoint_external_namespace(const char *type)
{
	static const struct {
		const char *type, *name;
	} names[] = { { "network", "extRootNetNS" }, { "pid", "extRootPidNS" } };

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (strcmp(names[i].type, type) == 0)
			return names[i].name;
	return NULL;
}

/* ---- standard streams ---- */

const char *checkpoint_stream_kind(const char *path)
{
	struct stat status;

	if (stat(path, &status) < 0)
		return "closed";
	return S_ISFIFO(status.st_mode) ? "pipe" : S_ISREG(status.st_mode) ? "file" : "device";
}

/* ---- mounts ---- */

/* On v1 and hybrid hosts it is a directory of mounts (mount_cgroup.c). v2's is none that CRIU needs to be told of. */
static int visit_hierarchies(struct arena *arena, const struct oci_mount *mount, struct cgroup *cgroup,
	checkpoint_mount_visitor *visit, void *data, struct error *err)
{
	const struct cgroup_hierarchy *hierarchies;
	size_t count = cgroup && !cgroup_is_unified(cgroup) ? cgroup_hierarchies(cgroup, &hierarchies) : 0;

	for (size_t i = 0; i < count; i++) {
		const char *point = hierarchies[i].mount_point;
		const struct checkpoint_mount found = {
			.destination = arena_printf(arena, "%s%s", mount->destination, strrchr(point, '/')),
			.source = arena_printf(arena, "%s%s", point, hierarchies[i].path),
		};

		if (visit(data, &found, err) < 0)
			return -1;
	}
	return 0;
}

static int visit_mount(struct arena *arena, const struct oci_mount *mount, size_t index,
	struct cgroup *cgroup, checkpoint_mount_visitor *visit, void *data, struct error *err)
{
	const struct checkpoint_mount found = { .destination = mount->destination, .source = mount->source };
	struct mount_options options;

	if (mount_options_read(arena, mount, index, &options, err) < 0)
		return -1;
	if (options.bind)
		return options.remount ? 0 : visit(data, &found, err);
	if (mount->type && strcmp(mount->type, "cgroup") == 0)
		return visit_hierarchies(arena, mount, cgroup, visit, data, err);
	return 0;
}

struct device_visit {
	checkpoint_mount_visitor *visit;
	void *data;
};

static int visit_device(void *data, const char *path, const char *host_path, struct error *err)
{
	const struct device_visit *outer = data;
	const struct checkpoint_mount found = { .destination = path, .source = host_path };

	return outer->visit(outer->data, &found, err);
}

int checkpoint_visit_mounts(struct arena *arena, const struct oci_config *config, struct cgroup *cgroup,
	checkpoint_mount_visitor *visit, void *data, struct error *err)
{
	struct device_visit device_visit = { visit, data };

	for (size_t i = 0; i < config->mounts.count; i++)
		if (visit_mount(arena, &config->mounts.items[i], i, cgroup, visit, data, err) < 0)
			return -1;
	if (devices_visit_bound(arena, config, visit_device, &device_visit, err) < 0)
		return -1;
	for (size_t i = 0; i < config->linux->masked_paths.count; i++) {
		const struct checkpoint_mount mask = { .destination = config->linux->masked_paths.items[i],
			.source = "/dev/null",
			.mask = true };

		if (visit(data, &mask, err) < 0)
			return -1;
	}
	return 0;
}

/* ---- what is refused ---- */

static bool runs_network_hook(const oci_hook_list *hooks)
{
	for (size_t i = 0; i < hooks->count; i++) {
		const char *name = strrchr(hooks->items[i].path, '/');

		if (name && strcmp(name, "/fence-network") == 0)
			return true;
	}
	return false;
}

static bool has_policy(const struct oci_config *config)
{
	return engine_policy_wanted(config) || oci_annotation(config, ANNOTATION_LANDLOCK) ||
	       oci_annotation(config, ANNOTATION_PLACEHOLDERS) ||
	       (config->hooks && runs_network_hook(&config->hooks->create_runtime));
}

static bool has_no_mount_namespace(const struct oci_config *config)
{
	const struct oci_namespace *namespace = oci_namespace_find(config, "mount");

	return !namespace || namespace->path;
}

static bool joins_other_namespace(const struct oci_config *config)
{
	static const char *const types[] = { "cgroup", "time", "user" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		const struct oci_namespace *namespace = oci_namespace_find(config, types[i]);

		if (namespace && namespace->path)
			return true;
	}
	return false;
}

static bool has_agent(const struct oci_config *config)
{
	return config->linux->seccomp && config->linux->seccomp->listener_path;
}

static bool has_memory_policy(const struct oci_config *config)
{
	return config->linux->memory_policy;
}

static bool has_rdt(const struct oci_config *config)
{
	return config->linux->intel_rdt;
}

static bool has_io_priority(const struct oci_config *config)
{
	return config->process->io_priority;
}

static const struct {
	bool (*found)(const struct oci_config *config);
	const char *what, *why;
} refusals[] = {
	{ has_policy, "a policy", "CRIU does not bring back Landlock and the relay" },
	{ has_no_mount_namespace, "no mount namespace of its own",
		"CRIU would take the host's mounts for its" },
	{ joins_other_namespace, "a cgroup, time or user namespace of another's",
		"CRIU would make a new one" },
	{ has_agent, "a seccomp agent (linux.seccomp.listenerPath)",
		"CRIU does not bring back its listener" },
	{ has_memory_policy, "linux.memoryPolicy", "CRIU does not bring that back" },
	{ has_rdt, "linux.intelRdt", "CRIU does not bring that back" },
	{ has_io_priority, "process.ioPriority", "CRIU does not bring that back" },
};

static int refuse_idmapped(struct arena *arena, const struct oci_config *config, struct error *err)
{
	for (size_t i = 0; i < config->mounts.count; i++) {
		struct mount_options options;

		if (mount_options_read(arena, &config->mounts.items[i], i, &options, err) < 0)
			return -1;
		if (options.idmap)
			return error_set(err, 0,
				"a container with id-mapped mounts (mounts[%zu]) cannot be checkpointed or "
				"restored: CRIU does not bring the mapping back",
				i);
	}
	return 0;
}

int checkpoint_refuse(struct arena *arena, const struct oci_config *config, struct error *err)
{
	if (geteuid() != 0 || state_is_rootless())
		return error_set(err, 0, "checkpoint and restore need root: CRIU does");
	for (size_t i = 0; i < ARRAY_SIZE(refusals); i++)
		if (refusals[i].found(config))
			return error_set(err, 0, "a container with %s cannot be checkpointed or restored: %s",
				refusals[i].what, refusals[i].why);
	return refuse_idmapped(arena, config, err);
}
