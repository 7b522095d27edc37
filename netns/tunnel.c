/* The tunnel: see tunnel.h. Reads whole packets, writes whole packets, knows no flow.
 */
#include "netns/tunnel.h"
#include "spec/cleanup.h"

#include <linux/virtio_net.h>
#include <string.h>
#include <sys/epoll.h>

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* Linux 6.2 */
#endif

enum {
	/* Little enough data that acknowledgements, which wait for the end of a batch, are not late; but so many packets that the
	 * container's own acknowledgements never queue behind what they acknowledge. */
	BYTES_PER_BATCH = 1 << 20,
	PACKETS_PER_BATCH = 128,
	VNET_HEADER = sizeof(struct virtio_net_hdr),
	BUFFER_HEAD = 16, /* so that the IP header after the vnet header is aligned */
	BUFFER_SIZE = BUFFER_HEAD + PACKET_HEADERS_MAX + PACKET_LENGTH_MAX + 1,
};

struct tunnel {
	struct watch watch;
	struct loop *loop;
	struct tunnel_handlers handlers;
	bool offload, udp_offload;
	int mtu;
	struct impair *impair; /* NULL: as good as it is */
	unsigned int next_in;  /* of these: */
	uint8_t in[TUNNEL_PACKETS_KEPT][BUFFER_SIZE] __attribute__((aligned(64)));
	bool holds;
	size_t held_count;
	struct iovec held[TUNNEL_PACKETS_HELD]; /* in these, one after the other: */
	uint8_t out[TUNNEL_PACKETS_HELD][BUFFER_SIZE] __attribute__((aligned(64)));
};

_Static_assert(BUFFER_SIZE % 64 == 0, "each buffer is aligned");
_Static_assert(VNET_HEADER == 10, "IFF_VNET_HDR's default header, without num_buffers");

static ssize_t read_device(struct tunnel *tunnel, void *bytes, size_t size)
{
	return tunnel->impair ? impair_read(tunnel->impair, tunnel->watch.fd, bytes, size)
			      : read(tunnel->watch.fd, bytes, size);
}

static ssize_t write_device(struct tunnel *tunnel, const void *bytes, size_t length)
{
	return tunnel->impair ? impair_write(tunnel->impair, tunnel->watch.fd, bytes, length)
			      : write(tunnel->watch.fd, bytes, length);
}

static bool read_packet(struct tunnel *tunnel, struct packet *packet, size_t *segment, bool *stop)
{
	size_t before = tunnel->offload ? VNET_HEADER : 0;
	uint8_t *start = tunnel->in[tunnel->next_in] + BUFFER_HEAD;
	ssize_t length = read_device(tunnel, start - before, (size_t)BUFFER_SIZE - BUFFER_HEAD);
	struct virtio_net_hdr header = { 0 };

	*segment = 0;
	*stop = length <= 0 && !(length < 0 && errno == EINTR);
	if (length <= (ssize_t)before)
		return false;
	if (tunnel->offload)
		memcpy(&header, start - before, sizeof(header));
	if (!packet_parse(packet, start, (size_t)length - before))
		return false;
	if (header.gso_type == VIRTIO_NET_HDR_GSO_UDP_L4)
		*segment = header.gso_size;
	if ((header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) || packet->fragment)
		return true;
	return packet_checksum_holds(packet);
}

static void tunnel_ready(struct watch *watch, uint32_t events)
{
	struct tunnel *tunnel = (struct tunnel *)watch;
	struct packet packet;
	size_t segment;
	size_t bytes = 0;
	bool stop = false;

	for (int i = 0; i < PACKETS_PER_BATCH && bytes < BYTES_PER_BATCH && !stop; i++) {
		if (!read_packet(tunnel, &packet, &segment, &stop))
			continue;
		bytes += packet.network_length;
		tunnel->handlers.packet(tunnel->handlers.data, &packet, segment);
	}
	tunnel->handlers.flush(tunnel->handlers.data);
	if (events & (EPOLLERR | EPOLLHUP)) /* the device is gone, and with it what the relay is for */
		loop_stop(tunnel->loop);
}

struct tunnel *tunnel_new(struct loop *loop, const struct relay_config *config,
	const struct tunnel_handlers *handlers, struct error *err)
{
	struct tunnel *tunnel = calloc(1, sizeof(*tunnel));
	struct impairment worse = config->impairment;

	if (!tunnel) {
		error_set(err, errno, "cannot make the packet buffers");
		return NULL;
	}
	tunnel->watch.fd = config->out.tun_fd;
	tunnel->watch.ready = tunnel_ready;
	tunnel->loop = loop;
	tunnel->handlers = *handlers;
	tunnel->offload = config->out.tun_offload;
	tunnel->udp_offload = config->out.tun_udp_offload;
	tunnel->mtu = config->out.mtu;
	if (loop_add(loop, &tunnel->watch, EPOLLIN, err) == 0 &&
		(!(worse.lose || worse.repeat || worse.delay) || (tunnel->impair = impair_new(&worse, err))))
		return tunnel;
	tunnel_free(tunnel);
	return NULL;
}

void tunnel_free(struct tunnel *tunnel)
{
	if (!tunnel)
		return;
	loop_remove(tunnel->loop, &tunnel->watch);
	impair_free(tunnel->impair);
	free(tunnel);
}

bool tunnel_can_keep(const struct tunnel *tunnel, const struct packet *packet)
{
	return packet->network == tunnel->in[tunnel->next_in] + BUFFER_HEAD;
}

void tunnel_keep(struct tunnel *tunnel)
{
	tunnel->next_in = (tunnel->next_in + 1) % TUNNEL_PACKETS_KEPT;
}

uint8_t *tunnel_payload(struct tunnel *tunnel)
{
	return tunnel->out[tunnel->held_count] + BUFFER_HEAD + PACKET_HEADERS_MAX;
}

size_t tunnel_payloads(
	struct tunnel *tunnel, size_t each, size_t length, struct iovec places[TUNNEL_PACKETS_HELD])
{
	size_t count = 0;

	for (; length && count < TUNNEL_PACKETS_HELD; count++) {
		size_t piece = length < each ? length : each;

		places[count] =
			(struct iovec){ tunnel->out[count] + BUFFER_HEAD + PACKET_HEADERS_MAX, piece };
		length -= piece;
	}
	return count;
}

uint16_t tunnel_mss(const struct tunnel *tunnel, sa_family_t family)
{
	return (uint16_t)((size_t)tunnel->mtu - packet_tcp_overhead(family));
}

size_t tunnel_tcp_room(const struct tunnel *tunnel, sa_family_t family, uint16_t mss)
{
	size_t most = PACKET_LENGTH_MAX - packet_tcp_overhead(family);

	return tunnel->offload && mss < most ? most - most % mss : mss;
}

static void write_held(struct tunnel *tunnel)
{
	if (!tunnel->impair)
		batch_write(tunnel->watch.fd, tunnel->held, tunnel->held_count);
	for (size_t i = 0; tunnel->impair && i < tunnel->held_count; i++)
		write_device(tunnel, tunnel->held[i].iov_base, tunnel->held[i].iov_len);
	tunnel->held_count = 0;
}

void tunnel_hold(struct tunnel *tunnel)
{
	tunnel->holds = true;
}

void tunnel_release(struct tunnel *tunnel)
{
	tunnel->holds = false;
	write_held(tunnel);
}

static bool write_packet(
	struct tunnel *tunnel, uint8_t *start, size_t length, const struct virtio_net_hdr *header)
{
	if (tunnel->offload) {
		start -= VNET_HEADER;
		length += VNET_HEADER;
		memcpy(start, header, VNET_HEADER);
	}
	if (!tunnel->holds)
		return write_device(tunnel, start, length) == (ssize_t)length;
	tunnel->held[tunnel->held_count++] = (struct iovec){ start, length };
	if (tunnel->held_count == TUNNEL_PACKETS_HELD)
		write_held(tunnel);
	return true;
}

bool tunnel_send_tcp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination, const struct tcp_segment *segment, uint16_t mss)
{
	enum checksum checksum = tunnel->offload ? CHECKSUM_PARTIAL : CHECKSUM_WHOLE;
	uint8_t *payload = tunnel_payload(tunnel);
	uint8_t *start = packet_put_tcp(payload, length, source, destination, segment, checksum);
	bool v4 = source->family == AF_INET;
	size_t headers = (size_t)(payload - start);
	uint16_t network = v4 ? 20 : 40;
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = network,
		.csum_offset = 16,
	};

	if (length > mss) {
		header.gso_type = v4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
		header.gso_size = mss;
		header.hdr_len = (uint16_t)headers;
	}
	return write_packet(tunnel, start, headers + length, &header);
}

bool tunnel_return_tcp(struct tunnel *tunnel, const struct packet *packet)
{
	uint8_t *start = tunnel->out[tunnel->held_count] + BUFFER_HEAD;
	size_t offset = (size_t)(packet->transport - packet->network);
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = (uint16_t)offset,
		.csum_offset = 16,
	};

	memcpy(start, packet->network, packet->network_length);
	packet_put_checksum(packet, start + offset, tunnel->offload ? CHECKSUM_PARTIAL : CHECKSUM_WHOLE);
	return write_packet(tunnel, start, packet->network_length, &header);
}

static bool send_udp(struct tunnel *tunnel, uint8_t *payload, size_t length, size_t segment,
	const struct endpoint *source, const struct endpoint *destination)
{
	uint8_t *start = packet_put_udp(
		payload, length, source, destination, tunnel->offload ? CHECKSUM_PARTIAL : CHECKSUM_WHOLE);
	size_t headers = (size_t)(payload - start);
	struct virtio_net_hdr header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = source->family == AF_INET ? 20 : 40,
		.csum_offset = 6,
	};

	if (segment) {
		header.gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
		header.gso_size = (uint16_t)segment;
		header.hdr_len = (uint16_t)headers;
	}
	return write_packet(tunnel, start, headers + length, &header);
}

bool tunnel_send_udp_train(struct tunnel *tunnel, uint8_t *payload, size_t length, size_t segment,
	const struct endpoint *source, const struct endpoint *destination)
{
	size_t piece = segment && segment < length ? segment : length;
	bool taken = true;

	if (piece == length || (tunnel->udp_offload && (length + piece - 1) / piece <= UDP_SEGMENTS_MAX))
		return send_udp(tunnel, payload, length, piece == length ? 0 : piece, source, destination);
	for (; length; payload += piece, length -= piece) {
		piece = piece < length ? piece : length;
		taken &= send_udp(tunnel, payload, piece, 0, source, destination);
	}
	return taken;
}

bool tunnel_send_udp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination)
{
	return send_udp(tunnel, tunnel_payload(tunnel), length, 0, source, destination);
}

bool tunnel_send_icmp(struct tunnel *tunnel, size_t length, const struct endpoint *source,
	const struct endpoint *destination)
{
	static const struct virtio_net_hdr plain;
	uint8_t *payload = tunnel_payload(tunnel);
	uint8_t *start = packet_put_icmp(payload, length, source, destination);

	return write_packet(tunnel, start, (size_t)(payload - start) + length, &plain);
}
