/* Traffic control, through libmnl: filters on what leaves by a link.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct netlink;

/* The packet's four bytes at `offset` from its IP header, as they are in it, less what `mask` leaves out. */
struct traffic_word {
	int offset;
	uint32_t mask, value;
};

struct traffic_filter {
	struct traffic_word words[4];
	size_t count;
	bool back; /* what matches comes in again by the link that it was to leave by; else it leaves */
};

/* Where filters can be; deleting it deletes them. */
int traffic_egress_add(struct netlink *netlink, unsigned int link, struct error *err);
void traffic_egress_delete(struct netlink *netlink, unsigned int link);
/* The one with the lowest priority that matches decides. */
int traffic_filter_add(struct netlink *netlink, unsigned int link, sa_family_t family, uint16_t priority,
	const struct traffic_filter *filter, struct error *err);
