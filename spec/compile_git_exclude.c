/* While the command runs git leaves aside what stands for protected files that do not exist: .git/info/exclude is mounted over by what
 * is in it and a line for each. See compile_internal.h; what is in it is read by facts_git_exclude.c.
 */
#include "spec/compile_internal.h"
#include "spec/json.h"

#include <string.h>

/* As git reads patterns. For a line's end there is none but "any character". */
static const char *escape(struct arena *arena, const char *path)
{
	char *text = arena_alloc(arena, 2 * strlen(path) + 1), *out = text;

	for (; *path; path++) {
		if (strchr("\\*?[ ", *path))
			*out++ = '\\';
		*out++ = strchr("\r\n", *path) ? '?' : *path;
	}
	return text;
}

/* "" if there is none. What is in a git directory is no file to git anyway. */
static const char *lines_for(struct arena *arena, const char *worktree, const struct json *placeholders)
{
	size_t length = strcmp(worktree, "/") == 0 ? 0 : strlen(worktree);
	const char *lines = "";

	for (size_t i = 0; i < placeholders->array.count; i++) {
		const struct json *item = placeholders->array.items[i];
		const char *path = item->type == JSON_OBJECT ? json_get(item, "path")->string : item->string;

		if (path_is_within(path, worktree) && !strstr(path, "/.git/"))
			lines = arena_printf(arena, "%s%s\n", lines, escape(arena, path + length));
	}
	return lines;
}

static void compile_one(const struct compilation *compilation, const struct git_exclude *exclude,
	const places *placed, const char *mask, struct json *placeholders)
{
	const struct place *place = place_at(placed, exclude->path);
	struct arena *arena = compilation->arena;
	bool missing = !*exclude->content;
	const char *lines = "", *end;

	if (place->backing != BACKING_HOST || !place->readable || (missing && !place->writable))
		return;
	for (size_t i = 0; i < exclude->worktrees.count; i++)
		lines = arena_printf(
			arena, "%s%s", lines, lines_for(arena, exclude->worktrees.items[i], placeholders));
	if (!*lines)
		return;
	end = missing || exclude->content[strlen(exclude->content) - 1] == '\n' ? "" : "\n";
	add_file(compilation, mask, arena_printf(arena, "%s%s%s", exclude->content, end, lines), 0444);
	bind_mask(compilation, exclude->path, mask);
	if (missing)
		json_append(arena, placeholders, json_new_string(arena, exclude->path));
}

void compile_git_excludes(
	const struct compilation *compilation, const places *placed, struct json *placeholders)
{
	const struct facts *facts = compilation->facts;

	for (size_t i = 0; i < facts->git_excludes.count; i++)
		compile_one(compilation, &facts->git_excludes.items[i], placed,
			arena_printf(compilation->arena, "masks/exclude-%zu", i), placeholders);
}
