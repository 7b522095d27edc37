/* JSON as text, before it is a tree: what json.c needs to know of the bytes themselves. Only json.c includes this file.
 *
 * Nothing here changes the length of the text or the place of a newline in it, so that positions stay true.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/* NULL if the text is UTF-8 in its strict form (no overlong forms, surrogates, or values above U+10FFFF), else what is
 * wrong, and where. */
const char *json_text_check_utf8(const char *text, size_t length, size_t *offset);

/* Blanks comments, trailing commas and a byte order mark with spaces. NULL, or what is wrong, and where. */
const char *json_text_relax(char *text, size_t length, size_t *offset);

/* The opening quote of the string whose closing quote is at `end`. */
size_t json_text_opening_quote(const char *text, size_t end);

/* Whether a raw string (escapes not decoded) holds a \uD800 … \uDFFF that isn't half of a pair. */
bool json_text_lone_surrogate(const char *string, size_t length);

/* What yajl's complaint means, in plain words with the mend; `offset` becomes where the fault begins. */
const char *json_text_explain(const char *complaint, const char *text, size_t consumed, size_t *offset);
