/* The rules on paths become mounts. The nearest rule decides; a path gets a mount of its own only where what holds there is not what
 * holds around it.
 *
 * Where the host's own files are not mounted, directories and links lead to what is: made in a tmpfs by our own runtime, in the
 * bundle's rootfs/ for others. Nothing there can be written, since the root is read-only.
 */
#include "spec/compile_internal.h"

#include "spec/cleanup.h"

#include <string.h>

#define MASK_DIRECTORY "masks/directory"
#define MASK_EMPTY     "masks/empty"	  /* a file that reads as empty */
#define MASK_DENIED    "masks/unreadable" /* a file that cannot be opened */

#define ANNOTATION_PLACEHOLDERS "dev.fence.placeholders"

struct layout {
	struct compilation *compilation;
	places placed;			       /* all, sorted; the first is the root */
	LIST_OF(size_t) stack;		       /* those around the node being looked at, by index */
	struct string_list readable, writable; /* for Landlock */
	struct json *placeholders;
	const char *missing; /* what rules name that does not exist, for one note */
	unsigned int masks;
};

static void note_missing(struct layout *layout, const struct rule_node *node)
{
	if (!node->optional)
		layout->missing = arena_printf(layout->compilation->arena, "%s%s%s",
			layout->missing ? layout->missing : "", layout->missing ? ", " : "", node->path);
}

/* Bundle entries */

static const struct bundle_entry *find_entry(const struct compilation *compilation, const char *path)
{
	const bundle_entries *entries = &compilation->compiled->entries;

	for (size_t i = 0; i < entries->count; i++)
		if (strcmp(entries->items[i].path, path) == 0)
			return &entries->items[i];
	return NULL;
}

static void add_directory(const struct compilation *compilation, const char *path)
{
	const char *slash = strrchr(path, '/');

	if (find_entry(compilation, path))
		return;
	if (slash)
		add_directory(compilation, arena_strndup(compilation->arena, path, (size_t)(slash - path)));
	PUSH(compilation->arena, &compilation->compiled->entries,
		(struct bundle_entry){ .kind = BUNDLE_DIRECTORY, .path = path, .mode = 0755 });
}

void add_file(const struct compilation *compilation, const char *path, const char *content, uint32_t mode)
{
	const char *slash = strrchr(path, '/');

	if (find_entry(compilation, path))
		return;
	if (slash)
		add_directory(compilation, arena_strndup(compilation->arena, path, (size_t)(slash - path)));
	PUSH(compilation->arena, &compilation->compiled->entries,
		(struct bundle_entry){ .kind = BUNDLE_FILE, .path = path, .content = content, .mode = mode });
}

const char *in_bundle(const struct compilation *compilation, const char *path)
{
	return arena_printf(compilation->arena, "%s/%s", compilation->invocation->bundle, path);
}

/* What stands in the bundle for `path`, in a place that is backed by it. A mask gets a directory of its own when something is to be
 * mounted in it. */
static const char *stored(struct layout *layout, const struct place *place, const char *path)
{
	struct compilation *compilation = layout->compilation;
	struct place *owner = &layout->placed.items[place->owner];
	const char *below = path + (strcmp(owner->path, "/") == 0 ? 0 : strlen(owner->path));

	if (owner->shared_mask) {
		owner->store = arena_printf(compilation->arena, "masks/%u", ++layout->masks);
		compilation->config->mounts.items[owner->shared_mask].source =
			in_bundle(compilation, owner->store);
		owner->shared_mask = 0;
	}
	return arena_printf(compilation->arena, "%s%s", owner->store, strcmp(below, "/") == 0 ? "" : below);
}

/* Our own runtime has the root in memory, where it makes the mount points; for others they are in the bundle. */
static bool root_in_memory(const struct compilation *compilation)
{
	return !compilation->invocation->exported;
}

static bool backed_by_bundle(const struct compilation *compilation, const struct place *place)
{
	return place->backing == BACKING_MASK ||
	       (place->backing == BACKING_SKELETON && !root_in_memory(compilation));
}

/* Mounts */

struct oci_mount *add_mount(const struct compilation *compilation, const char *destination, const char *type,
	const char *source, const char *const *options)
{
	struct oci_config *config = compilation->config;
	struct oci_mount *mount;

	PUSH(compilation->arena, &config->mounts,
		(struct oci_mount){ .destination = destination, .type = type, .source = source });
	mount = &config->mounts.items[config->mounts.count - 1];
	for (; *options; options++)
		string_list_add(compilation->arena, &mount->options, *options);
	return mount;
}

/* Something is to be mounted in what covers a part of the root: that takes a file system. */
static void fill_cover(struct layout *layout, const struct place *place)
{
	static const char *const options[] = { "nosuid", "nodev", "noexec", "mode=755", "ro", NULL };
	struct place *owner = &layout->placed.items[place->owner];

	if (owner->cover != COVER_EMPTY)
		return;
	owner->cover = COVER_FILLED;
	add_mount(layout->compilation, owner->path, "tmpfs", "tmpfs", options);
}

/* What other commands may be able to write, under this policy or another, they may exchange for a link while we mount it. Only our own
 * runtime knows how to look at that. */
static void forbid_links(const struct compilation *compilation, struct oci_mount *mount, bool source)
{
	const struct facts *facts = compilation->facts;
	const char *path = mount->destination;

	if (compilation->invocation->exported ||
		!(path_is_within(path, facts->cwd.path) || path_is_within_any(path, &facts->allow_write) ||
			path_is_within_any(path, &facts->allow_read) ||
			(facts->home_at.path && path_is_within(path, facts->home_at.path))))
		return;
	string_list_add(compilation->arena, &mount->options, "dest-no-symlinks");
	if (source)
		string_list_add(compilation->arena, &mount->options, "src-no-symlinks");
}

/* Options of the recursive kind: the others would be a remount, which fails in a user namespace where the host's mount has flags
 * that are locked there. But not every runtime applies those to files (seen in 2022). Private, so that what is mounted on the host
 * later does not appear inside, writable perhaps. */
enum bind_access { BIND_READ_ONLY, BIND_READ_WRITE };

static void add_bind(const struct compilation *compilation, const char *destination, const char *source,
	bool directory, enum bind_access access)
{
	static const char *const recursive[] = { "rbind", "rprivate", "rnosuid", NULL };
	static const char *const single[] = { "bind", "private", "nosuid", NULL };
	bool by_remount = compilation->invocation->exported && !directory;
	struct oci_mount *mount =
		add_mount(compilation, destination, "bind", source, by_remount ? single : recursive);

	if (!path_is_within(destination, "/dev"))
		string_list_add(compilation->arena, &mount->options, by_remount ? "nodev" : "rnodev");
	if (access == BIND_READ_ONLY)
		string_list_add(compilation->arena, &mount->options, by_remount ? "ro" : "rro");
	forbid_links(compilation, mount, strcmp(source, destination) == 0);
}

/* A mask is in the bundle once something is covered by it. */
void bind_mask(const struct compilation *compilation, const char *destination, const char *mask)
{
	bool directory = strcmp(mask, MASK_DIRECTORY) == 0;

	if (directory)
		add_directory(compilation, mask);
	else if (strcmp(mask, MASK_EMPTY) == 0 || strcmp(mask, MASK_DENIED) == 0)
		add_file(compilation, mask, "", strcmp(mask, MASK_EMPTY) == 0 ? 0444 : 0);
	add_bind(compilation, destination, in_bundle(compilation, mask), directory, BIND_READ_ONLY);
}

/* Makes something to mount on. */
static void prepare(
	struct layout *layout, const struct place *around, const struct rule_node *node, bool directory)
{
	const char *path;

	fill_cover(layout, around);
	if (!backed_by_bundle(layout->compilation, around))
		return;
	path = stored(layout, around, node->path);
	if (directory)
		add_directory(layout->compilation, path);
	else
		add_file(layout->compilation, path, "", 0444);
}

static void bind_host(struct layout *layout, const struct rule_node *node, const struct place *place)
{
	struct compilation *compilation = layout->compilation;

	add_bind(compilation, node->path, node->path, node->kind == PATH_DIRECTORY,
		place->writable ? BIND_READ_WRITE : BIND_READ_ONLY);
	string_list_add(
		compilation->arena, place->writable ? &layout->writable : &layout->readable, node->path);
}

/* What a node comes to, by what it is */

static void own(const struct layout *layout, struct place *place, enum backing backing)
{
	place->backing = backing;
	place->owner = layout->placed.count; /* where it will be */
	place->shared_mask = 0;
	place->cover = NO_COVER;
}

static void place_mask(
	struct layout *layout, const struct rule_node *node, const struct place *around, struct place *place)
{
	struct compilation *compilation = layout->compilation;
	struct oci_config *config = compilation->config;

	if (around->backing != BACKING_HOST)
		return; /* there is nothing of the host's to be seen */
	if (node->kind == PATH_MISSING) {
		note_missing(layout, node);
		return;
	}
	own(layout, place, BACKING_MASK);
	if (node->kind == PATH_DIRECTORY)
		place->shared_mask = config->mounts.count;
	bind_mask(compilation, node->path,
		node->kind == PATH_DIRECTORY ? MASK_DIRECTORY
		: node->reads_empty	     ? MASK_EMPTY
					     : MASK_DENIED);
}

/* For our own runtime only: others would leave an empty file on the host. */
static void place_missing_with_content(struct layout *layout, const struct rule_node *node)
{
	struct compilation *compilation = layout->compilation;
	struct arena *arena = compilation->arena;
	struct json *placeholder = json_new_object(arena);
	const char *mask;

	if (compilation->invocation->exported) {
		string_list_note(arena, &compilation->compiled->notes,
			"%s can be made: only fence can keep it from that", node->path);
		return;
	}
	mask = arena_printf(arena, "masks/%u", ++layout->masks);
	add_file(compilation, mask, node->content, 0444);
	bind_mask(compilation, node->path, mask);
	json_set(arena, placeholder, "path", json_new_string(arena, node->path));
	json_set(arena, placeholder, "content", json_new_string(arena, node->content));
	json_append(arena, layout->placeholders, placeholder);
}

static void place_missing(struct layout *layout, const struct rule_node *node, const struct place *around,
	const struct place *place)
{
	struct compilation *compilation = layout->compilation;

	if (!around->writable || place->writable || around->backing != BACKING_HOST) {
		note_missing(layout, node);
		return;
	}
	if (node->content) {
		place_missing_with_content(layout, node);
		return;
	}
	bind_mask(compilation, node->path, node->directory_wanted ? MASK_DIRECTORY : MASK_EMPTY);
	json_append(
		compilation->arena, layout->placeholders, json_new_string(compilation->arena, node->path));
}

/* The link is mounted over itself, so that it can be neither removed nor renamed; it is followed as before. */
static void place_link(struct layout *layout, const struct rule_node *node, const struct place *around)
{
	static const char *const link_itself[] = { "bind", "src-nofollow", "dest-nofollow", NULL };
	struct compilation *compilation = layout->compilation;

	if (!around->writable || around->backing != BACKING_HOST)
		return;
	if (compilation->invocation->exported)
		string_list_note(compilation->arena, &compilation->compiled->notes,
			"the link %s can be replaced: only fence can mount over a link", node->path);
	else
		forbid_links(compilation, add_mount(compilation, node->path, "bind", node->path, link_itself),
			true);
}

static void place_own_file(struct layout *layout, const struct rule_node *node, const struct place *around)
{
	struct compilation *compilation = layout->compilation;

	if (!around->readable && around->backing == BACKING_HOST)
		return;
	if (around->backing == BACKING_HOST && node->kind == PATH_MISSING) {
		string_list_note(compilation->arena, &compilation->compiled->notes,
			"%s does not exist on the host, so names are not resolved inside", node->path);
		return;
	}
	prepare(layout, around, node, false);
	bind_mask(compilation, node->path, node->source);
	string_list_add(compilation->arena, &layout->readable, node->path);
}

/* Of the root that is bound, an empty directory. */
static void place_cover(struct layout *layout, struct place *place)
{
	own(layout, place, BACKING_SKELETON);
	place->readable = place->writable = false;
	place->cover = COVER_EMPTY;
}

static void place_own(
	struct layout *layout, const struct rule_node *node, const struct place *around, struct place *place)
{
	static const char *const tmp[] = { "nosuid", "nodev", "mode=1777", NULL };
	struct compilation *compilation = layout->compilation;

	if (node->special == OWN_FILE) {
		place_own_file(layout, node, around);
		return;
	}
	prepare(layout, around, node, true);
	own(layout, place, BACKING_PRIVATE);
	place->readable = place->writable = false; /* for what the host has below it */
	if (node->special == PRIVATE_TMP)
		add_mount(compilation, node->path, "tmpfs", "tmpfs", tmp);
	string_list_add(compilation->arena, &layout->writable, node->path);
}

static void place_visible(
	struct layout *layout, const struct rule_node *node, const struct place *around, struct place *place)
{
	bool differs =
		around->backing != BACKING_HOST || place->writable != around->writable || !around->readable;

	if (node->kind == PATH_MISSING) {
		place_missing(layout, node, around, place);
		return;
	}
	if (!differs && !(node->pin && place->writable))
		return;
	if (path_is_within(node->path, "/proc"))
		return; /* always the container's own */
	prepare(layout, around, node, node->kind == PATH_DIRECTORY);
	bind_host(layout, node, place);
	own(layout, place, BACKING_HOST);
}

static struct place inherit(const struct rule_node *node, const struct place *around)
{
	struct place place = *around;

	place.path = node->path;
	place.read_final |= node->read == DENIED_FOR_GOOD;
	place.write_final |= node->write == DENIED_FOR_GOOD;
	if (node->read)
		place.readable = node->read == ALLOWED;
	if (node->write)
		place.writable = node->write == ALLOWED;
	place.readable &= !place.read_final;
	place.writable &= !place.write_final && place.readable;
	return place;
}

/* Devices that every container has anyway. */
static bool is_standard_device(const char *path)
{
	static const char *const devices[] = { "/dev/null", "/dev/zero", "/dev/full", "/dev/random",
		"/dev/urandom", "/dev/tty", "/dev/console", "/dev/ptmx", "/dev/pts", "/dev/shm",
		"/dev/mqueue" };

	for (size_t i = 0; i < ARRAY_SIZE(devices); i++)
		if (path_is_within(path, devices[i]))
			return true;
	return false;
}

static const struct place *place_around(struct layout *layout, const char *path)
{
	const struct place *place;

	for (;;) {
		place = &layout->placed.items[layout->stack.items[layout->stack.count - 1]];
		if (path_is_within(path, place->path))
			return place;
		layout->stack.count--;
	}
}

static void place_node(struct layout *layout, const struct rule_node *node)
{
	struct arena *arena = layout->compilation->arena;
	const struct place *around = place_around(layout, node->path);
	struct place place = inherit(node, around);

	if (is_standard_device(node->path))
		return;
	if (strcmp(node->path, "/") == 0) {
		/* Only a denial for good is left here: what is in "/" was named singly. */
		layout->placed.items[0].read_final = place.read_final;
		layout->placed.items[0].write_final = place.write_final;
		return;
	}
	if (node->special == COVERED && around->backing == BACKING_HOST && node->read != ALLOWED)
		place_cover(layout, &place);
	else if (node->special && node->special != COVERED)
		place_own(layout, node, around, &place);
	else if (node->kind == PATH_SYMLINK)
		place_link(layout, node, around);
	else if (!place.readable)
		place_mask(layout, node, around, &place);
	else
		place_visible(layout, node, around, &place);
	PUSH(arena, &layout->stack, layout->placed.count);
	PUSH(arena, &layout->placed, place);
}

/* What the skeleton needs beside mount points */

const struct place *place_at(const places *placed, const char *path)
{
	const struct place *nearest = &placed->items[0];

	for (size_t i = 1; i < placed->count; i++)
		if (path_is_within(path, placed->items[i].path))
			nearest = &placed->items[i];
	return nearest;
}

static void add_link_to_bundle(struct layout *layout, const struct place *place, const struct path_link *link)
{
	struct compilation *compilation = layout->compilation;
	const char *path = stored(layout, place, link->path);

	if (find_entry(compilation, path))
		return;
	add_directory(
		compilation, arena_strndup(compilation->arena, path, (size_t)(strrchr(path, '/') - path)));
	PUSH(compilation->arena, &compilation->compiled->entries,
		(struct bundle_entry){
			.kind = BUNDLE_SYMLINK, .path = path, .content = link->target, .mode = 0777 });
}

static void add_links(struct layout *layout)
{
	static const char *const copy[] = { "bind", "copy-symlink", NULL };
	struct compilation *compilation = layout->compilation;
	const struct facts *facts = compilation->facts;

	for (size_t i = 0; i < facts->links.count; i++) {
		const struct path_link *link = &facts->links.items[i];
		const struct place *place = place_at(&layout->placed, link->path);

		if (place->backing != BACKING_SKELETON)
			continue;
		fill_cover(layout, place);
		if (root_in_memory(compilation))
			add_mount(compilation, link->path, "bind", link->path, copy);
		else
			add_link_to_bundle(layout, place, link);
	}
}

static bool has_mount_within(const struct compilation *compilation, const char *path)
{
	for (size_t i = 0; i < compilation->config->mounts.count; i++)
		if (path_is_within(compilation->config->mounts.items[i].destination, path))
			return true;
	return false;
}

static void add_skeleton_directory(struct layout *layout, const char *path)
{
	const struct place *place = path ? place_at(&layout->placed, path) : NULL;

	if (place && backed_by_bundle(layout->compilation, place))
		add_directory(layout->compilation, stored(layout, place, path));
	else if (place && place->backing == BACKING_SKELETON &&
		 !has_mount_within(layout->compilation, path)) {
		fill_cover(layout, place);
		bind_mask(layout->compilation, path, MASK_DIRECTORY);
	}
}

/* /dev and /proc: mounted before anything else, since rules can put something into /dev. */
static void add_kernel_mounts(const struct compilation *compilation)
{
	static const struct {
		const char *destination, *type, *options[8];
	} mounts[] = {
		{ "/proc", "proc", { "nosuid", "noexec", "nodev" } },
		{ "/dev", "tmpfs", { "nosuid", "noexec", "strictatime", "mode=755", "size=65536k" } },
		{ "/dev/pts", "devpts", { "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620" } },
		{ "/dev/shm", "tmpfs", { "nosuid", "noexec", "nodev", "mode=1777" } },
	};

	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++)
		add_mount(compilation, mounts[i].destination, mounts[i].type, mounts[i].type,
			mounts[i].options);
}

static void hide_what_is_covered(const struct layout *layout)
{
	for (size_t i = 0; i < layout->placed.count; i++)
		if (layout->placed.items[i].cover == COVER_EMPTY && layout->placed.items[i].owner == i)
			string_list_add(layout->compilation->arena,
				&layout->compilation->config->linux->masked_paths,
				layout->placed.items[i].path);
}

static void hide_kernel_files(const struct compilation *compilation)
{
	static const char *const masked[] = { "/proc/acpi", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug",
		"/proc/scsi", "/proc/interrupts", "/sys/firmware", "/sys/devices/virtual/powercap" };
	static const char *const read_only_paths[] = { "/proc/asound", "/proc/bus", "/proc/fs", "/proc/irq",
		"/proc/sys", "/proc/sysrq-trigger" };
	struct oci_linux *linux = compilation->config->linux;

	for (size_t i = 0; i < ARRAY_SIZE(masked); i++)
		string_list_add(compilation->arena, &linux->masked_paths, masked[i]);
	for (size_t i = 0; i < ARRAY_SIZE(read_only_paths); i++)
		string_list_add(compilation->arena, &linux->readonly_paths, read_only_paths[i]);
}

static void finish(struct layout *layout)
{
	struct compilation *compilation = layout->compilation;
	const struct facts *facts = compilation->facts;
	size_t length;

	add_skeleton_directory(layout, facts->cwd.path);
	add_skeleton_directory(layout, facts->home_at.path);
	add_links(layout);
	hide_what_is_covered(layout);
	compile_git_excludes(compilation, &layout->placed, layout->placeholders);
	hide_kernel_files(compilation);
	if (layout->missing)
		string_list_note(compilation->arena, &compilation->compiled->notes,
			"the policy names what does not exist, and nothing is done for it: %s",
			layout->missing);
	if (layout->placeholders->array.count)
		oci_annotate(compilation->arena, compilation->config, ANNOTATION_PLACEHOLDERS,
			json_format(compilation->arena, layout->placeholders, false, &length));
	compile_landlock(compilation, &layout->readable, &layout->writable);
}

static void place_root(struct layout *layout, const struct rule_tree *tree)
{
	static const char *const in_memory[] = { "nosuid", "nodev", "mode=755", NULL };
	struct compilation *compilation = layout->compilation;
	struct place root = { .path = "/", .backing = BACKING_SKELETON, .store = "rootfs" };
	const struct rule_node *first = &tree->items[0];
	bool denied = strcmp(first->path, "/") == 0 && first->read == DENIED_FOR_GOOD;

	if (compilation->facts->root_is_bound && !denied) {
		root = (struct place){ .path = "/", .backing = BACKING_HOST, .readable = true };
		add_bind(compilation, "/", "/", true, BIND_READ_ONLY);
		string_list_add(compilation->arena, &layout->readable, "/");
	} else if (root_in_memory(compilation)) {
		add_mount(compilation, "/", "tmpfs", "tmpfs", in_memory);
	}
	PUSH(compilation->arena, &layout->placed, root);
	PUSH(compilation->arena, &layout->stack, 0);
}

int compile_filesystem(struct compilation *compilation, struct error *err)
{
	struct layout layout = { .compilation = compilation,
		.placeholders = json_new_array(compilation->arena) };
	struct rule_tree tree;

	if (rule_tree_build(compilation, &tree, err) < 0)
		return -1;
	add_directory(compilation, "rootfs");
	place_root(&layout, &tree);
	add_kernel_mounts(compilation);
	for (size_t i = 0; i < tree.count; i++)
		place_node(&layout, &tree.items[i]);
	finish(&layout);
	return 0;
}
