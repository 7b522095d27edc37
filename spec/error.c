/* See error.h. Control characters are replaced: a message can quote hostile input and ends on a terminal
 * or in an engine's log, where a newline would forge a second entry. */
#include "spec/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void replace_control_characters(char *text)
{
	for (; *text; text++)
		if ((unsigned char)*text < ' ' || *text == 0x7f)
			*text = '?';
}

int error_set(struct error *err, int number, const char *format, ...)
{
	va_list arguments;
	size_t length;

	if (!err)
		return -1;
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	err->number = number;
	if (number) {
		length = strlen(err->message);
		snprintf(err->message + length, sizeof(err->message) - length, ": %s", strerror(number));
	}
	replace_control_characters(err->message);
	return -1;
}

int error_wrap(struct error *err, const char *format, ...)
{
	char inner[ERROR_MESSAGE_MAX];
	va_list arguments;
	size_t length;

	if (!err)
		return -1;
	memcpy(inner, err->message, sizeof(inner));
	va_start(arguments, format);
	vsnprintf(err->message, sizeof(err->message), format, arguments);
	va_end(arguments);
	length = strlen(err->message);
	snprintf(err->message + length, sizeof(err->message) - length, ": %s", inner);
	replace_control_characters(err->message);
	return -1;
}
