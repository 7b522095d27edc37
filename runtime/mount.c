/* See mount.h. */
#include "runtime/mount.h"

#include "runtime/mount_calls.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

enum { FSCONFIG_VALUE_MAX = 255 }; /* the kernel's limit for one option's value */

/* What mount(2) calls the same. */
static const struct {
	uint64_t attribute;
	unsigned long flag;
} flag_of_attribute[] = {
	{ MOUNT_ATTR_RDONLY, MS_RDONLY },
	{ MOUNT_ATTR_NOSUID, MS_NOSUID },
	{ MOUNT_ATTR_NODEV, MS_NODEV },
	{ MOUNT_ATTR_NOEXEC, MS_NOEXEC },
	{ MOUNT_ATTR_NOATIME, MS_NOATIME },
	{ MOUNT_ATTR_STRICTATIME, MS_STRICTATIME },
	{ MOUNT_ATTR_NODIRATIME, MS_NODIRATIME },
	{ MOUNT_ATTR_NOSYMFOLLOW, MS_NOSYMFOLLOW },
};

/* What fsconfig(2) calls the flags of a superblock. It has no word for MS_I_VERSION and MS_POSIXACL. */
static const struct {
	unsigned long flag;
	const char *set, *clear;
} superblock_words[] = {
	{ MS_SYNCHRONOUS, "sync", "async" },
	{ MS_DIRSYNC, "dirsync", NULL },
	{ MS_LAZYTIME, "lazytime", "nolazytime" },
	{ MS_MANDLOCK, "mand", "nomand" },
};

static unsigned long flags_for(uint64_t attributes)
{
	unsigned long flags = 0;

	for (size_t i = 0; i < ARRAY_SIZE(flag_of_attribute); i++)
		if (attributes & flag_of_attribute[i].attribute)
			flags |= flag_of_attribute[i].flag;
	return flags;
}

/* ---- new file systems ---- */

static bool fits_fsconfig(const char *source, const struct mount_options *options)
{
	if (options->superblock.set & (MS_I_VERSION | MS_POSIXACL))
		return false;
	if (source && strlen(source) > FSCONFIG_VALUE_MAX)
		return false;
	for (size_t i = 0; i < options->data.count; i++) {
		const char *value = strchr(options->data.items[i], '=');

		/* Several options in one, or a quoted value: mount(2) parts them, each file system as it likes. */
		if (strpbrk(options->data.items[i], ",\""))
			return false;
		if (value && strlen(value + 1) > FSCONFIG_VALUE_MAX)
			return false;
	}
	return true;
}

/* The file system's own words, "e tmpfs: Bad value for 'size'", say more than EINVAL. */
static int complain(int context, struct error *err, const char *what, const char *word)
{
	char log[512];
	int number = errno;
	ssize_t length = read(context, log, sizeof(log) - 1);

	if (length <= 0)
		return error_set(err, number, "%s%s", what, word);
	while (length > 0 && log[length - 1] == '\n')
		length--;
	log[length] = '\0';
	return error_set(err, number, "%s%s: %s", what, word, length > 2 ? log + 2 : log);
}

static int configure_one(int context, const char *option, struct error *err)
{
	const char *value = strchr(option, '=');
	char key[FSCONFIG_VALUE_MAX + 1];
	int result;

	if (!value) {
		result = call_fsconfig(context, FSCONFIG_SET_FLAG, option, NULL, 0);
	} else {
		snprintf(key, sizeof(key), "%.*s", (int)(value - option), option);
		result = call_fsconfig(context, FSCONFIG_SET_STRING, key, value + 1, 0);
	}
	return result < 0 ? complain(context, err, "option ", option) : 0;
}

static int configure_superblock(int context, const struct mount_options *options, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(superblock_words); i++) {
		if (options->superblock.set & superblock_words[i].flag &&
			configure_one(context, superblock_words[i].set, err) < 0)
			return -1;
		if (options->remount && options->superblock.clear & superblock_words[i].flag &&
			superblock_words[i].clear &&
			configure_one(context, superblock_words[i].clear, err) < 0)
			return -1;
	}
	for (size_t i = 0; i < options->data.count; i++)
		if (configure_one(context, options->data.items[i], err) < 0)
			return -1;
	return 0;
}

static uint64_t attributes_of(const struct mount_options *options, bool writable)
{
	uint64_t set = mount_options_flags(options).set;

	return writable ? set & ~(uint64_t)MOUNT_ATTR_RDONLY : set;
}

static int configure(int context, const char *source, const struct mount_options *options, const char *label,
	bool writable, struct error *err)
{
	if (source && *source && strcmp(source, "none") != 0 &&
		call_fsconfig(context, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return complain(context, err, "source ", source);
	if (label && *label && call_fsconfig(context, FSCONFIG_SET_STRING, "context", label, 0) < 0)
		return complain(context, err, "linux.mountLabel ", label);
	/* A file system on a device must not be written to either. */
	if (attributes_of(options, writable) & MOUNT_ATTR_RDONLY &&
		call_fsconfig(context, FSCONFIG_SET_FLAG, "ro", NULL, 0) < 0)
		return complain(context, err, "option ", "ro");
	return configure_superblock(context, options, err);
}

int mount_create(const char *type, const char *source, const struct mount_options *options, const char *label,
	bool writable, int *fd, struct error *err)
{
	_cleanup_close_ int context = -1;

	*fd = -1;
	if (!fits_fsconfig(source, options))
		return 0;
	context = call_fsopen(type, FSOPEN_CLOEXEC);
	if (context < 0)
		return error_set(err, errno, "cannot mount the file system type \"%s\"", type);
	if (configure(context, source, options, label, writable, err) < 0)
		return -1;
	if (call_fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return complain(context, err, "cannot mount a ", type);
	*fd = call_fsmount(context, FSMOUNT_CLOEXEC, (unsigned int)attributes_of(options, writable));
	if (*fd < 0)
		return complain(context, err, "cannot mount a ", type);
	return 0;
}

/* "/proc" is the host's: this is for use before pivot_root. */
static void place_of(int fd, char path[32])
{
	snprintf(path, 32, "/proc/self/fd/%d", fd);
}

int mount_by_call(const char *type, const char *source, const struct mount_options *options,
	const char *label, bool writable, int target_fd, struct error *err)
{
	unsigned long flags = flags_for(attributes_of(options, writable)) | options->superblock.set;
	_cleanup_free_ char *data = NULL;
	size_t size = 0;
	char place[32];
	FILE *stream = open_memstream(&data, &size);

	if (!stream)
		return error_set(err, errno, "cannot mount a %s", type);
	if (label && *label)
		fprintf(stream, "context=\"%s\"%s", label, options->data.count ? "," : "");
	for (size_t i = 0; i < options->data.count; i++)
		fprintf(stream, "%s%s", i ? "," : "", options->data.items[i]);
	fclose(stream);
	place_of(target_fd, place);
	if (call_mount(source ? source : "none", place, type, flags, data) < 0)
		return error_set(err, errno, "cannot mount a %s", type);
	return 0;
}

/* ---- copies of mounts, and attributes ---- */

int mount_clone(int directory, const char *path, bool recursive, bool follow)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;

	if (recursive)
		flags |= AT_RECURSIVE;
	if (!follow)
		flags |= AT_SYMLINK_NOFOLLOW;
	if (!*path)
		flags |= AT_EMPTY_PATH;
	return call_open_tree(directory, path, flags);
}

static int flush(int fd, struct mount_attr *call, bool recursive)
{
	const struct mount_attr change = *call;

	*call = (struct mount_attr){ 0 };
	if (!change.attr_set && !change.attr_clr && !change.propagation)
		return 0;
	return call_mount_setattr(fd, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &change);
}

static int set_all(int fd, const struct mount_options *options, bool single, int user_namespace)
{
	const struct mount_flags flags = single ? mount_options_flags(options) : options->own;
	struct mount_attr own = { .attr_set = flags.set, .attr_clr = flags.clear }, tree = { 0 };

	if (!single)
		tree = (struct mount_attr){ .attr_set = options->tree.set, .attr_clr = options->tree.clear };
	if (user_namespace >= 0) {
		struct mount_attr *mapped = options->recursive_idmap && !single ? &tree : &own;

		mapped->attr_set |= MOUNT_ATTR_IDMAP;
		mapped->userns_fd = (uint64_t)user_namespace;
	}
	/* In as few calls as it takes: one, most of the time. */
	for (size_t i = 0; i < options->propagation.count; i++) {
		bool recursive = options->propagation.items[i].recursive && !single;
		struct mount_attr *call = recursive ? &tree : &own;

		if (call->propagation && flush(fd, call, recursive) < 0)
			return -1;
		call->propagation = options->propagation.items[i].type;
	}
	if (flush(fd, &own, false) < 0)
		return -1;
	return flush(fd, &tree, true);
}

static struct mount_options with_all_cleared(const struct mount_options *options)
{
	struct mount_options all = *options;

	all.own.clear |= options->clear_if_allowed & ~options->own.set;
	return all;
}

int mount_set(int fd, const struct mount_options *options, bool single, int user_namespace)
{
	struct mount_options all = with_all_cleared(options);
	int result = set_all(fd, &all, single, user_namespace);

	/* There is no such flag to clear before Linux 5.14. */
	if (result < 0 && errno == EINVAL && options->clear_if_allowed & MOUNT_ATTR_NOSYMFOLLOW) {
		all.own.clear &= ~(uint64_t)MOUNT_ATTR_NOSYMFOLLOW;
		result = set_all(fd, &all, single, user_namespace);
	}
	if (result == 0 || errno != EPERM || !options->clear_if_allowed)
		return result;
	return set_all(fd, options, single, user_namespace);
}

static int mount_call_on(int fd, unsigned long flags)
{
	char place[32];

	place_of(fd, place);
	return call_mount(NULL, place, NULL, flags, NULL);
}

/* What mount(2) must be told again, or it would be cleared (or refused, in a user namespace: locked flags). */
static const struct {
	unsigned long status;
	uint64_t attribute;
} attribute_of_status[] = {
	{ ST_RDONLY, MOUNT_ATTR_RDONLY },
	{ ST_NOSUID, MOUNT_ATTR_NOSUID },
	{ ST_NODEV, MOUNT_ATTR_NODEV },
	{ ST_NOEXEC, MOUNT_ATTR_NOEXEC },
	{ ST_NOATIME, MOUNT_ATTR_NOATIME },
	{ ST_NODIRATIME, MOUNT_ATTR_NODIRATIME },
};

static int remount_bind(int fd, struct mount_flags flags)
{
	struct statfs status;
	uint64_t attributes = 0;

	if (fstatfs(fd, &status) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(attribute_of_status); i++)
		if ((unsigned long)status.f_flags & attribute_of_status[i].status)
			attributes |= attribute_of_status[i].attribute;
	if (!((unsigned long)status.f_flags & (ST_NOATIME | ST_RELATIME)))
		attributes |= MOUNT_ATTR_STRICTATIME;
	attributes = (attributes & ~flags.clear) | flags.set;
	return mount_call_on(fd, MS_REMOUNT | MS_BIND | flags_for(attributes));
}

int mount_set_propagation(int fd, uint64_t type, bool recursive)
{
	struct mount_attr change = { .propagation = type };

	if (flush(fd, &change, recursive) == 0)
		return 0;
	if (errno != ENOSYS)
		return -1;
	return mount_call_on(fd, type | (recursive ? MS_REC : 0));
}

static int remount(int fd, const struct mount_options *options)
{
	const struct mount_options all = with_all_cleared(options);

	if (!all.own.set && !all.own.clear)
		return 0;
	if (remount_bind(fd, all.own) == 0)
		return 0;
	return errno == EPERM && options->clear_if_allowed ? remount_bind(fd, options->own) : -1;
}

int mount_set_attached(int fd, const struct mount_options *options, bool single)
{
	if (mount_set(fd, options, single, -1) == 0)
		return 0;
	if (errno != ENOSYS || options->tree.set || options->tree.clear)
		return -1;
	if (remount(fd, options) < 0)
		return -1;
	for (size_t i = 0; i < options->propagation.count; i++)
		if (mount_set_propagation(fd, options->propagation.items[i].type,
			    options->propagation.items[i].recursive) < 0)
			return -1;
	return 0;
}

int mount_restrict(int fd, uint64_t attributes)
{
	const struct mount_options options = { .own = { .set = attributes } };

	return mount_set_attached(fd, &options, true);
}

int mount_attach(int fd, int target_fd)
{
	return call_move_mount(fd, "", target_fd, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH);
}

int mount_reconfigure(int fd, const struct mount_options *options, struct error *err)
{
	_cleanup_close_ int context = -1;
	uint64_t read_only = (options->own.set | options->own.clear) & MOUNT_ATTR_RDONLY;

	if (!options->bind &&
		(options->data.count || options->superblock.set || options->superblock.clear || read_only)) {
		context = call_fspick(fd, "", FSPICK_EMPTY_PATH | FSPICK_CLOEXEC);
		if (context < 0)
			return error_set(err, errno, "cannot remount");
		if (read_only && configure_one(context, options->own.set & read_only ? "ro" : "rw", err) < 0)
			return -1;
		if (configure_superblock(context, options, err) < 0)
			return -1;
		if (call_fsconfig(context, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0)
			return complain(context, err, "cannot", " remount");
	}
	if (mount_set_attached(fd, options, false) < 0)
		return error_set(err, errno, "cannot remount");
	return 0;
}
