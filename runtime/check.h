/* `fence check`: what this kernel and host can do for fence, each line with what its lack costs.
 */
#pragma once

/* Probes in child processes and prints to stdout. Returns the exit status: 0, or 1 if the front door cannot work here. */
int check_host(const char *hook);
