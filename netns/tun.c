/* See tun.h. */
#include "netns/tun.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int create(const char *name, unsigned short flags, int *fd, struct error *err)
{
	struct ifreq request = { .ifr_flags = (short)(IFF_TUN | IFF_NO_PI | IFF_TUN_EXCL | flags) };

	*fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (*fd < 0)
		return error_set(err, errno,
			"cannot open /dev/net/tun (modprobe tun, and mode 0666 for ordinary users)");
	strncpy(request.ifr_name, name, sizeof(request.ifr_name) - 1);
	if (ioctl(*fd, TUNSETIFF, &request) == 0)
		return 0;
	error_set(err, errno, "cannot make the network link %s", name);
	*fd = close_fd(*fd);
	return -1;
}

/* The most that this kernel will do; false: not even TCP. */
static bool set_offload(struct tun *tun)
{
	static const unsigned long tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
	int header = sizeof(struct virtio_net_hdr);

	if (ioctl(tun->fd, TUNSETVNETHDRSZ, &header) < 0)
		return false;
	tun->udp_offload = ioctl(tun->fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) == 0;
	tun->offload = tun->udp_offload || ioctl(tun->fd, TUNSETOFFLOAD, tcp) == 0;
	return tun->offload;
}

int tun_open(const char *name, bool want_offload, struct tun *tun, struct error *err)
{
	*tun = (struct tun){ .fd = -1 };
	if (!want_offload)
		return create(name, 0, &tun->fd, err);
	if (create(name, IFF_VNET_HDR, &tun->fd, err) < 0)
		return -1;
	if (set_offload(tun))
		return 0;
	tun->fd = close_fd(tun->fd); /* a header that carries nothing would only cost */
	return create(name, 0, &tun->fd, err);
}
