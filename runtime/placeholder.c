/* See placeholder.h. The registry is <root>/.placeholders, {"PATH": {"holders": [ID, …], "content": TEXT, "inode": "DEVICE:INODE"}}, read and
 * replaced while <root> itself is locked. */
#include "runtime/placeholder.h"

#include "runtime/bundle.h"
#include "spec/cleanup.h"
#include "spec/facts.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define REGISTRY     ".placeholders"
#define REGISTRY_NEW ".placeholders.new"

enum { CONTENT_MAX = 15 };

struct registry {
	struct arena *arena;
	int root; /* locked */
	struct json *tree;
	bool changed;
	int parent; /* the directory of the path that was looked at last: most are neighbours */
	const char *parent_path;
};

static void registry_close(struct registry *registry)
{
	close_fd(registry->parent);
	close_fd(registry->root); /* which unlocks it */
}
#define _cleanup_registry_ _cleanup_(registry_close)

/* Locks the runtime's root. A registry that does not exist is empty. */
static int registry_open(struct registry *registry, struct arena *arena, const char *root, struct error *err)
{
	_cleanup_close_ int fd = -1;

	*registry = (struct registry){ .arena = arena, .tree = json_new_object(arena), .parent = -1 };
	registry->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (registry->root < 0 || flock(registry->root, LOCK_EX) < 0)
		return error_set(err, errno, "cannot lock %s", root);
	/* Whoever left it was killed while it held the lock. */
	unlinkat(registry->root, REGISTRY_NEW, 0);
	fd = openat(registry->root, REGISTRY, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return 0;
	if (fd < 0)
		return error_set(err, errno, "cannot open %s/" REGISTRY, root);
	return json_parse_fd(arena, fd, REGISTRY, JSON_STRICT, &registry->tree, err);
}

static int registry_save(struct registry *registry, struct error *err)
{
	size_t length;
	const char *text;

	if (!registry->changed)
		return 0;
	if (registry->tree->object.count == 0)
		return unlinkat(registry->root, REGISTRY, 0) < 0 && errno != ENOENT
			       ? error_set(err, errno, "cannot remove the registry of placeholders")
			       : 0;
	text = json_format(registry->arena, registry->tree, false, &length);
	if (bundle_write_file(registry->root, REGISTRY_NEW, text, length, 0600, err) < 0)
		return -1;
	if (renameat(registry->root, REGISTRY_NEW, registry->root, REGISTRY) < 0)
		return error_set(err, errno, "cannot replace the registry of placeholders");
	return 0;
}

/* The directory that holds `path`, reached through no symbolic link: the path's owner could turn one under our feet. */
static int open_parent(struct registry *registry, const char *path, const char **name)
{
	struct open_how how = { .flags = O_PATH | O_DIRECTORY | O_CLOEXEC, .resolve = RESOLVE_NO_SYMLINKS };
	const char *slash = strrchr(path, '/');
	const char *parent =
		slash == path ? "/" : arena_strndup(registry->arena, path, (size_t)(slash - path));

	*name = slash + 1;
	if (registry->parent >= 0 && strcmp(parent, registry->parent_path) == 0)
		return registry->parent;
	close_fd(registry->parent);
	registry->parent = (int)syscall(SYS_openat2, AT_FDCWD, parent, &how, sizeof(how));
	registry->parent_path = parent;
	return registry->parent;
}

/* Nothing is there, or no longer what was when the config was compiled. */
static bool leads_nowhere(int number)
{
	return number == ENOENT || number == ENOTDIR || number == ELOOP;
}

/* 1: `status` is of what is at `path`; 0: there is nothing. */
static int look(struct registry *registry, const char *path, struct stat *status, struct error *err)
{
	const char *name;
	int parent = open_parent(registry, path, &name);

	if (parent >= 0 && fstatat(parent, name, status, AT_SYMLINK_NOFOLLOW) == 0)
		return 1;
	return leads_nowhere(errno) ? 0 : error_set(err, errno, "cannot look for a placeholder at %s", path);
}

static bool holds(const struct json *entry, const char *id)
{
	const struct json *holders = json_get(entry, "holders");

	for (size_t i = 0; holders && i < holders->array.count; i++)
		if (strcmp(holders->array.items[i]->string, id) == 0)
			return true;
	return false;
}

static const char *inode_text(struct arena *arena, const struct stat *status)
{
	return arena_printf(
		arena, "%llu:%llu", (unsigned long long)status->st_dev, (unsigned long long)status->st_ino);
}

static struct json *new_entry(struct registry *registry, const char *path, struct json *content)
{
	struct json *entry = json_new_object(registry->arena);

	json_set(registry->arena, entry, "holders", json_new_array(registry->arena));
	if (content)
		json_set(registry->arena, entry, "content", content);
	json_set(registry->arena, registry->tree, path, entry);
	return entry;
}

static int claim_one(
	struct registry *registry, const char *path, struct json *content, const char *id, struct error *err)
{
	struct json *entry = json_get(registry->tree, path), *inode = entry ? json_get(entry, "inode") : NULL;
	struct stat status;
	int there = entry && !inode ? 0 : look(registry, path, &status, err);

	if (there < 0)
		return -1;
	/* Not a placeholder: it is there by itself, or has become somebody's. */
	if (there && (!inode || strcmp(inode->string, inode_text(registry->arena, &status)) != 0))
		return 0;
	/* Whoever has removed the one on record was killed before that was: it will be another. */
	if (!entry || (inode && !there))
		entry = new_entry(registry, path, content);
	if (holds(entry, id))
		return 0;
	json_append(registry->arena, json_get(entry, "holders"), json_new_string(registry->arena, id));
	registry->changed = true;
	return 0;
}

/* What a placeholder lies in may be another container's placeholder, or vanish with that before ours is made. */
static int claim_with_parents(struct registry *registry, const char *path, struct json *content,
	const char *id, const char **done, struct error *err)
{
	const char *last = strrchr(path, '/'), *slash;
	size_t parents = (size_t)(last - path);

	/* Neighbours have the same parents. */
	if (!*done || strncmp(*done, path, parents + 1) != 0 || strchr(*done + parents + 1, '/'))
		for (slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/'))
			if (claim_one(registry, arena_strndup(registry->arena, path, (size_t)(slash - path)),
				    NULL, id, err) < 0)
				return -1;
	*done = path;
	return claim_one(registry, path, content, id, err);
}

/* Under an engine the annotation can be a user's word, and what it names is removed in the end: it must be what this config mounts
 * over, in a directory of the host's that the config mounts by its own name. */
static bool is_mounted_over(const struct oci_config *config, const char *path)
{
	bool over = false, in_bind = false;

	for (size_t i = 0; i < config->mounts.count; i++) {
		const struct oci_mount *mount = &config->mounts.items[i];

		if (strcmp(mount->destination, path) == 0)
			over = true;
		else if (mount->source && strcmp(mount->source, mount->destination) == 0)
			in_bind = in_bind || path_is_within(path, mount->destination);
	}
	return over && in_bind;
}

int placeholders_claim(struct arena *arena, const char *root, const char *id, const struct oci_config *config,
	struct error *err)
{
	const char *annotation = oci_annotation(config, ANNOTATION_PLACEHOLDERS);
	_cleanup_registry_ struct registry registry = { .root = -1, .parent = -1 };
	const char *done = NULL;
	struct json *paths;

	if (!annotation)
		return 0;
	if (json_parse(arena, annotation, strlen(annotation), ANNOTATION_PLACEHOLDERS, JSON_STRICT, &paths,
		    err) < 0)
		return -1;
	if (paths->type != JSON_ARRAY)
		return error_set(err, 0, ANNOTATION_PLACEHOLDERS " is not a list of paths");
	if (registry_open(&registry, arena, root, err) < 0)
		return -1;
	for (size_t i = 0; i < paths->array.count; i++) {
		struct json *item = paths->array.items[i], *content = json_get(item, "content");
		const struct json *path = item->type == JSON_OBJECT ? json_get(item, "path") : item;

		if (content && (content->type != JSON_STRING || strlen(content->string) > CONTENT_MAX))
			return error_set(
				err, 0, ANNOTATION_PLACEHOLDERS "[%zu].content is not a short string", i);
		if (!path || path->type != JSON_STRING || path->string[0] != '/')
			return error_set(err, 0, ANNOTATION_PLACEHOLDERS "[%zu] is not an absolute path", i);
		if (!is_mounted_over(config, path->string))
			return error_set(err, 0,
				ANNOTATION_PLACEHOLDERS
				"[%zu]: %s is not mounted over by this config, in a directory that it has "
				"from the host; take it out",
				i, path->string);
		if (claim_with_parents(&registry, path->string, content, id, &done, err) < 0)
			return -1;
	}
	return registry_save(&registry, err);
}

/* Into the file that was just made, and no other. */
static int fill(struct registry *registry, const char *path, const char *content, const struct stat *made,
	struct error *err)
{
	const char *name;
	int parent = open_parent(registry, path, &name);
	_cleanup_close_ int fd =
		parent < 0 ? -1 : openat(parent, name, O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0)
		return error_set(err, errno, "cannot open the placeholder %s", path);
	if (status.st_dev != made->st_dev || status.st_ino != made->st_ino || status.st_size)
		return 0; /* it has become somebody's */
	if (write(fd, content, strlen(content)) != (ssize_t)strlen(content))
		return error_set(err, errno, "cannot write the placeholder %s", path);
	return 0;
}

int placeholders_identify(struct arena *arena, const char *root, const char *id, struct error *err)
{
	_cleanup_registry_ struct registry registry = { .root = -1, .parent = -1 };
	struct stat status;
	int there;

	if (registry_open(&registry, arena, root, err) < 0)
		return -1;
	for (size_t i = 0; i < registry.tree->object.count; i++) {
		struct json_member *member = &registry.tree->object.members[i];

		if (!holds(member->value, id) || json_get(member->value, "inode"))
			continue;
		there = look(&registry, member->key, &status, err);
		if (there < 0)
			return -1;
		if (there == 0)
			continue;
		if (json_get(member->value, "content") &&
			fill(&registry, member->key, json_get(member->value, "content")->string, &status,
				err) < 0)
			return -1;
		json_set(arena, member->value, "inode", json_new_string(arena, inode_text(arena, &status)));
		registry.changed = true;
	}
	return registry_save(&registry, err);
}

/* 1: it is empty, or holds just what fill() put there. */
static int holds_only(int parent, const char *name, const struct stat *status, const struct json *content)
{
	_cleanup_close_ int fd = -1;
	char text[CONTENT_MAX + 1];
	size_t length;
	ssize_t got;

	if (!status->st_size)
		return 1;
	length = content ? strlen(content->string) : 0;
	if (!length || (size_t)status->st_size != length)
		return 0;
	fd = openat(parent, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	got = fd < 0 ? -1 : read(fd, text, sizeof(text));
	if (got < 0)
		return -1;
	return got == (ssize_t)length && memcmp(text, content->string, length) == 0;
}

/* Only what is still the thing that was made: anything else has become somebody's. */
static int remove_if_untouched(
	struct registry *registry, const char *path, const struct json *entry, struct error *err)
{
	const struct json *inode = json_get(entry, "inode");
	struct stat status;
	const char *name;
	int parent, result = look(registry, path, &status, err);

	if (result <= 0)
		return result;
	if (inode && strcmp(inode->string, inode_text(registry->arena, &status)) != 0)
		return 0;
	parent = open_parent(registry, path, &name);
	if (S_ISDIR(status.st_mode)) {
		result = unlinkat(parent, name, AT_REMOVEDIR);
	} else {
		result = S_ISREG(status.st_mode)
				 ? holds_only(parent, name, &status, json_get(entry, "content"))
				 : 0;
		if (result > 0)
			result = unlinkat(parent, name, 0);
	}
	if (result < 0 && errno != ENOENT && errno != ENOTEMPTY && errno != EEXIST)
		return error_set(err, errno, "cannot remove the placeholder %s", path);
	return 0;
}

static struct json *without(struct arena *arena, const struct json *holders, const char *id)
{
	struct json *rest = json_new_array(arena);

	for (size_t i = 0; i < holders->array.count; i++)
		if (strcmp(holders->array.items[i]->string, id) != 0)
			json_append(arena, rest, holders->array.items[i]);
	return rest;
}

int placeholders_release(struct arena *arena, const char *root, const char *id, struct error *err)
{
	_cleanup_registry_ struct registry registry = { .root = -1, .parent = -1 };
	struct json *before, *kept = json_new_object(arena);
	int result = 0;

	if (registry_open(&registry, arena, root, err) < 0)
		return -1;
	before = registry.tree;
	/* Backwards: what is inside a directory was listed after it. */
	for (size_t i = before->object.count; i-- > 0;) {
		struct json *entry = before->object.members[i].value;
		struct json *holders = json_get(entry, "holders"), *others = without(arena, holders, id);

		if (others->array.count == 0 &&
			remove_if_untouched(&registry, before->object.members[i].key, entry, err) < 0) {
			result = -1; /* it stays on record, to be tried again */
			continue;
		}
		registry.changed = registry.changed || others->array.count < holders->array.count;
		json_set(arena, entry, "holders", others);
	}
	for (size_t i = 0; i < before->object.count; i++) {
		const struct json_member *member = &before->object.members[i];

		if (json_get(member->value, "holders")->array.count > 0)
			json_set(arena, kept, member->key, member->value);
	}
	registry.tree = kept;
	return registry_save(&registry, err) < 0 ? -1 : result;
}
