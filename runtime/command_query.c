/* state, list; and what other commands look up by. */
#include "runtime/command.h"
#include "runtime/log.h"
#include "runtime/state.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static const char *const container_only[] = { "CONTAINER", NULL };
static const char *const formats[] = { "table", "json", NULL };
enum format { FORMAT_TABLE, FORMAT_JSON };

int command_look_up(struct invocation_context *context, const char *id, struct existing *existing)
{
	int result = state_look_up(context->arena, context->global->root, id, existing, &context->err);

	existing->directory.fd = close_fd(existing->directory.fd);
	return result;
}

/* root or the number: names would need the host's user database. */
static const char *owner_name(struct arena *arena, const struct state *state)
{
	return state->owner.value == 0 ? "root" : arena_printf(arena, "%u", state->owner.value);
}

/* The OCI state, and what crun and runc add to it. */
static struct json *state_json(struct arena *arena, const struct existing *listed)
{
	struct oci_state oci = state_oci(listed->state, listed->status);
	struct json *tree;

	oci.pid = (struct optional_int64){ true, oci.pid.value };
	tree = oci_state_write(arena, &oci);
	if (listed->state->rootfs)
		json_set(arena, tree, "rootfs", json_new_string(arena, listed->state->rootfs));
	json_set(arena, tree, "created", json_new_string(arena, listed->state->created));
	json_set(arena, tree, "owner", json_new_string(arena, owner_name(arena, listed->state)));
	return tree;
}

void command_print_json(struct arena *arena, const struct json *tree, bool pretty)
{
	size_t length;

	puts(json_format(arena, tree, pretty, &length));
}

int command_state(struct invocation_context *context)
{
	struct string_list arguments;
	struct existing listed;
	int result = command_parse(context, NULL, 0, NULL, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (command_look_up(context, arguments.items[0], &listed) < 0)
		return -1;
	command_print_json(context->arena, state_json(context->arena, &listed), true);
	return 0;
}

static int compare_words(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted. A directory that --root names must be there; the default one is made by the first container. */
int command_list_ids(struct invocation_context *context, struct string_list *ids)
{
	_cleanup_closedir_ DIR *directory = NULL;
	const char *root = context->global->root;
	struct dirent *entry;

	*ids = (struct string_list){ 0 };
	if (!root && state_root(context->arena, NULL, &root, &context->err) < 0)
		return -1;
	directory = opendir(root);
	if (!directory)
		return errno == ENOENT && !context->global->root
			       ? 0
			       : error_set(&context->err, errno, "cannot read %s", root);
	while ((entry = readdir(directory)))
		if (entry->d_name[0] != '.')
			*(const char **)arena_push(context->arena, &ids->items, &ids->count,
				sizeof(*ids->items)) = arena_strdup(context->arena, entry->d_name);
	if (ids->count)
		qsort(ids->items, ids->count, sizeof(*ids->items), compare_words);
	return 0;
}

static void print_row(struct arena *arena, const struct existing *listed)
{
	long long pid = listed->status == CONTAINER_STOPPED ? 0 : (long long)listed->state->pid.value;

	printf("%-24s %-10lld %-9s %-32s %-31s %s\n", listed->state->id, pid,
		container_status_name(listed->status), listed->state->bundle, listed->state->created,
		owner_name(arena, listed->state));
}

static void list_one(
	struct invocation_context *context, const char *id, int format, bool quiet, struct json *all)
{
	struct existing listed;

	if (command_look_up(context, id, &listed) < 0) {
		/* One that is just being made, or removed, is no fault. */
		if (context->err.number != ENOENT)
			log_warning("%s is not listed: %s", id, context->err.message);
		return;
	}
	if (quiet)
		puts(id);
	else if (format == FORMAT_JSON)
		json_append(context->arena, all, state_json(context->arena, &listed));
	else
		print_row(context->arena, &listed);
}

int command_list(struct invocation_context *context)
{
	struct {
		int format;
		bool quiet;
	} options = { 0 };
	const struct option table[] = {
		OPTION(__typeof__(options), format, "format", 'f', CHOICE, "table|json", "how to print it",
			.choices = formats),
		OPTION(__typeof__(options), quiet, "quiet", 'q', FLAG, NULL, "only the ids"),
	};
	static const char *const no_words[] = { NULL };
	struct string_list arguments, ids;
	struct json *all = json_new_array(context->arena);
	int result = COMMAND_PARSE(context, table, &options, no_words, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (command_list_ids(context, &ids) < 0)
		return -1;
	if (!options.quiet && options.format == FORMAT_TABLE)
		printf("%-24s %-10s %-9s %-32s %-31s %s\n", "ID", "PID", "STATUS", "BUNDLE", "CREATED",
			"OWNER");
	for (size_t i = 0; i < ids.count; i++)
		list_one(context, ids.items[i], options.format, options.quiet, all);
	if (!options.quiet && options.format == FORMAT_JSON)
		command_print_json(context->arena, all, false);
	return 0;
}
