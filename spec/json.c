/* Reading JSON: yajl finds the tokens, the callbacks here build the tree. See json.h.
 *
 * The text is a private copy, so that strings end where they lie (the closing quote becomes a NUL once yajl is past it)
 * and nothing is copied twice. What yajl does not check is checked here: UTF-8 in its strict form, lone surrogates,
 * duplicate keys, depth.
 */
#include "spec/json.h"
#include "spec/cleanup.h"
#include "spec/json_text.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <yajl/yajl_parse.h>

enum { FILE_MAX = 16 * 1024 * 1024 };

/* An object or array that is not closed yet; `place` is the member or item in it that is being read. */
struct frame {
	struct json_place place;
	struct json *container;
};

struct parser {
	struct arena *arena;
	const char *name;
	char *text;
	size_t length;
	struct error *err;
	yajl_handle yajl;
	struct json *root;
	size_t depth;
	struct frame frames[JSON_DEPTH_MAX];

	/* The line that `offset` is in: tokens come in order, so lines are counted once. */
	size_t offset, line_start;
	unsigned int line;
};

static const struct json_place document = { .key = "" };

static void locate(struct parser *parser, size_t offset, struct json *value)
{
	const char *newline;

	if (offset < parser->offset) {
		parser->offset = parser->line_start = 0;
		parser->line = 1;
	}
	while ((newline = memchr(parser->text + parser->offset, '\n', offset - parser->offset))) {
		parser->line++;
		parser->offset = parser->line_start = (size_t)(newline - parser->text) + 1;
	}
	parser->offset = offset;
	value->line = parser->line;
	value->column = (unsigned int)(offset - parser->line_start) + 1;
}

/* The member or item that is being read, or is wanted next. */
static const struct json_place *current_place(struct parser *parser)
{
	struct frame *frame;

	if (!parser->depth)
		return &document;
	frame = &parser->frames[parser->depth - 1];
	if (frame->container->type == JSON_OBJECT && !frame->place.key)
		return frame->place.parent; /* before the first key */
	if (frame->container->type == JSON_ARRAY)
		frame->place.index = frame->container->array.count;
	return &frame->place;
}

static int fail_at(struct parser *parser, size_t offset, const char *what)
{
	struct json where;

	locate(parser, offset, &where);
	return json_error(parser->err, parser->name, &where, current_place(parser), "%s", what);
}

/* Callbacks return 1 to go on, 0 to stop; the error is set by then. */

static struct json *add_value(struct parser *parser, enum json_type type, size_t offset)
{
	struct json *value = arena_alloc(parser->arena, sizeof(*value));
	struct frame *frame;

	value->type = type;
	locate(parser, offset, value);
	if (!parser->depth) {
		parser->root = value;
		return value;
	}
	frame = &parser->frames[parser->depth - 1];
	if (frame->container->type == JSON_OBJECT)
		json_add(parser->arena, frame->container, frame->place.key, value);
	else
		json_append(parser->arena, frame->container, value);
	return value;
}

/* The value that just ended: yajl has consumed it and nothing after it. */
static size_t start_of(const struct parser *parser, size_t length)
{
	return yajl_get_bytes_consumed(parser->yajl) - length;
}

static int on_null(void *context)
{
	struct parser *parser = context;

	add_value(parser, JSON_NULL, start_of(parser, strlen("null")));
	return 1;
}

static int on_boolean(void *context, int boolean)
{
	struct parser *parser = context;

	add_value(parser, JSON_BOOLEAN, start_of(parser, strlen(boolean ? "true" : "false")))->boolean =
		boolean;
	return 1;
}

static int on_number(void *context, const char *number, size_t length)
{
	struct parser *parser = context;

	add_value(parser, JSON_NUMBER, start_of(parser, length))->number =
		arena_strndup(parser->arena, number, length);
	return 1;
}

/* The string that yajl just consumed, as a C string, and where its opening quote is. */
static const char *take_string(
	struct parser *parser, const unsigned char *string, size_t length, size_t *start)
{
	size_t end = yajl_get_bytes_consumed(parser->yajl) - 1; /* the closing quote */

	parser->text[end] = '\0';
	if (length <= end && (const char *)string == parser->text + end - length) {
		*start = end - length - 1;
		return (const char *)string;
	}

	/* yajl decoded escapes into a buffer of its own. */
	*start = json_text_opening_quote(parser->text, end);
	if (memchr(string, '\0', length)) {
		fail_at(parser, *start, "a string holds a NUL character (\\u0000); leave it out");
		return NULL;
	}
	if (json_text_lone_surrogate(parser->text + *start, end - *start)) {
		fail_at(parser, *start,
			"a string holds half of a surrogate pair; write both halves, or the character");
		return NULL;
	}
	return arena_strndup(parser->arena, (const char *)string, length);
}

static int on_string(void *context, const unsigned char *string, size_t length)
{
	struct parser *parser = context;
	size_t start;
	const char *text = take_string(parser, string, length, &start);

	if (!text)
		return 0;
	add_value(parser, JSON_STRING, start)->string = text;
	return 1;
}

static int on_key(void *context, const unsigned char *string, size_t length)
{
	struct parser *parser = context;
	size_t start;
	const char *text = take_string(parser, string, length, &start);

	if (!text)
		return 0;
	parser->frames[parser->depth - 1].place.key = text;
	return 1;
}

static int open_container(struct parser *parser, enum json_type type)
{
	size_t start = start_of(parser, 1);
	const struct json_place *place = current_place(parser);

	if (parser->depth == JSON_DEPTH_MAX) {
		fail_at(parser, start, "nested deeper than 100 levels; nothing that fence reads is");
		return 0;
	}
	parser->frames[parser->depth] = (struct frame){
		.place = { .parent = place },
		.container = add_value(parser, type, start),
	};
	parser->depth++;
	return 1;
}

static int compare_members(const void *left, const void *right)
{
	const struct json_member *const *a = left, *const *b = right;
	int order = strcmp((*a)->key, (*b)->key);

	if (order)
		return order;
	return *a < *b ? -1 : 1; /* in the order written, so that the second one is reported */
}

/* Sorting, since a hostile file can hold a million keys. Small objects are the rule, and compared in place. */
static const struct json_member *find_duplicate(struct arena *arena, const struct json *object)
{
	size_t count = object->object.count, i, j;
	const struct json_member *members = object->object.members;
	const struct json_member **sorted;

	if (count <= 16) {
		for (i = 1; i < count; i++)
			for (j = 0; j < i; j++)
				if (!strcmp(members[i].key, members[j].key))
					return &members[i];
		return NULL;
	}
	sorted = arena_array(arena, count, sizeof(*sorted));
	for (i = 0; i < count; i++)
		sorted[i] = &members[i];
	qsort(sorted, count, sizeof(*sorted), compare_members);
	for (i = 1; i < count; i++)
		if (!strcmp(sorted[i]->key, sorted[i - 1]->key))
			return sorted[i];
	return NULL;
}

static int on_start_object(void *context)
{
	return open_container(context, JSON_OBJECT);
}

static int on_start_array(void *context)
{
	return open_container(context, JSON_ARRAY);
}

static int on_end_object(void *context)
{
	struct parser *parser = context;
	struct frame *frame = &parser->frames[parser->depth - 1];
	const struct json_member *duplicate = find_duplicate(parser->arena, frame->container);

	if (duplicate) {
		frame->place.key = duplicate->key;
		json_error(parser->err, parser->name, duplicate->value, &frame->place,
			"the key is written twice; keep one of them");
		return 0;
	}
	parser->depth--;
	return 1;
}

static int on_end_array(void *context)
{
	struct parser *parser = context;

	parser->depth--;
	return 1;
}

static const yajl_callbacks callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_boolean,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_start_object,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end_object,
	.yajl_start_array = on_start_array,
	.yajl_end_array = on_end_array,
};

static int syntax_error(struct parser *parser, bool at_end)
{
	size_t consumed = at_end ? parser->length : yajl_get_bytes_consumed(parser->yajl);
	unsigned char *complaint = yajl_get_error(parser->yajl, 0, NULL, 0);
	size_t offset = consumed;
	const char *sentence;

	if (consumed > parser->length)
		consumed = parser->length;
	sentence = json_text_explain((const char *)complaint, parser->text, consumed, &offset);
	yajl_free_error(parser->yajl, complaint);
	return fail_at(parser, offset, sentence);
}

static void cleanup_yajl(yajl_handle *yajl)
{
	if (*yajl)
		yajl_free(*yajl);
}

/* `text` is ours to write in, and text[length] is a space: a number at the very end needs something after it. */
static int parse_in_place(struct parser *parser, enum json_flags flags, struct json **tree)
{
	_cleanup_(cleanup_yajl) yajl_handle yajl = NULL;
	const char *complaint = NULL;
	size_t offset;
	yajl_status status;

	if (!(flags & JSON_BYTES) &&
		(complaint = json_text_check_utf8(parser->text, parser->length, &offset)))
		return fail_at(parser, offset, complaint);
	if ((flags & JSON_RELAXED) && (complaint = json_text_relax(parser->text, parser->length, &offset)))
		return fail_at(parser, offset, complaint);

	yajl = yajl_alloc(&callbacks, NULL, parser);
	if (!yajl)
		return error_set(parser->err, ENOMEM, "%s: cannot be parsed", parser->name);
	parser->yajl = yajl;
	yajl_config(yajl, yajl_dont_validate_strings, 1); /* done above, and more strictly */
	status = yajl_parse(yajl, (const unsigned char *)parser->text, parser->length + 1);
	if (status == yajl_status_error)
		return syntax_error(parser, false);
	if (status == yajl_status_ok && yajl_complete_parse(yajl) != yajl_status_ok)
		return syntax_error(parser, true);
	if (status != yajl_status_ok)
		return -1;
	*tree = parser->root;
	return 0;
}

static int parse_owned(struct arena *arena, char *text, size_t length, const char *name,
	enum json_flags flags, struct json **tree, struct error *err)
{
	struct parser parser;

	if (length > FILE_MAX)
		return error_set(err, 0, "%s: larger than 16 MiB; no file that fence reads is", name);
	/* Not an initialiser: the frames need no clearing. */
	parser.arena = arena;
	parser.name = name;
	parser.text = text;
	parser.length = length;
	parser.err = err;
	parser.root = NULL;
	parser.depth = 0;
	parser.offset = parser.line_start = 0;
	parser.line = 1;
	text[length] = ' ';
	return parse_in_place(&parser, flags, tree);
}

bool json_is_text(const char *text)
{
	size_t offset;

	return !json_text_check_utf8(text, strlen(text), &offset);
}

int json_parse(struct arena *arena, const char *text, size_t length, const char *name, enum json_flags flags,
	struct json **tree, struct error *err)
{
	return parse_owned(arena, arena_strndup(arena, text, length), length, name, flags, tree, err);
}

int json_parse_fd(struct arena *arena, int fd, const char *name, enum json_flags flags, struct json **tree,
	struct error *err)
{
	size_t capacity = 64 * 1024, length = 0;
	struct stat status;
	char *text, *larger;
	ssize_t count;

	/* The size is only a hint: a pipe has none, and a file may grow while it is read. */
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size < FILE_MAX)
		capacity = (size_t)status.st_size + 1;
	text = arena_alloc(arena, capacity);
	for (;;) {
		count = read(fd, text + length, capacity - length);
		if (count < 0 && errno == EINTR)
			continue;
		if (count < 0)
			return error_set(err, errno, "%s: cannot be read", name);
		if (count == 0)
			break;
		length += (size_t)count;
		if (length > FILE_MAX) /* told by parse_owned() */
			break;
		if (length < capacity)
			continue;
		larger = arena_alloc(arena, capacity * 2);
		memcpy(larger, text, length);
		text = larger;
		capacity *= 2;
	}
	return parse_owned(arena, text, length, name, flags, tree, err);
}

int json_parse_file(
	struct arena *arena, const char *path, enum json_flags flags, struct json **tree, struct error *err)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return error_set(err, errno, "%s: cannot be opened", path);
	return json_parse_fd(arena, fd, path, flags, tree, err);
}
