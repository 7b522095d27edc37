/* See reaper.h. */
#include "runtime/reaper.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <signal.h>
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

/* The command is about to be executed by the child, whose arguments may lie in what is overwritten: it has a copy of
 * the memory. It must not start before that is done, or it might still read ours. */
static void become_invisible(void)
{
	static const char name[] = "fence-init";

	memset(arguments.start, 0, arguments.length);
	if (arguments.length > sizeof(name))
		memcpy(arguments.start, name, sizeof(name));
	prctl(PR_SET_NAME, name);
	prctl(PR_SET_DUMPABLE, 0);
	close_range(0, ~0U, 0);
}

static int reap(pid_t command)
{
	int status, exit_status = -1;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
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

int reaper_split(struct error *err)
{
	sigset_t all, before;
	int gate[2];
	char byte;
	pid_t command;

	if (pipe2(gate, O_CLOEXEC) < 0)
		return error_set(err, errno, "cannot make a pipe for the container's init");
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &before);
	command = fork();
	if (command < 0)
		return error_set(err, errno, "cannot fork the container's command");
	if (command > 0) {
		become_invisible(); /* and closes the gate */
		reap_until_exit(command, &all);
	}
	close_fd(gate[1]);
	while (read(gate[0], &byte, 1) < 0 && errno == EINTR)
		;
	close_fd(gate[0]);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return 0;
}
