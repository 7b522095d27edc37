/* See json_text.h. */
#include "spec/json_text.h"
#include "spec/cleanup.h"

#include <ctype.h>
#include <stdint.h>
#include <string.h>

/* The length of one character that begins with a byte above 0x7f, or 0 if it isn't UTF-8. */
static size_t utf8_length(const unsigned char *bytes, size_t available)
{
	size_t length, i;
	uint32_t value;
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };

	if (bytes[0] >= 0xc2 && bytes[0] < 0xe0)
		length = 2;
	else if (bytes[0] >= 0xe0 && bytes[0] < 0xf0)
		length = 3;
	else if (bytes[0] >= 0xf0 && bytes[0] < 0xf5)
		length = 4;
	else
		return 0;
	if (length > available)
		return 0;
	value = bytes[0] & (0x7fu >> length);
	for (i = 1; i < length; i++) {
		if ((bytes[i] & 0xc0) != 0x80)
			return 0;
		value = value << 6 | (bytes[i] & 0x3f);
	}
	if (value < smallest[length] || value > 0x10ffff || (value >= 0xd800 && value < 0xe000))
		return 0;
	return length;
}

const char *json_text_check_utf8(const char *text, size_t length, size_t *offset)
{
	size_t i = 0, step;
	uint64_t word;

	while (i < length) {
		if (length - i >= sizeof(word)) {
			memcpy(&word, text + i, sizeof(word));
			if (!(word & UINT64_C(0x8080808080808080))) {
				i += sizeof(word);
				continue;
			}
		}
		step = (unsigned char)text[i] < 0x80
			       ? 1
			       : utf8_length((const unsigned char *)text + i, length - i);
		if (!step) {
			*offset = i;
			return "not valid UTF-8; save the file as UTF-8";
		}
		i += step;
	}
	return NULL;
}

static void blank(char *text, size_t from, size_t to)
{
	for (; from < to; from++)
		if (text[from] != '\n')
			text[from] = ' ';
}

/* The end of the string that begins at `start`: behind its closing quote, or the text's end. */
static size_t skip_string(const char *text, size_t length, size_t start)
{
	size_t i;

	for (i = start + 1; i < length && text[i] != '"'; i++)
		if (text[i] == '\\')
			i++;
	return i < length ? i + 1 : length;
}

/* The end of the comment that begins at `start`; 0 if it has none. */
static size_t skip_comment(const char *text, size_t length, size_t start)
{
	const char *end;

	if (text[start + 1] == '/') {
		end = memchr(text + start, '\n', length - start);
		return end ? (size_t)(end - text) : length;
	}
	end = memmem(text + start + 2, length - start - 2, "*/", 2);
	return end ? (size_t)(end - text) + 2 : 0;
}

const char *json_text_relax(char *text, size_t length, size_t *offset)
{
	size_t i = 0, end, comma = 0;
	char last = 0, before_last = 0; /* characters that are neither space nor comment */

	if (length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		blank(text, 0, 3);
	while (i < length) {
		char c = text[i];

		if (c == '/' && i + 1 < length && (text[i + 1] == '/' || text[i + 1] == '*')) {
			end = skip_comment(text, length, i);
			if (!end) {
				*offset = i;
				return "a comment begins here and never ends; close it with */";
			}
			blank(text, i, end);
			i = end;
			continue;
		}
		/* One comma after a value is a trailing one; `[,]` and `[1,,]` stay as wrong as they are. */
		if ((c == ']' || c == '}') && last == ',' && before_last && !strchr("[{,:", before_last))
			text[comma] = ' ';
		if (c == ',')
			comma = i;
		if (!isspace((unsigned char)c)) {
			before_last = last;
			last = c;
		}
		i = c == '"' ? skip_string(text, length, i) : i + 1;
	}
	return NULL;
}

size_t json_text_opening_quote(const char *text, size_t end)
{
	size_t i = end, backslashes;

	/* Inside a string a quote has an odd number of backslashes before it. */
	while (i > 0) {
		i--;
		if (text[i] != '"')
			continue;
		for (backslashes = 0; backslashes < i && text[i - 1 - backslashes] == '\\'; backslashes++)
			;
		if (backslashes % 2 == 0)
			break;
	}
	return i;
}

static unsigned int escape_value(const char *digits)
{
	unsigned int value = 0;
	int i;

	for (i = 0; i < 4; i++)
		value = value << 4 |
			(unsigned int)(isdigit((unsigned char)digits[i]) ? digits[i] - '0'
									 : (digits[i] | 0x20) - 'a' + 10);
	return value;
}

bool json_text_lone_surrogate(const char *string, size_t length)
{
	size_t i = 0;
	unsigned int value, second;

	while (i + 1 < length) {
		if (string[i] != '\\') {
			i++;
			continue;
		}
		if (string[i + 1] != 'u' || i + 6 > length) {
			i += 2;
			continue;
		}
		value = escape_value(string + i + 2);
		i += 6;
		if (value < 0xd800 || value > 0xdfff)
			continue;
		if (value > 0xdbff || i + 6 > length || string[i] != '\\' || string[i + 1] != 'u')
			return true;
		second = escape_value(string + i + 2);
		if (second < 0xdc00 || second > 0xdfff)
			return true;
		i += 6;
	}
	return false;
}

/* The token that ends at `consumed`. */
static size_t token_start(const char *text, size_t consumed)
{
	size_t i = consumed;

	if (!i)
		return 0;
	i--;
	if (text[i] == '"')
		return json_text_opening_quote(text, i);
	while (i > 0 && (isalnum((unsigned char)text[i]) || strchr("+-.", text[i])) &&
		(isalnum((unsigned char)text[i - 1]) || strchr("+-.", text[i - 1])))
		i--;
	return i;
}

const char *json_text_explain(const char *complaint, const char *text, size_t consumed, size_t *offset)
{
	static const struct {
		const char *fragment;
		enum { BEHIND_TOKEN, SHORT_OF_TOKEN, AT_FAULT, AT_END } stopped; /* where yajl did */
		const char *sentence;
	} explanations[] = {
		{ "premature EOF", AT_END,
			"the text ends too early; a bracket, a quote or a value is missing" },
		{ "trailing garbage", BEHIND_TOKEN,
			"there is something after the end of the document; remove it" },
		{ "unallowed token", BEHIND_TOKEN,
			"this cannot stand here; a value is wanted (or a comma or bracket is too many)" },
		{ "invalid object key", BEHIND_TOKEN,
			"a key is wanted here, in double quotes (a comma before the closing brace is too "
			"many)" },
		{ "separated by a colon", BEHIND_TOKEN, "a colon is wanted between the key and its value" },
		{ "after key and value", SHORT_OF_TOKEN,
			"a comma or the closing brace is wanted after the value" },
		{ "after array element", BEHIND_TOKEN,
			"a comma or the closing bracket is wanted after the item" },
		{ "occurs before a character which it may not", AT_FAULT,
			"this escape does not exist; write \\\\ for a backslash" },
		{ "invalid character inside string", AT_FAULT,
			"a control character in a string (or its closing quote is missing); write \\n, \\t "
			"or "
			"\\u00XX" },
		{ "invalid (non-hex) character", AT_FAULT, "\\u wants four hexadecimal digits" },
		{ "invalid char in json text", BEHIND_TOKEN,
			"this character has no meaning here; strings and keys are in double quotes" },
		{ "invalid string in json text", BEHIND_TOKEN,
			"this word has no meaning here; strings and keys are in double quotes" },
		{ "after the decimal point", BEHIND_TOKEN, "a digit is wanted after the decimal point" },
		{ "after the exponent", BEHIND_TOKEN, "a digit is wanted after the exponent" },
		{ "after the minus sign", BEHIND_TOKEN, "a digit is wanted after the minus sign" },
		{ "probable comment", AT_FAULT, "comments are not allowed in this file; remove it" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(explanations); i++) {
		if (!strstr(complaint, explanations[i].fragment))
			continue;
		*offset = consumed;
		while (explanations[i].stopped == AT_END && *offset &&
			isspace((unsigned char)text[*offset - 1]))
			--*offset;
		if (explanations[i].stopped == BEHIND_TOKEN)
			*offset = token_start(text, consumed);
		/* yajl steps back over the token, but not over a string's quotes. Those that close earlier strings are
		 * NULs by now. */
		if (explanations[i].stopped == SHORT_OF_TOKEN && consumed >= 2 && text[consumed - 2] == '"')
			*offset = consumed - 2;
		return explanations[i].sentence;
	}
	*offset = consumed;
	return "not JSON";
}
