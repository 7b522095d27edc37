/* Writing JSON with yajl_gen. See json_format() in json.h. */
#include "spec/cleanup.h"
#include "spec/json.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

static void write_string(yajl_gen gen, const char *text)
{
	yajl_gen_string(gen, (const unsigned char *)text, strlen(text));
}

static void write_value(yajl_gen gen, const struct json *value)
{
	size_t i;

	switch (value->type) {
	case JSON_NULL:
		yajl_gen_null(gen);
		return;
	case JSON_BOOLEAN:
		yajl_gen_bool(gen, value->boolean);
		return;
	case JSON_NUMBER:
		yajl_gen_number(gen, value->number, strlen(value->number));
		return;
	case JSON_STRING:
		write_string(gen, value->string);
		return;
	case JSON_ARRAY:
		yajl_gen_array_open(gen);
		for (i = 0; i < value->array.count; i++)
			write_value(gen, value->array.items[i]);
		yajl_gen_array_close(gen);
		return;
	case JSON_OBJECT:
		yajl_gen_map_open(gen);
		for (i = 0; i < value->object.count; i++) {
			write_string(gen, value->object.members[i].key);
			write_value(gen, value->object.members[i].value);
		}
		yajl_gen_map_close(gen);
		return;
	}
}

static void cleanup_gen(yajl_gen *gen)
{
	yajl_gen_free(*gen);
}

/* Nothing in it can fail: made trees are shallow, read ones at most JSON_DEPTH_MAX deep, and UTF-8 is not checked again. */
char *json_format(struct arena *arena, const struct json *tree, bool pretty, size_t *length)
{
	_cleanup_(cleanup_gen) yajl_gen gen = yajl_gen_alloc(NULL);
	const unsigned char *text = NULL;
	size_t size = 0;

	if (!gen)
		abort();
	yajl_gen_config(gen, yajl_gen_beautify, pretty);
	yajl_gen_config(gen, yajl_gen_indent_string, "  ");
	write_value(gen, tree);
	yajl_gen_get_buf(gen, &text, &size);
	if (length)
		*length = size;
	return arena_strndup(arena, (const char *)text, size);
}
