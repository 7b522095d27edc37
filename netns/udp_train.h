/* Trains of datagrams: those of one flow that go out are sent by one call (UDP_SEGMENT, Linux 4.18), and those that come in are
 * received as the kernel has joined them (UDP_GRO, 5.0). Without either, one by one.
 */
#pragma once

#include "netns/udp_flow.h"

#include <sys/uio.h>

/* Puts a datagram at the end of what goes out; when it does not fit there, that is sent first. */
void train_add(struct udp_flow *flow, const struct iovec pieces[2]);
/* Sends what has been put. A flow that meets an error is told, and is no more. */
void train_flush(struct udp *udp);
bool train_flush_before(const struct udp_flow *flow);		 /* false: this very one is no more */
void train_forget(struct udp *udp, const struct udp_flow *flow); /* it ends, unsent */

/* What has arrived at the carrier's socket goes to the container. True: there may be more. */
bool train_receive(struct udp_carrier *carrier);
void train_prepare(int fd); /* a socket that will receive */
