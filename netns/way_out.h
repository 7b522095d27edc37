/* What the hook makes inside the network namespace for the relay: the device or the listener, and what belongs to them. It is handed over by a
 * socket, since the relay is in its cell by then.
 */
#pragma once

#include "spec/error.h"

#include <stdbool.h>

enum { WAY_OUT_FAMILIES = 2 };

struct way_out {
	int tun_fd;	      /* or -1 */
	bool tun_offload;     /* vnet header, TSO and checksum offload are on */
	bool tun_udp_offload; /* USO, too */
	int mtu;
	int splice_fds
		[WAY_OUT_FAMILIES]; /* listeners for the container's own TCP, or -1: it is translated; see intercept.h */
	int listener_fd;	    /* the SOCKS5 listener inside, without TUN; or -1 */
	int inner_socket; /* a SOCK_SEQPACKET to the helper that makes sockets inside the namespace, or -1: see inner.h */
};

#define WAY_OUT_NONE                                                                          \
	{                                                                                     \
		.tun_fd = -1, .splice_fds = { -1, -1 }, .listener_fd = -1, .inner_socket = -1 \
	}

/* By a SOCK_SEQPACKET. Sending gives the descriptors away. False: nobody takes it. */
bool way_out_send(int socket, struct way_out *out);
/* 0: the sender has ended without a word. */
int way_out_receive(int socket, struct way_out *out, struct error *err);
