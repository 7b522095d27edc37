/* A D-Bus client as small as the systemd driver needs it: method calls, one at a time, and waiting for a signal, on a Unix socket
 * where the service itself answers, without a bus in between.
 *
 * libsystemd has no static archive, and loading it would cost more than all of this. Must never trust a length that it reads,
 * nor wait without a bound.
 */
#pragma once

#include "spec/arena.h"
#include "spec/error.h"

#include <stdbool.h>
#include <stdint.h>

struct dbus {
	int fd;
	uint32_t serial; /* of the last call */
	struct arena *arena;
	const char *peer; /* for messages: "systemd" */
};
#define _cleanup_dbus_ __attribute__((cleanup(dbus_close)))

/* Connects to the socket and says who we are, which the peer learns from the kernel. */
int dbus_open(struct dbus *dbus, struct arena *arena, const char *peer, const char *path, struct error *err);
void dbus_close(struct dbus *dbus);

/* The arguments of a call, put one after the other as its signature says. */
struct dbus_body {
	struct arena *arena;
	unsigned char *bytes;
	size_t length, room;
};
void dbus_put_byte(struct dbus_body *body, uint8_t value);
void dbus_put_bool(struct dbus_body *body, bool value);
void dbus_put_uint32(struct dbus_body *body, uint32_t value);
void dbus_put_uint64(struct dbus_body *body, uint64_t value);
void dbus_put_string(struct dbus_body *body, const char *text); /* also an object path */
void dbus_put_signature(struct dbus_body *body, const char *text);
void dbus_put_struct(struct dbus_body *body); /* begins one */
/* `alignment` is that of its elements: 1, 4 or 8. What is returned is for dbus_end_array(). */
size_t dbus_begin_array(struct dbus_body *body, size_t alignment);
void dbus_end_array(struct dbus_body *body, size_t alignment, size_t begun);

/* What came back; it lives in the arena. Getters return 0 or "" after the end: then `malformed` is set. */
struct dbus_message {
	uint8_t type;
	uint32_t reply_to;
	const char *member, *error, *signature;
	const unsigned char *bytes; /* the whole of it */
	size_t length, offset;	    /* where the next getter reads */
	bool malformed;
};
uint32_t dbus_get_uint32(struct dbus_message *message);
const char *dbus_get_string(struct dbus_message *message);
const char *dbus_get_signature(struct dbus_message *message);

/* What is called. */
struct dbus_method {
	const char *path, *interface, *member, *signature; /* signature: NULL without arguments */
};

/* When the peer answers with an error, its name is reply->error, and its text the message. */
int dbus_call(struct dbus *dbus, const struct dbus_method *method, const struct dbus_body *body,
	struct dbus_message *reply, struct error *err);

/* The next signal of that name with that signature. Those that come while a call waits for its reply are lost. */
int dbus_wait_signal(struct dbus *dbus, const char *member, const char *signature,
	struct dbus_message *signal, struct error *err);
