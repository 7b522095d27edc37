/* The second wall: the same paths, for Landlock, in an annotation that fence's runtime obeys (runtime/landlock.h). An exported bundle
 * has a program in front of the command instead, which obeys the same rules (runtime/fence_exec.c).
 *
 * Writing and executing. Not reading: what the command sees of the host is only what is mounted, and a rule for reading would
 * forbid it to list the directories that lead there.
 */
#include "spec/compile_internal.h"

#include "spec/cleanup.h"

#include <string.h>

#define ANNOTATION_LANDLOCK "dev.fence.landlock"
/* In a directory that each runtime makes in memory, so it leaves no mount point behind. */
#define EXEC_HELPER	   "fence-exec"
#define EXEC_HELPER_INSIDE "/dev/.fence-exec"

static void set_list(const struct compilation *compilation, struct json *rules, const char *key,
	const struct string_list *const *lists, size_t count)
{
	struct json *array = json_new_array(compilation->arena);

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < lists[i]->count; j++)
			json_append(compilation->arena, array,
				json_new_string(compilation->arena, lists[i]->items[j]));
	json_add(compilation->arena, rules, key, array);
}

/* The paths of allowExecute as they were resolved; a policy that has the key means that nothing else is executed. */
static struct string_list executable_paths(const struct compilation *compilation)
{
	struct string_list paths = { 0 };

	for (size_t i = 0; i < compilation->facts->allow_execute.count; i++)
		string_list_add(compilation->arena, &paths, compilation->facts->allow_execute.items[i].path);
	return paths;
}

static void put_helper_first(const struct compilation *compilation, const char *rules)
{
	static const char *const options[] = { "bind", "private", "nosuid", "nodev", "ro", NULL };
	const struct invocation *invocation = compilation->invocation;
	struct string_list args = { 0 };

	PUSH(compilation->arena, &compilation->compiled->entries,
		(struct bundle_entry){ .kind = BUNDLE_COPY,
			.path = EXEC_HELPER,
			.content = invocation->exec_helper,
			.mode = 0755 });
	add_mount(compilation, EXEC_HELPER_INSIDE, "bind", in_bundle(compilation, EXEC_HELPER), options);
	PUSH(compilation->arena, &args, EXEC_HELPER_INSIDE);
	PUSH(compilation->arena, &args, rules);
	for (size_t i = 0; i < invocation->args.count; i++)
		PUSH(compilation->arena, &args, invocation->args.items[i]);
	compilation->config->process->args = args;
}

void landlock_set_need(struct arena *arena, struct json *rules, bool all, bool execution)
{
	struct json *required = json_new_array(arena);

	json_add(arena, rules, "optional", json_new_boolean(arena, !all));
	if (all || !execution)
		return;
	json_append(arena, required, json_new_string(arena, "execute"));
	json_add(arena, rules, "required", required);
}

void compile_landlock(struct compilation *compilation, const struct string_list *readable,
	const struct string_list *writable)
{
	struct arena *arena = compilation->arena;
	const char *need = compilation->policy->landlock ? compilation->policy->landlock : "preferred";
	bool limits_execution = compilation->policy->filesystem->allow_execute.items;
	const struct string_list chosen = executable_paths(compilation);
	const struct string_list *const write[] = { writable }, *const all[] = { readable, writable },
					*const execute[] = { &chosen };
	struct json *rules = json_new_object(arena), *scope = json_new_array(arena);
	const char *text;
	size_t length;

	if (strcmp(need, "never") == 0 && !limits_execution)
		return;
	set_list(compilation, rules, "write", write, ARRAY_SIZE(write));
	set_list(compilation, rules, "execute", limits_execution ? execute : all,
		limits_execution ? ARRAY_SIZE(execute) : ARRAY_SIZE(all));
	json_append(arena, scope, json_new_string(arena, "signal"));
	json_append(arena, scope, json_new_string(arena, "abstract-unix-socket"));
	json_add(arena, rules, "scope", scope);
	landlock_set_need(arena, rules, strcmp(need, "required") == 0, limits_execution);
	text = json_format(arena, rules, false, &length);
	if (compilation->invocation->exported)
		put_helper_first(compilation, text);
	else
		oci_annotate(arena, compilation->config, ANNOTATION_LANDLOCK, text);
}
