/* Netlink, through libmnl: links, addresses and routes of the network namespace that the socket was opened in, and the
 * one way to send a request and read what the kernel says to it.
 *
 * Blocking: only for the hook's short-lived child, never in the relay.
 */
#pragma once

#include "netns/endpoint.h"
#include "spec/error.h"

#include <stddef.h>
#include <stdint.h>

struct nlmsghdr;
struct netlink;

struct netlink *netlink_open(int bus, struct error *err); /* NETLINK_ROUTE, NETLINK_NETFILTER */
void netlink_close(struct netlink *netlink);		  /* NULL is ignored */

static inline void cleanup_netlink(struct netlink **netlink)
{
	netlink_close(*netlink);
}
#define _cleanup_netlink_ __attribute__((cleanup(cleanup_netlink)))

/* Sends `length` bytes of messages and reads until the acknowledgement of the message numbered `last`, or a refusal. The error says `what` and,
 * where the kernel explains itself, its words. */
int netlink_send(struct netlink *netlink, const void *messages, size_t length, uint32_t last,
	const char *what, struct error *err);
uint32_t netlink_sequence(struct netlink *netlink); /* a fresh sequence number */

enum { NETLINK_LOOPBACK = 1 }; /* lo's index in every network namespace */

int netlink_link_up(
	struct netlink *netlink, unsigned int link, unsigned int mtu, struct error *err); /* 0: as is */
/* No link-local address of the kernel's making, hence no router solicitations either. Only where there is IPv6. */
int netlink_link_silence(struct netlink *netlink, unsigned int link, struct error *err);
int netlink_address_add(struct netlink *netlink, unsigned int link, const struct endpoint *address,
	unsigned int prefix, struct error *err);
/* Of TCP, unless the program says otherwise. */
struct route_metrics {
	const char *congestion_control;
	uint32_t advertised_mss;
};

/* All of `family` goes out by `link`, from `source` unless the program says otherwise (family 0: the kernel's choice). */
int netlink_route_default(struct netlink *netlink, sa_family_t family, unsigned int link,
	const struct endpoint *source, const struct route_metrics *metrics, struct error *err);
/* Moves every unicast route of the main table that leaves by another link than lo and `except` to `table`. */
int netlink_routes_move(struct netlink *netlink, unsigned int except, uint32_t table, struct error *err);
/* Packets with `mark` are routed by `table`; the same rule again is no fault. */
int netlink_rule_mark(
	struct netlink *netlink, sa_family_t family, uint32_t mark, uint32_t table, struct error *err);
/* TCP that comes in by `link` is routed by `table`; the same rule again is no fault. */
int netlink_rule_tcp(
	struct netlink *netlink, sa_family_t family, unsigned int link, uint32_t table, struct error *err);
/* In `table` every address of `family` is this host's. */
int netlink_route_local(struct netlink *netlink, sa_family_t family, uint32_t table, struct error *err);
/* The first global address of `family` on a link other than lo and `except`; family 0 when there is none. */
int netlink_find_address(struct netlink *netlink, sa_family_t family, unsigned int except,
	struct endpoint *address, struct error *err);
/* The links other than lo and `except` that are up (an idle sit0 is in every namespace of some hosts): their number is returned. */
int netlink_other_links(
	struct netlink *netlink, unsigned int except, unsigned int *links, size_t max, struct error *err);
