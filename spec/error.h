/* struct error: what went wrong, told once, by whoever knows it.
 *
 * A function that can fail takes a `struct error *` last, returns a negative value and fills it at the
 * place where the fact is known; callers add context with error_wrap() and never print. Only a program's
 * main() prints. The message is a single line without a final newline. Every room may include this file.
 */
#pragma once

#include <stddef.h>

enum { ERROR_MESSAGE_MAX = 2048 };

struct error {
	int number; /* an errno value, or 0 where the fault is not the kernel's (bad input) */
	char message[ERROR_MESSAGE_MAX];
};

/* Sets the message; with a number its strerror() text is appended after ": ". Returns -1, always, so that a
 * caller can `return error_set(...)`. `err` may be NULL. */
int error_set(struct error *err, int number, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Puts "context: " before the message that is there. Returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
