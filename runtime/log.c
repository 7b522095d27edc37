/* See log.h. Each message is one write(2), so that lines of concurrent processes do not mix. */
#include "runtime/log.h"

#include "spec/cleanup.h"

#include <endian.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>

enum { LINE_MAX_LENGTH = 2 * ERROR_MESSAGE_MAX + 128 };
enum { PRIORITY_ERROR = 3, PRIORITY_WARNING = 4, PRIORITY_DEBUG = 7 }; /* syslog(3)'s */

static struct {
	int fd; /* -1: none */
	enum log_format format;
	enum log_level level;
	void (*send)(int priority, const char *message); /* to a log of the host's; NULL: it is a file */
	const char *id;					 /* our name in it */
} log_target = { .fd = -1 };

/* Its native protocol: a field whose value may hold a newline is its name, the value's length, and the value. */
static void send_to_journal(int priority, const char *message)
{
	const uint64_t length = htole64(strlen(message));
	char fields[512];
	struct iovec parts[] = {
		{ fields, 0 },
		{ (void *)&length, sizeof(length) },
		{ (void *)message, strlen(message) },
		{ (void *)"\n", 1 },
	};
	ssize_t written;

	parts[0].iov_len = (size_t)snprintf(fields, sizeof(fields),
		"PRIORITY=%d\nSYSLOG_IDENTIFIER=fence\nID=%.255s\nMESSAGE\n", priority, log_target.id);
	written = writev(log_target.fd, parts, ARRAY_SIZE(parts));
	(void)written; /* there is nowhere to report it */
}

static void send_to_syslog(int priority, const char *message)
{
	enum { FACILITY_USER = 1 };

	dprintf(log_target.fd, "<%d>%s[%d]: %s", FACILITY_USER << 3 | priority, log_target.id, getpid(),
		message);
}

static const struct host_log {
	const char *prefix, *socket;
	void (*send)(int priority, const char *message);
} host_logs[] = {
	{ "journald:", "/run/systemd/journal/socket", send_to_journal },
	{ "syslog:", "/dev/log", send_to_syslog },
};

static int open_host_log(const struct host_log *log, const char *id, struct error *err)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };

	strncpy(address.sun_path, log->socket, sizeof(address.sun_path) - 1);
	log_target.fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (log_target.fd < 0 ||
		connect(log_target.fd, (const struct sockaddr *)&address, sizeof(address)) < 0) {
		log_target.fd = close_fd(log_target.fd);
		return error_set(
			err, errno, "--log=%s%s: cannot connect to %s", log->prefix, id, log->socket);
	}
	log_target.send = log->send;
	log_target.id = *id ? id : "fence";
	return 0;
}

int log_open(const char *target, enum log_format format, enum log_level level, struct error *err)
{
	static const char file_prefix[] = "file:";
	const char *path = target;

	log_target.format = format;
	log_target.level = level;
	if (!target)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(host_logs); i++)
		if (strncmp(target, host_logs[i].prefix, strlen(host_logs[i].prefix)) == 0)
			return open_host_log(&host_logs[i], target + strlen(host_logs[i].prefix), err);
	if (strncmp(path, file_prefix, strlen(file_prefix)) == 0)
		path += strlen(file_prefix);
	log_target.fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
	if (log_target.fd < 0)
		return error_set(err, errno, "cannot open the log file %s", path);
	return 0;
}

/* Appends `text` as the inside of a JSON string. */
static size_t escape(char *out, size_t size, const char *text)
{
	size_t length = 0;

	for (; *text && length + 7 < size; text++) {
		if (*text == '"' || *text == '\\')
			out[length++] = '\\';
		if ((unsigned char)*text < ' ')
			length += (size_t)snprintf(out + length, size - length, "\\u%04x", *text);
		else
			out[length++] = *text;
	}
	out[length] = '\0';
	return length;
}

static void format_time(char *out, size_t size)
{
	struct timespec now;
	struct tm utc;
	size_t length;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	length = strftime(out, size, "%Y-%m-%dT%H:%M:%S", &utc);
	snprintf(out + length, size - length, ".%09ldZ", now.tv_nsec);
}

static void write_line(int fd, const char *line)
{
	ssize_t written = write(fd, line, strlen(line));

	(void)written; /* there is nowhere to report it */
}

/* For programs that collect it: JSON, or the "key=value" form that is also runc's text. */
static void format_record(char line[static LINE_MAX_LENGTH], const char *level, const char *message)
{
	static const char *const forms[] = {
		[LOG_TEXT] = "time=\"%3$s\" level=%2$s msg=\"%1$s\"\n",
		[LOG_JSON] = "{\"msg\":\"%1$s\",\"level\":\"%2$s\",\"time\":\"%3$s\"}\n",
	};
	char escaped[LINE_MAX_LENGTH - 128], now[64];

	format_time(now, sizeof(now));
	escape(escaped, sizeof(escaped), message);
	snprintf(line, LINE_MAX_LENGTH, forms[log_target.format], escaped, level, now);
}

/* With --log, standard error is left to what the caller must see: errors. What is for debugging is always a record: with its time. */
static void emit(const char *level, int priority, const char *message)
{
	bool is_error = strcmp(level, "error") == 0, has_target = log_target.fd >= 0;
	bool is_record = log_target.format == LOG_JSON || strcmp(level, "debug") == 0;
	char line[LINE_MAX_LENGTH];

	if (has_target || is_record)
		format_record(line, level, message);
	if (log_target.send)
		log_target.send(priority, message);
	else if (has_target)
		write_line(log_target.fd, line);
	if (has_target && !is_error)
		return;
	if (!is_record)
		snprintf(line, sizeof(line), "fence: %s%s%s\n", is_error ? "" : level, is_error ? "" : ": ",
			message);
	write_line(STDERR_FILENO, line);
}

void log_error(const struct error *err)
{
	emit("error", PRIORITY_ERROR, err->message);
}

static void emit_formatted(const char *level, int priority, const char *format, va_list arguments)
{
	char message[ERROR_MESSAGE_MAX];

	vsnprintf(message, sizeof(message), format, arguments);
	emit(level, priority, message);
}

void log_warning(const char *format, ...)
{
	va_list arguments;

	if (log_target.level == LOG_ERRORS)
		return;
	va_start(arguments, format);
	emit_formatted("warning", PRIORITY_WARNING, format, arguments);
	va_end(arguments);
}

void log_debug(const char *format, ...)
{
	va_list arguments;

	if (log_target.level != LOG_ALL)
		return;
	va_start(arguments, format);
	emit_formatted("debug", PRIORITY_DEBUG, format, arguments);
	va_end(arguments);
}
