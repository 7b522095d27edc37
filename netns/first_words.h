/* What the container says first on a connection to a name, held back until it is known which server it means (server_name.h): where
 * network.json asks for that, and for flows whose record says so.
 *
 * What is another name's, and what does not show its name whole in FIRST_WORDS_TIME, is never sent: the record says why, and the flow's
 * owner resets it. What comes from the server meanwhile is not held back.
 */
#pragma once

#include "netns/flows.h"
#include "netns/server_name.h"

#include <sys/types.h>

enum { FIRST_WORDS_TIME = 10000 /* milliseconds, from the first byte */ };

struct first_words;

/* NULL: the flow may say what it likes. `late` is called at most once, when the time is over; first_words_free() is left to it. */
struct first_words *first_words_new(
	struct loop *loop, struct flow_record *record, void (*late)(void *data), void *data);
void first_words_free(struct first_words *first); /* NULL is ignored */

/* Of bytes that have left the container: in the place of send() until *first is NULL, when all that was held back is sent. `ended`: these
 * are the last. Returns how many it has taken; -1: EAGAIN, they must come again when the socket takes more; EACCES: refused. */
ssize_t first_words_send(struct first_words **first, int fd, const uint8_t *bytes, size_t length, bool ended);

/* Of bytes that wait in a TCP socket of the container's: passes them on to `to`. What is looked at is a copy, and that is sent: while they
 * wait they may still change, since sendfile(2) and splice(2) give pages and no copies. 1: all is sent, and *first is NULL; 0: more must
 * come first; -1: EAGAIN, `to` is full; EACCES: refused; or the connection has failed. */
int first_words_carry(struct first_words **first, int from, int to);
