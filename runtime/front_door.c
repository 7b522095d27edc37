/* See front_door.h. */
#include "runtime/front_door.h"

#include "runtime/bundle.h"
#include "runtime/check.h"
#include "runtime/command_line.h"
#include "runtime/container.h"
#include "runtime/engine_policy.h"
#include "runtime/hook_path.h"
#include "runtime/log.h"
#include "runtime/seal.h"
#include "runtime/seccomp.h"
#include "runtime/state.h"
#include "runtime/supervise.h"
#include "spec/cleanup.h"
#include "spec/command.h"
#include "spec/compile.h"
#include "spec/policy_load.h"

#include <fcntl.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

enum { EXIT_FENCE_FAILED = 125 };

extern char **environ;

struct front_door_options {
	const char *policy, *dns, *net_log, *shell_line, *bundle;
	struct string_list proxies, allow, ports;
	bool debug, terminal;
};

#define CHOICE(member, ...) OPTION(struct front_door_options, member, __VA_ARGS__)

static const struct option policy_options[] = {
	CHOICE(policy, "policy", 's', STRING, "FILE|NAME",
		"the policy: a file, or the name of a built-in one"),
	CHOICE(proxies, "proxy", 0, LIST, "URL",
		"send everything through socks5://, socks5h:// or http://[USER:PASSWORD@]HOST:PORT, or "
		"socks5+unix:PATH; repeatable: the next where one cannot be reached"),
	CHOICE(dns, "dns", 0, STRING, "HOST:PORT", "ask this resolver"),
	CHOICE(allow, "allow", 0, LIST, "HOST[:PORT]",
		"a name, *.name, address or range that may be reached; repeatable"),
	CHOICE(net_log, "net-log", 0, STRING, "FILE|FD",
		"record each flow and query there, in a file or an open descriptor"),
	CHOICE(ports, "port", 'p', LIST, "[ADDRESS:]PORT[:INNER][/udp]",
		"a port inside that the host may connect to; repeatable"),
	CHOICE(debug, "debug", 'd', FLAG, NULL, "say what was decided, on standard error"),
	CHOICE(shell_line, "command", 'c', STRING, "LINE", "run this line by bash, or by sh without one"),
};

static const struct option spec_options[] = {
	CHOICE(bundle, "bundle", 'b', STRING, "DIRECTORY",
		"where to write it: new, or empty (default: the working directory)"),
	CHOICE(terminal, "tty", 't', FLAG, NULL, "the program gets a terminal of its own"),
};

void front_door_help(void)
{
	const struct option_table table = { policy_options, ARRAY_SIZE(policy_options), NULL };

	command_line_help(&table);
}

/* All that one use of the front door is about, from its words to what the compiler makes of them. */
struct front_door {
	struct arena *arena;
	struct front_door_options options;
	struct policy *policy;
	struct facts facts;
	struct invocation invocation;
	struct compiled compiled;
	struct container_options container;
	const char *new_log; /* made for the relay, or NULL */
};

/* ---- the words ---- */

static int parse(struct front_door *door, int argc, char **argv, bool spec, struct string_list *words,
	bool *help, struct error *err)
{
	const struct option_table tables[] = {
		{ policy_options, ARRAY_SIZE(policy_options), &door->options },
		{ spec_options, ARRAY_SIZE(spec_options), &door->options },
	};
	/* The first word that is no option is the program; what follows is its own. */
	const struct command_line line = {
		.tables = tables,
		.table_count = spec ? 2 : 1,
		.positional_before_rest = 1,
	};

	if (command_line_parse(door->arena, &line, argc, argv, words, help, err) < 0)
		return -1;
	if (!*help)
		return 0;
	printf("Usage: fence %s[OPTION…] -- PROGRAM [ARGUMENT…]\n       fence %s[OPTION…] -c LINE\n\n",
		spec ? "spec " : "", spec ? "spec " : "");
	for (size_t i = 0; i < line.table_count; i++)
		command_line_help(&tables[i]);
	return 0;
}

static int choose_program(struct front_door *door, const struct string_list *words, struct error *err)
{
	const char *line = door->options.shell_line;
	struct string_list *args = &door->invocation.args;

	if (line && words->count)
		return error_set(err, 0, "-c LINE is the whole program: \"%s\" after it is one too many",
			words->items[0]);
	if (!line && !words->count)
		return error_set(err, 0,
			"there is no program to run: fence [OPTION…] -- PROGRAM [ARGUMENT…], or fence -c "
			"LINE");
	if (line && !*line)
		return error_set(err, 0, "-c: the line is empty");
	if (!line) {
		*args = *words;
		return 0;
	}
	args->items = arena_array(door->arena, 3, sizeof(*args->items));
	args->count = 3;
	args->items[0] = program_in_path(door->arena, "bash") ? "bash" : "sh";
	args->items[1] = "-c";
	args->items[2] = line;
	return 0;
}

/* "a,b" is two hosts: no rule holds a comma. */
static void split_hosts(struct arena *arena, const struct string_list *given, struct string_list *hosts)
{
	for (size_t i = 0; i < given->count; i++) {
		const char *word = given->items[i];

		do {
			size_t length = strcspn(word, ",");

			if (length)
				string_list_add(arena, hosts, arena_strndup(arena, word, length));
			word += length;
		} while (*word++);
	}
}

/* ---- the policy ---- */

static const char *user_configuration(struct arena *arena)
{
	const char *home = getenv("HOME"), *configuration = getenv("XDG_CONFIG_HOME");

	if (configuration && configuration[0] == '/')
		return arena_printf(arena, "%s/fence", configuration);
	return home && home[0] == '/' ? arena_printf(arena, "%s/.config/fence", home) : NULL;
}

/* The hook is told a name, and inherits our descriptors. */
static int choose_log(const struct front_door *door, const char **log, struct error *err)
{
	const char *given = door->options.net_log;

	*log = given;
	if (!given || given[strspn(given, "0123456789")] || !*given)
		return given && !*given ? error_set(err, 0, "--net-log: the file's name is empty") : 0;
	if (door->invocation.exported)
		return error_set(err, 0, "--net-log: a bundle cannot hold an open descriptor; name a file");
	*log = arena_printf(door->arena, "/proc/self/fd/%s", given);
	return access(*log, F_OK) < 0 ? error_set(err, errno, "--net-log: descriptor %s", given) : 0;
}

static int load_policy(struct front_door *door, struct error *err)
{
	const struct policy_sources sources = {
		.node = NODE_CONFIGURATION,
		.config_home = user_configuration(door->arena),
		.home = door->invocation.home,
		.chosen = door->options.policy,
	};
	struct policy_overrides overrides = {
		.proxies = door->options.proxies,
		.dns = door->options.dns,
		.inbound = door->options.ports,
	};

	split_hosts(door->arena, &door->options.allow, &overrides.allow);
	if (choose_log(door, &overrides.log, err) < 0)
		return -1;
	if (policy_load(door->arena, &sources, &door->policy, &door->compiled.notes, err) < 0 ||
		seccomp_check_refused(&door->policy->system_calls->deny, err) < 0)
		return -1;
	return policy_override(door->arena, door->policy, &overrides, err);
}

/* What is there can be kept from the command. The relay opens it by the same name, and says what is wrong with it. */
static void make_log(struct front_door *door)
{
	const char *path = door->policy->network->log, *home = door->invocation.home;
	int fd;

	if (!path || door->invocation.exported || strncmp(path, "/proc/", strlen("/proc/")) == 0)
		return;
	if (path[0] == '~' && home)
		path = arena_printf(door->arena, "%s%s", home, path + 1);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd >= 0)
		door->new_log = path;
	close_fd(fd);
}

/* Of a start that failed. */
static void remove_empty_log(const struct front_door *door)
{
	struct stat status;

	if (door->new_log && lstat(door->new_log, &status) == 0 && S_ISREG(status.st_mode) && !status.st_size)
		unlink(door->new_log);
}

static int describe_invocation(struct front_door *door, struct error *err)
{
	struct invocation *invocation = &door->invocation;
	_cleanup_free_ char *cwd = getcwd(NULL, 0);
	const char *home = getenv("HOME");

	if (!cwd)
		return error_set(err, errno, "cannot tell the working directory");
	if (cwd[0] != '/')
		return error_set(
			err, 0, "the working directory cannot be reached from here: change to another one");
	invocation->cwd = arena_strdup(door->arena, cwd);
	invocation->home = home && home[0] == '/' ? home : NULL;
	invocation->uid = geteuid();
	invocation->gid = getegid();
	invocation->hook = hook_path(door->arena);
	invocation->exec_helper = invocation->exported ? exec_helper_path(door->arena) : NULL;
	if (!invocation->exported && state_root(door->arena, NULL, &invocation->state, err) < 0)
		return -1;
	invocation->network_in_bundle = true;
	for (char **variable = environ; *variable; variable++)
		*(char **)arena_push(door->arena, &invocation->env.items, &invocation->env.count,
			sizeof(char *)) = *variable;
	return 0;
}

/* Everything that can be found wrong before anything is made. */
static int understand(
	struct front_door *door, int argc, char **argv, bool spec, bool *help, struct error *err)
{
	struct string_list words = { 0 };
	const char *why;

	if (parse(door, argc, argv, spec, &words, help, err) < 0)
		return -1;
	if (*help)
		return 0;
	if (spec && !words.count && !door->options.shell_line)
		string_list_add(door->arena, &words, "sh");
	if (choose_program(door, &words, err) < 0 || describe_invocation(door, err) < 0 ||
		load_policy(door, err) < 0)
		return -1;
	if (!command_permitted(door->arena, door->policy, &door->invocation.args, &why))
		return error_set(err, 0, "the command %s", why);
	make_log(door);
	return facts_gather(door->arena, door->policy, &door->invocation, &door->facts, err);
}

/* As messages are: without control characters, since names of files can be an earlier command's. */
static void tell_notes(const struct front_door *door)
{
	struct error note;

	for (size_t i = 0; i < door->compiled.notes.count; i++) {
		error_set(&note, 0, "%s", door->compiled.notes.items[i]);
		fprintf(stderr, "fence: %s\n", note.message);
	}
}

/* All but config.json: the fd of its directory, or -1. */
static int write_bundle(struct front_door *door, const char *path, struct error *err)
{
	_cleanup_close_ int bundle = -1;

	door->invocation.bundle = path;
	if (compile_command(
		    door->arena, door->policy, &door->facts, &door->invocation, &door->compiled, err) < 0)
		return -1;
	if (door->options.debug)
		tell_notes(door);
	bundle = bundle_open(path, err);
	if (bundle < 0 || bundle_write_entries(door->arena, bundle, &door->compiled, err) < 0)
		return -1;
	return steal_fd(&bundle);
}

/* Here a command may be any bytes; in a file for others it has to be text. */
static int check_text(const struct string_list *list, const char *name, struct error *err)
{
	for (size_t i = 0; i < list->count; i++)
		if (!json_is_text(list->items[i]))
			return error_set(err, 0,
				"process.%s[%zu] is not UTF-8: config.json cannot hold it; pass it by a file",
				name, i);
	return 0;
}

static int write_whole_bundle(struct front_door *door, const char *path, struct error *err)
{
	_cleanup_close_ int bundle = write_bundle(door, path, err);
	const struct oci_process *process;

	if (bundle < 0)
		return -1;
	process = door->compiled.config->process;
	if (check_text(&process->args, "args", err) < 0 || check_text(&process->env, "env", err) < 0)
		return -1;
	return bundle_write_config(door->arena, bundle, "config.json", door->compiled.config, err);
}

/* ---- running ---- */

static int prepare(void *data, struct arena *arena, const char *state_directory, int state_fd,
	struct oci_config **config, struct error *err)
{
	struct front_door *door = data;
	_cleanup_close_ int bundle =
		write_bundle(door, arena_printf(arena, "%s/bundle", state_directory), err);
	const char *cgroup;

	(void)state_fd;
	if (bundle < 0)
		return -1;
	if (door->compiled.network && !door->facts.tun && !door->options.debug)
		log_warning("/dev/net/tun cannot be opened: only programs that heed the proxy variables "
			    "reach the network");
	cgroup = oci_annotation(door->compiled.config, ANNOTATION_CGROUP);
	if (cgroup && strcmp(cgroup, "disabled") == 0)
		door->container.cgroup_manager = CGROUP_MANAGER_DISABLED;
	*config = door->compiled.config;
	return 0;
}

static const char *new_id(struct arena *arena)
{
	uint32_t number = 0;

	/* Tells two apart that get the same pid in different namespaces; the state directory is the lock. */
	if (getrandom(&number, sizeof(number), GRND_NONBLOCK) < 0)
		number = 0;
	return arena_printf(arena, "fence-%d-%08x", (int)getpid(), number);
}

static int run(struct front_door *door, struct watcher *watcher, int *exit_status, struct error *err)
{
	door->invocation.id = new_id(door->arena);
	door->container = (struct container_options){
		.root = door->invocation.state,
		.id = door->invocation.id,
		.cgroup_manager = CGROUP_MANAGER_CGROUPFS,
		.prepare = prepare,
		.prepare_data = door,
		.early_hook = true,
		.watcher = watcher,
	};
	return container_run(door->arena, &door->container, exit_status, err);
}

/* Any user of the host may read our command line as long as we run, or whoever forks from us: what it says is a copy from here on. */
static void hide_passwords(struct arena *arena, int argc, char **argv)
{
	static const char option[] = "--proxy";

	for (int i = 1; i < argc; i++) {
		char *given = argv[i], *user = strstr(given, "://"), *at = strrchr(given, '@');
		char *colon = user ? strchr(user + strlen("://"), ':') : NULL;

		if (!colon || !at || colon > at ||
			(strcmp(argv[i - 1], option) != 0 && strncmp(given, option, strlen(option)) != 0))
			continue;
		argv[i] = arena_strdup(arena, given);
		memset(colon + 1, '*', (size_t)(at - colon - 1));
	}
}

int front_door_main(struct arena *arena, int argc, char **argv)
{
	struct front_door door = { .arena = arena };
	struct watcher watcher;
	struct error err = { 0 };
	int exit_status = -1, result;
	bool help = false;

	result = seal_self(argv, &err);
	hide_passwords(arena, argc, argv);
	if (result < 0 || watcher_start(&watcher, &err) < 0) {
		log_error(&err);
		return EXIT_FENCE_FAILED;
	}
	result = understand(&door, argc, argv, false, &help, &err);
	if (result == 0 && !help)
		result = run(&door, &watcher, &exit_status, &err);
	watcher_end(&watcher);
	if (result == 0)
		return help ? 0 : exit_status;
	remove_empty_log(&door);
	log_error(&err);
	return exit_status > 0 ? exit_status : EXIT_FENCE_FAILED;
}

/* The bundle's path goes into config.json, so it must be known in full; the directory itself may not exist yet. */
static int absolute_path(
	struct arena *arena, const char *path, const char *cwd, const char **absolute, struct error *err)
{
	const char *slash = strrchr(path, '/');
	const char *parent = slash == path ? "/"
			     : slash	   ? arena_strndup(arena, path, (size_t)(slash - path))
					   : cwd;
	const char *name = slash ? slash + 1 : path;
	_cleanup_free_ char *resolved = NULL;

	if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
		parent = path;
		name = NULL;
	}
	resolved = realpath(parent, NULL);
	if (!resolved)
		return error_set(err, errno, "cannot find %s, where the bundle is to be", parent);
	*absolute = name ? arena_printf(arena, "%s/%s", strcmp(resolved, "/") == 0 ? "" : resolved, name)
			 : arena_strdup(arena, resolved);
	return 0;
}

int front_door_spec(struct arena *arena, int argc, char **argv)
{
	struct front_door door = { .arena = arena, .invocation = { .exported = true, .id = "fence" } };
	struct error err = { 0 };
	const char *path;
	bool help;

	if (understand(&door, argc, argv, true, &help, &err) == 0) {
		if (help)
			return 0;
		door.invocation.terminal = door.options.terminal;
		path = door.options.bundle ? door.options.bundle : ".";
		if (absolute_path(arena, path, door.invocation.cwd, &path, &err) == 0 &&
			write_whole_bundle(&door, path, &err) == 0)
			return 0;
	}
	log_error(&err);
	return EXIT_FENCE_FAILED;
}

int front_door_check(struct arena *arena, int argc, char **argv)
{
	if (argc > 1) {
		log_warning("check takes no words: \"%s\" is one too many", argv[1]);
		return EXIT_FENCE_FAILED;
	}
	return check_host(hook_path(arena));
}
