/* A TUN device, made in the network namespace of whoever calls: a tun belongs to the namespace in which /dev/net/tun was
 * opened. It vanishes with the last descriptor.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>

struct tun {
	int fd; /* non-blocking */
	bool offload; /* each packet has a struct virtio_net_hdr (10 bytes) before it; TSO and checksums are ours to do */
	bool udp_offload; /* USO too: Linux 6.2 */
};

/* err->number is ENOENT, EACCES or EPERM when this host, or this user, has no TUN; EBUSY when there is a `name` already. */
int tun_open(const char *name, bool want_offload, struct tun *tun, struct error *err);
