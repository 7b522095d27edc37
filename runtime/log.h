/* Where messages go: standard error, and what --log names, a file or one of the host's logs: to a file as text or as one JSON object a
 * line. With --log only errors go to standard error as well.
 *
 * Errors are logged where a program ends, and returned as a struct error by everything below; what is no error is said at once. Engines
 * parse the JSON lines.
 */
#pragma once

#include "spec/error.h"

enum log_format { LOG_TEXT, LOG_JSON };
enum log_level { LOG_WARNINGS, LOG_ERRORS, LOG_ALL };

/* `target` may be NULL (standard error only); "file:PATH" is a file too, which is appended to; "journald:ID", "syslog:ID". */
int log_open(const char *target, enum log_format format, enum log_level level, struct error *err);

void log_error(const struct error *err);
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));
