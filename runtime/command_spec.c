/* spec: with options of the front door, what a policy comes to; without, a template to begin with. */
#include "runtime/bundle.h"
#include "runtime/command.h"
#include "runtime/front_door.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <string.h>

struct template_options {
	const char *bundle, *file;
	bool rootless;
};

static const struct option template_option_table[] = {
	OPTION(struct template_options, bundle, "bundle", 'b', STRING, "DIRECTORY", "where to write it"),
	OPTION(struct template_options, file, "file", 'f', STRING, "FILE",
		"instead of config.json; - is standard output"),
	OPTION(struct template_options, rootless, "rootless", 0, FLAG, NULL, "for a user who is not root"),
};

/* As short as it can be and still be a usable container: the rest is the specification's own defaults. */
static const char template_text[] =
	"{\"ociVersion\":\"" OCI_VERSION "\","
	"\"process\":{\"terminal\":true,\"user\":{\"uid\":0,\"gid\":0},\"args\":[\"sh\"],"
	"\"env\":[\"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/"
	"bin\",\"TERM=xterm\"],\"cwd\":\"/\","
	"\"capabilities\":{\"bounding\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
	"\"effective\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"],"
	"\"permitted\":[\"CAP_AUDIT_WRITE\",\"CAP_KILL\",\"CAP_NET_BIND_SERVICE\"]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"hard\":1024,\"soft\":1024}],\"noNewPrivileges\":true},"
	"\"root\":{\"path\":\"rootfs\",\"readonly\":true},\"hostname\":\"fence\","
	"\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/"
	"dev\",\"type\":\"tmpfs\",\"source\":\"tmpfs\",\"options\":[\"nosuid\",\"strictatime\",\"mode=755\","
	"\"size=65536k\"]},"
	"{\"destination\":\"/dev/"
	"pts\",\"type\":\"devpts\",\"source\":\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\","
	"\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]},"
	"{\"destination\":\"/dev/"
	"shm\",\"type\":\"tmpfs\",\"source\":\"shm\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
	"\"mode=1777\",\"size=65536k\"]},"
	"{\"destination\":\"/dev/"
	"mqueue\",\"type\":\"mqueue\",\"source\":\"mqueue\",\"options\":[\"nosuid\",\"noexec\",\"nodev\"]},"
	"{\"destination\":\"/"
	"sys\",\"type\":\"sysfs\",\"source\":\"sysfs\",\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]},"
	"{\"destination\":\"/sys/fs/"
	"cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\",\"options\":[\"nosuid\",\"noexec\",\"nodev\","
	"\"relatime\",\"ro\"]}],"
	"\"linux\":{\"resources\":{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]},"
	"\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"network\"},{\"type\":\"ipc\"},{\"type\":\"uts\"},{"
	"\"type\":\"mount\"}],"
	"\"maskedPaths\":[\"/proc/acpi\",\"/proc/asound\",\"/proc/kcore\",\"/proc/keys\",\"/proc/"
	"latency_stats\","
	"\"/proc/timer_list\",\"/proc/timer_stats\",\"/proc/sched_debug\",\"/sys/firmware\",\"/proc/scsi\"],"
	"\"readonlyPaths\":[\"/proc/bus\",\"/proc/fs\",\"/proc/irq\",\"/proc/sys\",\"/proc/"
	"sysrq-trigger\"]}}";

static struct json *one_mapping(struct arena *arena, uint32_t host_id)
{
	struct json *list = json_new_array(arena), *mapping = json_new_object(arena);

	json_set(arena, mapping, "containerID", json_new_unsigned(arena, 0));
	json_set(arena, mapping, "hostID", json_new_unsigned(arena, host_id));
	json_set(arena, mapping, "size", json_new_unsigned(arena, 1));
	json_append(arena, list, mapping);
	return list;
}

static void add_namespace(struct arena *arena, struct json *config, const char *type)
{
	struct json *namespace = json_new_object(arena);

	json_set(arena, namespace, "type", json_new_string(arena, type));
	json_append(arena, json_get(json_get(config, "linux"), "namespaces"), namespace);
}

/* gid=5, which is not mapped. */
static void drop_tty_group(struct json *mounts)
{
	for (size_t i = 0; i < mounts->array.count; i++) {
		struct json *options = json_get(mounts->array.items[i], "options");
		size_t last = options ? options->array.count - 1 : 0;

		if (options && strcmp(options->array.items[last]->string, "gid=5") == 0)
			options->array.count = last;
	}
}

/* A user namespace of one id, the user's own; no limits, which would need a cgroup. */
static void make_rootless(struct arena *arena, struct json *config)
{
	struct json *linux = json_get(config, "linux");

	add_namespace(arena, config, "user");
	drop_tty_group(json_get(config, "mounts"));
	json_set(arena, linux, "uidMappings", one_mapping(arena, geteuid()));
	json_set(arena, linux, "gidMappings", one_mapping(arena, getegid()));
	json_set(arena, linux, "resources", json_new_object(arena));
}

static int write_template(struct arena *arena, const struct template_options *options, struct error *err)
{
	const char *name = options->file ? options->file : "config.json", *text;
	_cleanup_close_ int directory = -1;
	struct json *config;
	size_t length;

	if (json_parse(arena, template_text, strlen(template_text), "template", JSON_STRICT, &config, err) <
		0)
		return -1;
	/* As crun and runc: on v1 and hybrid hosts programs look for their cgroups by the host's paths. */
	if (cgroup_host_is_unified())
		add_namespace(arena, config, "cgroup");
	if (options->rootless)
		make_rootless(arena, config);
	text = json_format(arena, config, true, &length);
	if (strcmp(name, "-") == 0) {
		fputs(text, stdout);
		return 0;
	}
	directory = open(options->bundle ? options->bundle : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory < 0)
		return error_set(err, errno, "cannot open the bundle directory %s",
			options->bundle ? options->bundle : ".");
	if (bundle_write_file(directory, name, text, length, 0644, err) == 0)
		return 0;
	return err->number == EEXIST ? error_set(err, 0, "%s exists already: remove it first", name) : -1;
}

int command_spec(struct invocation_context *context)
{
	struct template_options options = { 0 };
	struct string_list arguments;
	int result = COMMAND_PARSE(context, template_option_table, &options, NULL, 0, &arguments);

	/* A word or an option that is not the template's belongs to the front door. */
	if (result < 0 || (result == 0 && arguments.count > 0))
		return front_door_spec(context->arena, context->argc, context->argv);
	return result > 0 ? 0 : write_template(context->arena, &options, &context->err);
}
