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

static int parse_set(const struct string_list *list, const char *set, uint64_t *mask, struct error *err)
{
	size_t number;

	*mask = 0;
	for (size_t i = 0; i < list->count; i++) {
		const char *nearest;

		for (number = 0; number < ARRAY_SIZE(names); number++)
			if (strcmp(names[number], list->items[i]) == 0)
				break;
		if (number < ARRAY_SIZE(names)) {
			*mask |= BIT(number);
			continue;
		}
		nearest = nearest_word(list->items[i], names, ARRAY_SIZE(names));
		return error_set(err, 0, "process.capabilities.%s[%zu]: \"%s\" is not a capability%s%s%s",
			set, i, list->items[i], nearest ? "; did you mean \"" : "", nearest ? nearest : "",
			nearest ? "\"?" : "");
	}
	return 0;
}

/* No `capabilities` in config.json means none for the process. */
static int parse_sets(const struct oci_capabilities *capabilities, struct sets *sets, struct error *err)
{
	memset(sets, 0, sizeof(*sets));
	if (!capabilities)
		return 0;
	if (parse_set(&capabilities->bounding, "bounding", &sets->bounding, err) < 0 ||
		parse_set(&capabilities->effective, "effective", &sets->effective, err) < 0 ||
		parse_set(&capabilities->inheritable, "inheritable", &sets->inheritable, err) < 0 ||
		parse_set(&capabilities->permitted, "permitted", &sets->permitted, err) < 0 ||
		parse_set(&capabilities->ambient, "ambient", &sets->ambient, err) < 0)
		return -1;
	return 0;
}

const char *const *capability_names(size_t *count)
{
	/* It fails for a number that the kernel does not know. */
	for (*count = 0; *count < ARRAY_SIZE(names); (*count)++)
		if (prctl(PR_CAPBSET_READ, *count, 0, 0, 0) < 0)
			break;
	return names;
}

bool capabilities_lacking(const struct oci_capabilities *capabilities, char *text, size_t size)
{
	struct sets sets;
	bool lacking = false;
	size_t used = 0;
	uint64_t wanted;

	if (size)
		text[0] = '\0';
	if (parse_sets(capabilities, &sets, NULL) < 0)
		return false; /* capabilities_drop_bounding() will say why */
	wanted = sets.bounding | sets.effective | sets.inheritable | sets.permitted | sets.ambient;
	for (size_t number = 0; number < ARRAY_SIZE(names); number++) {
		if (!(wanted & BIT(number)) || prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1)
			continue;
		lacking = true;
		if (used < size)
			used += snprintf(text + used, size - used, "%s%s", used ? ", " : "", names[number]);
	}
	return lacking;
}

/* One that is not there needs no privilege to stay away, and one that the kernel does not know needs nothing. */
static int drop_bounding(size_t number)
{
	if (prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0 || errno == EINVAL)
		return 0;
	return prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 0 ? 0 : -1;
}

int capabilities_drop_bounding(const struct oci_capabilities *capabilities, struct error *err)
{
	struct sets sets;

	if (parse_sets(capabilities, &sets, err) < 0)
		return -1;
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
	struct sets sets;

	if (parse_sets(capabilities, &sets, err) < 0 || check_sets(&sets, err) < 0 || get_sets(data, err) < 0)
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
