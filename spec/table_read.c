/* table_read(): a JSON object becomes a model struct, by its table. See table.h.
 *
 * It knows no property by name: what is particular to one is in the tables.
 */
#include "spec/cleanup.h"
#include "spec/table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct reader {
	struct arena *arena;
	const char *name;
	struct error *err;
};

#define FAIL(reader, value, place, ...) json_error((reader)->err, (reader)->name, value, place, __VA_ARGS__)

static int read_object(struct reader *reader, const struct object_type *type, const struct json *value,
	const struct json_place *place, void *model);

static int want_type(
	struct reader *reader, const struct json *value, const struct json_place *place, enum json_type type)
{
	if (value->type == type)
		return 0;
	return FAIL(reader, value, place, "%s was found where %s is wanted", json_type_name(value->type),
		json_type_name(type));
}

/* Strings */

static char *quoted_list(struct arena *arena, const char *const *words)
{
	char *list = arena_strdup(arena, "");

	for (; *words; words++)
		list = arena_printf(arena, "%s%s\"%s\"", list, *list ? ", " : "", *words);
	return list;
}

static int check_allowed(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place)
{
	enum { LIST_SHORT = 8 };
	const char *nearest;
	size_t i;

	for (i = 0; field->allowed[i]; i++)
		if (!strcmp(field->allowed[i], value->string))
			return 0;
	nearest = nearest_word(value->string, field->allowed, i);
	if (nearest && i > LIST_SHORT)
		return FAIL(reader, value, place, "\"%.100s\" is not known here; did you mean \"%s\"?",
			value->string, nearest);
	return FAIL(reader, value, place, "\"%.100s\" is not one of %s%s%s%s%s%s", value->string,
		quoted_list(reader->arena, field->allowed), field->what ? ": an invalid " : "",
		field->what ? field->what : "", nearest ? "; did you mean \"" : "", nearest ? nearest : "",
		nearest ? "\"?" : "");
}

static int read_string(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, const char **string)
{
	const char *complaint;

	if (want_type(reader, value, place, JSON_STRING) < 0)
		return -1;
	if (field->allowed && check_allowed(reader, field, value, place) < 0)
		return -1;
	complaint = field->check ? field->check(value->string) : NULL;
	if (complaint)
		return FAIL(reader, value, place, "\"%.300s\" %s", value->string, complaint);
	*string = value->string;
	return 0;
}

/* Numbers. All kinds fit into a sign and 64 bits, which is how they are compared with their bounds. */

struct bounds {
	int64_t minimum;
	uint64_t maximum;
};

static struct bounds bounds_of(const struct field *field)
{
	static const struct bounds of_type[] = {
		[FIELD_INT64] = { INT64_MIN, INT64_MAX },
		[FIELD_UINT64] = { 0, UINT64_MAX },
		[FIELD_INT32] = { INT32_MIN, INT32_MAX },
		[FIELD_UINT32] = { 0, UINT32_MAX },
		[FIELD_UINT16] = { 0, UINT16_MAX },
		[FIELD_UINT32_LIST] = { 0, UINT32_MAX },
	};

	if (field->has_range)
		return (struct bounds){ field->minimum, (uint64_t)field->maximum };
	return of_type[field->type];
}

/* The value as 64 bits in two's complement. */
static int read_number(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, uint64_t *number)
{
	struct bounds bounds = bounds_of(field);
	bool negative, inside;
	int64_t below_zero = 0;

	if (want_type(reader, value, place, JSON_NUMBER) < 0)
		return -1;
	if (strpbrk(value->number, ".eE"))
		return FAIL(reader, value, place,
			"%.50s is not a whole number; write it without fraction or exponent", value->number);
	negative = value->number[0] == '-';
	errno = 0;
	if (negative)
		below_zero = strtoll(value->number, NULL, 10);
	else
		*number = strtoull(value->number, NULL, 10);
	if (errno == ERANGE)
		inside = false;
	else if (negative)
		inside = below_zero >= bounds.minimum;
	else
		inside = *number <= bounds.maximum &&
			 (bounds.minimum < 0 || *number >= (uint64_t)bounds.minimum);
	if (!inside)
		return FAIL(reader, value, place, "%.50s is not between %" PRId64 " and %" PRIu64,
			value->number, bounds.minimum, bounds.maximum);
	if (negative)
		*number = (uint64_t)below_zero;
	return 0;
}

#define SET_OPTIONAL(type, slot, number) \
	(*(type *)(slot) = (type){ true, (__typeof__(((type *)0)->value))(number) })

static int read_scalar(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, void *slot)
{
	uint64_t number;

	if (field->type == FIELD_BOOLEAN) {
		if (want_type(reader, value, place, JSON_BOOLEAN) < 0)
			return -1;
		SET_OPTIONAL(struct optional_bool, slot, value->boolean);
		return 0;
	}
	if (read_number(reader, field, value, place, &number) < 0)
		return -1;
	switch (field->type) {
	case FIELD_INT64:
		SET_OPTIONAL(struct optional_int64, slot, number);
		return 0;
	case FIELD_UINT64:
		SET_OPTIONAL(struct optional_uint64, slot, number);
		return 0;
	case FIELD_INT32:
		SET_OPTIONAL(struct optional_int32, slot, number);
		return 0;
	case FIELD_UINT32:
		SET_OPTIONAL(struct optional_uint32, slot, number);
		return 0;
	default: /* FIELD_UINT16 */
		SET_OPTIONAL(struct optional_uint16, slot, number);
		return 0;
	}
}

/* Lists. Grown by arena_push(), so that whoever has the model can grow them further. */

static size_t element_size(const struct field *field)
{
	if (field->type == FIELD_STRING_LIST)
		return sizeof(const char *);
	if (field->type == FIELD_UINT32_LIST)
		return sizeof(uint32_t);
	return field->object->size;
}

static int read_element(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, void *element)
{
	uint64_t number;

	if (field->type == FIELD_STRING_LIST)
		return read_string(reader, field, value, place, element);
	if (field->type == FIELD_OBJECT_LIST)
		return read_object(reader, field->object, value, place, element);
	if (read_number(reader, field, value, place, &number) < 0)
		return -1;
	*(uint32_t *)element = (uint32_t)number;
	return 0;
}

static int read_list(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, struct object_list *list)
{
	size_t size = element_size(field), i;

	if (want_type(reader, value, place, JSON_ARRAY) < 0)
		return -1;
	if (field->nonempty && !value->array.count)
		return FAIL(reader, value, place, "the array is empty; at least one item is wanted");
	list->items = arena_alloc(reader->arena, size);
	for (i = 0; i < value->array.count; i++) {
		struct json_place item = { .parent = place, .index = i };
		void *element = arena_push(reader->arena, &list->items, &list->count, size);

		if (read_element(reader, field, value->array.items[i], &item, element) < 0)
			return -1;
	}
	return 0;
}

static int read_string_map(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, struct string_map *map)
{
	const char *complaint;
	size_t i;

	if (want_type(reader, value, place, JSON_OBJECT) < 0)
		return -1;
	map->items = arena_alloc(reader->arena, sizeof(*map->items));
	for (i = 0; i < value->object.count; i++) {
		const struct json_member *member = &value->object.members[i];
		struct json_place item = { .parent = place, .key = member->key };
		struct string_pair *pair =
			arena_push(reader->arena, &map->items, &map->count, sizeof(*map->items));

		if (!*member->key)
			return FAIL(reader, member->value, place, "a key is empty; name it or leave it out");
		complaint = field->check_key ? field->check_key(member->key) : NULL;
		if (complaint)
			return FAIL(reader, member->value, &item, "\"%.300s\" %s", member->key, complaint);
		pair->key = member->key;
		if (read_string(reader, field, member->value, &item, &pair->value) < 0)
			return -1;
	}
	return 0;
}

static int read_object_map(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, struct object_list *list)
{
	size_t i;

	if (want_type(reader, value, place, JSON_OBJECT) < 0)
		return -1;
	list->items = arena_alloc(reader->arena, field->object->size);
	for (i = 0; i < value->object.count; i++) {
		const struct json_member *member = &value->object.members[i];
		struct json_place item = { .parent = place, .key = member->key };
		char *element = arena_push(reader->arena, &list->items, &list->count, field->object->size);

		if (!*member->key)
			return FAIL(reader, member->value, place, "a key is empty; name it or leave it out");
		*(const char **)(element + field->object->key_offset) = member->key;
		/* "eth0": null is what a writer makes of a zero value. */
		if (member->value->type != JSON_NULL &&
			read_object(reader, field->object, member->value, &item, element) < 0)
			return -1;
	}
	return 0;
}

/* Objects */

static int read_field(struct reader *reader, const struct field *field, const struct json *value,
	const struct json_place *place, void *slot)
{
	switch (field->type) {
	case FIELD_STRING:
		if (read_string(reader, field, value, place, slot) < 0)
			return -1;
		if (field->nonempty && !*value->string)
			return FAIL(reader, value, place, "the string is empty; give a value");
		return 0;
	case FIELD_STRING_LIST:
	case FIELD_UINT32_LIST:
	case FIELD_OBJECT_LIST:
		return read_list(reader, field, value, place, slot);
	case FIELD_STRING_MAP:
		return read_string_map(reader, field, value, place, slot);
	case FIELD_OBJECT_MAP:
		return read_object_map(reader, field, value, place, slot);
	case FIELD_OBJECT:
		*(void **)slot = arena_alloc(reader->arena, field->object->size);
		return read_object(reader, field->object, value, place, *(void **)slot);
	case FIELD_JSON:
		*(const struct json **)slot = value;
		return 0;
	default:
		return read_scalar(reader, field, value, place, slot);
	}
}

static int refuse_unknown(struct reader *reader, const struct object_type *type,
	const struct json_member *member, const struct json_place *place)
{
	const char **keys = arena_array(reader->arena, type->count + 1, sizeof(*keys));
	const char *nearest;
	size_t i;

	for (i = 0; i < type->count; i++)
		keys[i] = type->fields[i].key;
	nearest = nearest_word(member->key, keys, type->count);
	if (nearest)
		return FAIL(
			reader, member->value, place, "there is no such key; did you mean \"%s\"?", nearest);
	return FAIL(reader, member->value, place, "there is no such key; the keys here are %s",
		quoted_list(reader->arena, keys));
}

static int keep_unknown(struct reader *reader, const struct object_type *type,
	const struct json_member *member, const struct json_place *place, char *model)
{
	struct json **unknown;

	if (type->strict)
		return refuse_unknown(reader, type, member, place);
	if (type->unknown_offset == SIZE_MAX)
		return 0;
	unknown = (struct json **)(model + type->unknown_offset);
	if (!*unknown)
		*unknown = json_new_object(reader->arena);
	json_add(reader->arena, *unknown, member->key, member->value);
	return 0;
}

/* Writers mostly keep to the order of the specification, and so do the tables: the search goes on where the last one
 * ended. */
static const struct field *find_field(const struct object_type *type, const char *key, size_t *hint)
{
	size_t i, index;

	for (i = 0; i < type->count; i++) {
		index = *hint + i < type->count ? *hint + i : *hint + i - type->count;
		if (strcmp(type->fields[index].key, key) != 0)
			continue;
		*hint = index + 1 < type->count ? index + 1 : 0;
		return &type->fields[index];
	}
	return NULL;
}

static int check_required(struct reader *reader, const struct object_type *type, const struct json *value,
	const struct json_place *place)
{
	const struct json *member;
	size_t i;

	for (i = 0; i < type->count; i++) {
		struct json_place missing = { .parent = place, .key = type->fields[i].key };

		if (!type->fields[i].required)
			continue;
		member = json_get(value, type->fields[i].key);
		if (!member || member->type == JSON_NULL)
			return FAIL(reader, value, &missing, "it is missing, and required; add it%s%s",
				type->fields[i].what ? ": an invalid " : "",
				type->fields[i].what ? type->fields[i].what : "");
	}
	return 0;
}

static int read_object(struct reader *reader, const struct object_type *type, const struct json *value,
	const struct json_place *place, void *model)
{
	size_t i, hint = 0;

	if (want_type(reader, value, place, JSON_OBJECT) < 0)
		return -1;
	for (i = 0; i < value->object.count; i++) {
		const struct json_member *member = &value->object.members[i];
		const struct field *field = find_field(type, member->key, &hint);
		struct json_place inner = { .parent = place, .key = member->key };

		if (!field) {
			if (keep_unknown(reader, type, member, &inner, model) < 0)
				return -1;
			continue;
		}
		if (member->value->type == JSON_NULL && field->type != FIELD_JSON)
			continue;
		if (read_field(reader, field, member->value, &inner, (char *)model + field->offset) < 0)
			return -1;
	}
	return check_required(reader, type, value, place);
}

int table_read(struct arena *arena, const struct object_type *type, const struct json *tree, const char *name,
	const char *path, void *model, struct error *err)
{
	struct reader reader = { .arena = arena, .name = name, .err = err };
	struct json_place place = { .key = path };

	return read_object(&reader, type, tree, &place, model);
}
