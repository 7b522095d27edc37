/* See way_out.h. */
#include "netns/way_out.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { DESCRIPTORS = 3 + WAY_OUT_FAMILIES };

union control {
	struct cmsghdr header;
	char bytes[CMSG_SPACE(DESCRIPTORS * sizeof(int))];
};

/* In the order in which they are passed; in the message a 0 stands for each that comes along. */
static void list_descriptors(struct way_out *out, int *slots[static DESCRIPTORS])
{
	slots[0] = &out->tun_fd;
	slots[1] = &out->listener_fd;
	slots[2] = &out->inner_socket;
	for (size_t i = 0; i < WAY_OUT_FAMILIES; i++)
		slots[3 + i] = &out->splice_fds[i];
}

bool way_out_send(int socket, struct way_out *out)
{
	union control control = { 0 };
	struct iovec data = { .iov_base = out, .iov_len = sizeof(*out) };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1 };
	int *slots[DESCRIPTORS], descriptors[DESCRIPTORS];
	size_t count = 0;
	bool sent;

	list_descriptors(out, slots);
	for (size_t i = 0; i < DESCRIPTORS; i++) {
		if (*slots[i] < 0)
			continue;
		descriptors[count++] = *slots[i];
		*slots[i] = 0;
	}
	if (count) {
		message.msg_control = control.bytes;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		control.header = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
			.cmsg_type = SCM_RIGHTS,
			.cmsg_len = CMSG_LEN(count * sizeof(int)) };
		memcpy(CMSG_DATA(&control.header), descriptors, count * sizeof(int));
	}
	sent = sendmsg(socket, &message, MSG_NOSIGNAL) == (ssize_t)sizeof(*out);
	while (count)
		close_fd(descriptors[--count]);
	*out = (struct way_out)WAY_OUT_NONE;
	return sent;
}

int way_out_receive(int socket, struct way_out *out, struct error *err)
{
	union control control = { 0 };
	struct iovec data = { .iov_base = out, .iov_len = sizeof(*out) };
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	int *slots[DESCRIPTORS];
	ssize_t received;
	size_t taken = 0;

	do
		received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	while (received < 0 && errno == EINTR);
	if (received == 0)
		return 0;
	if (received != (ssize_t)sizeof(*out))
		return error_set(err, received < 0 ? errno : 0, "cannot take over what the hook has made");
	list_descriptors(out, slots);
	for (size_t i = 0; i < DESCRIPTORS; i++) {
		if (*slots[i] == 0)
			memcpy(slots[i], CMSG_DATA(&control.header) + sizeof(int) * taken++, sizeof(int));
	}
	return 1;
}
