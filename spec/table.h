/* The declarative model: one table per JSON object drives reading, validation, writing.
 *
 * A model struct holds `const char *` for strings, `struct optional_…` for scalars that can be absent, pointers for
 * objects (NULL: absent) and the list types below. Adding a property to a model is one line in its table.
 *
 *	static const struct field root_fields[] = {
 *		FIELD(struct oci_root, path, "path", STRING, .required = true),
 *		FIELD(struct oci_root, readonly, "readonly", BOOLEAN),
 *	};
 *	static const struct object_type root_type = OBJECT_TYPE(struct oci_root, root_fields);
 *
 * Errors name the file, the line and column, the JSON path and the mend:
 *	config.json:12:5: linux.namespaces[0].type: "mnt" is not one of "mount", "pid", …; did you mean "mount"?
 */
#pragma once

#include "spec/arena.h"
#include "spec/error.h"
#include "spec/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct optional_bool {
	bool set, value;
};
struct optional_int64 {
	bool set;
	int64_t value;
};
struct optional_uint64 {
	bool set;
	uint64_t value;
};
struct optional_int32 {
	bool set;
	int32_t value;
};
struct optional_uint32 {
	bool set;
	uint32_t value;
};
struct optional_uint16 {
	bool set;
	uint16_t value;
};

/* Lists: items NULL means absent; an empty array that is present has items non-NULL and count 0. */
struct string_list {
	const char **items;
	size_t count;
};
struct uint32_list {
	uint32_t *items;
	size_t count;
};
struct string_map {
	struct string_pair {
		const char *key, *value;
	} * items;
	size_t count;
};

/* A list of objects: the first two members of any `struct { struct X *items; size_t count; }`. */
struct object_list {
	void *items;
	size_t count;
};

enum field_type {
	FIELD_STRING,  /* const char * */
	FIELD_BOOLEAN, /* struct optional_bool */
	FIELD_INT64,   /* struct optional_int64 … */
	FIELD_UINT64,
	FIELD_INT32,
	FIELD_UINT32,
	FIELD_UINT16,
	FIELD_STRING_LIST, /* struct string_list */
	FIELD_UINT32_LIST, /* struct uint32_list */
	FIELD_STRING_MAP,  /* struct string_map */
	FIELD_OBJECT,	   /* struct X *, of .object */
	FIELD_OBJECT_LIST, /* struct object_list-like, elements of .object by value */
	FIELD_OBJECT_MAP,  /* the same, in the JSON an object; the key goes to the element's .key_offset */
	FIELD_JSON,	   /* struct json *: kept as it is, any type */
};

struct object_type;

struct field {
	const char *key;
	enum field_type type;
	size_t offset;
	bool required;
	const struct object_type *object;
	const char *const *allowed; /* STRING, STRING_LIST: the only values (NULL-terminated) */
	const char *what;	    /* what others than these, or none, are called in messages: may be NULL */
	/* STRING, STRING_LIST elements: a check of one value; NULL if good, else the rest of a sentence that begins
	 * with the value, e.g. "is not an absolute path". */
	const char *(*check)(const char *value);
	const char *(*check_key)(const char *key); /* STRING_MAP: the same of the keys */
	bool nonempty;				   /* STRING: not ""; lists: at least one element */
	bool has_range;				   /* numbers: minimum … maximum */
	int64_t minimum, maximum;
};

struct object_type {
	const char *name;
	size_t size;
	const struct field *fields;
	size_t count;
	size_t key_offset;     /* for FIELD_OBJECT_MAP elements: offset of their `const char *` key */
	size_t unknown_offset; /* offset of a `struct json *` that keeps unknown members; SIZE_MAX: see below */
	bool strict;	       /* unknown keys are errors that suggest the nearest key (policies) */
};

#define FIELD(model, member, name, kind, ...)                                                         \
	{                                                                                             \
		.key = (name), .type = FIELD_##kind, .offset = offsetof(model, member), ##__VA_ARGS__ \
	}
#define OBJECT_TYPE(model, table, ...)                                                                 \
	{                                                                                              \
		.name = #model, .size = sizeof(model), .fields = (table),                              \
		.count = sizeof(table) / sizeof((table)[0]), .unknown_offset = SIZE_MAX, ##__VA_ARGS__ \
	}

/* Reads `tree` into the zeroed `model` of `type`; strings point into the tree's arena. `path` is the JSON path of the
 * tree ("" for the root). JSON null counts as absent. Lists can be grown with arena_push() afterwards. Unknown members: with an unknown_offset kept (and written
 * again), with .strict refused, else ignored. */
int table_read(struct arena *arena, const struct object_type *type, const struct json *tree, const char *name,
	const char *path, void *model, struct error *err);

/* The reverse: a new tree in the arena; absent members are left out, unknown ones that were kept are appended. */
struct json *table_write(struct arena *arena, const struct object_type *type, const void *model);

/* The nearest of `candidates` to `word` by edit distance, or NULL if none is near enough to suggest. */
const char *nearest_word(const char *word, const char *const *candidates, size_t count);
