/* Looking into JSON trees and making them; what messages say of a place in one. See json.h. */
#include "spec/json.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *json_type_name(enum json_type type)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",
		[JSON_BOOLEAN] = "true or false",
		[JSON_NUMBER] = "a number",
		[JSON_STRING] = "a string",
		[JSON_ARRAY] = "an array",
		[JSON_OBJECT] = "an object",
	};

	return names[type];
}

static struct json *get_bytes(const struct json *object, const char *key, size_t length)
{
	size_t i;

	if (!object || object->type != JSON_OBJECT)
		return NULL;
	for (i = 0; i < object->object.count; i++) {
		const struct json_member *member = &object->object.members[i];

		if (!strncmp(member->key, key, length) && !member->key[length])
			return member->value;
	}
	return NULL;
}

struct json *json_get(const struct json *object, const char *key)
{
	return get_bytes(object, key, strlen(key));
}

/* Paths: `.key` where the key is a plain word, `["key"]` where it isn't, `[index]`. */

static bool is_word(const char *key)
{
	if (!*key)
		return false;
	for (; *key; key++)
		if (!isalnum((unsigned char)*key) && !strchr("_-$", *key))
			return false;
	return true;
}

static size_t write_place(const struct json_place *place, char *text, size_t size)
{
	size_t length;
	const char *format;

	if (!place->parent) {
		snprintf(text, size, "%s", place->key);
		return strlen(text);
	}
	length = write_place(place->parent, text, size);
	if (!place->key) {
		snprintf(text + length, size - length, "[%zu]", place->index);
		return strlen(text);
	}
	format = !is_word(place->key) ? "[\"%s\"]" : length ? ".%s" : "%s";
	snprintf(text + length, size - length, format, place->key);
	return strlen(text);
}

int json_error(struct error *err, const char *name, const struct json *value, const struct json_place *place,
	const char *format, ...)
{
	char message[ERROR_MESSAGE_MAX], path[512], position[32] = "";
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(message, sizeof(message), format, arguments);
	va_end(arguments);
	write_place(place, path, sizeof(path));
	if (value && value->line)
		snprintf(position, sizeof(position), ":%u:%u", value->line, value->column);
	return error_set(err, 0, "%s%s: %s%s%s", name, position, path, *path ? ": " : "", message);
}

/* One step of a path; `path` moves behind it. */
static const struct json *step(const struct json *value, const char **path)
{
	const char *start = *path + (**path == '.'), *end;
	size_t index;
	char *after;

	if (!strncmp(start, "[\"", 2)) {
		start += 2;
		end = strstr(start, "\"]");
		if (!end)
			return NULL;
		*path = end + 2;
		return get_bytes(value, start, (size_t)(end - start));
	}
	if (*start == '[') {
		index = strtoul(start + 1, &after, 10);
		*path = *after ? after + 1 : after;
		return value->type == JSON_ARRAY && index < value->array.count ? value->array.items[index]
									       : NULL;
	}
	*path = start + strcspn(start, ".[");
	return get_bytes(value, start, (size_t)(*path - start));
}

const struct json *json_find(const struct json *tree, const char *path)
{
	const struct json *next;

	while (*path) {
		next = step(tree, &path);
		if (!next)
			break;
		tree = next;
	}
	return tree;
}

static struct json *new_value(struct arena *arena, enum json_type type)
{
	struct json *value = arena_alloc(arena, sizeof(*value));

	value->type = type;
	return value;
}

struct json *json_new_string(struct arena *arena, const char *text)
{
	struct json *value = new_value(arena, JSON_STRING);

	value->string = arena_strdup(arena, text);
	return value;
}

struct json *json_new_integer(struct arena *arena, int64_t number)
{
	struct json *value = new_value(arena, JSON_NUMBER);

	value->number = arena_printf(arena, "%" PRId64, number);
	return value;
}

struct json *json_new_unsigned(struct arena *arena, uint64_t number)
{
	struct json *value = new_value(arena, JSON_NUMBER);

	value->number = arena_printf(arena, "%" PRIu64, number);
	return value;
}

struct json *json_new_number(struct arena *arena, const char *text)
{
	struct json *value = new_value(arena, JSON_NUMBER);

	value->number = arena_strdup(arena, text);
	return value;
}

struct json *json_new_boolean(struct arena *arena, bool boolean)
{
	struct json *value = new_value(arena, JSON_BOOLEAN);

	value->boolean = boolean;
	return value;
}

struct json *json_new_array(struct arena *arena)
{
	return new_value(arena, JSON_ARRAY);
}

struct json *json_new_object(struct arena *arena)
{
	return new_value(arena, JSON_OBJECT);
}

void json_append(struct arena *arena, struct json *array, struct json *item)
{
	struct json **slot = arena_push(arena, &array->array.items, &array->array.count, sizeof(*slot));

	*slot = item;
}

void json_add(struct arena *arena, struct json *object, const char *key, struct json *value)
{
	struct json_member *member =
		arena_push(arena, &object->object.members, &object->object.count, sizeof(*member));

	member->key = key;
	member->value = value;
}

void json_set(struct arena *arena, struct json *object, const char *key, struct json *value)
{
	size_t i;

	for (i = 0; i < object->object.count; i++) {
		if (strcmp(object->object.members[i].key, key) != 0)
			continue;
		object->object.members[i].value = value;
		return;
	}
	json_add(arena, object, key, value);
}
