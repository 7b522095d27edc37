/* The front door: `fence [options] -- COMMAND…`, `fence -c 'LINE'`, `fence spec …`, `fence check`.
 *
 * Turns a command line and a policy into a bundle (spec/compile.h) and hands it to the runtime core. Knows nothing of what
 * a policy means.
 */
#pragma once

#include "spec/arena.h"

/* argv[0] is the program. The exit status: the command's own, 128+signal, or 125, 126, 127. Prints its own errors. */
int front_door_main(struct arena *arena, int argc, char **argv);

/* `fence spec` with any of the front door's options: writes a bundle that every OCI runtime runs. argv[0] is "spec". */
int front_door_spec(struct arena *arena, int argc, char **argv);

/* `fence check`. argv[0] is "check". */
int front_door_check(struct arena *arena, int argc, char **argv);

/* The options that stand before a program, a line each, to standard output. */
void front_door_help(void);
