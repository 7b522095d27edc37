/* See cgroup_systemd.h.
 *
 * systemd is spoken to at its private socket, which is there in every instance since version 205 for its own tools: no bus
 * daemon needs to run, and signals come without being asked for. Who may connect is the instance's own user, and root.
 */
#include "runtime/cgroup_systemd.h"

#include "runtime/dbus.h"
#include "runtime/systemd_properties.h"

#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SYSTEMD_PATH	  "/org/freedesktop/systemd1"
#define SYSTEMD_INTERFACE "org.freedesktop.systemd1."
#define MANAGER(member, signature)                                                \
	{                                                                         \
		SYSTEMD_PATH, SYSTEMD_INTERFACE "Manager", (member), (signature), \
	}

static const char scope_suffix[] = ".scope", slice_suffix[] = ".slice";

static int open_systemd(struct dbus *dbus, struct arena *arena, bool rootless, struct error *err)
{
	const char *directory = "/run", *path;

	if (rootless) {
		directory = getenv("XDG_RUNTIME_DIR");
		if (!directory || !*directory)
			return error_set(err, 0,
				"--systemd-cgroup: XDG_RUNTIME_DIR is not set: without it the user's systemd "
				"cannot be found; log in, or use cgroupfs");
	}
	path = arena_printf(arena, "%s/systemd/private", directory);
	if (dbus_open(dbus, arena, "systemd", path, err) == 0)
		return 0;
	if (err && (err->number == ENOENT || err->number == ECONNREFUSED))
		return error_set(err, 0,
			"--systemd-cgroup: no systemd%s runs here (there is nobody at %s); leave it out, to "
			"use cgroupfs",
			rootless ? " of this user's" : "", path);
	return error_wrap(err, "--systemd-cgroup");
}

/* ---- where ---- */

static bool ends_with(const char *text, const char *end)
{
	size_t length = strlen(text), end_length = strlen(end);

	return length > end_length && strcmp(text + length - end_length, end) == 0;
}

/* Words with "-" between them, none empty. */
static bool is_slice(const char *name)
{
	const char *word = name, *end;

	if (!ends_with(name, slice_suffix) || strchr(name, '/'))
		return false;
	if (strcmp(name, "-.slice") == 0)
		return true;
	for (;; word = end + 1) {
		end = strchrnul(word, '-');
		if (!*end)
			return strcmp(word, slice_suffix) != 0;
		if (end == word)
			return false;
	}
}

/* "a-b.slice" is in "a.slice": the path "/a.slice/a-b.slice". "-.slice" is the root: "". */
static const char *slice_path(struct arena *arena, const char *slice, struct error *err)
{
	const char *path = "";
	size_t length;

	if (!is_slice(slice)) {
		error_set(err, 0,
			"linux.cgroupsPath: \"%s\" is not the name of a slice, such as \"system.slice\"",
			slice);
		return NULL;
	}
	if (strcmp(slice, "-.slice") == 0)
		return "";
	length = strlen(slice) - strlen(slice_suffix);
	for (size_t i = 1; i <= length; i++)
		if (i == length || slice[i] == '-')
			path = arena_printf(arena, "%s/%.*s%s", path, (int)i, slice, slice_suffix);
	return path;
}

static int get_property(struct dbus *dbus, const char *name, const char **value, struct error *err)
{
	static const struct dbus_method get = { SYSTEMD_PATH, "org.freedesktop.DBus.Properties", "Get",
		"ss" };
	struct dbus_body body = { .arena = dbus->arena };
	struct dbus_message reply;

	dbus_put_string(&body, SYSTEMD_INTERFACE "Manager");
	dbus_put_string(&body, name);
	if (dbus_call(dbus, &get, &body, &reply, err) < 0)
		return -1;
	if (strcmp(dbus_get_signature(&reply), "s") == 0)
		*value = dbus_get_string(&reply);
	else
		reply.malformed = true;
	return reply.malformed ? error_set(err, EPROTO, "systemd does not say what its %s is", name) : 0;
}

/* Where the instance has its own root: "" for the system's, else such as "/user.slice/user-1000.slice/user@1000.service". */
static int find_root(struct dbus *dbus, const char **root, struct error *err)
{
	if (get_property(dbus, "ControlGroup", root, err) < 0)
		return -1;
	if (strcmp(*root, "/") == 0)
		*root = "";
	return 0;
}

/* "slice:prefix:name" */
static int parse(struct arena *arena, const char *cgroups_path, bool rootless, const char *id,
	const char **slice, const char **unit, struct error *err)
{
	char *words, *prefix, *name;

	*slice = rootless ? "user.slice" : "system.slice";
	if (!cgroups_path || !*cgroups_path) {
		*unit = arena_printf(arena, "fence-%s%s", id, scope_suffix);
		return 0;
	}
	name = words = arena_strdup(arena, cgroups_path);
	words = strsep(&name, ":");
	prefix = strsep(&name, ":");
	if (!name || strchr(name, ':') || !*name || strchr(cgroups_path, '/'))
		return error_set(err, 0,
			"linux.cgroupsPath: \"%s\" is not \"slice:prefix:name\", as it must be with "
			"--systemd-cgroup",
			cgroups_path);
	if (ends_with(name, slice_suffix))
		return error_set(err, 0,
			"linux.cgroupsPath: \"%s\": a container cannot be a slice, only be in one",
			cgroups_path);
	if (*words)
		*slice = words;
	*unit = arena_printf(arena, "%s%s%s%s", prefix, *prefix ? "-" : "", name,
		ends_with(name, scope_suffix) ? "" : scope_suffix);
	return 0;
}

int cgroup_systemd_locate(struct arena *arena, const char *cgroups_path, const char *id, bool rootless,
	const char **unit, const char **path, struct error *err)
{
	_cleanup_dbus_ struct dbus dbus = { .fd = -1 };
	const char *slice, *below, *root;

	if (parse(arena, cgroups_path, rootless, id, &slice, unit, err) < 0)
		return -1;
	below = slice_path(arena, slice, err);
	if (!below || open_systemd(&dbus, arena, rootless, err) < 0 || find_root(&dbus, &root, err) < 0)
		return -1;
	*path = arena_printf(arena, "%s%s/%s", root, below, *unit);
	return 0;
}

/* What locate made the path of. */
static const char *slice_of(const struct cgroup *cgroup)
{
	char *path = arena_strdup(cgroup->arena, cgroup->path);
	char *slice;

	*strrchr(path, '/') = '\0';
	slice = strrchr(path, '/');
	return slice && ends_with(slice, slice_suffix) ? slice + 1 : "-.slice";
}

/* ---- jobs ---- */

/* `reply` is what started it. */
static int wait_for_job(struct dbus *dbus, struct dbus_message *reply, const char *unit, struct error *err)
{
	const char *job = dbus_get_string(reply), *removed, *result;
	struct dbus_message signal;

	do {
		if (dbus_wait_signal(dbus, "JobRemoved", "uoss", &signal, err) < 0)
			return error_wrap(err, "%s", unit);
		dbus_get_uint32(&signal);
		removed = dbus_get_string(&signal);
	} while (strcmp(removed, job) != 0);
	dbus_get_string(&signal); /* the unit */
	result = dbus_get_string(&signal);
	return strcmp(result, "done") == 0
		       ? 0
		       : error_set(err, 0, "systemd: %s: the job ended with \"%s\"", unit, result);
}

static bool is_error(const struct dbus_message *reply, const char *name)
{
	static const char prefix[] = SYSTEMD_INTERFACE;

	return reply->error && strncmp(reply->error, prefix, strlen(prefix)) == 0 &&
	       strcmp(reply->error + strlen(prefix), name) == 0;
}

/* Since version 252 systemd knows cpu.idle, and writes it whenever it writes the weight: unasked, it is 0. */
static int put_weight(struct dbus *dbus, struct dbus_body *body, const struct cgroup *cgroup,
	const struct oci_resources *resources, struct error *err)
{
	const char *version = "";

	if (!resources || !cgroup->unified)
		return 0;
	if (cgroup_v2_idle(resources).set && get_property(dbus, "Version", &version, err) < 0)
		return -1;
	version += strcspn(version, "0123456789"); /* "252.39-1~deb12u2", "v259" */
	systemd_put_weight(body, resources, strtoul(version, NULL, 10) >= 252);
	return 0;
}

static int put_properties(struct dbus *dbus, struct dbus_body *body, struct cgroup *cgroup,
	const struct oci_resources *resources, const struct string_map *annotations, struct error *err)
{
	static const char *const true_properties[] = { "Delegate", "CPUAccounting", "IOAccounting",
		"MemoryAccounting", "TasksAccounting" };
	size_t list = dbus_begin_array(body, 8);

	systemd_put_string(
		body, "Description", arena_printf(cgroup->arena, "fence container %s", cgroup->unit));
	systemd_put_string(body, "Slice", slice_of(cgroup));
	systemd_put_string(body, "CollectMode", "inactive-or-failed");
	systemd_put_bool(body, "DefaultDependencies", false);
	for (size_t i = 0; i < ARRAY_SIZE(true_properties); i++)
		systemd_put_bool(body, true_properties[i], true);
	systemd_put_pid(body, "PIDs", cgroup->placeholder);
	if (systemd_put_resources(body, cgroup, resources, err) < 0 ||
		put_weight(dbus, body, cgroup, resources, err) < 0 ||
		systemd_put_devices(body, cgroup, resources, err) < 0 ||
		systemd_put_annotations(body, annotations, err) < 0)
		return -1;
	dbus_end_array(body, 8, list);
	return 0;
}

/* A unit of that name that failed earlier stays until it is reset. */
static int start_unit(
	struct dbus *dbus, const struct dbus_body *body, struct cgroup *cgroup, struct error *err)
{
	static const struct dbus_method start = MANAGER("StartTransientUnit", "ssa(sv)a(sa(sv))"),
					reset = MANAGER("ResetFailedUnit", "s");
	struct dbus_body name = { .arena = dbus->arena };
	struct dbus_message reply, ignored;
	int result = dbus_call(dbus, &start, body, &reply, err);

	dbus_put_string(&name, cgroup->unit);
	if (result < 0 && is_error(&reply, "UnitExists") &&
		dbus_call(dbus, &reset, &name, &ignored, NULL) == 0)
		result = dbus_call(dbus, &start, body, &reply, err);
	if (result < 0) {
		cgroup->joined = is_error(&reply, "UnitExists"); /* somebody else's, not ours to stop */
		return -1;
	}
	return wait_for_job(dbus, &reply, cgroup->unit, err);
}

/* Holds no more than a fork does, and ends with us. */
static pid_t start_placeholder(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	for (;;)
		pause();
}

int cgroup_systemd_start(struct cgroup *cgroup, const struct oci_resources *resources,
	const struct string_map *annotations, struct error *err)
{
	_cleanup_dbus_ struct dbus dbus = { .fd = -1 };
	struct dbus_body body = { .arena = cgroup->arena };
	size_t none;

	if (open_systemd(&dbus, cgroup->arena, cgroup->rootless, err) < 0)
		return -1;
	cgroup->placeholder = start_placeholder();
	if (cgroup->placeholder < 0)
		return error_set(err, errno, "cannot make a process for %s", cgroup->unit);
	dbus_put_string(&body, cgroup->unit);
	dbus_put_string(&body, "replace");
	if (put_properties(&dbus, &body, cgroup, resources, annotations, err) < 0)
		return -1;
	none = dbus_begin_array(&body, 8);
	dbus_end_array(&body, 8, none);
	return start_unit(&dbus, &body, cgroup, err);
}

void cgroup_settle(struct cgroup *cgroup)
{
	int status;

	if (!cgroup || cgroup->placeholder <= 0)
		return;
	kill(cgroup->placeholder, SIGKILL);
	waitpid(cgroup->placeholder, &status, 0);
	cgroup->placeholder = 0;
}

int cgroup_systemd_update(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err)
{
	static const struct dbus_method set = MANAGER("SetUnitProperties", "sba(sv)");
	_cleanup_dbus_ struct dbus dbus = { .fd = -1 };
	struct dbus_body body = { .arena = cgroup->arena };
	struct dbus_message reply;
	const char *ignored;
	size_t list;

	if (open_systemd(&dbus, cgroup->arena, cgroup->rootless, err) < 0)
		return -1;
	dbus_put_string(&body, cgroup->unit);
	dbus_put_bool(&body, true); /* for the unit as it runs, not for ever */
	list = dbus_begin_array(&body, 8);
	if (systemd_put_resources(&body, cgroup, resources, err) < 0 ||
		put_weight(&dbus, &body, cgroup, resources, err) < 0)
		return -1;
	dbus_end_array(&body, 8, list);
	if (dbus_call(&dbus, &set, &body, &reply, err) < 0)
		return -1;
	/* It answers before it has written its files, and writes them before it answers anything else. */
	return find_root(&dbus, &ignored, err);
}

int cgroup_systemd_attach(struct cgroup *cgroup, struct error *err)
{
	static const struct dbus_method attach = MANAGER("AttachProcessesToUnit", "ssau");
	_cleanup_dbus_ struct dbus dbus = { .fd = -1 };
	struct dbus_body body = { .arena = cgroup->arena };
	struct dbus_message reply;
	size_t list;

	dbus_put_string(&body, cgroup->unit);
	dbus_put_string(&body, "");
	list = dbus_begin_array(&body, 4);
	dbus_put_uint32(&body, 0); /* whoever asks: in a pid namespace we don't know what systemd calls us */
	dbus_end_array(&body, 4, list);
	if (open_systemd(&dbus, cgroup->arena, cgroup->rootless, err) < 0)
		return -1;
	return dbus_call(&dbus, &attach, &body, &reply, err);
}

int cgroup_systemd_stop(struct cgroup *cgroup, struct error *err)
{
	static const struct dbus_method stop = MANAGER("StopUnit", "ss");
	_cleanup_dbus_ struct dbus dbus = { .fd = -1 };
	struct dbus_body body = { .arena = cgroup->arena };
	struct dbus_message reply;

	dbus_put_string(&body, cgroup->unit);
	dbus_put_string(&body, "replace");
	if (open_systemd(&dbus, cgroup->arena, cgroup->rootless, err) < 0)
		return -1;
	if (dbus_call(&dbus, &stop, &body, &reply, err) < 0)
		return is_error(&reply, "NoSuchUnit") ? 0 : -1;
	return wait_for_job(&dbus, &reply, cgroup->unit, err);
}
