/* The fault drill: runs a command again and again, each time with one of its system calls failing, or with SIGKILL at it.
 *
 *	drill [--fail ERRNO,… | --kill] [--every N] [--from N] [--only TEXT] [--watch DIRECTORY]… -- BEFORE… + COMMAND… + AFTER… + CLEAN…
 *
 * Every attempt runs BEFORE, COMMAND with the fault, AFTER if that succeeded, and CLEAN; each may be empty. It is a violation when
 *
 *	- COMMAND hangs, is killed by a signal of its own, or fails without saying so on standard error
 *	- what the container printed is not what it printed in a run without faults: an attempt that fails may have printed less,
 *	  but never something else
 *	- CLEAN fails, or after it a process, or anything new in a watched directory, is left
 *
 * All processes that run a program called fence… are under ptrace(2), and known by their way from the first: "0.1.0" is the
 * first child of the second child of COMMAND. Must never let a process outlive it.
 */
#include "leftovers.h"

#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	PATH_SIZE = 32,
	PROCESSES_MAX = 64,
	SITES_MAX = 20000,
	TEXT_MAX = LEFTOVERS_MAX,
	ERRNOS_MAX = 16,
	WATCHES_MAX = 8,
	PATIENCE_SECONDS = 25, /* fence's own patience ends before */
};

enum segment { BEFORE, COMMAND, AFTER, CLEAN, SEGMENTS };

struct site {
	char process[PATH_SIZE];
	unsigned int index; /* of the call among the process's own */
	long number;
};

struct process {
	pid_t pid;
	char path[PATH_SIZE];
	unsigned int calls, children;
	bool failing;
	bool counted;	     /* it has executed what is put to the test */
	bool waits_for_name; /* stopped until its parent's event says whose child it is */
};

static struct {
	char **segments[SEGMENTS];
	int errnos[ERRNOS_MAX];
	size_t errno_count;
	bool kill;
	unsigned int every, from;
	const char *only;
	const char *watches[WATCHES_MAX];
	size_t watch_count;
} options = { .every = 1 };

static struct process processes[PROCESSES_MAX];
static struct site sites[SITES_MAX];
static size_t site_count;
static bool recording;
static const struct site *target; /* NULL: none, or it has been hit */
static int target_errno;
static bool hung;
static int output_fd, errors_fd;
static char normal_output[TEXT_MAX], normal_left[TEXT_MAX];

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, ": %s\n", strerror(errno));
	exit(2);
}

/* ---- processes ---- */

static struct process *find(pid_t pid)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (processes[i].pid == pid)
			return &processes[i];
	return NULL;
}

static struct process *add(pid_t pid)
{
	struct process *process = find(0);

	if (!process)
		die("too many processes");
	*process = (struct process){ .pid = pid };
	return process;
}

static void forget(pid_t pid)
{
	struct process *process = find(pid);

	if (process)
		process->pid = 0;
}

static void kill_all(void)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (processes[i].pid)
			kill(processes[i].pid, SIGKILL);
}

/* Only what is on its way from or to a container is put to the test, never the program in it. */
static bool is_ours(pid_t pid)
{
	char link[64], path[4096], *name;
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/%d/exe", pid);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return false;
	path[length] = '\0';
	name = strrchr(path, '/');
	/* Sealed, it is a mount of its own, in no namespace: nothing but a root. */
	return name &&
	       (!name[1] || strncmp(name + 1, "fence", 5) == 0 || strncmp(name + 1, "memfd:fence", 11) == 0);
}

/* ---- system calls ---- */

static bool is_target(const struct process *process)
{
	return target && strcmp(target->process, process->path) == 0 && target->index == process->calls;
}

/* Not what has no error, nor what the C library does before main(); and close(2), whatever it says, closes. */
static bool can_fail(long number)
{
	static const int never[] = { SCMP_SYS(brk), SCMP_SYS(arch_prctl), SCMP_SYS(mprotect), SCMP_SYS(close),
		SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn), SCMP_SYS(umask),
		SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(gettid), SCMP_SYS(getuid), SCMP_SYS(geteuid),
		SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(alarm) };

	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++)
		if (number == never[i])
			return options.kill;
	return true;
}

/* "It is no link" is an answer. */
static bool is_fault(long number, int fault)
{
	return !(fault == EINVAL && (number == SCMP_SYS(readlink) || number == SCMP_SYS(readlinkat)));
}

static void enter_call(struct process *process)
{
	struct user_regs_struct registers;

	if (ptrace(PTRACE_GETREGS, process->pid, 0, &registers) < 0)
		return;
	process->calls++;
	if (recording && site_count < SITES_MAX && can_fail((long)registers.orig_rax)) {
		struct site *site = &sites[site_count++];

		*site = (struct site){ .index = process->calls, .number = (long)registers.orig_rax };
		memcpy(site->process, process->path, PATH_SIZE);
	}
	if (!is_target(process))
		return;
	target = NULL;
	if (options.kill) {
		kill(process->pid, SIGKILL);
		return;
	}
	process->failing = true;
	registers.orig_rax = (unsigned long long)-1;
	ptrace(PTRACE_SETREGS, process->pid, 0, &registers);
}

static void leave_call(struct process *process)
{
	struct user_regs_struct registers;

	if (!process->failing || ptrace(PTRACE_GETREGS, process->pid, 0, &registers) < 0)
		return;
	process->failing = false;
	registers.rax = (unsigned long long)-target_errno;
	ptrace(PTRACE_SETREGS, process->pid, 0, &registers);
}

/* After the fault nothing is. */
static bool is_counting(void)
{
	return recording || target;
}

static void go_on(const struct process *process, int signal)
{
	bool watched = is_counting() || process->failing;

	ptrace(process->counted && watched ? PTRACE_SYSCALL : PTRACE_CONT, process->pid, 0, signal);
}

/* Their parents may be dying, and will not tell. */
static void release_nameless(void)
{
	for (size_t i = 0; i < PROCESSES_MAX; i++)
		if (processes[i].pid && processes[i].waits_for_name) {
			processes[i].waits_for_name = false;
			go_on(&processes[i], 0);
		}
}

static void name_child(struct process *parent)
{
	unsigned long message = 0;
	struct process *child;

	ptrace(PTRACE_GETEVENTMSG, parent->pid, 0, &message);
	child = find((pid_t)message);
	if (!child)
		child = add((pid_t)message);
	snprintf(child->path, PATH_SIZE, "%.*s.%u", PATH_SIZE - 12, parent->path, parent->children++);
	child->counted = parent->counted;
	if (child->waits_for_name)
		go_on(child, 0);
	child->waits_for_name = false;
}

static void stopped(pid_t pid, int status)
{
	struct process *process = find(pid);
	int signal = WSTOPSIG(status), event = status >> 16;

	if (!process) {
		process = add(pid);
		process->waits_for_name = is_counting();
		if (!process->waits_for_name)
			go_on(process, 0);
		return;
	}
	if (signal == (SIGTRAP | 0x80)) {
		struct __ptrace_syscall_info info = { 0 };

		ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info);
		if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
			enter_call(process);
		else if (info.op == PTRACE_SYSCALL_INFO_EXIT)
			leave_call(process);
		if (!is_counting())
			release_nameless();
		go_on(process, 0);
	} else if (event == PTRACE_EVENT_FORK || event == PTRACE_EVENT_VFORK || event == PTRACE_EVENT_CLONE) {
		name_child(process);
		go_on(process, 0);
	} else if (event == PTRACE_EVENT_EXEC) {
		process->counted = is_ours(pid);
		if (process->counted)
			go_on(process, 0);
		else if (ptrace(PTRACE_DETACH, pid, 0, 0) == 0)
			forget(pid);
	} else if (event == PTRACE_EVENT_STOP || event || signal == SIGSTOP) {
		go_on(process, 0);
	} else {
		go_on(process, signal);
	}
}

/* ---- running ---- */

static void on_alarm(int number)
{
	(void)number;
}

static pid_t launch(char **command, bool traced)
{
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid > 0) {
		if (traced)
			memcpy(add(pid)->path, "0", 2);
		return pid;
	}
	dup2(output_fd, STDOUT_FILENO);
	dup2(errors_fd, STDERR_FILENO);
	if (traced) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
	}
	execvp(command[0], command);
	_exit(127);
}

/* Until `pid` has ended, or everything has (0). True in time; `status` is that of `pid`. */
static bool await(pid_t pid, int *status)
{
	const long wanted = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
			    PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	bool first = true;

	alarm(PATIENCE_SECONDS);
	for (;;) {
		int word;
		pid_t who = waitpid(-1, &word, __WALL);

		if (who < 0) {
			alarm(0);
			return errno == ECHILD;
		}
		if (WIFSTOPPED(word)) {
			if (first && who == pid)
				ptrace(PTRACE_SETOPTIONS, pid, 0, wanted);
			first = first && who != pid;
			stopped(who, word);
			continue;
		}
		forget(who);
		if (who != pid)
			continue;
		alarm(0);
		*status = word;
		return true;
	}
}

static int exit_code(int status)
{
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run(enum segment segment)
{
	char **command = options.segments[segment];
	int status = 0;
	pid_t pid;

	if (!command[0])
		return 0;
	pid = launch(command, segment == COMMAND);
	if (!await(pid, &status)) {
		hung = true;
		kill(pid, SIGKILL);
		kill_all();
		await(pid, &status);
	}
	return exit_code(status);
}

/* Orphans are ours: when all have ended, none is left. */
static bool all_ended(void)
{
	char path[64], text[256] = "";
	int status, fd;
	ssize_t length;

	if (await(0, &status))
		return true;
	snprintf(path, sizeof(path), "/proc/self/task/%d/children", getpid());
	fd = open(path, O_RDONLY | O_CLOEXEC);
	length = read(fd, text, sizeof(text) - 1);
	close(fd);
	text[length < 0 ? 0 : length] = '\0';
	kill_all();
	for (char *word = strtok(text, " "); word; word = strtok(NULL, " "))
		kill(atoi(word), SIGKILL);
	await(0, &status);
	return false;
}

static void read_all(int fd, char *text)
{
	ssize_t length = pread(fd, text, TEXT_MAX - 1, 0);

	text[length < 0 ? 0 : length] = '\0';
}

/* ---- the drill ---- */

static unsigned int violations;

static void violation(const struct site *site, const char *what, const char *detail)
{
	char *name = site ? seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)site->number) : NULL;

	violations++;
	printf("%s:%u %s %s: %s", site ? site->process : "-", site ? site->index : 0,
		name ? name : "no fault",
		options.kill   ? "SIGKILL"
		: target_errno ? strerrorname_np(target_errno)
			       : "",
		what);
	printf("%s%s\n", *detail ? "\n    " : "", detail);
	free(name);
	fflush(stdout);
}

/* The first line that is another than usual. */
static const char *unusual(char *output)
{
	const char *usual = normal_output;
	char *line = output, *end;

	for (; *output && *output == *usual; output++, usual++)
		if (*output == '\n')
			line = output + 1;
	end = strchr(line, '\n');
	if (end)
		*end = '\0';
	return line;
}

/* Every line that a container prints is complete, so less is a beginning. */
static bool is_as_usual(const char *output, bool succeeded)
{
	return succeeded ? strcmp(output, normal_output) == 0
			 : strncmp(output, normal_output, strlen(output)) == 0;
}

static void attempt(const struct site *site)
{
	static char output[TEXT_MAX], errors[TEXT_MAX], left[TEXT_MAX];
	int status, cleaned;
	bool by_signal, reported;

	hung = false;
	if (ftruncate(output_fd, 0) < 0 || ftruncate(errors_fd, 0) < 0)
		die("ftruncate");
	if (run(BEFORE) != 0)
		violation(site, "what comes before has failed", (read_all(errors_fd, errors), errors));
	target = site;
	status = run(COMMAND);
	if (status == 0)
		status = run(AFTER);
	target = NULL;
	read_all(output_fd, output);
	read_all(errors_fd, errors);
	if (!site)
		memcpy(normal_output, output, TEXT_MAX);
	by_signal = status > 128 && status <= 128 + SIGRTMAX;
	reported = strncmp(errors, "fence: ", 7) == 0 || strstr(errors, "\nfence: ");
	if (hung)
		violation(site, "it hangs", errors);
	else if (status == 0 && !is_as_usual(output, !options.kill))
		violation(site, "it succeeds, but the container is another one:", unusual(output));
	else if (status != 0 && !is_as_usual(output, false))
		violation(site, "it fails, but the container was another one:", unusual(output));
	else if (by_signal && !options.kill)
		violation(site, "it dies", errors);
	else if (status > 0 && !by_signal && !reported)
		violation(site, "it fails without a word", errors);
	cleaned = run(CLEAN);
	if (cleaned != 0)
		violation(site, "cleaning up fails", (read_all(errors_fd, errors), errors));
	if (!all_ended())
		violation(site, "a process is left", "");
	leftovers_list(options.watches, options.watch_count, left);
	if (!site) {
		memcpy(normal_left, left, TEXT_MAX);
		if (status != 0)
			violation(site, "it fails without a fault", errors);
	} else if (strcmp(left, normal_left) != 0) {
		violation(site, "something is left:", left);
		memcpy(normal_left, left, TEXT_MAX);
	}
}

static void drill(void)
{
	unsigned int runs = 0;

	attempt(NULL); /* it fills caches */
	recording = true;
	attempt(NULL);
	recording = false;
	for (size_t i = 0; i < site_count; i++) {
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, (int)sites[i].number);
		bool chosen = !options.only || (name && strstr(options.only, name));

		free(name);
		if ((i + options.from) % options.every != 0 || !chosen)
			continue;
		/* One after the other, so that a sample meets all of them. */
		target_errno =
			options.errno_count ? options.errnos[(i / options.every) % options.errno_count] : 0;
		if (!is_fault(sites[i].number, target_errno))
			continue;
		attempt(&sites[i]);
		runs++;
	}
	printf("%u runs at %zu system calls, %u violations\n", runs, site_count, violations);
}

/* ---- the command line ---- */

static int errno_of(const char *name)
{
	for (int number = 1; number < 134; number++)
		if (strerrorname_np(number) && strcmp(strerrorname_np(number), name) == 0)
			return number;
	die("no error is called %s", name);
}

static void parse_option(const char *word, char *value)
{
	if (strcmp(word, "--fail") == 0)
		for (char *name = strtok(value, ","); name; name = strtok(NULL, ","))
			options.errnos[options.errno_count++ % ERRNOS_MAX] = errno_of(name);
	else if (strcmp(word, "--every") == 0)
		options.every = (unsigned int)atoi(value);
	else if (strcmp(word, "--from") == 0)
		options.from = (unsigned int)atoi(value);
	else if (strcmp(word, "--only") == 0)
		options.only = value;
	else if (strcmp(word, "--watch") == 0)
		options.watches[options.watch_count++ % WATCHES_MAX] = value;
	else
		die("unknown option %s", word);
}

static void parse(char **words)
{
	enum segment segment = BEFORE;

	for (words++; *words && strcmp(*words, "--") != 0; words++) {
		if (strcmp(*words, "--kill") == 0)
			options.kill = true;
		else if (words[1])
			parse_option(words[0], words[1]), words++;
	}
	if (!*words)
		die("no command");
	options.segments[BEFORE] = ++words;
	for (; *words; words++)
		if (strcmp(*words, "+") == 0 && segment < CLEAN) {
			*words = NULL;
			options.segments[++segment] = words + 1;
		}
	if (segment != CLEAN)
		die("BEFORE… + COMMAND… + AFTER… + CLEAN…");
}

static int text_file(void)
{
	int fd = memfd_create("text", MFD_CLOEXEC);

	if (fd < 0 || fcntl(fd, F_SETFL, O_APPEND) < 0)
		die("memfd_create");
	return fd;
}

int main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = on_alarm };

	(void)argc;
	parse(argv);
	sigaction(SIGALRM, &action, NULL);
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
		die("PR_SET_CHILD_SUBREAPER");
	output_fd = text_file();
	errors_fd = text_file();
	drill();
	return violations ? 1 : 0;
}
