/* The five requests of rtnetlink(7) that linux.netDevices takes, on a socket of the caller's: without libmnl, which would be a library
 * more for the runtime to load.
 *
 * Every function returns -1 with errno on failure. Must never wait for anything but the kernel's answer.
 */
#pragma once

#include "spec/arena.h"

#include <linux/if_addr.h>

struct rtnetlink_address {
	struct ifaddrmsg header;
	unsigned char local[16], address[16], broadcast[16];
	unsigned char local_length, address_length, broadcast_length; /* 0: it has none */
};

struct rtnetlink_addresses {
	struct rtnetlink_address *items;
	size_t count;
};

int rtnetlink_open(void);

/* The index of a device by its name, or by its index where name is NULL. */
int rtnetlink_find(int fd, const char *name, int index);

/* The permanent ones of global scope. */
int rtnetlink_addresses(struct arena *arena, int fd, int index, struct rtnetlink_addresses *addresses);
int rtnetlink_add_address(int fd, int index, const struct rtnetlink_address *address);

int rtnetlink_move(int fd, int index, int new_index, const char *name, int namespace);
int rtnetlink_up(int fd, int index);
