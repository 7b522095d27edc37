/* See devices.h. */
#include "runtime/devices.h"

#include "runtime/idmap.h"
#include "runtime/mount.h"
#include "runtime/mount_request.h"
#include "runtime/path.h"
#include "spec/cleanup.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct device {
	const char *path;
	mode_t type, mode;
	unsigned int major, minor;
	const struct oci_device *asked; /* NULL: a default one */
};

static const struct device default_devices[] = {
	{ "/dev/null", S_IFCHR, 0666, 1, 3 },
	{ "/dev/zero", S_IFCHR, 0666, 1, 5 },
	{ "/dev/full", S_IFCHR, 0666, 1, 7 },
	{ "/dev/random", S_IFCHR, 0666, 1, 8 },
	{ "/dev/urandom", S_IFCHR, 0666, 1, 9 },
	{ "/dev/tty", S_IFCHR, 0666, 5, 0 },
};

static const struct {
	const char *name, *target;
} links[] = {
	{ "ptmx", "pts/ptmx" },
	{ "fd", "/proc/self/fd" },
	{ "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" },
};

/* The letters of linux.devices[].type; "u" is a character device by another name. */
static const struct {
	char letter;
	mode_t type;
} types[] = { { 'c', S_IFCHR }, { 'u', S_IFCHR }, { 'b', S_IFBLK }, { 'p', S_IFIFO } };

static bool is_device(const struct stat *status, const struct device *device)
{
	return (status->st_mode & S_IFMT) == device->type &&
	       (device->type == S_IFIFO || status->st_rdev == makedev(device->major, device->minor));
}

static int check_present(int directory, const char *name, const struct device *device, struct error *err)
{
	struct stat status;

	if (fstatat(directory, name, &status, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(err, errno, "cannot look at %s", device->path);
	if (!is_device(&status, device))
		return error_set(err, 0, "there is something else at %s in the rootfs already; remove it",
			device->path);
	return 0;
}

/* ---- where no node can be made: in a user namespace ---- */

static int clone_device(const char *path, const struct device *device)
{
	_cleanup_close_ int fd = mount_clone(AT_FDCWD, path, false, true);
	struct stat status;

	return fd >= 0 && fstat(fd, &status) == 0 && is_device(&status, device) ? steal_fd(&fd) : -1;
}

/* The host's own, by the same name or by its numbers (where udev links them); or -1. */
static int clone_host_device(const struct device *device)
{
	int fd = clone_device(device->path, device);
	char numbered[64];

	if (fd >= 0)
		return fd;
	snprintf(numbered, sizeof(numbered), "/dev/%s/%u:%u", device->type == S_IFBLK ? "block" : "char",
		device->major, device->minor);
	return clone_device(numbered, device);
}

/* A node that lives on a tmpfs of the host's user namespace which nobody else sees. It belongs to whom the container means. */
static int make_outside(const struct oci_linux *linux, const struct device *device)
{
	static const struct mount_options options = { .own.set = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC };
	uid_t uid = device->asked->uid.value;
	gid_t gid = device->asked->gid.value;
	_cleanup_close_ int tmpfs = -1;

	if (!idmap_outside(&linux->uid_mappings, uid, &uid) ||
		!idmap_outside(&linux->gid_mappings, gid, &gid) ||
		mount_create("tmpfs", "tmpfs", &options, NULL, true, &tmpfs, NULL) < 0 ||
		mknodat(tmpfs, "device", device->type | device->mode, makedev(device->major, device->minor)) <
			0 ||
		fchownat(tmpfs, "device", uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -1;
	return mount_clone(tmpfs, "device", false, true);
}

static int bind_device(
	int directory, const char *name, const struct device *device, int made, struct error *err)
{
	_cleanup_close_ int found = made < 0 ? clone_host_device(device) : -1, target = -1;
	int fd = made < 0 ? found : made;

	if (fd < 0)
		return error_set(err, 0,
			"the host has neither a %s that is device %u:%u nor a link to such a one in /dev/%s; "
			"in a "
			"user namespace no device can be made",
			device->path, device->major, device->minor,
			device->type == S_IFBLK ? "block" : "char");
	target = openat(directory, name, O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (target < 0 && errno == EEXIST)
		target = openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0 || mount_attach(fd, target) < 0)
		return error_set(err, errno, "cannot mount the host's %s", device->path);
	return 0;
}

static int give_owner(int directory, const char *name, const struct device *device, struct error *err)
{
	uid_t uid = device->asked && device->asked->uid.set ? device->asked->uid.value : 0;
	gid_t gid = device->asked && device->asked->gid.set ? device->asked->gid.value : 0;

	if ((uid || gid) && fchownat(directory, name, uid, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return error_set(
			err, errno, "cannot give %s to user %u and group %u", device->path, uid, gid);
	return 0;
}

static int make_device(const struct rootfs_context *context, int directory, const char *name,
	const struct device *device, int made, struct error *err)
{
	if (context->user_namespace && device->type != S_IFIFO)
		return bind_device(directory, name, device, made, err);
	if (mknodat(directory, name, device->type | device->mode, makedev(device->major, device->minor)) == 0)
		return give_owner(directory, name, device, err);
	if (errno == EEXIST)
		return check_present(directory, name, device, err);
	if (errno == EPERM) /* a user namespace further out */
		return bind_device(directory, name, device, -1, err);
	return error_set(err, errno, "cannot make the device %s", device->path);
}

static struct device device_asked_for(const struct oci_device *asked)
{
	struct device device = {
		.path = asked->path,
		.mode = asked->file_mode.set ? asked->file_mode.value & 07777 : 0666,
		.major = (unsigned int)asked->major.value,
		.minor = (unsigned int)asked->minor.value,
		.asked = asked,
	};

	for (size_t i = 0; i < ARRAY_SIZE(types); i++)
		if (types[i].letter == asked->type[0])
			device.type = types[i].type;
	return device;
}

void devices_make_outside(struct rootfs_context *context)
{
	const struct oci_linux *linux = context->config->linux;

	if (!context->user_namespace || !linux->devices.count || geteuid() != 0)
		return;
	context->devices = arena_array(context->arena, linux->devices.count, sizeof(*context->devices));
	for (size_t i = 0; i < linux->devices.count; i++) {
		const struct device device = device_asked_for(&linux->devices.items[i]);
		_cleanup_close_ int found = device.type == S_IFIFO ? -1 : clone_host_device(&device);

		context->devices[i] = found < 0 && device.type != S_IFIFO ? make_outside(linux, &device) : -1;
	}
}

void devices_close(struct rootfs_context *context)
{
	for (size_t i = 0; context->devices && i < context->config->linux->devices.count; i++)
		context->devices[i] = close_fd(context->devices[i]);
}

static int make_asked(const struct rootfs_context *context, size_t index, struct error *err)
{
	const struct device device = device_asked_for(&context->config->linux->devices.items[index]);
	_cleanup_close_ int parent = -1;
	const char *name;

	parent = path_make_parent_in_root(context->root_fd, device.path, &name, err);
	if (parent < 0 || make_device(context, parent, name, &device,
				  context->devices ? context->devices[index] : -1, err) < 0)
		return error_wrap(err, "linux.devices[%zu]", index);
	return 0;
}

static int make_links(int directory, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(links); i++)
		if (symlinkat(links[i].target, directory, links[i].name) < 0 && errno != EEXIST)
			return error_set(err, errno, "cannot make the link /dev/%s", links[i].name);
	return 0;
}

/* A /dev that is bound from the host is as its owner wants it. */
static bool dev_is_bound(const struct rootfs_context *context)
{
	for (size_t i = 0; i < context->config->mounts.count; i++)
		if (context->requests[i].options.bind &&
			strcmp(context->requests[i].destination, "/dev") == 0)
			return true;
	return false;
}

int devices_make(const struct rootfs_context *context, struct error *err)
{
	const struct oci_linux *linux = context->config->linux;
	_cleanup_close_ int dev = -1;

	for (size_t i = 0; linux && i < linux->devices.count; i++)
		if (make_asked(context, i, err) < 0)
			return -1;
	if (dev_is_bound(context))
		return 0;
	dev = path_make_in_root(context->root_fd, "/dev", S_IFDIR, 0, NULL, err);
	if (dev < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
		if (make_device(context, dev, default_devices[i].path + strlen("/dev/"), &default_devices[i],
			    -1, err) < 0)
			return -1;
	return make_links(dev, err);
}

int devices_mount_console(const struct rootfs_context *context, int pty_fd, struct error *err)
{
	_cleanup_close_ int fd = mount_clone(pty_fd, "", false, true), dev = -1, target = -1;

	if (fd < 0)
		return error_set(err, errno, "cannot take the terminal from /dev/pts");
	dev = path_make_in_root(context->root_fd, "/dev", S_IFDIR, 0, NULL, err);
	if (dev < 0)
		return -1;
	target = openat(dev, "console", O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (target < 0 && errno == EEXIST)
		target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return error_set(err, errno, "cannot make /dev/console");
	if (mount_attach(fd, target) < 0)
		return error_set(err, errno, "cannot mount the terminal on /dev/console");
	return 0;
}

/* ---- for checkpoints ---- */

static bool names_device(const char *path, const struct device *device)
{
	struct stat status;

	return stat(path, &status) == 0 && is_device(&status, device);
}

static int visit_bound(struct arena *arena, const struct device *device, devices_visitor *visit, void *data,
	struct error *err)
{
	const char *host_path = device->path;

	if (device->type == S_IFIFO)
		return 0;
	if (!names_device(host_path, device))
		host_path = arena_printf(arena, "/dev/%s/%u:%u", device->type == S_IFBLK ? "block" : "char",
			device->major, device->minor);
	if (!names_device(host_path, device))
		return error_set(err, 0,
			"the host has no node of the device %s, as CRIU needs with a user namespace",
			device->path);
	return visit(data, device->path, host_path, err);
}

static bool is_asked_for(const struct oci_linux *linux, const struct device *device)
{
	for (size_t i = 0; i < linux->devices.count; i++)
		if (strcmp(linux->devices.items[i].path, device->path) == 0)
			return true;
	return false;
}

int devices_visit_bound(struct arena *arena, const struct oci_config *config, devices_visitor *visit,
	void *data, struct error *err)
{
	const struct oci_linux *linux = config->linux;

	if (!oci_namespace_find(config, "user"))
		return 0;
	for (size_t i = 0; i < linux->devices.count; i++) {
		const struct device device = device_asked_for(&linux->devices.items[i]);

		if (visit_bound(arena, &device, visit, data, err) < 0)
			return error_wrap(err, "linux.devices[%zu]", i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(default_devices); i++)
		if (!is_asked_for(linux, &default_devices[i]) &&
			visit_bound(arena, &default_devices[i], visit, data, err) < 0)
			return -1;
	return 0;
}
