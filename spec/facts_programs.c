/* Programs that command.deny forbids by their name alone, for command.runtimeExecPolicy "path": what a command starts is not judged by
 * words, but a program that nobody can read cannot be executed either.
 */
#include "spec/command.h"
#include "spec/facts_internal.h"
#include "spec/cleanup.h"

#include <string.h>

/* "docker" is denied but "docker ps" allowed: then the program must run. */
static bool is_needed(const struct policy *policy, const char *name)
{
	for (size_t i = 0; i < policy->command->allow.count; i++) {
		const char *rule = policy->command->allow.items[i];
		size_t length = strcspn(rule, " \t");

		if (strlen(name) == length && strncmp(rule, name, length) == 0)
			return true;
	}
	return false;
}

/* A link to what has another name leads to one program of many names (busybox, systemctl), of which the others may run. */
static void deny_program(struct gatherer *gatherer, const char *directory, const char *name)
{
	const char *path = arena_printf(gatherer->arena, "%s/%s", directory, name), *real;
	struct path_fact fact;

	resolve_path(gatherer, path, true, &fact);
	if (fact.kind != PATH_FILE)
		return;
	real = strrchr(fact.path, '/') + 1;
	if (strcmp(real, name) != 0) {
		string_list_note(gatherer->arena, &gatherer->facts->notes,
			"%s is %s by another name: what a command starts may run it", path, fact.path);
		return;
	}
	fact.rule = name;
	*facts_add(gatherer, &gatherer->facts->final_deny_read) = fact;
}

static void search(struct gatherer *gatherer, const struct policy *policy, const char *path)
{
	_cleanup_closedir_ DIR *directory = opendir(path);
	const struct dirent *entry;

	while (directory && (entry = readdir(directory))) {
		const char *why, *name = entry->d_name;
		struct string_list words = { &name, 1 };

		if (*name != '.' && !command_permitted(gatherer->arena, policy, &words, &why) &&
			!is_needed(policy, name))
			deny_program(gatherer, path, arena_strdup(gatherer->arena, name));
	}
}

void gather_denied_programs(
	struct gatherer *gatherer, const struct policy *policy, const struct string_list *env)
{
	struct string_list directories = { 0 };
	const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

	if (!policy->command->runtime_exec_policy)
		return;
	for (size_t i = 0; i < env->count; i++)
		if (strncmp(env->items[i], "PATH=", 5) == 0)
			path = arena_printf(gatherer->arena, "%s:%s", path, env->items[i] + 5);
	for (; *path; path += strspn(path, ":")) {
		size_t length = strcspn(path, ":");
		struct path_fact fact;

		if (*path == '/') {
			resolve_path(gatherer, arena_strndup(gatherer->arena, path, length), true, &fact);
			string_list_add(gatherer->arena, &directories, fact.path);
		}
		path += length;
	}
	for (size_t i = 0; i < directories.count; i++)
		search(gatherer, policy, directories.items[i]);
}
