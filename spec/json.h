/* JSON as a tree, read and written with yajl; every value knows its line and column.
 *
 * Numbers stay text until somebody asks for them, so that no digit of a 64-bit value is lost. Strings may hold any
 * byte except NUL: a NUL ("\u0000") is refused on reading, since every string of ours becomes a C string.
 */
#pragma once

#include "spec/arena.h"
#include "spec/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum json_type { JSON_NULL, JSON_BOOLEAN, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* yajl's own writer stops at 127, so that whatever could be read can be written again. */
enum { JSON_DEPTH_MAX = 100 };

struct json_member;

struct json {
	enum json_type type;
	unsigned int line,
		column; /* where it begins, from 1, in bytes; 0 for values that were made, not read */
	union {
		bool boolean;
		const char *number; /* as written */
		const char *string;
		struct {
			struct json **items;
			size_t count;
		} array;
		struct {
			struct json_member *members; /* in the order written; a key appears once */
			size_t count;
		} object;
	};
};

struct json_member {
	const char *key;
	struct json *value;
};

enum json_flags {
	JSON_STRICT = 0,
	JSON_RELAXED = 1, /* comments (C and C++ style) and trailing commas: policies, never config.json */
	JSON_BYTES =
		2, /* strings of any bytes: what fence wrote itself, from a command line that is not UTF-8 */
};

/* Parses `text` (at most 16 MiB); the tree lives in `arena`. `name` is how errors call the file: "NAME:LINE:COLUMN: path:
 * what, and the mend". Refused: trailing content, a duplicate key, nesting deeper than JSON_DEPTH_MAX, invalid UTF-8 (but with
 * JSON_BYTES), NUL in a string. */
int json_parse(struct arena *arena, const char *text, size_t length, const char *name, enum json_flags flags,
	struct json **tree, struct error *err);

/* Whether it can be a string in JSON: UTF-8. */
bool json_is_text(const char *text);

/* json_parse() of a whole file ("-" is not special). ENOENT etc. are in err->number. */
int json_parse_file(
	struct arena *arena, const char *path, enum json_flags flags, struct json **tree, struct error *err);
int json_parse_fd(struct arena *arena, int fd, const char *name, enum json_flags flags, struct json **tree,
	struct error *err);

struct json *json_get(const struct json *object, const char *key); /* NULL if absent or not an object */
const char *json_type_name(enum json_type type); /* "a string", "an object", … for messages */

/* Where a value is: a chain of keys and indexes on the reader's own stack, written out only when something is wrong. */
struct json_place {
	const struct json_place *parent; /* NULL: `key` is a whole path already, "" for the document */
	const char *key;		 /* NULL: an array's item, `index` */
	size_t index;
};

/* Sets "NAME:LINE:COLUMN: PATH: message"; without line, column or path where there are none. Returns -1. */
int json_error(struct error *err, const char *name, const struct json *value, const struct json_place *place,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* The value at a path as messages write it (`linux.namespaces[2].type`, `annotations["a.b"]`), or, where that is absent,
 * the nearest one around it: never NULL. */
const struct json *json_find(const struct json *tree, const char *path);

/* Making trees, all in the arena; keys are not copied and must live as long. */
struct json *json_new_string(struct arena *arena, const char *text);
struct json *json_new_integer(struct arena *arena, int64_t value);
struct json *json_new_unsigned(struct arena *arena, uint64_t value);
struct json *json_new_number(struct arena *arena, const char *text); /* that is one, in JSON's form; copied */
struct json *json_new_boolean(struct arena *arena, bool value);
struct json *json_new_array(struct arena *arena);
struct json *json_new_object(struct arena *arena);
void json_append(struct arena *arena, struct json *array, struct json *item);
void json_set(struct arena *arena, struct json *object, const char *key, struct json *value); /* replaces */
/* json_set() for a key that the caller knows to be absent: it doesn't look. */
void json_add(struct arena *arena, struct json *object, const char *key, struct json *value);

/* Writes the tree, pretty-printed (two spaces) or compact; NUL-terminated, in the arena. */
char *json_format(struct arena *arena, const struct json *tree, bool pretty, size_t *length);
