/* See landlock.h. */
#include "runtime/landlock.h"

#include "runtime/named.h"
#include "spec/cleanup.h"
#include "spec/table.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Newer than the headers of Debian 12. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif
#ifndef LANDLOCK_ACCESS_NET_BIND_TCP
#define LANDLOCK_ACCESS_NET_BIND_TCP	(1ULL << 0)
#define LANDLOCK_ACCESS_NET_CONNECT_TCP (1ULL << 1)
#endif
#ifndef LANDLOCK_SCOPE_SIGNAL
#define LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET (1ULL << 0)
#define LANDLOCK_SCOPE_SIGNAL		    (1ULL << 1)
#endif

struct ruleset_attributes {
	uint64_t handled_access_fs;
	uint64_t handled_access_net; /* ABI 4 */
	uint64_t scoped;	     /* ABI 6 */
};

enum { ABI_REFER = 2, ABI_TRUNCATE = 3, ABI_NET = 4, ABI_IOCTL_DEV = 5, ABI_SCOPE = 6 };

#define READ_ACCESS    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define EXECUTE_ACCESS LANDLOCK_ACCESS_FS_EXECUTE
#define WRITE_ACCESS                                                                                       \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE |  \
		LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
		LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER |    \
		LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)
/* Handled with "write", and granted nowhere. */
#define DEVICE_ACCESS (LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK)
/* The kernel refuses a rule on a file that has any other. */
#define FILE_ACCESS                                                                                  \
	(LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE | \
		LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_IOCTL_DEV)

struct annotation {
	struct string_list read, write, execute, scope, required;
	struct optional_bool tcp, optional;
};

static const char *const scope_names[] = { "signal", "abstract-unix-socket", NULL };
static const struct named_value scopes[] = {
	{ "signal", LANDLOCK_SCOPE_SIGNAL },
	{ "abstract-unix-socket", LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET },
};

static const char *const required_names[] = { "execute", NULL };

static const char *check_absolute(const char *path)
{
	return *path == '/' ? NULL : "is not an absolute path";
}

static const struct field annotation_fields[] = {
	FIELD(struct annotation, read, "read", STRING_LIST, .check = check_absolute),
	FIELD(struct annotation, write, "write", STRING_LIST, .check = check_absolute),
	FIELD(struct annotation, execute, "execute", STRING_LIST, .check = check_absolute),
	FIELD(struct annotation, scope, "scope", STRING_LIST, .allowed = scope_names),
	FIELD(struct annotation, tcp, "tcp", BOOLEAN),
	FIELD(struct annotation, optional, "optional", BOOLEAN),
	FIELD(struct annotation, required, "required", STRING_LIST, .allowed = required_names),
};
static const struct object_type annotation_type =
	OBJECT_TYPE(struct annotation, annotation_fields, .strict = true);

int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);

	return abi < 0 ? 0 : (int)abi; /* ENOSYS: not built in; EOPNOTSUPP: not among the active LSMs */
}

static int needed_abi(const struct annotation *annotation)
{
	if (annotation->optional.value)
		return annotation->required.count ? 1 : 0;
	if (annotation->scope.count)
		return ABI_SCOPE;
	if (annotation->tcp.set && !annotation->tcp.value)
		return ABI_NET;
	/* Older ones leave truncate(2) to anybody who may write by the file's mode. */
	return annotation->write.items ? ABI_TRUNCATE : 1;
}

static void describe(const struct annotation *annotation, int abi, struct ruleset_attributes *attributes)
{
	*attributes = (struct ruleset_attributes){ 0 };
	if (annotation->read.items)
		attributes->handled_access_fs |= READ_ACCESS;
	if (annotation->execute.items)
		attributes->handled_access_fs |= EXECUTE_ACCESS;
	if (annotation->write.items)
		attributes->handled_access_fs |= WRITE_ACCESS | DEVICE_ACCESS;
	if (abi < ABI_REFER) /* whose kernels refuse it everywhere, and so do not know the flag */
		attributes->handled_access_fs &= ~LANDLOCK_ACCESS_FS_REFER;
	if (abi < ABI_TRUNCATE)
		attributes->handled_access_fs &= ~LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi < ABI_IOCTL_DEV)
		attributes->handled_access_fs &= ~LANDLOCK_ACCESS_FS_IOCTL_DEV;
	if (abi >= ABI_NET && annotation->tcp.set && !annotation->tcp.value)
		attributes->handled_access_net =
			LANDLOCK_ACCESS_NET_BIND_TCP | LANDLOCK_ACCESS_NET_CONNECT_TCP;
	for (size_t i = 0; abi >= ABI_SCOPE && i < annotation->scope.count; i++) {
		unsigned long scope;

		if (named_value_find(scopes, ARRAY_SIZE(scopes), annotation->scope.items[i], &scope))
			attributes->scoped |= scope;
	}
}

/* Each ABI's struct; a kernel refuses a longer one only where the rest is not zero, but that is nobody's promise. */
static size_t attributes_size(int abi)
{
	if (abi >= ABI_SCOPE)
		return sizeof(struct ruleset_attributes);
	return abi >= ABI_NET ? offsetof(struct ruleset_attributes, scoped)
			      : offsetof(struct ruleset_attributes, handled_access_net);
}

static bool is_out_of_reach(int number)
{
	return number == ENOENT || number == ENOTDIR || number == EACCES;
}

static int add_path(int ruleset, const char *path, uint64_t access, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_PATH | O_CLOEXEC);
	struct landlock_path_beneath_attr rule = { .parent_fd = fd, .allowed_access = access };
	struct stat status;

	if (fd < 0 && is_out_of_reach(errno))
		return 0;
	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "Landlock: cannot open \"%s\"", path);
	if (!S_ISDIR(status.st_mode))
		rule.allowed_access &= FILE_ACCESS;
	if (rule.allowed_access == 0)
		return 0;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return error_set(err, errno, "Landlock: cannot allow \"%s\"", path);
	return 0;
}

static int add_list(int ruleset, const struct string_list *paths, uint64_t access, struct error *err)
{
	for (size_t i = 0; i < paths->count; i++)
		if (add_path(ruleset, paths->items[i], access, err) < 0)
			return -1;
	return 0;
}

static int restrict_self(const struct annotation *annotation, int abi, struct error *err)
{
	_cleanup_close_ int ruleset = -1;
	struct ruleset_attributes attributes;
	uint64_t handled;

	describe(annotation, abi, &attributes);
	handled = attributes.handled_access_fs;
	if (!handled && !attributes.handled_access_net && !attributes.scoped)
		return 0; /* which the kernel refuses as a mistake (ENOMSG) */
	ruleset = syscall(SYS_landlock_create_ruleset, &attributes, attributes_size(abi), 0);
	if (ruleset < 0)
		return error_set(err, errno, "Landlock: cannot make a ruleset");
	if (add_list(ruleset, &annotation->read, READ_ACCESS & handled, err) < 0 ||
		add_list(ruleset, &annotation->write, WRITE_ACCESS & handled, err) < 0 ||
		add_list(ruleset, &annotation->execute, EXECUTE_ACCESS & handled, err) < 0)
		return -1;
	if (syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		return error_set(err, errno, "Landlock: cannot restrict the process%s",
			errno == EPERM	 ? " (needs process.noNewPrivileges or CAP_SYS_ADMIN)"
			: errno == E2BIG ? " (the kernel stacks at most 16 rulesets)"
					 : "");
	return 0;
}

/* What limits execution has nothing else to stand on, so that of that no less will do. */
#define MEND "; say \"optional\", or in a policy \"landlock\": \"preferred\", to do"

int landlock_apply(const char *text, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	static const char name[] = "annotation dev.fence.landlock";
	struct annotation annotation = { 0 };
	int abi = landlock_abi(), needed;
	struct json *tree;

	if (json_parse(arena, text, strlen(text), name, JSON_STRICT, &tree, err) < 0 ||
		table_read(arena, &annotation_type, tree, name, "", &annotation, err) < 0)
		return -1;
	needed = needed_abi(&annotation);
	if (abi >= needed)
		return abi ? restrict_self(&annotation, abi, err) : 0;
	if (abi == 0)
		return error_set(err, 0,
			"Landlock is required, but this kernel has none, or it is not in the lsm= list of "
			"the kernel's command line%s",
			annotation.optional.value ? "; without it nothing limits what is executed"
						  : MEND " without");
	return error_set(
		err, 0, "Landlock ABI %d is required, but this kernel has %d" MEND " with less", needed, abi);
}
