/* What reading a model by its table has in common with messages anywhere: the nearest word. See table.h. */
#include "spec/table.h"

#include <ctype.h>
#include <string.h>

enum { WORD_MAX = 64 };

/* In lower case and without the separators that people confuse: allow_read is allowRead. Returns its length, 0 if it is
 * too long to be a slip of any word of ours. */
static size_t normalize(const char *word, char *out)
{
	size_t length = 0;

	for (; *word; word++) {
		if (*word == '_' || *word == '-')
			continue;
		if (length == WORD_MAX)
			return 0;
		out[length++] = (char)tolower((unsigned char)*word);
	}
	return length;
}

static size_t smaller(size_t a, size_t b)
{
	return a < b ? a : b;
}

/* Edits between two words; a swap of neighbours is one edit (optimal string alignment). */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
	size_t rows[3][WORD_MAX + 1], *before = rows[0], *above = rows[1], *row = rows[2], *spare;
	size_t i, j;

	for (j = 0; j <= b_length; j++)
		above[j] = j;
	for (i = 1; i <= a_length; i++) {
		row[0] = i;
		for (j = 1; j <= b_length; j++) {
			row[j] = smaller(
				smaller(above[j], row[j - 1]) + 1, above[j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
				row[j] = smaller(row[j], before[j - 2] + 1);
		}
		spare = before;
		before = above;
		above = row;
		row = spare;
	}
	return above[b_length];
}

const char *nearest_word(const char *word, const char *const *candidates, size_t count)
{
	char wanted[WORD_MAX], candidate[WORD_MAX];
	size_t wanted_length = normalize(word, wanted), length, shorter, i, distance, limit;
	size_t best_distance = WORD_MAX;
	const char *best = NULL;

	if (!wanted_length)
		return NULL;
	for (i = 0; i < count; i++) {
		length = normalize(candidates[i], candidate);
		if (!length)
			continue;
		/* A third of the letters, but no more than two: beyond that it is another word. */
		limit = smaller(2, ((wanted_length > length ? wanted_length : length) + 1) / 3);
		distance = edit_distance(wanted, wanted_length, candidate, length);
		/* An abbreviation, or its opposite: "net" for "network", "environment" for "env". */
		shorter = smaller(wanted_length, length);
		if (distance > limit && shorter >= 3 && !memcmp(wanted, candidate, shorter))
			distance = limit;
		if (distance > limit || distance >= best_distance)
			continue;
		best = candidates[i];
		best_distance = distance;
	}
	return best;
}
