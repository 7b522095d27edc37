/* The policy's rules on paths as one sorted list of nodes. See compile_internal.h; what becomes of them is compile_filesystem.c. */
#include "spec/compile_internal.h"
#include "spec/glob.h"

#include "spec/cleanup.h"

#include <stdlib.h>
#include <string.h>

static struct rule_node *add(
	const struct compilation *compilation, struct rule_tree *tree, struct rule_node node)
{
	PUSH(compilation->arena, tree, node);
	return &tree->items[tree->count - 1];
}

static struct rule_node node_of(const struct path_fact *fact)
{
	return (struct rule_node){
		.path = fact->path,
		.kind = fact->kind,
		.missing = fact->missing,
		.directory_wanted = fact->directory_wanted,
		.content = fact->content,
		.optional = fact->optional,
	};
}

/* What is denied but does not exist is kept from being made at the first part of its path that is missing. */
static struct rule_node denied_node(const struct path_fact *fact)
{
	struct rule_node node = node_of(fact);

	if (node.kind == PATH_MISSING && strcmp(node.missing, node.path) != 0) {
		node.path = node.missing;
		node.directory_wanted = true;
	}
	return node;
}

static bool names(const struct path_facts *list, const char *path)
{
	for (size_t i = 0; i < list->count; i++)
		if (strcmp(list->items[i].path, path) == 0)
			return true;
	return false;
}

/* A link in a directory that the command may write can be pointed anywhere by it, to be opened by the next run. It opens nothing that
 * is outside of that directory. Returns the link, or NULL. */
static const char *untrusted_link(const struct facts *facts, const struct path_fact *fact)
{
	for (size_t i = 0; i < fact->links.count; i++) {
		const char *link = fact->links.items[i];

		for (size_t j = 0; j < facts->allow_write.count; j++) {
			const char *root = facts->allow_write.items[j].path;

			if (&facts->allow_write.items[j] != fact && path_is_within(link, root) &&
				!path_is_within(fact->path, root))
				return link;
		}
	}
	return NULL;
}

struct rule_list {
	const struct path_facts *facts;
	enum permission read, write;
	bool denies; /* of what does not exist, the first missing part is meant */
};

static int add_list(const struct compilation *compilation, const struct rule_list *list,
	struct rule_tree *tree, struct error *err)
{
	for (size_t i = 0; i < list->facts->count; i++) {
		const struct path_fact *fact = &list->facts->items[i];
		struct rule_node node = list->denies ? denied_node(fact) : node_of(fact);
		const char *link = list->denies ? NULL : untrusted_link(compilation->facts, fact);

		if (link && !fact->optional && !glob_is_pattern(fact->rule))
			return error_set(err, 0,
				"\"%s\" leads through the link %s, which is in a writable directory and "
				"points out of it, to %s: "
				"the command could point it elsewhere; name %s itself",
				fact->rule, link, fact->path, fact->path);
		if (link) {
			string_list_note(compilation->arena, &compilation->compiled->notes,
				"%s is not followed: it is in a writable directory and points out of it",
				link);
			continue;
		}
		node.read = list->read;
		node.write = list->write;
		add(compilation, tree, node);
	}
	return 0;
}

static int add_policy(const struct compilation *compilation, struct rule_tree *tree, struct error *err)
{
	const struct facts *facts = compilation->facts;
	const struct rule_list lists[] = {
		{ &facts->default_read, ALLOWED, UNSET, false },
		{ &facts->top_level, ALLOWED, UNSET, false },
		{ &facts->system, ALLOWED, UNSET, false },
		{ &facts->default_write, ALLOWED, ALLOWED, false },
		{ &facts->allow_read, ALLOWED, UNSET, false },
		{ &facts->allow_execute, ALLOWED, UNSET, false },
		{ &facts->allow_write, ALLOWED, ALLOWED, false },
		{ &facts->sockets, ALLOWED, UNSET, false },
		{ &facts->deny_read, DENIED, DENIED, false },
		{ &facts->deny_write, UNSET, DENIED, true },
		{ &facts->final_deny_read, DENIED_FOR_GOOD, DENIED_FOR_GOOD, false },
		{ &facts->final_deny_write, UNSET, DENIED_FOR_GOOD, true },
		{ &facts->protected, UNSET, DENIED_FOR_GOOD, true },
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++)
		if (add_list(compilation, &lists[i], tree, err) < 0)
			return -1;
	return 0;
}

/* Denials that a policy lifts by naming the very path. */
static void add_weak_denials(const struct compilation *compilation, struct rule_tree *tree)
{
	const struct facts *facts = compilation->facts;
	const struct {
		const struct path_facts *list;
		bool reads_empty;
	} lists[] = { { &facts->secrets, false }, { &facts->sensitive, true } };

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		for (size_t j = 0; j < lists[i].list->count; j++) {
			struct rule_node node = node_of(&lists[i].list->items[j]);

			if (names(&facts->allow_read, node.path) || names(&facts->allow_write, node.path))
				continue;
			node.read = node.write = DENIED;
			node.reads_empty = lists[i].reads_empty;
			add(compilation, tree, node);
		}
	}
}

static void add_own(const struct compilation *compilation, struct rule_tree *tree)
{
	static const struct rule_node own[] = {
		{ .path = "/dev", .kind = PATH_DIRECTORY, .special = OWN_DEV },
		{ .path = "/proc", .kind = PATH_DIRECTORY, .special = OWN_PROC },
		{ .path = "/tmp", .kind = PATH_DIRECTORY, .special = PRIVATE_TMP },
	};
	const struct facts *facts = compilation->facts;
	const char *hidden[] = { compilation->invocation->bundle, compilation->invocation->state };
	struct rule_node node;

	for (size_t i = 0; i < ARRAY_SIZE(own); i++)
		add(compilation, tree, own[i]);
	for (size_t i = 0; i < ARRAY_SIZE(hidden); i++)
		if (hidden[i])
			add(compilation, tree,
				(struct rule_node){ .path = hidden[i],
					.kind = PATH_DIRECTORY,
					.read = DENIED_FOR_GOOD,
					.write = DENIED_FOR_GOOD });
	for (size_t i = 0; i < facts->covered.count; i++)
		add(compilation, tree,
			(struct rule_node){ .path = facts->covered.items[i],
				.kind = PATH_DIRECTORY,
				.special = COVERED });
	for (size_t i = 0; i < facts->pinned.count; i++)
		add(compilation, tree, node_of(&facts->pinned.items[i]))->pin = true;

	node = node_of(&facts->cwd);
	node.pin = true;
	node.read = facts->cwd_is_too_wide ? UNSET : ALLOWED;
	add(compilation, tree, node);

	node = node_of(&facts->resolv_conf);
	node.read = ALLOWED;
	node.optional = true;
	if (compilation->has_network) {
		node.special = OWN_FILE;
		node.source = "resolv.conf";
		add(compilation, tree, node);
	} else if (facts->resolv_conf.links.count &&
		   !compilation->policy->filesystem->strict_deny_read.value) {
		/* Where the link leads is often not mounted otherwise, and programs complain of one that leads nowhere. */
		add(compilation, tree, node);
	}
}

/* A directory before what is in it, and that before the directory's neighbours. */
static int weight(char c)
{
	return c == '/' ? 1 : c ? (unsigned char)c + 1 : 0;
}

static int compare_paths(const char *a, const char *b)
{
	while (*a && *a == *b) {
		a++;
		b++;
	}
	return weight(*a) - weight(*b);
}

static int compare_nodes(const void *a, const void *b)
{
	return compare_paths(((const struct rule_node *)a)->path, ((const struct rule_node *)b)->path);
}

static void combine(struct rule_node *node, const struct rule_node *other)
{
	node->pin |= other->pin;
	node->optional &= other->optional;
	node->directory_wanted |= other->directory_wanted;
	if (other->content)
		node->content = other->content;
	/* Of two denials the one that shows less. */
	if (node->read >= DENIED && other->read >= DENIED)
		node->reads_empty &= other->reads_empty;
	else
		node->reads_empty |= other->reads_empty;
	if (other->read > node->read)
		node->read = other->read;
	if (other->write > node->write)
		node->write = other->write;
	if (other->kind == PATH_SYMLINK)
		node->kind = PATH_SYMLINK;
	if (other->special) {
		node->special = other->special;
		node->source = other->source;
	}
}

int rule_tree_build(const struct compilation *compilation, struct rule_tree *tree, struct error *err)
{
	size_t kept = 0;

	*tree = (struct rule_tree){ 0 };
	if (add_policy(compilation, tree, err) < 0)
		return -1;
	add_weak_denials(compilation, tree);
	add_own(compilation, tree);
	qsort(tree->items, tree->count, sizeof(*tree->items), compare_nodes);
	for (size_t i = 1; i < tree->count; i++) {
		if (strcmp(tree->items[i].path, tree->items[kept].path) == 0)
			combine(&tree->items[kept], &tree->items[i]);
		else
			tree->items[++kept] = tree->items[i];
	}
	tree->count = kept + 1;
	return 0;
}
