/* fence-network: the OCI hook that gives a container's network namespace its one way out, and takes it away again.
 *
 *	up    (createRuntime)	makes tun0 inside and starts the relay outside
 *	down  (poststop)	waits until that relay has ended
 *	flows			prints what it carries just now: for `fence net`
 *	check			says in one line why TCP would not be spliced here, for `fence check`; status 0: it would
 *
 * For the others the state of the container is read from standard input, as the OCI specification has it. No file is made; what a failure
 * leaves is nothing.
 */
#include "hooks/settings.h"

#include "netns/control.h"
#include "netns/egress.h"
#include "netns/hash.h"
#include "netns/inside.h"
#include "netns/launch.h"
#include "netns/namespace.h"
#include "spec/oci.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

enum {
	PREDECESSOR_MILLISECONDS = 2000, /* for a relay that is in the way to end */
	CLAIM_ATTEMPTS = 3,
	DOWN_MILLISECONDS = 3000,
};

struct invocation {
	struct arena *arena;
	const struct oci_state *state;
	const char *config_path; /* or NULL: the bundle's */
};

static int load_settings(const struct invocation *invocation, struct network_file **file, struct error *err)
{
	const char *path = invocation->config_path;

	if (!path)
		path = arena_printf(invocation->arena, "%s/network.json", invocation->state->bundle);
	return network_file_load(invocation->arena, path, file, err);
}

static enum inside_way way_of(const struct network_file *file)
{
	static const struct {
		const char *word;
		enum inside_way way;
	} ways[] = { { "required", INSIDE_TUN }, { "preferred", INSIDE_TUN_IF_POSSIBLE },
		{ "never", INSIDE_LISTENER } };

	for (size_t i = 0; file->tun && i < ARRAY_SIZE(ways); i++) {
		if (strcmp(file->tun, ways[i].word) == 0)
			return ways[i].way;
	}
	return INSIDE_TUN;
}

static enum inside_datapath datapath_of(const struct network_file *file)
{
	static const char *const words[] = {
		[DATAPATH_SPLICE] = "splice",
		[DATAPATH_TRANSLATE] = "translate",
		[DATAPATH_PLAIN] = "plain",
	};

	for (size_t i = 0; file->datapath && i < ARRAY_SIZE(words); i++) {
		if (words[i] && strcmp(file->datapath, words[i]) == 0)
			return (enum inside_datapath)i;
	}
	return DATAPATH_AUTO;
}

/* The container's name, after the relay of its last run, if that was never waited for, has gone. */
static int listen_for_container(const struct oci_state *state, struct error *err)
{
	char name[CONTROL_NAME_MAX];
	bool taken;
	int fd;

	control_name_of_container(state->bundle, state->id, name);
	fd = control_listen(name, &taken, err);
	if (fd >= 0 || !taken)
		return fd;
	if (control_await_end(name, PREDECESSOR_MILLISECONDS, false, err) < 0)
		return -1;
	fd = control_listen(name, &taken, err);
	return fd < 0 && taken
		       ? error_set(err, EADDRINUSE, "another relay of this container is just starting")
		       : fd;
}

static int make_inside(const struct network_namespace *namespace, const struct network_file *file,
	bool helper, struct way_out *out, struct error *err)
{
	struct inside_request request = { .way = way_of(file),
		.datapath = datapath_of(file),
		.ipv6 = !file->ipv6.set || file->ipv6.value,
		.helper = helper };
	struct inside inside;

	if (inside_make(namespace, &request, &inside, err) < 0)
		return -1;
	if (inside.tun_missing.message[0])
		fprintf(stderr, "fence-network: %s; a SOCKS5 listener on 127.0.0.1:18321 instead\n",
			inside.tun_missing.message);
	*out = inside.out;
	return 0;
}

/* The relay enters its cell while this process makes the way out. */
static int run_relay(const struct network_file *file, const struct network_namespace *namespace,
	struct relay_config *config, struct error *err)
{
	struct relay_start start;
	struct way_out out;

	if (relay_launch(config, &start, err) < 0)
		return -1;
	if (make_inside(namespace, file, config->inbound_count > 0, &out, err) == 0)
		return relay_complete(&start, &out, err);
	relay_abandon(&start);
	return -1;
}

/* Descriptors that are opened here are the relay's; this process ends right after. */
static int start(const struct invocation *invocation, const struct network_file *file,
	const struct network_namespace *namespace, struct relay_config *config, struct error *err)
{
	int result = -1;

	config->container_fd = listen_for_container(invocation->state, err);
	if (config->container_fd < 0)
		return -1;
	if (file->impairment)
		config->impairment = (struct impairment){ .lose = (uint8_t)file->impairment->lose.value,
			.repeat = (uint8_t)file->impairment->repeat.value,
			.delay = (uint8_t)file->impairment->delay.value };
	if (settings_apply(invocation->arena, file, config, err) == 0)
		result = run_relay(file, namespace, config, err);
	egress_free(config->egress);
	return result;
}

/* The socket that names the namespace: config->control_fd. 1: a relay that serves it already has taken this container, a
 * pod's next one, in, too. */
static int claim_namespace(
	const struct network_namespace *namespace, struct relay_config *config, struct error *err)
{
	char name[CONTROL_NAME_MAX];
	bool taken;

	control_name_of_namespace(namespace->device, namespace->inode, name);
	for (int attempt = 0; attempt < CLAIM_ATTEMPTS; attempt++) {
		int joined;

		config->control_fd = control_listen(name, &taken, err);
		if (!taken)
			return config->control_fd < 0 ? -1 : 0;
		joined = control_join(name, config->init_pidfd, config->rules, err);
		if (joined != 0)
			return joined;
		if (control_await_end(name, PREDECESSOR_MILLISECONDS, false, err) < 0)
			return -1;
	}
	return error_set(err, EADDRINUSE, "relays of this network come and go");
}

static int open_container(const struct invocation *invocation, int *init_pidfd,
	struct network_namespace *namespace, struct error *err)
{
	pid_t pid = (pid_t)invocation->state->pid.value;

	if (!invocation->state->pid.set || pid <= 0)
		return error_set(err, 0, "the container's state has no pid: it does not run");
	*init_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	if (*init_pidfd < 0)
		return error_set(err, errno, "cannot find the container's process %d", (int)pid);
	return namespace_open(pid, *init_pidfd, namespace, err);
}

static uint64_t rules_of(struct arena *arena, const struct network_file *file)
{
	static const struct hash_key key = { { 0 } }; /* the same in each hook */
	size_t length;
	const char *text = json_format(arena, network_file_write(arena, file), false, &length);

	return hash_bytes(&key, text, length);
}

static int up(const struct invocation *invocation, struct error *err)
{
	struct network_file *file;
	_cleanup_namespace_ struct network_namespace namespace = NAMESPACE_NONE;
	struct relay_config config = { .out = WAY_OUT_NONE, .unix_door = -1, .log_fd = -1 };
	int claim;

	if (load_settings(invocation, &file, err) < 0 ||
		open_container(invocation, &config.init_pidfd, &namespace, err) < 0)
		return -1;
	config.rules = rules_of(invocation->arena, file);
	claim = claim_namespace(&namespace, &config, err);
	if (claim != 0)
		return claim < 0 ? -1 : 0;
	return start(invocation, file, &namespace, &config, err);
}

static int down(const struct invocation *invocation, struct error *err)
{
	char name[CONTROL_NAME_MAX];

	control_name_of_container(invocation->state->bundle, invocation->state->id, name);
	return control_await_end(name, DOWN_MILLISECONDS, true, err);
}

static int flows(const struct invocation *invocation, struct error *err)
{
	_cleanup_namespace_ struct network_namespace namespace = NAMESPACE_NONE;
	_cleanup_close_ int pidfd = -1;
	char name[CONTROL_NAME_MAX];
	int told;

	/* Of a pod's containers only the first has a name there; and root does not share it with the user who started one. But an
	 * ordinary user may not look up the namespace of what runs confined. */
	control_name_of_container(invocation->state->bundle, invocation->state->id, name);
	told = control_flows(name, STDOUT_FILENO, err);
	if (told != 0)
		return told;
	if (open_container(invocation, &pidfd, &namespace, err) < 0 && err->number != EACCES)
		return -1;
	control_name_of_namespace(namespace.device, namespace.inode, name);
	told = namespace.net < 0 ? 0 : control_flows(name, STDOUT_FILENO, err);
	return told != 0 ? told
			 : error_set(err, 0, "container %s has no relay: it has no way out",
				   invocation->state->id);
}

static const struct command {
	const char *name;
	int (*run)(const struct invocation *invocation, struct error *err);
} commands[] = { { "up", up }, { "down", down }, { "flows", flows } };

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; name && i < ARRAY_SIZE(commands); i++) {
		if (strcmp(name, commands[i].name) == 0)
			return &commands[i];
	}
	return NULL;
}

static int check(void)
{
	struct error error = { 0 };

	if (inside_check_splice(&error) == 0)
		return 0;
	printf("%s\n", error.message);
	return 1;
}

static int read_state(struct invocation *invocation, struct error *err)
{
	struct json *tree;
	struct oci_state *state;

	if (json_parse_fd(invocation->arena, STDIN_FILENO, "state", JSON_STRICT, &tree, err) < 0 ||
		oci_state_read(invocation->arena, tree, "state", &state, err) < 0)
		return -1;
	invocation->state = state;
	return 0;
}

int main(int argc, char **argv)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	struct invocation invocation = { .arena = arena };
	const struct command *command = find_command(argv[1]);
	struct error error;

	if (argc == 2 && strcmp(argv[1], "check") == 0)
		return check();
	if (argc == 4 && strcmp(argv[2], "--config") == 0)
		invocation.config_path = argv[3];
	if (!command || (argc != 2 && !invocation.config_path)) {
		fprintf(stderr, "usage: fence-network up|down|flows [--config FILE] < OCI-STATE, or "
				"fence-network check\n");
		return 1;
	}
	if (read_state(&invocation, &error) == 0 && command->run(&invocation, &error) >= 0)
		return 0;
	fprintf(stderr, "fence-network: %s\n", error.message);
	return 1;
}
