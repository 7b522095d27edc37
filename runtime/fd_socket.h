/* Passing a file descriptor to whoever listens at a Unix socket: --console-socket, --pidfd-socket.
 */
#pragma once

#include "spec/error.h"

/* Connects to it; `option` ("--console-socket") is for messages. A path of any length will do. */
int fd_socket_connect(const char *option, const char *path, struct error *err);

/* Sends the fd, with a name as the one thing that is written. */
int fd_socket_send(const char *option, int socket_fd, int fd, const char *name, struct error *err);

/* Both, and closes the connection; a path that is NULL is for nothing. */
int fd_socket_pass(const char *option, const char *path, int fd, const char *name, struct error *err);
