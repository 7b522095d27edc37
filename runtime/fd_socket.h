/* Passing a file descriptor to whoever listens at a Unix socket: --console-socket, --pidfd-socket, linux.seccomp.listenerPath, and
 * the two ends of the handshake.
 */
#pragma once

#include "spec/error.h"

#include <sys/uio.h>

/* Connects to it; `option` ("--console-socket") is for messages. A path of any length will do. */
int fd_socket_connect(const char *option, const char *path, struct error *err);

/* sendmsg(2) of the parts, and of the fd along with the first byte. SIGPIPE is never raised. */
ssize_t fd_socket_sendmsg(int socket_fd, struct iovec *parts, size_t count, int fd);

/* Sends the fd, with a name as the one thing that is written. */
int fd_socket_send(const char *option, int socket_fd, int fd, const char *name, struct error *err);

/* Both, and closes the connection; a path that is NULL is for nothing. */
int fd_socket_pass(const char *option, const char *path, int fd, const char *name, struct error *err);
