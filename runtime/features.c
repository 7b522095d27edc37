/* See features.h. The lists that the code works by are asked for, not repeated. */
#include "runtime/features.h"

#include "runtime/checkpoint.h"
#include "runtime/criu.h"
#include "runtime/engine_policy.h"
#include "runtime/mount_options.h"
#include "runtime/named.h"
#include "runtime/placeholder.h"
#include "runtime/process.h"
#include "runtime/seccomp_newer.h"
#include "spec/cleanup.h"
#include "spec/oci.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/syscall.h>

#define OCI_VERSION_MINIMUM "1.0.0"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV /* Linux 5.19 */
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5)
#endif

static const char *const hook_names[] = {
	"prestart",
	"createRuntime",
	"createContainer",
	"startContainer",
	"poststart",
	"poststop",
	NULL,
};

/* They name host paths that are created and removed, or followed by CRIU as root, a policy with a network of its own, or what systemd is
 * to do: an engine must not let its users, or an image, write them. */
static const char *const unsafe_annotations[] = { ANNOTATION_PLACEHOLDERS, ANNOTATION_CRIU_CONFIG,
	ANNOTATION_POLICY, "org.systemd.property.", NULL };

/* The flags to probe with: the last one is only allowed together with a listener. */
static const struct named_value filter_flags[] = {
	{ "SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC },
	{ "SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG },
	{ "SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW },
	{ "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
		SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | SECCOMP_FILTER_FLAG_NEW_LISTENER },
};

static const struct {
	const char *object, *key;
	bool can;
} abilities[] = {
	{ "cgroup", "v1", true },
	{ "cgroup", "v2", true },
	{ "cgroup", "systemd", true },
	{ "cgroup", "systemdUser", true },
	{ "cgroup", "rdma", true },
	{ "apparmor", "enabled", true },
	{ "selinux", "enabled", true },
	{ "intelRdt", "enabled", true },
	{ "intelRdt", "schemata", true },
	{ "intelRdt", "monitoring", true },
	{ "netDevices", "enabled", true },
};

static struct json *words(struct arena *arena, const char *const *list, size_t count)
{
	struct json *array = json_new_array(arena);

	for (size_t i = 0; i < count; i++)
		json_append(arena, array, json_new_string(arena, list[i]));
	return array;
}

/* For the lists that end with NULL. */
static struct json *all_words(struct arena *arena, const char *const *list)
{
	size_t count = 0;

	while (list[count])
		count++;
	return words(arena, list, count);
}

/* The object at `key`, made if it isn't there. */
static struct json *object_in(struct arena *arena, struct json *object, const char *key)
{
	struct json *inner = json_get(object, key);

	if (!inner) {
		inner = json_new_object(arena);
		json_add(arena, object, key, inner);
	}
	return inner;
}

static struct json *seccomp_architectures(struct arena *arena)
{
	struct json *array = json_new_array(arena);

	for (const char *const *list = oci_seccomp_architectures; *list; list++)
		if (seccomp_architecture(*list))
			json_append(arena, array, json_new_string(arena, *list));
	return array;
}

/* A kernel that has the flag gets as far as the missing program (EFAULT); another refuses the flag (EINVAL). */
static struct json *seccomp_supported_flags(struct arena *arena)
{
	struct json *array = json_new_array(arena);

	for (size_t i = 0; i < ARRAY_SIZE(filter_flags); i++)
		if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, filter_flags[i].value, NULL) < 0 &&
			errno == EFAULT)
			json_append(arena, array, json_new_string(arena, filter_flags[i].name));
	return array;
}

static void add_seccomp(struct arena *arena, struct json *linux_features)
{
	struct json *object = object_in(arena, linux_features, "seccomp");

	json_add(arena, object, "enabled", json_new_boolean(arena, true));
	json_add(arena, object, "actions", all_words(arena, oci_seccomp_actions));
	json_add(arena, object, "operators", all_words(arena, oci_seccomp_operators));
	json_add(arena, object, "archs", seccomp_architectures(arena));
	json_add(arena, object, "knownFlags", all_words(arena, oci_seccomp_flags));
	json_add(arena, object, "supportedFlags", seccomp_supported_flags(arena));
}

static struct json *annotations(struct arena *arena)
{
	const struct scmp_version *version = seccomp_version();
	struct json *object = json_new_object(arena);

	json_add(arena, object, "dev.fence.version", json_new_string(arena, FENCE_VERSION));
	json_add(arena, object, "dev.fence.checkpoint.enabled",
		json_new_string(arena, criu_is_installed() ? "true" : "false"));
	if (version)
		json_add(arena, object, "io.github.seccomp.libseccomp.version",
			json_new_string(arena, arena_printf(arena, "%u.%u.%u", version->major, version->minor,
						       version->micro)));
	return object;
}

static void add_linux(struct arena *arena, struct json *features)
{
	struct json *object = object_in(arena, features, "linux");
	const char *const *capabilities;
	size_t count;

	capabilities = capability_names(&count);
	json_add(arena, object, "namespaces", all_words(arena, oci_namespace_types));
	json_add(arena, object, "capabilities", words(arena, capabilities, count));
	for (size_t i = 0; i < ARRAY_SIZE(abilities); i++)
		json_add(arena, object_in(arena, object, abilities[i].object), abilities[i].key,
			json_new_boolean(arena, abilities[i].can));
	json_add(arena, object_in(arena, object_in(arena, object, "mountExtensions"), "idmap"), "enabled",
		json_new_boolean(arena, true));
	json_add(arena, object_in(arena, object, "memoryPolicy"), "modes",
		all_words(arena, oci_memory_policy_modes));
	json_add(arena, object_in(arena, object, "memoryPolicy"), "flags",
		all_words(arena, oci_memory_policy_flags));
	add_seccomp(arena, object);
}

struct json *features_write(struct arena *arena)
{
	struct json *features = json_new_object(arena);
	const char *const *mount_options;
	size_t count;

	json_add(arena, features, "ociVersionMin", json_new_string(arena, OCI_VERSION_MINIMUM));
	json_add(arena, features, "ociVersionMax", json_new_string(arena, OCI_VERSION));
	json_add(arena, features, "hooks", all_words(arena, hook_names));
	mount_options = mount_option_names(&count);
	json_add(arena, features, "mountOptions", words(arena, mount_options, count));
	json_add(arena, features, "annotations", annotations(arena));
	json_add(arena, features, "potentiallyUnsafeConfigAnnotations", all_words(arena, unsafe_annotations));
	add_linux(arena, features);
	return features;
}
