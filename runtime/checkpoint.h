/* Checkpoint and restore by CRIU: what of a container CRIU has to be told, and what it leaves to the runtime.
 *
 * Must never restore a container with less protection than it had: what CRIU does not bring back is given back or compared with
 * what was recorded at the checkpoint (protections.h), and a container that needs what nobody can give back is refused.
 *
 * The images are trusted like a program of root's: they hold the memory, ids and capabilities of the processes and the contents of
 * file systems, and CRIU does with the host's privileges what they say. Whoever can write them can become root. The same holds for the
 * configuration file that the annotation org.criu.config names.
 */
#pragma once

#include "runtime/container.h"

enum checkpoint_cgroups_mode { CGROUPS_SOFT, CGROUPS_FULL, CGROUPS_STRICT, CGROUPS_IGNORE };
enum checkpoint_network_lock { LOCK_DEFAULT, LOCK_IPTABLES, LOCK_NFTABLES, LOCK_SKIP };

#define ANNOTATION_CRIU_CONFIG "org.criu.config"

struct checkpoint_options {
	const char *image_path, *work_path, *parent_path;
	const char *page_server, *lsm_profile, *lsm_mount_context;
	struct string_list empty_namespaces;
	int cgroups_mode;		  /* enum checkpoint_cgroups_mode */
	int network_lock;		  /* enum checkpoint_network_lock */
	struct optional_uint64 status_fd; /* gets a zero byte when the lazy pages can be fetched */
	bool lazy_pages, leave_running, tcp_established, tcp_skip_in_flight, tcp_close, external_unix_sockets,
		shell_job, file_locks, link_remap, pre_dump, auto_dedup;
};

/* Afterwards the container is gone, unless it is to go on; when this fails it goes on in any case. */
int container_checkpoint(struct arena *arena, const char *root, const char *id,
	const struct checkpoint_options *options, struct error *err);

/* As container_run(). */
int container_restore(struct arena *arena, const struct container_options *container,
	const struct checkpoint_options *options, int *exit_status, struct error *err);
