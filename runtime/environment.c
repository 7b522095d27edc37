/* See environment.h. */
#include "runtime/environment.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LISTEN_PID "LISTEN_PID="

enum { PASSWD_MAX = 16 * 1024 * 1024 };

/* The container's, which may be anything: a FIFO that nobody writes to, a file without an end. NULL: there is none to read. */
static FILE *open_passwd(void)
{
	_cleanup_close_ int fd = open("/etc/passwd", O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat status;

	if (fd < 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode) || status.st_size > PASSWD_MAX)
		return NULL;
	return fdopen(steal_fd(&fd), "r");
}

/* HOME of /etc/passwd: "name:password:uid:gid:comment:home:shell". */
static char *home_directory(struct arena *arena, uid_t uid)
{
	_cleanup_fclose_ FILE *file = open_passwd();
	_cleanup_free_ char *line = NULL;
	size_t size = 0;

	while (file && getline(&line, &size, file) > 0) {
		char *fields[6], *rest = line;
		size_t count = 0;

		while (count < ARRAY_SIZE(fields) && (fields[count] = strsep(&rest, ":")))
			count++;
		if (count == ARRAY_SIZE(fields) && *fields[2] && strtoul(fields[2], NULL, 10) == uid &&
			*fields[5])
			return arena_strdup(arena, fields[5]);
	}
	return arena_strdup(arena, "/");
}

/* A hash table of the settings by their names, open addressing: an engine that tells a container of all services of a cluster
 * gives it tens of thousands of variables. */
struct names {
	size_t *places; /* in the result, plus one; 0 is free */
	size_t mask;
};

static size_t name_length(const char *setting)
{
	return strcspn(setting, "=");
}

/* FNV-1a. */
static size_t hash(const char *name, size_t length)
{
	uint64_t value = 0xcbf29ce484222325;

	for (size_t i = 0; i < length; i++)
		value = (value ^ (unsigned char)name[i]) * 0x100000001b3;
	return (size_t)(value ^ value >> 32);
}

/* Where the name's place is kept, or would be. */
static size_t *find(const struct names *names, const char *const *items, const char *name, size_t length)
{
	for (size_t i = hash(name, length);; i++) {
		size_t *place = &names->places[i & names->mask];

		if (!*place || (strncmp(items[*place - 1], name, length) == 0 &&
				       name_length(items[*place - 1]) == length))
			return place;
	}
}

static struct names names_new(struct arena *arena, size_t count)
{
	size_t size = 16;

	while (size < 2 * count)
		size *= 2;
	return (struct names){ arena_array(arena, size, sizeof(size_t)), size - 1 };
}

static const char *home_setting(struct arena *arena)
{
	return arena_printf(arena, "HOME=%s", home_directory(arena, getuid()));
}

char **environment_make(struct arena *arena, const struct string_list *env, unsigned int listen_fds)
{
	const char **items = arena_array(arena, env->count + 4, sizeof(*items));
	struct names names = names_new(arena, env->count + 1);
	size_t count = 0, *place;

	for (size_t i = 0; i < env->count; i++) {
		place = find(&names, items, env->items[i], name_length(env->items[i]));
		if (!*place)
			*place = ++count;
		items[*place - 1] = env->items[i];
	}
	place = find(&names, items, "HOME", strlen("HOME"));
	if (!*place)
		items[count++] = home_setting(arena);
	else if (strcmp(items[*place - 1], "HOME=") == 0)
		items[*place - 1] = home_setting(arena);
	if (listen_fds > 0) {
		items[count++] = arena_printf(arena, "LISTEN_FDS=%u", listen_fds);
		items[count++] = LISTEN_PID;
	}
	return (char **)items;
}

void environment_name_listener(struct arena *arena, char **env)
{
	for (; *env; env++)
		if (strcmp(*env, LISTEN_PID) == 0)
			*env = arena_printf(arena, LISTEN_PID "%d", getpid());
}
