/* What the files of the cgroup driver share. Nobody else includes this.
 */
#pragma once

#include "runtime/cgroup.h"
#include "spec/cleanup.h"

#include <inttypes.h>

/* A container's directory in one hierarchy. */
struct cgroup_directory {
	const struct cgroup_hierarchy *hierarchy;
	const char *path; /* on the host */
	int fd;		  /* O_PATH; -1 where it is absent or not opened yet */
	int entry;	  /* after cgroup_open_entries(): what a process writes "0" to, to enter; else -1 */
	int fault;	  /* why it is absent, an errno value */
	bool existed;	  /* before us */
};

struct cgroup {
	struct arena *arena;
	struct cgroup_hierarchy *hierarchies;
	struct cgroup_directory *directories; /* by the same index */
	size_t count;
	const char *path;
	const char *unit;  /* of systemd's; NULL: the cgroupfs driver */
	pid_t placeholder; /* keeps the unit from ending until cgroup_settle() */
	bool rootless;
	bool examined, joined; /* joined: it had processes before us; known once it was examined */
	bool unified;	       /* pure v2 */
};

/* True if `list` ("cpu,cpuacct", or with spaces) has the word. */
bool cgroup_list_has(const char *list, const char *word);

/* The directory that has the controller: on v2 every one, on v1 and hybrid the v1 hierarchy of that name, else the v2 one
 * where it has it. NULL where the host has none. */
struct cgroup_directory *cgroup_controller(struct cgroup *cgroup, const char *controller);
struct cgroup_directory *cgroup_v2_directory(struct cgroup *cgroup); /* or NULL */

/* Calls `visit` with the directory and all below it, those inside first: an open directory, and the name in that. What disappears
 * meanwhile is passed over. False with errno where that fails, or `visit` does. */
typedef bool cgroup_visitor(int parent, const char *name, void *data);
bool cgroup_visit_tree(const char *path, cgroup_visitor *visit, void *data);

void cgroup_examine(struct cgroup *cgroup);

/* Opens the directory if it isn't. False, with errno, where it is absent. */
bool cgroup_directory_open(struct cgroup_directory *directory);

/* Reads a small file into `text`, NUL-terminated, without the last newline. Returns false with errno. */
bool cgroup_read(int directory, const char *file, char *text, size_t size);

/* Writes `text` in one write(2). Returns false with errno. */
bool cgroup_write(int directory, const char *file, const char *text);

/* One setting of linux.resources: `property` is its name below there ("memory.limit"), for messages. */
int cgroup_set(struct cgroup *cgroup, const char *controller, const char *file, const char *property,
	struct error *err, const char *format, ...) __attribute__((format(printf, 6, 7)));
/* The same without a message, for those that try more than one way. ENODEV: the host has no such controller. */
bool cgroup_try(struct cgroup *cgroup, const char *controller, const char *file, const char *text);
int cgroup_set_failed(struct cgroup *cgroup, const char *controller, const char *file, const char *property,
	const char *text, struct error *err);
/* False with errno where there is no such controller or file. */
bool cgroup_has(struct cgroup *cgroup, const char *controller, const char *file);

/* memory.checkBeforeUpdate: refuses a limit below what is used now. */
int cgroup_check_usage(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);

/* What linux.resources.unified has for the file; NULL: nothing. */
const char *cgroup_unified_value(const struct oci_resources *resources, const char *file);
/* With both quota and period if one of them is given: systemd forgets a period that has no quota. */
const struct oci_resources *cgroup_v2_complete_quota(
	struct cgroup *cgroup, const struct oci_resources *resources);
/* What cpu.idle is to be. 1: the cgroup has no weight. */
struct optional_int64 cgroup_v2_idle(const struct oci_resources *resources);

/* Below linux.resources; v1 for the v1 hierarchies and, on hybrid, what only the v2 one has. */
int cgroup_v1_apply(
	struct cgroup *cgroup, const struct oci_resources *resources, bool devices, struct error *err);
int cgroup_v2_apply(
	struct cgroup *cgroup, const struct oci_resources *resources, bool devices, struct error *err);
int cgroup_apply_cpuset(struct cgroup *cgroup, const struct oci_cpu *cpu, struct error *err);
int cgroup_apply_pids(struct cgroup *cgroup, const struct oci_pids *pids, struct error *err);
int cgroup_apply_hugepages(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);
int cgroup_apply_rdma(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);
int cgroup_apply_unified(struct cgroup *cgroup, const struct oci_resources *resources, struct error *err);

/* Parts of cgroup_statistics(). */
void cgroup_statistics_io(struct arena *arena, struct cgroup *cgroup, struct json *root);
void cgroup_statistics_hugepages(struct arena *arena, struct cgroup *cgroup, struct json *root);
void cgroup_statistics_pressure(struct arena *arena, struct cgroup *cgroup, struct json *root);

/* v1's units in v2's. */
uint64_t cgroup_v2_cpu_weight(uint64_t shares);
unsigned int cgroup_v2_io_weight(unsigned int weight);

/* False in a user namespace that is not the host's: we may not limit devices there, and need not, since no device can be
 * opened through a node that was made there. */
bool cgroup_devices_matter(const struct cgroup *cgroup);

/* After mkdir: a new v1 cpuset has no CPU and no memory node until it is given its parent's. Where that has none either, as an
 * engine may have made it, it first gets those of its own. */
int cgroup_v1_inherit_cpuset(const struct cgroup_hierarchy *hierarchy, const char *path, struct error *err);

/* Enables controllers for the children of `path`'s ancestors, from the mount point on. */
void cgroup_v2_enable(const struct cgroup *cgroup, const struct cgroup_directory *directory,
	const struct oci_resources *resources);
