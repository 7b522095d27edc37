/* See hooks.h. The state goes through a memfd: it needs no reader while it is written, and a hook that ignores its
 * standard input costs no SIGPIPE. */
#include "runtime/hooks.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

int hooks_state_file(const struct oci_state *state, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	_cleanup_close_ int fd = memfd_create("state", MFD_CLOEXEC);
	size_t length;
	const char *text = json_format(arena, oci_state_write(arena, state), false, &length);

	if (fd < 0)
		return error_set(err, errno, "cannot make a memory file for the state");
	if (write(fd, text, length) != (ssize_t)length || lseek(fd, 0, SEEK_SET) < 0)
		return error_set(err, errno, "cannot write the state");
	return steal_fd(&fd);
}

static const char **null_terminated(struct arena *arena, const struct string_list *list, const char *first)
{
	const char **items = arena_array(arena, list->count + 2, sizeof(*items));

	items[0] = first;
	if (list->count)
		memcpy(items, list->items, list->count * sizeof(*items));
	return items;
}

/* Between fork and exec; never returns. */
static void execute(const char *path, const char **args, const char **env, int state_fd)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(state_fd, STDIN_FILENO) < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
		_exit(126);
	execve(path, (char *const *)args, (char *const *)env);
	_exit(errno == ENOENT ? 127 : 126);
}

static int wait_for(pid_t pid, const struct oci_hook *hook, const char *what, struct error *err)
{
	_cleanup_close_ int pidfd = pidfd_open(pid, 0);
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	int timeout = hook->timeout.set ? (int)hook->timeout.value * 1000 : -1;
	int status, ready;

	do
		ready = poll(&poll_fd, 1, timeout);
	while (ready < 0 && errno == EINTR);
	if (ready == 0)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ready == 0)
		return error_set(err, 0, "%s: %s did not end in %lld s and was killed", what, hook->path,
			(long long)hook->timeout.value);
	if (WIFSIGNALED(status))
		return error_set(
			err, 0, "%s: %s was killed by signal %d", what, hook->path, WTERMSIG(status));
	if (WEXITSTATUS(status) == 127)
		return error_set(err, 0, "%s: %s ended with status 127: is it there?", what, hook->path);
	if (WEXITSTATUS(status) != 0)
		return error_set(
			err, 0, "%s: %s ended with status %d", what, hook->path, WEXITSTATUS(status));
	return 0;
}

int hooks_run(const oci_hook_list *hooks, const char *name, const struct oci_state *state, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	_cleanup_close_ int state_fd = -1;

	for (size_t i = 0; i < hooks->count; i++) {
		const struct oci_hook *hook = &hooks->items[i];
		const char **args = null_terminated(arena, &hook->args, hook->path);
		const char **env = null_terminated(arena, &hook->env, NULL);
		const char *what = arena_printf(arena, "hook %s[%zu]", name, i);
		pid_t pid;

		/* A file description of its own for each: they share no offset. */
		close_fd(state_fd);
		state_fd = hooks_state_file(state, err);
		if (state_fd < 0)
			return error_wrap(err, "%s", what);
		pid = fork();
		if (pid < 0)
			return error_set(err, errno, "%s: cannot fork", what);
		if (pid == 0)
			execute(hook->path, args, env, state_fd);
		if (wait_for(pid, hook, what, err) < 0)
			return -1;
	}
	return 0;
}
