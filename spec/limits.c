/* See limits.h. */
#include "spec/limits.h"

#include "spec/cleanup.h"

#include <string.h>

/* Beside these, compile_seccomp.c refuses by argument: clone() with namespace flags, sockets of unusual families, and the
 * terminal ioctls that type for others. */
const struct denied_system_call denied_system_calls[] = {
	/* Other processes' memory and registers. */
	{ "ptrace", false },
	{ "process_vm_readv", false },
	{ "process_vm_writev", false },
	{ "process_madvise", false },
	{ "pidfd_getfd", false },
	{ "kcmp", false },
	/* The keyrings of the caller, which no namespace hides. */
	{ "add_key", false },
	{ "keyctl", false },
	{ "request_key", false },
	/* Wide kernel surfaces with a long history of faults. */
	{ "bpf", true },
	{ "perf_event_open", false },
	{ "userfaultfd", false },
	{ "personality", false },
	{ "modify_ldt", false },
	/* io_uring makes sockets and opens files past every seccomp filter. */
	{ "io_uring_setup", true },
	{ "io_uring_enter", true },
	{ "io_uring_register", true },
	/* Namespaces: with one of its own a process has every capability in it, and the kernel surface that comes with it. */
	{ "unshare", false },
	{ "setns", false },
	/* Mounts. */
	{ "mount", false },
	{ "umount", false },
	{ "umount2", false },
	{ "pivot_root", false },
	{ "chroot", false },
	{ "fsopen", false },
	{ "fsconfig", false },
	{ "fsmount", false },
	{ "fspick", false },
	{ "open_tree", false },
	{ "open_tree_attr", false },
	{ "move_mount", false },
	{ "mount_setattr", false },
	/* A file handle names a file past every mount (Shocker, 2014). */
	{ "open_by_handle_at", true },
	/* The machine itself. */
	{ "kexec_load", true },
	{ "kexec_file_load", true },
	{ "reboot", true },
	{ "init_module", true },
	{ "finit_module", true },
	{ "delete_module", true },
	{ "create_module", true },
	{ "query_module", true },
	{ "get_kernel_syms", true },
	{ "iopl", true },
	{ "ioperm", true },
	{ "vm86", true },
	{ "vm86old", true },
	{ "swapon", true },
	{ "swapoff", true },
	{ "acct", true },
	{ "syslog", false },
	{ "quotactl", true },
	{ "quotactl_fd", true },
	{ "nfsservctl", true },
	{ "lookup_dcookie", true },
	{ "uselib", true },
	{ "_sysctl", true },
	{ "sethostname", true },
	{ "setdomainname", true },
	{ "vhangup", true },
	{ "settimeofday", true },
	{ "stime", true },
	{ "clock_settime", true },
	{ "clock_settime64", true },
	{ "adjtimex", true },
	{ "clock_adjtime", true },
	{ "clock_adjtime64", true },
};
const size_t denied_system_call_count = ARRAY_SIZE(denied_system_calls);

const struct denied_system_call *denied_system_call(const char *name)
{
	for (size_t i = 0; i < denied_system_call_count; i++)
		if (strcmp(denied_system_calls[i].name, name) == 0)
			return &denied_system_calls[i];
	return NULL;
}

static const char *const capabilities[] = {
	"CAP_AUDIT_CONTROL",
	"CAP_AUDIT_READ",
	"CAP_AUDIT_WRITE",
	"CAP_BLOCK_SUSPEND",
	"CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
	"CAP_CHOWN",
	"CAP_DAC_OVERRIDE",
	"CAP_DAC_READ_SEARCH",
	"CAP_FOWNER",
	"CAP_FSETID",
	"CAP_IPC_LOCK",
	"CAP_IPC_OWNER",
	"CAP_KILL",
	"CAP_LEASE",
	"CAP_LINUX_IMMUTABLE",
	"CAP_MAC_ADMIN",
	"CAP_MAC_OVERRIDE",
	"CAP_MKNOD",
	"CAP_NET_ADMIN",
	"CAP_NET_BIND_SERVICE",
	"CAP_NET_BROADCAST",
	"CAP_NET_RAW",
	"CAP_PERFMON",
	"CAP_SETFCAP",
	"CAP_SETGID",
	"CAP_SETPCAP",
	"CAP_SETUID",
	"CAP_SYSLOG",
	"CAP_SYS_ADMIN",
	"CAP_SYS_BOOT",
	"CAP_SYS_CHROOT",
	"CAP_SYS_MODULE",
	"CAP_SYS_NICE",
	"CAP_SYS_PACCT",
	"CAP_SYS_PTRACE",
	"CAP_SYS_RAWIO",
	"CAP_SYS_RESOURCE",
	"CAP_SYS_TIME",
	"CAP_SYS_TTY_CONFIG",
	"CAP_WAKE_ALARM",
};

bool capability_known(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(capabilities); i++)
		if (strcmp(capabilities[i], name) == 0)
			return true;
	return false;
}

static const struct refused_capability refused_capabilities[] = {
	{ "CAP_SYS_ADMIN", "is never given: with it a process can undo every mount of the sandbox" },
	{ "CAP_NET_ADMIN", "is never given: with it a process can make itself another way out" },
	{ "CAP_NET_RAW", "is never given: with it a process can forge packets past the relay's rules" },
	{ "CAP_SYS_MODULE", "is never given: with it a process can load code into the kernel" },
	{ "CAP_SYS_PTRACE", "is never given: with it a process can take over others" },
	{ "CAP_SYS_RAWIO", "is never given: with it a process can reach the machine's memory" },
	{ "CAP_SYS_BOOT", "is never given: with it a process can restart the host" },
	{ "CAP_SYS_TIME", "is never given: with it a process can set the host's clock" },
	{ "CAP_BPF", "is never given: with it a process can load programs into the kernel" },
	{ "CAP_PERFMON", "is never given: with it a process can watch the host" },
	{ "CAP_SYSLOG", "is never given: with it a process can read the kernel's log and addresses" },
	{ "CAP_MAC_ADMIN", "is never given: with it a process can change the host's security rules" },
	{ "CAP_MAC_OVERRIDE", "is never given: with it a process passes the host's security rules" },
	{ "CAP_DAC_READ_SEARCH", "is never given: with it a process can open any file by its handle" },
	{ "CAP_MKNOD", "is never given: with it a process can make device files" },
	{ "CAP_CHECKPOINT_RESTORE",
		"is never given: with it a process can choose its pids and exchange its executable" },
};

const struct refused_capability *refused_capability(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(refused_capabilities); i++)
		if (strcmp(refused_capabilities[i].name, name) == 0)
			return &refused_capabilities[i];
	return NULL;
}

int64_t parse_memory(const char *text)
{
	static const char units[] = "kmgt";
	size_t digits = strspn(text, "0123456789");
	unsigned long long value;
	const char *unit;
	unsigned int shift = 0;

	if (digits < 1 || digits > 18)
		return -1;
	value = strtoull(text, NULL, 10);
	text += digits;
	if (*text) {
		unit = strchr(units, *text | 0x20);
		if (!unit)
			return -1;
		shift = 10 * (unsigned int)(unit - units + 1);
		text++;
	}
	/* "64MiB", "64MB" and "64B" are meant as binary, too. */
	if (shift && *text == 'i')
		text++;
	if (*text == 'B' || *text == 'b')
		text++;
	if (*text || value > (unsigned long long)INT64_MAX >> shift)
		return -1;
	return (int64_t)(value << shift);
}

int64_t parse_cpus(const char *text)
{
	size_t whole = strspn(text, "0123456789"), fraction = 0;
	int64_t thousandths;

	if (whole > 6)
		return -1;
	thousandths = (int64_t)strtoul(whole ? text : "0", NULL, 10) * 1000;
	text += whole;
	if (*text == '.') {
		static const int64_t weights[] = { 100, 10, 1 };

		fraction = strspn(++text, "0123456789");
		for (size_t i = 0; i < fraction && i < ARRAY_SIZE(weights); i++)
			thousandths += (text[i] - '0') * weights[i];
		text += fraction;
	}
	/* The kernel's smallest quota is 1 ms in 100. */
	return *text || whole + fraction == 0 || thousandths < 10 ? -1 : thousandths;
}
