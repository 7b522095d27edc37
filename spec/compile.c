/* The front door's compilation, from a policy to a whole config. See compile.h. */
#include "spec/compile_internal.h"
#include "spec/limits.h"

#include "spec/cleanup.h"

#include <string.h>

#define HOSTNAME "fence"

static void compile_user(struct compilation *compilation)
{
	const struct invocation *invocation = compilation->invocation;
	struct oci_config *config = compilation->config;
	/* Other runtimes become root in the namespace before anything else, so there root must be somebody: the caller. */
	bool as_root = invocation->exported && invocation->uid != 0;
	uint32_t uid = as_root ? 0 : invocation->uid, gid = as_root ? 0 : invocation->gid;
	struct oci_user *user = arena_alloc(compilation->arena, sizeof(*user));

	user->uid = (struct optional_uint32){ true, uid };
	user->gid = (struct optional_uint32){ true, gid };
	config->process->user = user;
	if (invocation->uid == 0)
		return;
	PUSH(compilation->arena, &config->linux->namespaces, (struct oci_namespace){ .type = "user" });
	PUSH(compilation->arena, &config->linux->uid_mappings,
		(struct oci_id_mapping){ .container_id = { true, uid },
			.host_id = { true, invocation->uid },
			.size = { true, 1 } });
	PUSH(compilation->arena, &config->linux->gid_mappings,
		(struct oci_id_mapping){ .container_id = { true, gid },
			.host_id = { true, invocation->gid },
			.size = { true, 1 } });
}

static void compile_capabilities(struct compilation *compilation)
{
	const struct string_list *wanted = &compilation->policy->capabilities;
	struct oci_capabilities *capabilities = arena_alloc(compilation->arena, sizeof(*capabilities));
	struct string_list *sets[] = { &capabilities->bounding, &capabilities->effective,
		&capabilities->inheritable, &capabilities->permitted, &capabilities->ambient };

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++) {
		sets[i]->items = arena_alloc(compilation->arena, sizeof(char *)); /* present, though empty */
		for (size_t j = 0; j < wanted->count; j++)
			string_list_add(compilation->arena, sets[i], wanted->items[j]);
	}
	compilation->config->process->capabilities = capabilities;
}

static void compile_process(struct compilation *compilation)
{
	const struct invocation *invocation = compilation->invocation;
	struct oci_process *process = arena_alloc(compilation->arena, sizeof(*process));

	compilation->config->process = process;
	process->terminal = (struct optional_bool){ true, invocation->terminal };
	process->args = invocation->args;
	process->cwd = compilation->facts->cwd.path;
	process->no_new_privileges = (struct optional_bool){ true, true };
	compile_capabilities(compilation);
	compile_user(compilation);
	compile_environment(compilation);
}

static void compile_namespaces(struct compilation *compilation)
{
	static const char *const types[] = { "mount", "pid", "network", "ipc", "uts", "cgroup" };

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		PUSH(compilation->arena, &compilation->config->linux->namespaces,
			(struct oci_namespace){ .type = types[i] });
}

static void compile_resources(struct compilation *compilation)
{
	enum { PERIOD_MICROSECONDS = 100000, MICROSECONDS_PER_THOUSANDTH = PERIOD_MICROSECONDS / 1000 };
	const struct policy_resources *asked = compilation->policy->resources;
	struct oci_linux *linux = compilation->config->linux;
	struct arena *arena = compilation->arena;
	struct oci_resources *resources;

	if (!asked->memory && !asked->cpus && !asked->pids.set) {
		oci_annotate(arena, compilation->config, ANNOTATION_CGROUP, "disabled");
		return;
	}
	resources = linux->resources = arena_alloc(arena, sizeof(*resources));
	if (asked->memory) {
		resources->memory = arena_alloc(arena, sizeof(*resources->memory));
		resources->memory->limit = (struct optional_int64){ true, parse_memory(asked->memory) };
	}
	if (asked->cpus) {
		resources->cpu = arena_alloc(arena, sizeof(*resources->cpu));
		resources->cpu->period = (struct optional_uint64){ true, PERIOD_MICROSECONDS };
		resources->cpu->quota = (struct optional_int64){ true,
			parse_cpus(asked->cpus) * MICROSECONDS_PER_THOUSANDTH };
	}
	if (asked->pids.set) {
		resources->pids = arena_alloc(arena, sizeof(*resources->pids));
		resources->pids->limit = asked->pids;
	}
}

/* What the network needs inside: the resolver's address, and that an ordinary user may ping. */
static void compile_way_out(struct compilation *compilation)
{
	const struct invocation *invocation = compilation->invocation;
	struct oci_config *config = compilation->config;
	uint32_t gid = config->process->user->gid.value;

	if (!compilation->has_network)
		return;
	PUSH(compilation->arena, &compilation->compiled->entries,
		(struct bundle_entry){ .kind = BUNDLE_FILE,
			.path = "resolv.conf",
			.content = compile_resolv_conf(),
			.mode = 0644 });
	PUSH(compilation->arena, &config->linux->sysctl,
		(struct string_pair){
			"net.ipv4.ping_group_range", arena_printf(compilation->arena, "%u %u", gid, gid) });
	/* What leaves by tun0 gets as far as the relay, on this host: pacing, as the host's default may do (BBR), only
	 * makes it slower. Reno is part of every kernel. */
	PUSH(compilation->arena, &config->linux->sysctl,
		(struct string_pair){ "net.ipv4.tcp_congestion_control", "reno" });
	add_network_hooks(compilation->arena, config, invocation->hook,
		invocation->network_in_bundle
			? NULL
			: arena_printf(compilation->arena, "%s/network.json", invocation->bundle));
}

/* The hook opens it, in another directory. */
static const char *absolute_path(const struct compilation *compilation, const char *path)
{
	if (!path || *path == '/')
		return path;
	if (*path == '~' && compilation->facts->home)
		return arena_printf(compilation->arena, "%s%s", compilation->facts->home, path + 1);
	return arena_printf(compilation->arena, "%s/%s", compilation->facts->cwd.path, path);
}

int compile_command(struct arena *arena, const struct policy *policy, const struct facts *facts,
	const struct invocation *invocation, struct compiled *compiled, struct error *err)
{
	struct oci_config *config = arena_alloc(arena, sizeof(*config));
	struct compilation compilation = { .arena = arena,
		.policy = policy,
		.facts = facts,
		.invocation = invocation,
		.compiled = compiled,
		.config = config };

	*compiled = (struct compiled){ .config = config, .notes = compiled->notes };
	for (size_t i = 0; i < facts->notes.count; i++)
		string_list_note(arena, &compiled->notes, "%s", facts->notes.items[i]);
	policy_notes(arena, policy, &compiled->notes);
	compiled->network = network_of_policy(arena, policy);
	compilation.has_network = compiled->network != NULL;
	if (compiled->network)
		compiled->network->log = absolute_path(&compilation, compiled->network->log);
	if (compile_network(&compilation, err) < 0)
		return -1;

	/* Nothing newer is used, and older runtimes refuse what they do not know. */
	config->oci_version = invocation->exported ? "1.0.2" : OCI_VERSION;
	config->hostname = HOSTNAME;
	config->root = arena_alloc(arena, sizeof(*config->root));
	config->root->path = "rootfs";
	config->root->readonly = (struct optional_bool){ true, true };
	config->linux = arena_alloc(arena, sizeof(*config->linux));
	compile_namespaces(&compilation);
	compile_process(&compilation);
	config->linux->seccomp = compile_seccomp(arena, policy);
	compile_resources(&compilation);
	oci_annotate(arena, config, "dev.fence.init", "true");
	if (compile_filesystem(&compilation, err) < 0)
		return -1;
	compile_way_out(&compilation);
	return 0;
}
