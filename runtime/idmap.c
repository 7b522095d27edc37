/* See idmap.h. */
#include "runtime/idmap.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/wait.h>

bool idmap_outside(const oci_id_mappings *mappings, uint32_t inside, uint32_t *outside)
{
	for (size_t i = 0; i < mappings->count; i++) {
		const struct oci_id_mapping *mapping = &mappings->items[i];

		if (inside - mapping->container_id.value < mapping->size.value) {
			*outside = mapping->host_id.value + (inside - mapping->container_id.value);
			return true;
		}
	}
	return false;
}

static bool has_mapping(const oci_id_mappings *mappings, uint32_t inside, uint32_t outside, uint32_t size)
{
	for (size_t i = 0; i < mappings->count; i++) {
		const struct oci_id_mapping *mapping = &mappings->items[i];

		if (mapping->container_id.value == inside && mapping->host_id.value == outside &&
			mapping->size.value == size)
			return true;
	}
	return false;
}

static int not_as_configured(const char *name, struct error *err)
{
	return error_set(err, 0, "%s of the process is not what config.json says", name);
}

static int check_map(pid_t pid, const char *name, const oci_id_mappings *mappings, struct error *err)
{
	_cleanup_fclose_ FILE *file = NULL;
	uint32_t inside, outside, size;
	size_t count = 0;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	file = fopen(path, "re");
	if (!file)
		return error_set(err, errno, "cannot open %s", path);
	while (fscanf(file, "%" SCNu32 " %" SCNu32 " %" SCNu32, &inside, &outside, &size) == 3) {
		count++;
		if (!has_mapping(mappings, inside, outside, size))
			return not_as_configured(name, err);
	}
	return count == mappings->count ? 0 : not_as_configured(name, err);
}

int idmap_check(pid_t pid, const oci_id_mappings *uids, const oci_id_mappings *gids, struct error *err)
{
	return check_map(pid, "uid_map", uids, err) < 0 ? -1 : check_map(pid, "gid_map", gids, err);
}

static int write_file(pid_t pid, const char *name, const char *text)
{
	_cleanup_close_ int fd = -1;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	return write(fd, text, strlen(text)) < 0 ? -1 : 0;
}

static char *map_text(struct arena *arena, const oci_id_mappings *mappings)
{
	char *text = arena_strdup(arena, "");

	for (size_t i = 0; i < mappings->count; i++)
		text = arena_printf(arena, "%s%u %u %u\n", text, mappings->items[i].container_id.value,
			mappings->items[i].host_id.value, mappings->items[i].size.value);
	return text;
}

/* The helpers are set-uid and check /etc/subuid; they take "PID inside outside count …". */
static int run_helper(struct arena *arena, const char *helper, pid_t pid, const oci_id_mappings *mappings,
	struct error *err)
{
	static const char *const directories[] = { "/usr/bin", "/bin", "/usr/local/bin" };
	const char **args = arena_array(arena, 3 + 3 * mappings->count, sizeof(*args));
	size_t n = 0;
	int status;
	pid_t child;

	args[n++] = helper;
	args[n++] = arena_printf(arena, "%d", pid);
	for (size_t i = 0; i < mappings->count; i++) {
		args[n++] = arena_printf(arena, "%u", mappings->items[i].container_id.value);
		args[n++] = arena_printf(arena, "%u", mappings->items[i].host_id.value);
		args[n++] = arena_printf(arena, "%u", mappings->items[i].size.value);
	}
	child = fork();
	if (child < 0)
		return error_set(err, errno, "cannot fork for %s", helper);
	if (child == 0) {
		for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
			execv(arena_printf(arena, "%s/%s", directories[i], helper), (char *const *)args);
		_exit(127);
	}
	while (waitpid(child, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
		return error_set(err, 0,
			"the id mappings need %s, which is not installed (Debian: uidmap); or map only your "
			"own id",
			helper);
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return error_set(err, 0,
			"%s refused the mappings: do /etc/subuid and /etc/subgid grant them?", helper);
	return 0;
}

static int write_map(
	pid_t pid, const char *file, const char *helper, const oci_id_mappings *mappings, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();

	if (write_file(pid, file, map_text(arena, mappings)) == 0)
		return 0;
	if (errno != EPERM)
		return error_set(err, errno, "cannot write the %s of the new user namespace", file);
	return run_helper(arena, helper, pid, mappings, err);
}

static bool maps_only(const oci_id_mappings *mappings, uint32_t id)
{
	return mappings->count == 1 && mappings->items[0].size.value == 1 &&
	       mappings->items[0].host_id.value == id;
}

int idmap_write(pid_t pid, const oci_id_mappings *uids, const oci_id_mappings *gids, bool *can_set_groups,
	struct error *err)
{
	if (write_map(pid, "uid_map", "newuidmap", uids, err) < 0)
		return -1;
	/* Without privilege a process may map its own gid only after giving up setgroups(2): CVE-2014-8989. */
	if (geteuid() != 0 && maps_only(gids, getegid())) {
		if (write_file(pid, "setgroups", "deny") < 0)
			return error_set(err, errno, "cannot deny setgroups in the new user namespace");
	}
	if (write_map(pid, "gid_map", "newgidmap", gids, err) < 0)
		return -1;
	*can_set_groups = idmap_can_set_groups(pid);
	return 0;
}

bool idmap_can_set_groups(pid_t pid)
{
	_cleanup_fclose_ FILE *file = NULL;
	char path[64], word[16];

	snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	file = fopen(path, "re");
	return !file || fscanf(file, "%15s", word) != 1 || strcmp(word, "deny") != 0;
}
