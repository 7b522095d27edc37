/* tmpcopyup: fills a new tmpfs with what it covers.
 */
#pragma once

#include "spec/error.h"

/* Copies everything in the directory `from` (O_PATH) to the directory `to`: files, directories, links, devices where we may
 * make them, with owner, mode, times and extended attributes; and those of the directory itself. Follows nothing. */
int copy_up(int from, int to, struct error *err);
