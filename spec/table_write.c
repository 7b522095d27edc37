/* table_write(): a model struct becomes a JSON object, by its table. See table.h. */
#include "spec/table.h"

#include <string.h>

static struct json *write_object(struct arena *arena, const struct object_type *type, const char *model);

static struct json *write_signed(struct arena *arena, bool set, int64_t value)
{
	return set ? json_new_integer(arena, value) : NULL;
}

static struct json *write_unsigned(struct arena *arena, bool set, uint64_t value)
{
	return set ? json_new_unsigned(arena, value) : NULL;
}

#define WRITE_OPTIONAL(function, type, slot) \
	function(arena, ((const type *)(slot))->set, ((const type *)(slot))->value)

static struct json *write_scalar(struct arena *arena, enum field_type type, const void *slot)
{
	const struct optional_bool *boolean = slot;

	switch (type) {
	case FIELD_BOOLEAN:
		return boolean->set ? json_new_boolean(arena, boolean->value) : NULL;
	case FIELD_INT64:
		return WRITE_OPTIONAL(write_signed, struct optional_int64, slot);
	case FIELD_UINT64:
		return WRITE_OPTIONAL(write_unsigned, struct optional_uint64, slot);
	case FIELD_INT32:
		return WRITE_OPTIONAL(write_signed, struct optional_int32, slot);
	case FIELD_UINT32:
		return WRITE_OPTIONAL(write_unsigned, struct optional_uint32, slot);
	default: /* FIELD_UINT16 */
		return WRITE_OPTIONAL(write_unsigned, struct optional_uint16, slot);
	}
}

static struct json *write_list(struct arena *arena, const struct field *field, const struct object_list *list)
{
	struct json *array, *item;
	size_t i;

	if (!list->items)
		return NULL;
	array = json_new_array(arena);
	for (i = 0; i < list->count; i++) {
		if (field->type == FIELD_STRING_LIST)
			item = json_new_string(arena, ((const char **)list->items)[i]);
		else if (field->type == FIELD_UINT32_LIST)
			item = json_new_unsigned(arena, ((const uint32_t *)list->items)[i]);
		else
			item = write_object(
				arena, field->object, (const char *)list->items + i * field->object->size);
		json_append(arena, array, item);
	}
	return array;
}

static struct json *write_string_map(struct arena *arena, const struct string_map *map)
{
	struct json *object;
	size_t i;

	if (!map->items)
		return NULL;
	object = json_new_object(arena);
	for (i = 0; i < map->count; i++)
		json_add(arena, object, map->items[i].key, json_new_string(arena, map->items[i].value));
	return object;
}

static struct json *write_object_map(
	struct arena *arena, const struct object_type *type, const struct object_list *list)
{
	struct json *object;
	size_t i;

	if (!list->items)
		return NULL;
	object = json_new_object(arena);
	for (i = 0; i < list->count; i++) {
		const char *element = (const char *)list->items + i * type->size;

		json_add(arena, object, *(const char *const *)(element + type->key_offset),
			write_object(arena, type, element));
	}
	return object;
}

/* NULL: absent. */
static struct json *write_field(struct arena *arena, const struct field *field, const void *slot)
{
	const void *pointer;

	switch (field->type) {
	case FIELD_STRING:
		pointer = *(const void *const *)slot;
		return pointer ? json_new_string(arena, pointer) : NULL;
	case FIELD_OBJECT:
		pointer = *(const void *const *)slot;
		return pointer ? write_object(arena, field->object, pointer) : NULL;
	case FIELD_JSON:
		return *(struct json *const *)slot;
	case FIELD_STRING_LIST:
	case FIELD_UINT32_LIST:
	case FIELD_OBJECT_LIST:
		return write_list(arena, field, slot);
	case FIELD_STRING_MAP:
		return write_string_map(arena, slot);
	case FIELD_OBJECT_MAP:
		return write_object_map(arena, field->object, slot);
	default:
		return write_scalar(arena, field->type, slot);
	}
}

static struct json *write_object(struct arena *arena, const struct object_type *type, const char *model)
{
	struct json *object = json_new_object(arena), *value;
	const struct json *unknown = NULL;
	size_t i;

	for (i = 0; i < type->count; i++) {
		value = write_field(arena, &type->fields[i], model + type->fields[i].offset);
		if (value)
			json_add(arena, object, type->fields[i].key, value);
	}
	if (type->unknown_offset != SIZE_MAX)
		unknown = *(struct json *const *)(model + type->unknown_offset);
	for (i = 0; unknown && i < unknown->object.count; i++)
		json_add(arena, object, unknown->object.members[i].key, unknown->object.members[i].value);
	return object;
}

struct json *table_write(struct arena *arena, const struct object_type *type, const void *model)
{
	return write_object(arena, type, model);
}
