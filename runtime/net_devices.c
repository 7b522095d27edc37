/* See net_devices.h. */
#include "runtime/net_devices.h"

#include "runtime/rtnetlink.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <sched.h>
#include <string.h>

/* A socket in another network namespace, which it keeps to whoever uses it. */
static int open_there(int namespace, struct error *err)
{
	_cleanup_close_ int ours = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC), fd = -1;

	if (ours < 0 || setns(namespace, CLONE_NEWNET) < 0)
		return error_set(
			err, errno, "linux.netDevices: cannot enter the container's network namespace");
	fd = rtnetlink_open();
	if (setns(ours, CLONE_NEWNET) < 0)
		return error_set(err, errno, "linux.netDevices: cannot return to our own network namespace");
	return fd < 0 ? error_set(err, errno, "linux.netDevices: cannot speak to the kernel") : steal_fd(&fd);
}

struct move {
	const struct oci_net_device *device;
	const char *name; /* inside */
	int index, new_index;
	struct rtnetlink_addresses addresses;
};

static bool is_template(const char *name)
{
	return strstr(name, "%d") != NULL;
}

static int plan(struct arena *arena, const struct oci_net_device *device, int here, int there,
	struct move *move, struct error *err)
{
	*move = (struct move){ .device = device,
		.name = device->name && *device->name ? device->name : device->host_name };
	move->index = rtnetlink_find(here, device->host_name, 0);
	if (move->index < 0)
		return error_set(err, errno, "linux.netDevices: %s", device->host_name);
	if (!is_template(move->name) && rtnetlink_find(there, move->name, 0) >= 0)
		return error_set(err, 0,
			"linux.netDevices: %s: the container has a device %s already; give it another name",
			device->host_name, move->name);
	if (rtnetlink_addresses(arena, here, move->index, &move->addresses) < 0)
		return error_set(
			err, errno, "linux.netDevices: %s: cannot read its addresses", device->host_name);
	return 0;
}

/* We have to know it again, whatever name a template makes. The kernel keeps the number where it is free. */
static int free_index(int there, int index)
{
	while (rtnetlink_find(there, NULL, index) >= 0)
		index++;
	return index;
}

static int perform(struct move *move, int here, int there, int namespace, struct error *err)
{
	const char *host_name = move->device->host_name;

	move->new_index = free_index(there, move->index);
	if (rtnetlink_move(here, move->index, move->new_index, move->name, namespace) < 0)
		return error_set(err, errno, "linux.netDevices: %s: cannot move it into the container%s",
			host_name, errno == EINVAL ? " (it may be one that is bound to its namespace)" : "");
	for (size_t i = 0; i < move->addresses.count; i++)
		if (rtnetlink_add_address(there, move->new_index, &move->addresses.items[i]) < 0)
			return error_set(err, errno,
				"linux.netDevices: %s: cannot give it its addresses again", host_name);
	if (rtnetlink_up(there, move->new_index) < 0)
		return error_set(err, errno, "linux.netDevices: %s: cannot bring it up", host_name);
	return 0;
}

int net_devices_move(struct arena *arena, const struct oci_linux *linux, pid_t pid, struct error *err)
{
	const size_t count = linux->net_devices.count;
	_cleanup_close_ int here = -1, there = -1, namespace = -1;
	struct move *moves = arena_array(arena, count, sizeof(*moves));

	if (!count)
		return 0;
	namespace = open(arena_printf(arena, "/proc/%d/ns/net", pid), O_RDONLY | O_CLOEXEC);
	if (namespace < 0)
		return error_set(
			err, errno, "linux.netDevices: cannot open the container's network namespace");
	here = rtnetlink_open();
	if (here < 0)
		return error_set(err, errno, "linux.netDevices: cannot speak to the kernel");
	there = open_there(namespace, err);
	if (there < 0)
		return -1;
	for (size_t i = 0; i < count; i++)
		if (plan(arena, &linux->net_devices.items[i], here, there, &moves[i], err) < 0)
			return -1;
	for (size_t i = 0; i < count; i++)
		if (perform(&moves[i], here, there, namespace, err) < 0)
			return -1;
	return 0;
}
