/* DNS over TCP as the container sees it: the relay's TCP splices such a flow to one of these streams.
 */
#pragma once

#include "netns/dns.h"

struct dns_streams;
struct dns_streams *dns_streams_new(struct loop *loop, struct dns *dns); /* NULL: no memory */
void dns_streams_free(struct dns_streams *streams);

int dns_stream_open(struct dns_streams *streams); /* the flow's end, or -1 with errno */
