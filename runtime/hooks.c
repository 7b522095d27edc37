/* See hooks.h. The state goes through a memfd: it needs no reader while it is written, and a hook that ignores its
 * standard input costs no SIGPIPE. So does what the hook says: nobody has to wait for a daemon that it leaves behind. */
#include "runtime/hooks.h"

#include "spec/cleanup.h"

#include <ctype.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/wait.h>

static int memory_file(const char *name, struct error *err)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	return fd < 0 ? error_set(err, errno, "cannot make a memory file for a hook") : fd;
}

int hooks_state_file(const struct oci_state *state, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();
	_cleanup_close_ int fd = memory_file("state", err);
	size_t length;
	const char *text = json_format(arena, oci_state_write(arena, state), false, &length);

	if (fd < 0)
		return -1;
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

/* One hook on its way. */
struct hook_call {
	const struct oci_hook *hook;
	const struct hook_place *place;
	const char *what; /* for messages */
	const char **args, **env;
	int state, output; /* memory files */
	pid_t pid;
};

/* Between fork and exec. */
static void __attribute__((noreturn)) execute(const struct hook_call *call)
{
	struct error err = { 0 };
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	if (dup2(call->state, STDIN_FILENO) < 0 || dup2(call->output, STDOUT_FILENO) < 0 ||
		dup2(call->output, STDERR_FILENO) < 0)
		_exit(126);
	/* A host's hook may have use for what our caller left open (--net-log FD); one of the container's must not have it. A
	 * seccomp profile may not know the call; then it has been done. */
	if (call->place)
		close_range(STDERR_FILENO + 1, ~0U, CLOSE_RANGE_CLOEXEC);
	if (call->place && call->place->enter(call->place->data, &err) < 0) {
		dprintf(STDERR_FILENO, "%s", err.message);
		_exit(126);
	}
	execve(call->hook->path, (char *const *)call->args, (char *const *)call->env);
	_exit(errno == ENOENT ? 127 : 126);
}

/* The end of what it said, in one line. */
static const char *last_words(int output, char text[static 512])
{
	off_t length = lseek(output, 0, SEEK_END);
	ssize_t n = pread(output, text, 511, length > 511 ? length - 511 : 0);

	while (n > 0 && isspace((unsigned char)text[n - 1]))
		n--;
	text[n > 0 ? n : 0] = '\0';
	for (char *character = text; *character; character++)
		if (iscntrl((unsigned char)*character))
			*character = ' ';
	return text;
}

static int failed(const struct hook_call *call, const char *how, struct error *err)
{
	char text[512];

	last_words(call->output, text);
	return error_set(err, 0, "%s: %s %s%s%s", call->what, call->hook->path, how, *text ? ": " : "", text);
}

static int judge(const struct hook_call *call, int status, struct error *err)
{
	const char *description = WIFSIGNALED(status) ? sigdescr_np(WTERMSIG(status)) : NULL;
	char how[128];

	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was killed by signal %d (%c%s)", WTERMSIG(status),
			description ? tolower((unsigned char)*description) : '?',
			description ? description + 1 : "");
	else
		snprintf(how, sizeof(how), "ended with status %d%s", WEXITSTATUS(status),
			WEXITSTATUS(status) == 127 ? ": is it there?" : "");
	return status ? failed(call, how, err) : 0;
}

static int wait_for(const struct hook_call *call, struct error *err)
{
	const struct optional_int64 *timeout = &call->hook->timeout;
	_cleanup_close_ int pidfd = timeout->set ? pidfd_open(call->pid, 0) : -1;
	struct pollfd poll_fd = { .fd = pidfd, .events = POLLIN };
	/* What poll(2) cannot count to, 24 days, is for ever. */
	int patience = timeout->value > INT_MAX / 1000 ? -1 : (int)timeout->value * 1000;
	int status, ready = 1;
	char how[64];

	while (pidfd >= 0 && (ready = poll(&poll_fd, 1, patience)) < 0 && errno == EINTR)
		;
	if (ready == 0)
		kill(call->pid, SIGKILL);
	while (waitpid(call->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (ready != 0)
		return judge(call, status, err);
	snprintf(how, sizeof(how), "did not end in %lld s and was killed", (long long)timeout->value);
	return failed(call, how, err);
}

/* What a hook has to say is for whoever called us. */
static void pass_on(int output)
{
	char text[4096];
	off_t offset = 0;
	ssize_t n, written;

	while ((n = pread(output, text, sizeof(text), offset)) > 0) {
		written = write(STDERR_FILENO, text, (size_t)n);
		if (written < 0)
			return;
		offset += n;
	}
}

static void close_files(struct hook_call *call)
{
	call->state = close_fd(call->state);
	call->output = close_fd(call->output);
}

static struct hook_call describe(struct arena *arena, const struct oci_hook *hook, const char *name,
	size_t number, const struct hook_place *place)
{
	const char *const *environment = place ? place->environment : NULL;

	return (struct hook_call){
		.hook = hook,
		.place = place,
		.what = arena_printf(arena, "error running %s hook #%zu", name, number),
		.args = null_terminated(arena, &hook->args, hook->path),
		.env = environment && !hook->env.items ? (const char **)environment
						       : null_terminated(arena, &hook->env, NULL),
		.state = -1,
		.output = -1,
	};
}

static int start(struct hook_call *call, const struct oci_state *state, struct error *err)
{
	/* A file description of its own for each: they share no offset. */
	call->state = hooks_state_file(state, err);
	call->output = call->state < 0 ? -1 : memory_file("hook output", err);
	if (call->output < 0) {
		close_files(call);
		return error_wrap(err, "%s", call->what);
	}
	call->pid = fork();
	if (call->pid == 0)
		execute(call);
	if (call->pid > 0)
		return 0;
	error_set(err, errno, "%s: cannot fork", call->what);
	close_files(call);
	return -1;
}

static int finish(struct hook_call *call, struct error *err)
{
	int result = wait_for(call, err);

	if (result == 0)
		pass_on(call->output);
	close_files(call);
	return result;
}

int hooks_run(const oci_hook_list *hooks, const char *name, const struct oci_state *state,
	const struct hook_place *place, struct error *err)
{
	_cleanup_arena_ struct arena *arena = arena_new();

	for (size_t i = 0; i < hooks->count; i++) {
		struct hook_call call = describe(arena, &hooks->items[i], name, i, place);

		if (start(&call, state, err) < 0 || finish(&call, err) < 0)
			return -1;
	}
	return 0;
}

int hooks_start_early(struct arena *arena, const struct oci_hooks *hooks, const struct oci_state *state,
	struct hook_call **early, struct error *err)
{
	struct hook_call *call;

	if (!hooks || hooks->prestart.count || hooks->create_runtime.count != 1)
		return 0;
	call = arena_alloc(arena, sizeof(*call));
	*call = describe(arena, hooks->create_runtime.items, "createRuntime", 0, NULL);
	if (start(call, state, err) < 0)
		return -1;
	*early = call;
	return 0;
}

int hooks_await(struct hook_call **early, struct error *err)
{
	struct hook_call *call = *early;

	*early = NULL;
	return call ? finish(call, err) : 0;
}

int hooks_run_on_host(const struct oci_hooks *hooks, const struct oci_state *state, struct hook_call **early,
	struct error *err)
{
	if (*early)
		return hooks_await(early, err);
	if (!hooks)
		return 0;
	return hooks_run(&hooks->prestart, "prestart", state, NULL, err) < 0
		       ? -1
		       : hooks_run(&hooks->create_runtime, "createRuntime", state, NULL, err);
}
