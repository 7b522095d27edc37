/* Terminals: a pty in the container's devpts, its master sent to --console-socket, or relayed to our own terminal.
 */
#pragma once

#include "spec/error.h"
#include "spec/oci.h"

#include <poll.h>

/* In the container: opens a new pty on the devpts at `devpts_fd` (a directory fd of /dev/pts). The master is returned;
 * *slave_fd is opened by TIOCGPTPEER, never by path (CVE-2025-52565). */
int console_new(int devpts_fd, const struct oci_console_size *size, int *slave_fd, struct error *err);
int console_make_controlling(int slave_fd, struct error *err);	 /* setsid was done; also becomes fds 0–2 */
int console_connect(const char *socket_path, struct error *err); /* in the parent, before clone */
int console_send(int socket_fd, int master_fd, struct error *err);
void console_keep_newlines(int slave_fd); /* "\n" of a program is not made "\r\n" */

/* `run` and `exec` without a console socket: our terminal goes raw and is copied to and from the master, window size
 * changes follow. Where standard input is no terminal it is copied all the same. */
struct console_relay;
int console_relay_start(struct console_relay **relay, int master_fd, struct error *err);

/* What to poll for next, and what came of it. */
void console_relay_fds(const struct console_relay *relay, struct pollfd *terminal, struct pollfd *master);
void console_relay_step(
	struct console_relay *relay, const struct pollfd *terminal, const struct pollfd *master);

void console_relay_drain(struct console_relay *relay); /* what is left in the pty, once its user is gone */
void console_relay_resize(struct console_relay *relay);
void console_restore(struct console_relay *relay); /* NULL is ignored; frees it */
