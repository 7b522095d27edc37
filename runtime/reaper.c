/* See reaper.h. */
#include "runtime/reaper.h"

#include "spec/cleanup.h"

#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>

static struct {
	char *start;
	size_t length;
} arguments;

void reaper_remember_arguments(int argc, char **argv)
{
	if (argc < 1)
		return;
	arguments.start = argv[0];
	arguments.length = (size_t)(argv[argc - 1] + strlen(argv[argc - 1]) - argv[0]);
}

static void become_invisible(void)
{
	static const char name[] = "fence-init";

	memset(arguments.start, 0, arguments.length);
	if (arguments.length > sizeof(name))
		memcpy(arguments.start, name, sizeof(name));
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_DUMPABLE, 0);
}

static int reap(pid_t command)
{
	int status, exit_status = -1;
	pid_t pid;

	/* No other error ends it: who missed the command's end would wait for ever. */
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0 || (pid < 0 && errno != ECHILD))
		if (pid == command)
			exit_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
	return exit_status;
}

static void __attribute__((noreturn)) reap_until_exit(pid_t command, const sigset_t *all)
{
	siginfo_t info;
	int signal, status;

	for (;;) {
		status = reap(command);
		if (status >= 0)
			_exit(status);
		signal = sigwaitinfo(all, &info);
		/* Pid 0 is a sender outside our pid namespace: the runtime. What the terminal sends (SI_KERNEL) the command
		 * gets by itself, being in the same process group. */
		if (signal > 0 && signal != SIGCHLD && info.si_code == SI_USER && info.si_pid == 0)
			kill(command, signal);
	}
}

/* ---- the command ---- */

struct command {
	int (*execute)(void *data, struct error *err);
	void *data;
	struct error *err;
	sigset_t signals;
	bool failed;
};

static int become_command(void *data)
{
	struct command *command = data;

	sigprocmask(SIG_SETMASK, &command->signals, NULL);
	command->failed = command->execute(command->data, command->err) < 0;
	return 1;
}

int reaper_run(int (*execute)(void *data, struct error *err), void *data, struct error *err)
{
	/* For the child's few calls. They share the memory, and the parent stands still, until the child executes or dies: no page
	 * has to be copied. */
	static _Alignas(16) char stack[64 * 1024];
	struct command command = { .execute = execute, .data = data, .err = err };
	sigset_t all;
	pid_t pid;

	become_invisible();
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &command.signals);
	pid = clone(become_command, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, &command);
	if (pid < 0)
		return error_set(err, errno, "cannot fork the container's command");
	if (command.failed)
		return -1;
	close_range(0, ~0U, 0);
	reap_until_exit(pid, &all);
}
