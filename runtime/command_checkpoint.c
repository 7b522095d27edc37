/* checkpoint, restore. */
#include "runtime/checkpoint.h"
#include "runtime/command.h"
#include "spec/cleanup.h"

struct options {
	struct checkpoint_options checkpoint;
	const char *bundle, *console_socket, *pid_file;
	bool detach, keep, no_subreaper, no_pivot;
};

static const char *const container_only[] = { "CONTAINER", NULL };
static const char *const cgroups_modes[] = {
	[CGROUPS_SOFT] = "soft",
	[CGROUPS_FULL] = "full",
	[CGROUPS_STRICT] = "strict",
	[CGROUPS_IGNORE] = "ignore",
	NULL,
};

static const char *const network_locks[] = {
	[LOCK_DEFAULT] = "default",
	[LOCK_IPTABLES] = "iptables",
	[LOCK_NFTABLES] = "nftables",
	[LOCK_SKIP] = "skip",
	NULL,
};

#define ENTRY(member, ...) OPTION(struct options, member, __VA_ARGS__)
#define OPTIONS_OF_BOTH                                                                                      \
	ENTRY(checkpoint.image_path, "image-path", 0, STRING, "DIRECTORY",                                   \
		"the images (default: ./checkpoint)"),                                                       \
		ENTRY(checkpoint.work_path, "work-path", 0, STRING, "DIRECTORY",                             \
			"CRIU's log and other files (default: beside the images)"),                          \
		ENTRY(checkpoint.tcp_established, "tcp-established", 0, FLAG, NULL, "keep TCP connections"), \
		ENTRY(checkpoint.external_unix_sockets, "ext-unix-sk", 0, FLAG, NULL,                        \
			"allow Unix sockets whose other end is outside"),                                    \
		ENTRY(checkpoint.shell_job, "shell-job", 0, FLAG, NULL, "allow a terminal of the host's"),   \
		ENTRY(checkpoint.file_locks, "file-locks", 0, FLAG, NULL, "keep file locks"),                \
		ENTRY(checkpoint.lazy_pages, "lazy-pages", 0, FLAG, NULL,                                    \
			"let the memory follow, page by page"),                                              \
		ENTRY(checkpoint.auto_dedup, "auto-dedup", 0, FLAG, NULL,                                    \
			"drop pages that are saved again"),                                                  \
		ENTRY(checkpoint.empty_namespaces, "empty-ns", 0, LIST, "network",                           \
			"leave what is in this namespace to hooks"),                                         \
		ENTRY(checkpoint.cgroups_mode, "manage-cgroups-mode", 0, CHOICE, "soft|full|strict|ignore",  \
			"what CRIU does about nested cgroups", .choices = cgroups_modes),                    \
		ENTRY(checkpoint.network_lock, "network-lock", 0, CHOICE, "default|iptables|nftables|skip",  \
			"how TCP connections are kept still meanwhile", .choices = network_locks)

static const struct option checkpoint_options[] = {
	OPTIONS_OF_BOTH,
	ENTRY(checkpoint.leave_running, "leave-running", 0, FLAG, NULL, "let the container go on"),
	ENTRY(checkpoint.pre_dump, "pre-dump", 0, FLAG, NULL, "save memory only, and let it go on"),
	ENTRY(checkpoint.parent_path, "parent-path", 0, STRING, "DIRECTORY",
		"the images of a pre-dump, relative to --image-path"),
	ENTRY(checkpoint.tcp_skip_in_flight, "tcp-skip-in-flight", 0, FLAG, NULL,
		"leave out TCP connections that are being made"),
	ENTRY(checkpoint.link_remap, "link-remap", 0, FLAG, NULL,
		"give files that were unlinked a name meanwhile"),
	ENTRY(checkpoint.page_server, "page-server", 0, STRING, "ADDRESS:PORT",
		"send the memory there; with --lazy-pages, serve it there"),
	ENTRY(checkpoint.status_fd, "status-fd", 0, UNSIGNED, "FD",
		"write a zero byte there when the memory is served"),
};

static const struct option restore_options[] = {
	OPTIONS_OF_BOTH,
	ENTRY(checkpoint.tcp_close, "tcp-close", 0, FLAG, NULL, "restore TCP connections as closed"),
	ENTRY(checkpoint.lsm_profile, "lsm-profile", 0, STRING, "TYPE:NAME",
		"another AppArmor or SELinux profile"),
	ENTRY(checkpoint.lsm_mount_context, "lsm-mount-context", 0, STRING, "CONTEXT",
		"another SELinux context of mounts"),
	ENTRY(bundle, "bundle", 'b', STRING, "DIRECTORY", "the bundle (default: the working directory)"),
	ENTRY(console_socket, "console-socket", 0, STRING, "SOCKET", "send the terminal there"),
	ENTRY(pid_file, "pid-file", 0, STRING, "FILE", "write the first process's pid there"),
	ENTRY(detach, "detach", 'd', FLAG, NULL, "return when the container runs"),
	ENTRY(no_subreaper, "no-subreaper", 0, FLAG, NULL,
		"do not become a subreaper, which fence never does"),
	ENTRY(no_pivot, "no-pivot", 0, FLAG, NULL, "refused: the root is CRIU's to make, by pivot_root"),
	ENTRY(keep, "keep", 0, FLAG, NULL, "do not delete it when it has stopped"),
};

int command_checkpoint(struct invocation_context *context)
{
	struct options options = { 0 };
	struct string_list arguments;
	int result = COMMAND_PARSE(context, checkpoint_options, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	return container_checkpoint(context->arena, context->global->root, arguments.items[0],
		&options.checkpoint, &context->err);
}

int command_restore(struct invocation_context *context)
{
	struct options options = { 0 };
	struct container_options container;
	struct string_list arguments;
	int exit_status,
		result = COMMAND_PARSE(context, restore_options, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (options.no_pivot)
		return error_set(&context->err, 0,
			"--no-pivot: CRIU makes the root, by pivot_root(2), and knows no other way; leave it "
			"out");
	container = (struct container_options){
		.root = context->global->root,
		.id = arguments.items[0],
		.bundle = options.bundle,
		.console_socket = options.console_socket,
		.pid_file = options.pid_file,
		.detach = options.detach,
		.keep = options.keep,
		.cgroup_manager = (enum cgroup_manager)context->global->cgroup_manager,
	};
	result = container_restore(
		context->arena, &container, &options.checkpoint, &exit_status, &context->err);
	return result < 0 ? -1 : exit_status;
}
