/* What checkpoint.c and restore.c tell CRIU alike. Nobody else includes this.
 */
#pragma once

#include "runtime/checkpoint.h"
#include "runtime/criu.h"
#include "runtime/state.h"

struct checkpoint_directories {
	int images, work;
};
#define NO_DIRECTORIES ((struct checkpoint_directories){ -1, -1 })
static inline void cleanup_checkpoint_directories(struct checkpoint_directories *directories)
{
	close_fd(directories->images);
	close_fd(directories->work);
}
#define _cleanup_directories_ _cleanup_(cleanup_checkpoint_directories)

/* `make`: that of the images too, if it is missing. */
int checkpoint_open(const struct checkpoint_options *options, bool make,
	struct checkpoint_directories *directories, struct error *err);

/* For messages. */
const char *checkpoint_log(
	struct arena *arena, const struct checkpoint_options *options, const char *log_name);

/* The options that mean the same to both, and the directories, which are open in our process. */
int checkpoint_describe(struct criu_request *request, const struct checkpoint_options *options,
	const struct oci_config *config, const char *log_name, struct error *err);
void checkpoint_describe_directories(
	struct criu_request *request, const struct checkpoint_directories *directories);

/* How a namespace that the config joins by its path is named in the images; NULL: it is not left out of them. */
const char *checkpoint_external_namespace(const char *type);

/* Whatever is mounted from outside; in the images it goes by its destination in the config. */
struct checkpoint_mount {
	const char *destination;
	const char *source; /* as in the config, or an absolute path */
	bool mask;	    /* of linux.maskedPaths: where that is no directory */
};
typedef int checkpoint_mount_visitor(void *data, const struct checkpoint_mount *mount, struct error *err);
int checkpoint_visit_mounts(struct arena *arena, const struct oci_config *config, struct cgroup *cgroup,
	checkpoint_mount_visitor *visit, void *data, struct error *err);

/* "pipe", "file" or "device": what a descriptor is, by its path in /proc/PID/fd. */
const char *checkpoint_stream_kind(const char *path);

/* What cannot be done is an error before anything is. */
int checkpoint_refuse(struct arena *arena, const struct oci_config *config, struct error *err);

/* In the images: { "descriptors": [{ "name": "pipe:[123]", "kind": "pipe" }, …], "foreground": true, "protections": {…} } */
#define CHECKPOINT_RECORD      "fence.json"
#define CHECKPOINT_DESCRIPTORS "descriptors" /* where the standard streams led */
#define CHECKPOINT_NAME	       "name"
#define CHECKPOINT_KIND	       "kind"
#define CHECKPOINT_FOREGROUND  "foreground" /* its processes end with their supervisor */
#define CHECKPOINT_PROTECTIONS "protections"
