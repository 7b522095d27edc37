/* The compiler: (policy, facts about the host, invocation) → OCI config, network file, bundle contents.
 *
 * A pure function: it reads nothing but its arguments, so that golden files can test it. Everything that it decides can be
 * read in what it returns.
 */
#pragma once

#include "spec/facts.h"
#include "spec/network.h"
#include "spec/oci.h"
#include "spec/policy.h"

/* Ours, beside those of runtime/launch.h and placeholder.h. Nothing that hides a file or a network depends on them. */
#define ANNOTATION_CGROUP "dev.fence.cgroup" /* "disabled": no limit was asked for, so no cgroup is needed */

struct invocation {
	const char *id;
	const char *bundle; /* absolute: where the outputs will be written; mounts refer to files in it */
	struct string_list args; /* the command */
	struct string_list env;	 /* the caller's environment, before the policy filters it */
	const char *cwd;	 /* absolute, symlinks resolved */
	const char *home;	 /* absolute; NULL: none */
	uint32_t uid, gid;	 /* who runs it */
	bool terminal; /* process.terminal: only for `fence spec -t`; the front door passes the caller's tty on */
	bool exported;	   /* for other runtimes: no annotation of ours may be needed for safety */
	const char *state; /* fence's own state directory, which the command never sees; NULL: none */
	const char *hook;  /* absolute path of fence-network */
	const char *
		exec_helper; /* exported: absolute path of fence-exec, which the bundle will hold a copy of */
	bool network_in_bundle; /* true: the hook finds network.json in the bundle by itself */
};

struct bundle_entry {
	enum { BUNDLE_DIRECTORY, BUNDLE_FILE, BUNDLE_SYMLINK, BUNDLE_COPY } kind;
	const char *path;    /* relative to the bundle: "rootfs/bin", "resolv.conf" */
	const char *content; /* of a file; a symlink's target; where a copy is taken from */
	uint32_t mode;
};
typedef LIST_OF(struct bundle_entry) bundle_entries;

struct compiled {
	struct oci_config *config;
	struct network_file *network; /* NULL: no way out, no hook */
	bundle_entries entries;	      /* parents first; config.json and network.json not among them */
	struct string_list notes; /* one line each, for -d: what was decided and what it costs; appended to */
};

/* For the front door and `fence spec`. */
int compile_command(struct arena *arena, const struct policy *policy, const struct facts *facts,
	const struct invocation *invocation, struct compiled *compiled, struct error *err);

/* What the policy of an engine's container says of the environment, for exec; by it exec knows of the policy, too. */
#define ANNOTATION_EXEC "dev.fence.exec"

/* Directories of volumes that lead to what is denied, as a JSON array: moved away they would leave it to the next container. */
#define ANNOTATION_PINNED "dev.fence.pinned"

/* Under an engine: tightens `config` in place by the policy (never loosens it): masked and read-only paths, Landlock,
 * seccomp rules added to what is there, capabilities and environment cut, the network hook added. For patterns it reads the names in
 * the container's directories (container_paths.h), otherwise nothing. */
struct container_compilation {
	const char *bundle;	      /* absolute; for a relative root.path, where the policy has patterns */
	const char *hook;	      /* absolute path of fence-network */
	const char *network_path;     /* where the caller will write the network file */
	const char *resolv_path;      /* where the caller will write resolv.conf, if it is to */
	struct network_file *network; /* out; NULL: none to write */
	const char *resolv_conf;      /* out: its content; NULL: none to write */
	struct string_list notes;     /* out */
};
int compile_container(struct arena *arena, const struct policy *policy, struct oci_config *config,
	struct container_compilation *compilation, struct error *err);

/* The process that an engine has `exec` run in a container of that kind: no more privileges than its first one has, and the same rules
 * for its environment. Others are left alone. */
int compile_exec(
	struct arena *arena, const struct oci_config *config, struct oci_process *process, struct error *err);
