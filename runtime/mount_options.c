/* See mount_options.h. The options are those of the OCI specification, and copy-symlink, src-nofollow, dest-nofollow, acl,
 * mand, which engines write as well, and src-no-symlinks, dest-no-symlinks, which are the front door's. */
#include "runtime/mount_options.h"

#include "runtime/log.h"
#include "spec/cleanup.h"

#include <linux/mount.h>
#include <string.h>

enum kind {
	NOTHING,
	OWN,	     /* set and clear are MOUNT_ATTR_* */
	TREE,	     /* the same */
	SUPERBLOCK,  /* MS_* */
	PROPAGATION, /* set is MS_* */
	TREE_PROPAGATION,
	MEMBER, /* set is the offset of a bool in struct mount_options */
};

struct option {
	const char *name;
	enum kind kind;
	uint64_t set, clear;
};

/* The three modes of atime are one field of which relatime is the zero: each clears the others, and whoever leaves a
 * mode is back at the kernel's default. */
#define ATTRIBUTE(name, set, clear)        \
	{ name, OWN, set, clear },         \
	{                                  \
		"r" name, TREE, set, clear \
	}

static const struct option options_known[] = {
	{ "defaults", NOTHING },
	{ "silent", NOTHING }, /* about the kernel's log */
	{ "loud", NOTHING },

	ATTRIBUTE("ro", MOUNT_ATTR_RDONLY, 0),
	ATTRIBUTE("rw", 0, MOUNT_ATTR_RDONLY),
	ATTRIBUTE("nosuid", MOUNT_ATTR_NOSUID, 0),
	ATTRIBUTE("suid", 0, MOUNT_ATTR_NOSUID),
	ATTRIBUTE("nodev", MOUNT_ATTR_NODEV, 0),
	ATTRIBUTE("dev", 0, MOUNT_ATTR_NODEV),
	ATTRIBUTE("noexec", MOUNT_ATTR_NOEXEC, 0),
	ATTRIBUTE("exec", 0, MOUNT_ATTR_NOEXEC),
	ATTRIBUTE("nosymfollow", MOUNT_ATTR_NOSYMFOLLOW, 0),
	ATTRIBUTE("symfollow", 0, MOUNT_ATTR_NOSYMFOLLOW),
	ATTRIBUTE("nodiratime", MOUNT_ATTR_NODIRATIME, 0),
	ATTRIBUTE("diratime", 0, MOUNT_ATTR_NODIRATIME),
	ATTRIBUTE("relatime", MOUNT_ATTR_RELATIME, MOUNT_ATTR__ATIME),
	ATTRIBUTE("norelatime", 0, MOUNT_ATTR__ATIME),
	ATTRIBUTE("noatime", MOUNT_ATTR_NOATIME, MOUNT_ATTR__ATIME),
	ATTRIBUTE("atime", 0, MOUNT_ATTR__ATIME),
	ATTRIBUTE("strictatime", MOUNT_ATTR_STRICTATIME, MOUNT_ATTR__ATIME),
	ATTRIBUTE("nostrictatime", 0, MOUNT_ATTR__ATIME),

	{ "sync", SUPERBLOCK, MS_SYNCHRONOUS, 0 },
	{ "async", SUPERBLOCK, 0, MS_SYNCHRONOUS },
	{ "dirsync", SUPERBLOCK, MS_DIRSYNC, 0 },
	{ "lazytime", SUPERBLOCK, MS_LAZYTIME, 0 },
	{ "nolazytime", SUPERBLOCK, 0, MS_LAZYTIME },
	{ "mand", SUPERBLOCK, MS_MANDLOCK, 0 },
	{ "nomand", SUPERBLOCK, 0, MS_MANDLOCK },
	{ "iversion", SUPERBLOCK, MS_I_VERSION, 0 },
	{ "noiversion", SUPERBLOCK, 0, MS_I_VERSION },
	{ "acl", SUPERBLOCK, MS_POSIXACL, 0 },
	{ "noacl", SUPERBLOCK, 0, MS_POSIXACL },

	{ "shared", PROPAGATION, MS_SHARED },
	{ "rshared", TREE_PROPAGATION, MS_SHARED },
	{ "slave", PROPAGATION, MS_SLAVE },
	{ "rslave", TREE_PROPAGATION, MS_SLAVE },
	{ "private", PROPAGATION, MS_PRIVATE },
	{ "rprivate", TREE_PROPAGATION, MS_PRIVATE },
	{ "unbindable", PROPAGATION, MS_UNBINDABLE },
	{ "runbindable", TREE_PROPAGATION, MS_UNBINDABLE },

	{ "bind", MEMBER, offsetof(struct mount_options, bind) },
	{ "rbind", MEMBER, offsetof(struct mount_options, recursive_bind) },
	{ "remount", MEMBER, offsetof(struct mount_options, remount) },
	{ "idmap", MEMBER, offsetof(struct mount_options, idmap) },
	{ "ridmap", MEMBER, offsetof(struct mount_options, recursive_idmap) },
	{ "tmpcopyup", MEMBER, offsetof(struct mount_options, copy_up) },
	{ "copy-symlink", MEMBER, offsetof(struct mount_options, copy_symlink) },
	{ "src-nofollow", MEMBER, offsetof(struct mount_options, source_nofollow) },
	{ "dest-nofollow", MEMBER, offsetof(struct mount_options, destination_nofollow) },
	{ "src-no-symlinks", MEMBER, offsetof(struct mount_options, source_no_symlinks) },
	{ "dest-no-symlinks", MEMBER, offsetof(struct mount_options, destination_no_symlinks) },
};

const char *const *mount_option_names(size_t *count)
{
	static const char *names[ARRAY_SIZE(options_known)];

	*count = ARRAY_SIZE(names);
	for (size_t i = 0; i < *count; i++)
		names[i] = options_known[i].name;
	return names;
}

static const struct option *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(options_known); i++)
		if (strcmp(options_known[i].name, name) == 0)
			return &options_known[i];
	return NULL;
}

/* The later of two that contradict each other wins. */
static void change(struct mount_flags *flags, const struct option *option)
{
	flags->set = (flags->set & ~option->clear) | option->set;
	flags->clear = (flags->clear & ~option->set) | option->clear;
}

static void add_propagation(struct arena *arena, struct mount_options *options, const struct option *option)
{
	struct mount_propagation *propagation = arena_push(
		arena, &options->propagation.items, &options->propagation.count, sizeof(*propagation));

	propagation->type = option->set;
	propagation->recursive = option->kind == TREE_PROPAGATION;
}

static void add(struct arena *arena, struct mount_options *options, const struct option *option)
{
	switch (option->kind) {
	case NOTHING:
		break;
	case OWN:
		change(&options->own, option);
		break;
	case TREE:
		change(&options->tree, option);
		break;
	case SUPERBLOCK:
		change(&options->superblock, option);
		break;
	case PROPAGATION:
	case TREE_PROPAGATION:
		add_propagation(arena, options, option);
		break;
	case MEMBER:
		*(bool *)((char *)options + option->set) = true;
		break;
	}
}

/* "idmap=WORDS" and "ridmap=WORDS", which engines pass on: the words are mount_idmap.c's. */
static bool add_idmap(struct mount_options *options, const char *text)
{
	const char *words = strchr(text, '=');
	bool recursive = text[0] == 'r';

	if (!words || strncmp(text + recursive, "idmap=", strlen("idmap=")) != 0)
		return false;
	*(recursive ? &options->recursive_idmap : &options->idmap) = true;
	options->idmap_words = words + 1;
	return true;
}

static bool is_type(const struct oci_mount *mount, const char *type)
{
	return mount->type && strcmp(mount->type, type) == 0;
}

/* Some generators give a bind mount what would be for a file system ("mode=755"), for which the kernel has no use. But a bare
 * word may be a flag misspelt, which must not be lost. */
static int check_bind_data(size_t index, const struct string_list *data, struct error *err)
{
	for (size_t i = 0; i < data->count; i++)
		if (!strchr(data->items[i], '='))
			return error_set(err, 0,
				"mounts[%zu].options: \"%s\" is no option of bind mounts; leave it out",
				index, data->items[i]);
	for (size_t i = 0; i < data->count; i++)
		log_warning(
			"mounts[%zu].options: \"%s\" means nothing to a bind mount", index, data->items[i]);
	return 0;
}

static int check(
	const struct oci_mount *mount, size_t index, const struct mount_options *options, struct error *err)
{
	if (!options->bind && !options->remount && (!mount->type || !*mount->type || is_type(mount, "none")))
		return error_set(err, 0,
			"mounts[%zu].type: %s has none, and no \"bind\" or \"rbind\" among its options; add "
			"one",
			index, mount->destination);
	if (options->bind && !options->remount && (!mount->source || !*mount->source))
		return error_set(err, 0, "mounts[%zu].source: the bind mount %s has none; name a path", index,
			mount->destination);
	if (options->bind && check_bind_data(index, &options->data, err) < 0)
		return -1;
	if (options->idmap && !options->bind)
		return error_set(
			err, 0, "mounts[%zu]: only bind mounts can have id mappings; add \"bind\"", index);
	if (options->copy_up && !is_type(mount, "tmpfs"))
		return error_set(err, 0, "mounts[%zu].options: \"tmpcopyup\" is only for type tmpfs", index);
	return 0;
}

int mount_options_read(struct arena *arena, const struct oci_mount *mount, size_t index,
	struct mount_options *options, struct error *err)
{
	*options = (struct mount_options){ 0 };
	for (size_t i = 0; i < mount->options.count; i++) {
		const struct option *option = find(mount->options.items[i]);

		if (option)
			add(arena, options, option);
		else if (*mount->options.items[i] && !add_idmap(options, mount->options.items[i]))
			*(const char **)arena_push(arena, &options->data.items, &options->data.count,
				sizeof(char *)) = mount->options.items[i];
	}
	options->bind = options->bind || options->recursive_bind || is_type(mount, "bind");
	options->idmap = options->idmap || options->recursive_idmap || mount->uid_mappings.count ||
			 mount->gid_mappings.count;
	return check(mount, index, options, err);
}

struct mount_flags mount_options_flags(const struct mount_options *options)
{
	const struct mount_flags *own = &options->own, *tree = &options->tree;

	return (struct mount_flags){
		.set = (own->set & ~tree->clear) | tree->set,
		.clear = (own->clear & ~tree->set) | tree->clear,
	};
}

bool mount_propagation_find(const char *name, struct mount_propagation *propagation)
{
	const struct option *option = find(name);

	if (!option || (option->kind != PROPAGATION && option->kind != TREE_PROPAGATION))
		return false;
	propagation->type = option->set;
	propagation->recursive = option->kind == TREE_PROPAGATION;
	return true;
}
