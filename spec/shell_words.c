/* See shell_words.h. */
#include "spec/shell_words.h"

#include "spec/cleanup.h"

#include <ctype.h>
#include <string.h>

enum { DEPTH_MAX = 32 };

enum redirection { NO_REDIRECTION, TO_FILE, HERE_STRING, HERE_DOCUMENT };

struct delimiter {
	const char *word;
	bool strip_tabs;
};

struct parser {
	struct arena *arena;
	struct shell_commands *commands;
	struct string_map variables; /* that the line sets */
	const char *p;
	unsigned int depth;
	size_t line_start; /* the first command of this line: here-documents are its */

	struct shell_command command; /* being read */
	char *word;
	size_t length, capacity;
	bool in_word, quoted;
	enum redirection redirection; /* what the next word is for */
	bool strip_tabs;
	struct {
		struct delimiter *items;
		size_t count;
	} delimiters;
};

static void parse(struct parser *parser);

/* Words */

static void add_char(struct parser *parser, char c)
{
	if (parser->length + 1 >= parser->capacity) {
		size_t capacity = parser->capacity ? parser->capacity * 2 : 64;
		char *grown = arena_alloc(parser->arena, capacity);

		if (parser->length)
			memcpy(grown, parser->word, parser->length);
		parser->word = grown;
		parser->capacity = capacity;
	}
	parser->word[parser->length++] = c;
	parser->in_word = true;
}

static void add_text(struct parser *parser, const char *text)
{
	parser->in_word = true;
	for (; *text; text++)
		add_char(parser, *text);
}

static void push(struct parser *parser, const char *word)
{
	struct string_list *words = &parser->command.words;

	*(const char **)arena_push(parser->arena, &words->items, &words->count, sizeof(*words->items)) = word;
}

/* "{git,push}" is two words. */
static void push_braces(struct parser *parser, const char *word)
{
	size_t length = strlen(word);
	const char *end = word + length - 1, *part;

	if (parser->quoted || length < 3 || *word != '{' || *end != '}' || !strchr(word, ',')) {
		push(parser, word);
		return;
	}
	for (part = word + 1; part < end; part += strcspn(part, ",}") + 1)
		push(parser, arena_strndup(parser->arena, part, strcspn(part, ",}")));
}

static void end_word(struct parser *parser)
{
	const char *word;
	struct delimiter *delimiter;

	if (!parser->in_word)
		return;
	word = arena_strndup(parser->arena, parser->length ? parser->word : "", parser->length);
	switch (parser->redirection) {
	case NO_REDIRECTION:
		push_braces(parser, word);
		break;
	case HERE_STRING:
		parser->command.input = word;
		break;
	case HERE_DOCUMENT:
		delimiter = arena_push(parser->arena, &parser->delimiters.items, &parser->delimiters.count,
			sizeof(*parser->delimiters.items));
		*delimiter = (struct delimiter){ word, parser->strip_tabs };
		break;
	case TO_FILE:
		break;
	}
	parser->redirection = NO_REDIRECTION;
	parser->length = 0;
	parser->in_word = parser->quoted = false;
}

static bool is_assignment(const char *word)
{
	size_t name = 0;

	while (isalnum((unsigned char)word[name]) || word[name] == '_')
		name++;
	return name && !isdigit((unsigned char)*word) &&
	       (word[name] == '=' || strncmp(word + name, "+=", 2) == 0);
}

static void remember(struct parser *parser, const char *assignment)
{
	size_t length = strcspn(assignment, "=");
	struct string_pair *pair =
		arena_push(parser->arena, &parser->variables.items, &parser->variables.count, sizeof(*pair));

	pair->key = arena_strndup(parser->arena, assignment, length);
	pair->value = assignment + length + 1;
}

static void end_command(struct parser *parser, bool pipe)
{
	struct shell_commands *commands = parser->commands;

	end_word(parser);
	for (size_t i = 0; i < parser->command.words.count && is_assignment(parser->command.words.items[i]);
		i++)
		remember(parser, parser->command.words.items[i]);
	if (parser->command.words.count)
		*(struct shell_command *)arena_push(parser->arena, &commands->items, &commands->count,
			sizeof(*commands->items)) = parser->command;
	parser->command = (struct shell_command){ .reads_previous = pipe };
	parser->redirection = NO_REDIRECTION;
}

/* Substitutions */

static const char *find_end(const char *p, char open, char close);

/* Behind the quoted text whose opening quote is at `p`. */
static const char *skip_quoted(const char *p)
{
	char quote = *p++;

	while (*p && *p != quote) {
		if (quote == '"' && *p == '\\' && p[1]) {
			p += 2;
		} else if (quote == '"' && *p == '$' && p[1] == '(') {
			p = find_end(p + 2, '(', ')');
			p += *p != '\0';
		} else {
			p++;
		}
	}
	return *p ? p + 1 : p;
}

/* The closing character that belongs to the opening one just read, or the end of the text. */
static const char *find_end(const char *p, char open, char close)
{
	unsigned int level = 1;

	while (*p) {
		if (*p == '\\' && p[1]) {
			p += 2;
			continue;
		}
		if (close != '`' && (*p == '\'' || *p == '"')) {
			p = skip_quoted(p);
			continue;
		}
		if (*p == close && --level == 0)
			return p;
		if (*p == open && open != close)
			level++;
		p++;
	}
	return p;
}

static void parse_inner(struct parser *parser, const char *text)
{
	struct parser inner = { .arena = parser->arena,
		.commands = parser->commands,
		.p = text,
		.depth = parser->depth + 1,
		.variables = parser->variables,
		.line_start = parser->commands->count };

	if (inner.depth > DEPTH_MAX) {
		parser->commands->too_deep = true;
		return;
	}
	/* Its own list: the outer one must not grow into the same memory. */
	inner.variables = (struct string_map){ 0 };
	for (size_t i = 0; i < parser->variables.count; i++)
		*(struct string_pair *)arena_push(parser->arena, &inner.variables.items,
			&inner.variables.count, sizeof(struct string_pair)) = parser->variables.items[i];
	parse(&inner);
}

static void substitute(struct parser *parser, char open, char close)
{
	const char *end = find_end(parser->p, open, close);
	char *text = arena_strndup(parser->arena, parser->p, (size_t)(end - parser->p)), *to = text;

	if (close == '`') {
		/* In backquotes a backslash before `, $ or \ goes away. */
		for (const char *from = text; *from; from++) {
			if (*from == '\\' && from[1] && strchr("`$\\", from[1]))
				from++;
			*to++ = *from;
		}
		*to = '\0';
	}
	parser->p = *end ? end + 1 : end;
	parser->in_word = true;
	parse_inner(parser, text);
}

static const char *value_of(const struct parser *parser, const char *name, size_t length)
{
	for (size_t i = parser->variables.count; i-- > 0;)
		if (strlen(parser->variables.items[i].key) == length &&
			strncmp(parser->variables.items[i].key, name, length) == 0)
			return parser->variables.items[i].value;
	return "";
}

/* An unquoted variable is split into words. */
static void add_value(struct parser *parser, const char *value, bool split)
{
	for (; *value; value++) {
		if (split && isspace((unsigned char)*value))
			end_word(parser);
		else
			add_char(parser, *value);
	}
}

/* $'…' */
static void ansi_quoted(struct parser *parser)
{
	static const char letters[] = "abefnrtv\\'\"", meanings[] = "\a\b\033\f\n\r\t\v\\'\"";

	parser->in_word = parser->quoted = true;
	for (parser->p++; *parser->p && *parser->p != '\''; parser->p++) {
		const char *letter;
		char *end;

		if (*parser->p != '\\' || !parser->p[1]) {
			add_char(parser, *parser->p);
			continue;
		}
		parser->p++;
		letter = strchr(letters, *parser->p);
		if (letter) {
			add_char(parser, meanings[letter - letters]);
		} else if (*parser->p == 'x' || (*parser->p >= '0' && *parser->p <= '7')) {
			bool hex = *parser->p == 'x';
			char digits[4] = "";

			memcpy(digits, parser->p + hex, strnlen(parser->p + hex, hex ? 2 : 3));
			add_char(parser, (char)strtol(digits, &end, hex ? 16 : 8));
			parser->p += hex + (end - digits) - 1;
		} else {
			add_char(parser, *parser->p);
		}
	}
	if (*parser->p)
		parser->p++;
}

/* At "$". */
static void dollar(struct parser *parser, bool in_quotes)
{
	const char *p = ++parser->p;
	size_t length = 0;

	if (*p == '(') {
		parser->p++;
		substitute(parser, '(', ')');
	} else if (*p == '{') {
		const char *end = find_end(p + 1, '{', '}');
		size_t name =
			strspn(p + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_");

		add_value(parser, value_of(parser, p + 1, name), !in_quotes);
		/* ${x:-$(command)} */
		if (p + 1 + name < end && strpbrk(p, "$`"))
			parse_inner(parser, arena_printf(parser->arena, ": %.*s",
						    (int)(end - p - 1 - (ptrdiff_t)name), p + 1 + name));
		parser->in_word = true;
		parser->p = *end ? end + 1 : end;
	} else if (*p == '\'' && !in_quotes) {
		ansi_quoted(parser);
	} else if (*p == '"' && !in_quotes) {
		/* $"…" is "…" */
	} else {
		while (isalnum((unsigned char)p[length]) || p[length] == '_')
			length++;
		if (!length) {
			if (*p && strchr("@*#?$!-", *p))
				parser->p++;
			else
				add_char(parser, '$');
			return;
		}
		add_value(parser, value_of(parser, p, length), !in_quotes);
		parser->p += length;
	}
}

/* As between double quotes, up to `end`; 0: to the end of the text. */
static void quoted_text(struct parser *parser, char end)
{
	while (*parser->p && *parser->p != end) {
		if (*parser->p == '\\' && parser->p[1] && strchr("$`\"\\\n", parser->p[1])) {
			if (parser->p[1] != '\n')
				add_char(parser, parser->p[1]);
			parser->p += 2;
		} else if (*parser->p == '$') {
			dollar(parser, true);
		} else if (*parser->p == '`') {
			parser->p++;
			substitute(parser, '`', '`');
		} else {
			add_char(parser, *parser->p++);
		}
	}
}

static void double_quoted(struct parser *parser)
{
	parser->in_word = parser->quoted = true;
	parser->p++;
	quoted_text(parser, '"');
	if (*parser->p)
		parser->p++;
}

static void single_quoted(struct parser *parser)
{
	size_t length = strcspn(++parser->p, "'");

	parser->quoted = true;
	add_text(parser, arena_strndup(parser->arena, parser->p, length));
	parser->p += length;
	if (*parser->p)
		parser->p++;
}

/* Redirections and here-documents */

static void redirect(struct parser *parser)
{
	bool number = parser->in_word && !parser->quoted && parser->length &&
		      strspn(arena_strndup(parser->arena, parser->word, parser->length), "0123456789") ==
			      parser->length;
	char first = *parser->p;

	if (number) {
		parser->in_word = false;
		parser->length = 0;
	}
	if (parser->p[1] == '(') {
		parser->p += 2;
		substitute(parser, '(', ')');
		return;
	}
	end_word(parser);
	parser->redirection = TO_FILE;
	parser->p++;
	if (first == '<' && strncmp(parser->p, "<<", 2) == 0) {
		parser->redirection = HERE_STRING;
		parser->p += 2;
	} else if (first == '<' && *parser->p == '<') {
		parser->p++;
		parser->strip_tabs = *parser->p == '-';
		parser->p += parser->strip_tabs;
		parser->redirection = HERE_DOCUMENT;
	} else {
		parser->p += strspn(parser->p, "<>&|");
	}
}

/* After the newline: the bodies of the line's here-documents. */
static void take_documents(struct parser *parser)
{
	for (size_t i = 0; i < parser->delimiters.count; i++) {
		const struct delimiter *delimiter = &parser->delimiters.items[i];
		const char *body = parser->p, *end = body;

		while (*parser->p) {
			const char *line = parser->p;
			size_t length;

			end = line;
			if (delimiter->strip_tabs)
				line += strspn(line, "\t");
			length = strcspn(line, "\n");
			parser->p = line + length + (line[length] == '\n');
			if (length == strlen(delimiter->word) && strncmp(line, delimiter->word, length) == 0)
				break;
			end = parser->p;
		}
		body = arena_strndup(parser->arena, body, (size_t)(end - body));
		for (size_t j = parser->line_start; j < parser->commands->count; j++)
			if (!parser->commands->items[j].input)
				parser->commands->items[j].input = body;
		/* What is substituted in it is run, whoever reads it. */
		if (strpbrk(body, "$`")) {
			struct parser inner = *parser;

			inner.p = body;
			inner.command = (struct shell_command){ 0 };
			inner.delimiters.count = 0;
			quoted_text(&inner, '\0');
		}
	}
	parser->delimiters.items = NULL;
	parser->delimiters.count = 0;
	parser->line_start = parser->commands->count;
}

static void operator_at(struct parser *parser)
{
	bool newline = *parser->p == '\n', pipe = *parser->p == '|' && parser->p[1] != '|';

	if (*parser->p == '&' && parser->p[1] == '>') {
		end_word(parser);
		parser->p++;
		redirect(parser);
		return;
	}
	end_command(parser, pipe);
	parser->p++;
	if (newline)
		take_documents(parser);
}

static void parse(struct parser *parser)
{
	while (*parser->p) {
		char c = *parser->p;

		if (c == '\\' && parser->p[1] == '\n') {
			parser->p += 2;
		} else if (c == '\\' && parser->p[1]) {
			parser->quoted = true;
			add_char(parser, parser->p[1]);
			parser->p += 2;
		} else if (c == '\'') {
			single_quoted(parser);
		} else if (c == '"') {
			double_quoted(parser);
		} else if (c == '$') {
			dollar(parser, false);
		} else if (c == '`') {
			parser->p++;
			substitute(parser, '`', '`');
		} else if (c == '<' || c == '>') {
			redirect(parser);
		} else if (strchr("\n;&|()", c)) {
			operator_at(parser);
		} else if (isspace((unsigned char)c)) {
			end_word(parser);
			parser->p++;
		} else if (c == '#' && !parser->in_word) {
			parser->p += strcspn(parser->p, "\n");
		} else {
			add_char(parser, c);
			parser->p++;
		}
	}
	end_command(parser, false);
}

void shell_split(struct arena *arena, const char *line, struct shell_commands *commands)
{
	struct parser parser = {
		.arena = arena, .commands = commands, .p = line, .line_start = commands->count
	};

	parse(&parser);
}
