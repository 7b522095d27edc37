/* events: what a container uses, once or at intervals, and when processes of it are killed for want of memory; a JSON object a
 * line, in the shape of runc's.
 */
#include "runtime/command.h"
#include "runtime/log.h"
#include "runtime/clock.h"
#include "spec/cleanup.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* "5s", "100ms", "1m30s", as Go writes durations. */
static int parse_duration(const char *text, int64_t *ms, struct error *err)
{
	static const struct {
		const char *name;
		double ms;
	} units[] = {
		{ "ns", 1e-6 },
		{ "us", 1e-3 },
		{ "µs", 1e-3 },
		{ "ms", 1 },
		{ "s", 1e3 },
		{ "m", 60e3 },
		{ "h", 3600e3 },
	};
	const char *rest = text;
	double total = 0;

	while (*rest) {
		char *end;
		double number = strtod(rest, &end);
		size_t length = strcspn(end, "0123456789.+-"), i;

		for (i = 0; i < ARRAY_SIZE(units); i++)
			if (strlen(units[i].name) == length && strncmp(units[i].name, end, length) == 0)
				break;
		if (end == rest || i == ARRAY_SIZE(units))
			return error_set(
				err, 0, "--interval: \"%s\" is not a duration such as 5s or 100ms", text);
		total += number * units[i].ms;
		rest = end + length;
	}
	if (!(total > 0) || total > INT32_MAX)
		return error_set(
			err, 0, "--interval: \"%s\" must be greater than 0, and less than 24 days", text);
	*ms = total < 1 ? 1 : (int64_t)total;
	return 0;
}

static int print_event(
	const char *type, const char *id, struct json *data, struct arena *arena, struct error *err)
{
	struct json *event = json_new_object(arena);
	size_t length;

	json_add(arena, event, "type", json_new_string(arena, type));
	json_add(arena, event, "id", json_new_string(arena, id));
	if (data)
		json_add(arena, event, "data", data);
	if (puts(json_format(arena, event, false, &length)) < 0 || fflush(stdout) != 0)
		return error_set(err, errno, "cannot write the event");
	return 0;
}

static int print_statistics(const char *id, struct cgroup *cgroup, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();

	return print_event("stats", id, cgroup_statistics(arena, cgroup), arena, err);
}

/* Until the container has stopped. */
static int follow(const char *id, const struct existing *listed, int64_t interval, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	_cleanup_close_ int pidfd = state_pidfd(listed->state);
	struct cgroup_oom oom;
	int64_t next = monotonic_ms() + interval;

	if (cgroup_oom_watch(listed->cgroup, &oom, err) < 0)
		log_warning("%s", err->message);
	for (;;) {
		struct pollfd fds[] = {
			{ .fd = pidfd, .events = POLLIN },
			{ .fd = oom.fd, .events = cgroup_oom_events(&oom) },
		};
		int64_t left = next - monotonic_ms();

		if (poll(fds, ARRAY_SIZE(fds), left > 0 ? (int)left : 0) < 0 && errno != EINTR)
			return error_set(err, errno, "cannot wait for the container");
		if (fds[1].revents && cgroup_oom_happened(&oom) &&
			print_event("oom", id, NULL, arena, err) < 0)
			return -1;
		if (pidfd < 0 || fds[0].revents)
			return 0;
		if (monotonic_ms() < next)
			continue;
		if (print_statistics(id, listed->cgroup, err) < 0)
			return -1;
		next += interval;
	}
}

int command_events(struct invocation_context *context)
{
	static const char *const container_only[] = { "CONTAINER", NULL };
	struct {
		const char *interval;
		bool statistics;
	} options = { .interval = "5s" };
	const struct option table[] = {
		OPTION(__typeof__(options), interval, "interval", 0, STRING, "DURATION",
			"how often to tell what it uses (5s)"),
		OPTION(__typeof__(options), statistics, "stats", 0, FLAG, NULL, "tell it once, and end"),
	};
	struct string_list arguments;
	struct existing listed;
	int64_t interval = 0;
	int result = COMMAND_PARSE(context, table, &options, container_only, 0, &arguments);

	if (result != 0)
		return result < 0 ? -1 : 0;
	if (parse_duration(options.interval, &interval, &context->err) < 0 ||
		command_look_up(context, arguments.items[0], &listed) < 0)
		return -1;
	if (listed.status == CONTAINER_STOPPED)
		return error_set(&context->err, 0, "container with id %s is not running", arguments.items[0]);
	if (!listed.cgroup)
		return error_set(
			&context->err, 0, "the container has no cgroup, which would count what it uses");
	if (options.statistics)
		return print_statistics(arguments.items[0], listed.cgroup, &context->err);
	return follow(arguments.items[0], &listed, interval, &context->err);
}
