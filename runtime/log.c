/* See log.h. Each message is one write(2), so that lines of concurrent processes do not mix. */
#include "runtime/log.h"

#include "spec/cleanup.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <time.h>

enum { LINE_MAX_LENGTH = 2 * ERROR_MESSAGE_MAX + 128 };

static struct {
	int fd; /* -1: none */
	enum log_format format;
	enum log_level level;
} log_target = { .fd = -1 };

int log_open(const char *path, enum log_format format, enum log_level level, struct error *err)
{
	static const char file_prefix[] = "file:";

	log_target.format = format;
	log_target.level = level;
	if (!path)
		return 0;
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

/* With a file, standard error is left to what the caller must see: errors. What is for debugging is always a record: with its time. */
static void emit(const char *level, const char *message)
{
	bool is_error = strcmp(level, "error") == 0, has_file = log_target.fd >= 0;
	bool is_record = log_target.format == LOG_JSON || strcmp(level, "debug") == 0;
	char line[LINE_MAX_LENGTH];

	if (has_file || is_record)
		format_record(line, level, message);
	if (has_file)
		write_line(log_target.fd, line);
	if (has_file && !is_error)
		return;
	if (!is_record)
		snprintf(line, sizeof(line), "fence: %s%s%s\n", is_error ? "" : level, is_error ? "" : ": ",
			message);
	write_line(STDERR_FILENO, line);
}

void log_error(const struct error *err)
{
	emit("error", err->message);
}

static void emit_formatted(const char *level, const char *format, va_list arguments)
{
	char message[ERROR_MESSAGE_MAX];

	vsnprintf(message, sizeof(message), format, arguments);
	emit(level, message);
}

void log_warning(const char *format, ...)
{
	va_list arguments;

	if (log_target.level == LOG_ERRORS)
		return;
	va_start(arguments, format);
	emit_formatted("warning", format, arguments);
	va_end(arguments);
}

void log_debug(const char *format, ...)
{
	va_list arguments;

	if (log_target.level != LOG_ALL)
		return;
	va_start(arguments, format);
	emit_formatted("debug", format, arguments);
	va_end(arguments);
}
