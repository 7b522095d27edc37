/* Capabilities: names to sets, and the five sets of the calling process.
 *
 * capset(2) and prctl(2) are called directly: the whole need is two structs and three prctl operations, and a library's
 * start-up probes would cost every command. Must never leave a set larger than what was asked for.
 */
#include "runtime/process.h"

#include "spec/cleanup.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

/* By number. The kernel has added none since 5.9. */
static const char *const names[] = {
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_KILL",
	"CAP_SETGID",
	"CAP_SETUID",
	"CAP_SETPCAP",
	"CAP_LINUX_IMMUTABLE",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_ADMIN",
	"CAP_NET_RAW",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_SYS_MODULE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_CHROOT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_PACCT",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_NICE",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_MKNOD",
	"CAP_LEASE",
	"CAP_AUDIT_WRITE",
	"CAP_AUDIT_CONTROL",
	"CAP_SETFCAP",
	"CAP_MAC_OVERRIDE",
	"CAP_MAC_ADMIN",
	"CAP_SYSLOG",
	"CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND",
	"CAP_AUDIT_READ",
	"CAP_PERFMON",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
};

#define BIT(capability) (1ULL << (capability))

/* The sets of config.json as bit masks. */
struct sets {
	uint64_t bounding, effective, inheritable, permitted, ambient;
};

static bool find_capability(const char *name, size_t *number)
{
	for (*number = 0; *number < ARRAY_SIZE(names); (*number)++)
		if (strcmp(names[*number], name) == 0)
			return true;
	return false;
}

/* A name that is none is left out, as the specification wants it: capabilities_lacking() tells of it. */
static uint64_t parse_set(const struct string_list *list)
{
	uint64_t mask = 0;
	size_t number;

	for (size_t i = 0; i < list->count; i++)
		if (find_capability(list->items[i], &number))
			mask |= BIT(number);
	return mask;
}

/* No `capabilities` in config.json means none for the process. */
static struct sets parse_sets(const struct oci_capabilities *capabilities)
{
	if (!capabilities)
		return (struct sets){ 0 };
	return (struct sets){
		.bounding = parse_set(&capabilities->bounding),
		.effective = parse_set(&capabilities->effective),
		.inheritable = parse_set(&capabilities->inheritable),
		.permitted = parse_set(&capabilities->permitted),
		.ambient = parse_set(&capabilities->ambient),
	};
}

const char *const *capability_names(size_t *count)
{
	/* It fails for a number that the kernel does not know. */
	for (*count = 0; *count < ARRAY_SIZE(names); (*count)++)
		if (prctl(PR_CAPBSET_READ, *count, 0, 0, 0) < 0)
			break;
	return names;
}

/* A comma-separated list in the caller's buffer. */
struct list_text {
	char *text;
	size_t size, used;
};

static void add_name(struct list_text *list, const char *name)
{
	if (list->used < list->size)
		list->used += (size_t)snprintf(list->text + list->used, list->size - list->used, "%s%s",
			list->used ? ", " : "", name);
}

static void add_hint(struct list_text *list, const char *name)
{
	if (list->used < list->size)
		list->used += (size_t)snprintf(
			list->text + list->used, list->size - list->used, " (did you mean %s?)", name);
}

/* Once, however many sets it is in, and with the name that was probably meant. */
static void add_unknown(struct list_text *list, const struct oci_capabilities *capabilities)
{
	const struct string_list *const sets[] = { &capabilities->bounding, &capabilities->effective,
		&capabilities->inheritable, &capabilities->permitted, &capabilities->ambient };
	size_t number;

	for (size_t i = 0; i < ARRAY_SIZE(sets); i++)
		for (size_t k = 0; k < sets[i]->count; k++) {
			const char *name = sets[i]->items[k], *nearest;

			if (find_capability(name, &number) || strstr(list->text, name))
				continue;
			add_name(list, name);
			nearest = nearest_word(name, names, ARRAY_SIZE(names));
			if (nearest)
				add_hint(list, nearest);
		}
}

bool capabilities_lacking(const struct oci_capabilities *capabilities, char *text, size_t size)
{
	struct list_text list = { text, size, 0 };
	struct sets sets = parse_sets(capabilities);
	uint64_t wanted = sets.bounding | sets.effective | sets.inheritable | sets.permitted | sets.ambient;

	text[0] = '\0';
	for (size_t number = 0; number < ARRAY_SIZE(names); number++)
		if ((wanted & BIT(number)) && prctl(PR_CAPBSET_READ, number, 0, 0, 0) != 1)
			add_name(&list, names[number]);
	if (capabilities)
		add_unknown(&list, capabilities);
	return list.used > 0;
}

bool capabilities_not_ambient(const struct oci_capabilities *capabilities, char *text, size_t size)
{
	struct list_text list = { text, size, 0 };
	struct sets sets = parse_sets(capabilities);
	uint64_t stray = sets.ambient & ~(sets.inheritable & sets.permitted);

	for (size_t number = 0; number < ARRAY_SIZE(names); number++)
		if (stray & BIT(number))
			add_name(&list, names[number]);
	return list.used > 0;
}

/* One that is not there needs no privilege to stay away, and one that the kernel does not know cannot be read either. */
static int drop_bounding(size_t number)
{
	if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0)
		return 0;
	return prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1 ? -1 : 0;
}

int capabilities_drop_bounding(const struct oci_capabilities *capabilities, struct error *err)
{
	struct sets sets = parse_sets(capabilities);

	for (size_t number = 0; number < ARRAY_SIZE(names); number++)
		if (!(sets.bounding & BIT(number)) && drop_bounding(number) < 0)
			return error_set(err, EPERM,
				"process.capabilities.bounding: cannot drop %s, which needs CAP_SETPCAP "
				"in the container's user namespace",
				names[number]);
	/* One that our table does not name must not stay either. */
	for (size_t number = ARRAY_SIZE(names); prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1; number++)
		if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) < 0)
			return error_set(err, errno,
				"process.capabilities.bounding: cannot drop capability %zu", number);
	return 0;
}

static int get_sets(struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3], struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };

	if (syscall(SYS_capget, &header, data) < 0)
		return error_set(err, errno, "cannot read the process's own capabilities (capget)");
	return 0;
}

static int put_sets(const struct sets *sets, struct error *err)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

	for (size_t half = 0; half < ARRAY_SIZE(data); half++) {
		data[half].effective = sets->effective >> (32 * half);
		data[half].permitted = sets->permitted >> (32 * half);
		data[half].inheritable = sets->inheritable >> (32 * half);
	}
	if (syscall(SYS_capset, &header, data) < 0)
		return error_set(err, errno, "process.capabilities: cannot set them (capset)");
	return 0;
}

static const char *first_name(uint64_t mask)
{
	return names[__builtin_ctzll(mask)];
}

/* What the kernel would refuse with a bare EPERM, said with the name. */
static int check_sets(const struct sets *sets, struct error *err)
{
	uint64_t stray = sets->effective & ~sets->permitted;

	if (stray)
		return error_set(err, 0,
			"process.capabilities.effective: %s is not in process.capabilities.permitted, which "
			"it needs",
			first_name(stray));
	return 0;
}

static int raise_ambient(uint64_t mask, struct error *err)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0)
		return error_set(err, errno, "process.capabilities.ambient: cannot clear the ambient set");
	for (size_t number = 0; number < ARRAY_SIZE(names); number++)
		if ((mask & BIT(number)) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) < 0)
			return error_set(
				err, errno, "process.capabilities.ambient: cannot raise %s", names[number]);
	return 0;
}

int capabilities_apply(const struct oci_capabilities *capabilities, struct error *err)
{
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
	uint64_t held, inheritable;
	struct sets sets = parse_sets(capabilities);

	if (check_sets(&sets, err) < 0 || get_sets(data, err) < 0)
		return -1;
	/* What we do not have cannot be given: the specification wants the container to run with less, and a warning,
	 * for which there is capabilities_lacking(). */
	held = data[0].permitted | (uint64_t)data[1].permitted << 32;
	inheritable = held | data[0].inheritable | (uint64_t)data[1].inheritable << 32;
	sets.permitted &= held;
	sets.effective &= held;
	sets.inheritable &= inheritable;
	/* Also where the config has it ambient but not inheritable: runc's own template does, since CVE-2022-29162
	 * emptied the inheritable set, and runc and crun run it. */
	sets.ambient &= sets.permitted & sets.inheritable;
	if (put_sets(&sets, err) < 0)
		return -1;
	return raise_ambient(sets.ambient, err);
}
