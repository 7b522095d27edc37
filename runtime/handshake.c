/* See handshake.h. */
#include "runtime/handshake.h"

#include "runtime/fd_socket.h"
#include "spec/cleanup.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

int handshake_pair(int *ours, int *theirs, struct error *err)
{
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return error_set(err, errno, "cannot make a socket pair");
	*ours = pair[0];
	*theirs = pair[1];
	return 0;
}

/* The runtime must outlive a child that dies; a child that the runtime has left need not. */
static ssize_t send_plainly(int socket, enum message_type type, struct iovec *parts, size_t count)
{
	struct msghdr header = { .msg_iov = parts, .msg_iovlen = count };

	if (type <= MESSAGE_TAKEN)
		return sendmsg(socket, &header, MSG_NOSIGNAL);
	return writev(socket, parts, (int)count);
}

int handshake_send(
	int socket, enum message_type type, const void *payload, size_t length, int fd, struct error *err)
{
	struct iovec parts[] = {
		{ &type, sizeof(type) },
		{ (void *)payload, length },
	};
	ssize_t sent;

	do
		sent = fd < 0 ? send_plainly(socket, type, parts, 2)
			      : fd_socket_sendmsg(socket, parts, 2, fd);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return error_set(err, errno, "cannot send to the %s",
			type <= MESSAGE_TAKEN ? "container's init process" : "runtime");
	return 0;
}

int handshake_receive(int socket, struct message *message, struct error *err)
{
	union {
		char bytes[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
	struct iovec parts[] = {
		{ &message->type, sizeof(message->type) },
		{ message->payload, sizeof(message->payload) },
	};
	struct msghdr header = {
		.msg_iov = parts,
		.msg_iovlen = 2,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control.bytes),
	};
	struct cmsghdr *cmsg;
	ssize_t received;

	message->fd = -1;
	/* ECONNRESET says once that the other side left something unread; what it sent before comes after that. */
	do
		received = recvmsg(socket, &header, MSG_CMSG_CLOEXEC);
	while (received < 0 && (errno == EINTR || errno == ECONNRESET));
	if (received < 0)
		return error_set(err, errno, "cannot receive from the other side of the handshake");
	if (received < (ssize_t)sizeof(message->type))
		return 0;
	message->length = (size_t)received - sizeof(message->type);
	cmsg = CMSG_FIRSTHDR(&header);
	if (cmsg && cmsg->cmsg_type == SCM_RIGHTS)
		memcpy(&message->fd, CMSG_DATA(cmsg), sizeof(int));
	return 1;
}

int handshake_expect(int socket, enum message_type type, struct message *message, struct error *err)
{
	int result = handshake_receive(socket, message, err);

	if (result < 0)
		return -1;
	if (result == 0)
		return error_set(err, 0, "the runtime has gone away");
	if (message->type != type)
		return error_set(err, 0, "the handshake is out of step: message %d instead of %d",
			message->type, type);
	return 0;
}

int handshake_wait(int socket, enum message_type type, struct error *err)
{
	enum message_type received;
	ssize_t length;

	do
		length = read(socket, &received, sizeof(received));
	while (length < 0 && errno == EINTR);
	if (length != sizeof(received) || received != type)
		return error_set(err, 0, "the runtime has gone away");
	return 0;
}
