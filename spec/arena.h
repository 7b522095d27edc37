/* An arena: memory that is freed all at once, with the document or the model that lives in it.
 *
 * Nothing in it is freed singly. Running out of memory ends the process (exit status 125): no caller could do
 * anything better, and every half-made thing of fence's is cleaned by whoever watches the process.
 */
#pragma once

#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *arena); /* NULL is ignored */

void *arena_alloc(struct arena *arena, size_t size); /* zeroed, aligned for any type; never NULL */
void *arena_array(struct arena *arena, size_t count, size_t size); /* overflow-checked; zeroed; never NULL */
char *arena_strdup(struct arena *arena, const char *text);
char *arena_strndup(struct arena *arena, const char *text, size_t length);
char *arena_printf(struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Grows a list by one zeroed element of `size` bytes, which is returned: `items` is the *address* of the list's
 * pointer, `count` that of its length. Only for lists that grew by arena_push() from empty. */
void *arena_push(struct arena *arena, void *items, size_t *count, size_t size);

static inline void cleanup_arena(struct arena **arena)
{
	arena_free(*arena);
}
#define _cleanup_arena_ __attribute__((cleanup(cleanup_arena)))
