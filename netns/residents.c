/* See residents.h. */
#include "netns/residents.h"

#include "spec/cleanup.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { RESIDENTS_MAX = 256, JOINERS_MAX = 8, JOIN_MILLISECONDS = 5000 };

struct resident {
	struct resident *next, **slot;
	struct residents *residents;
	struct watch init;
};

/* A hook that is about to say who else lives here. */
struct joiner {
	struct joiner *next, **slot;
	struct residents *residents;
	struct watch socket;
	struct timer patience;
};

struct residents {
	struct loop *loop;
	struct watch control;
	uid_t owner;
	residents_gone *gone;
	void *data;
	struct resident *first;
	struct joiner *joiners;
	size_t count, joiner_count;
};

static void remove_resident(struct resident *resident)
{
	*resident->slot = resident->next;
	if (resident->next)
		resident->next->slot = resident->slot;
	resident->residents->count--;
	loop_remove(resident->residents->loop, &resident->init);
	close_fd(resident->init.fd);
	free(resident);
}

static void init_ended(struct watch *watch, uint32_t events)
{
	struct resident *resident = (struct resident *)((char *)watch - offsetof(struct resident, init));
	struct residents *residents = resident->residents;

	(void)events;
	remove_resident(resident);
	if (!residents->first)
		residents->gone(residents->data);
}

/* Takes the descriptor, also when it fails. */
static int add_resident(struct residents *residents, int pidfd, struct error *err)
{
	struct resident *resident = residents->count < RESIDENTS_MAX ? calloc(1, sizeof(*resident)) : NULL;

	if (!resident) {
		close_fd(pidfd);
		return error_set(err, ENOMEM, "cannot serve another container");
	}
	resident->residents = residents;
	resident->init = (struct watch){ .fd = pidfd, .ready = init_ended };
	if (loop_add(residents->loop, &resident->init, EPOLLIN, err) < 0) {
		close_fd(pidfd);
		free(resident);
		return -1;
	}
	resident->next = residents->first;
	resident->slot = &residents->first;
	if (resident->next)
		resident->next->slot = &resident->next;
	residents->first = resident;
	residents->count++;
	return 0;
}

static void dismiss(struct joiner *joiner)
{
	struct loop *loop = joiner->residents->loop;

	*joiner->slot = joiner->next;
	if (joiner->next)
		joiner->next->slot = joiner->slot;
	joiner->residents->joiner_count--;
	loop_cancel_timer(loop, &joiner->patience);
	loop_remove(loop, &joiner->socket);
	close_fd(joiner->socket.fd);
	free(joiner);
}

static void patience_ended(struct timer *timer)
{
	dismiss((struct joiner *)((char *)timer - offsetof(struct joiner, patience)));
}

static int receive_pidfd(int socket)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	char byte;
	struct iovec data = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	int pidfd;

	if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1 ||
		message.msg_controllen < CMSG_LEN(sizeof(int)) || control.header.cmsg_level != SOL_SOCKET ||
		control.header.cmsg_type != SCM_RIGHTS)
		return -1;
	memcpy(&pidfd, CMSG_DATA(&control.header), sizeof(pidfd));
	return pidfd;
}

static void joiner_spoke(struct watch *watch, uint32_t events)
{
	struct joiner *joiner = (struct joiner *)((char *)watch - offsetof(struct joiner, socket));
	int pidfd = receive_pidfd(watch->fd);

	(void)events;
	if (pidfd >= 0 && add_resident(joiner->residents, pidfd, NULL) == 0)
		send(watch->fd, "", 1, MSG_NOSIGNAL);
	dismiss(joiner);
}

static void greet(struct residents *residents, int fd)
{
	struct joiner *joiner = calloc(1, sizeof(*joiner));

	if (!joiner) {
		close_fd(fd);
		return;
	}
	joiner->residents = residents;
	joiner->patience.fire = patience_ended;
	joiner->socket = (struct watch){ .fd = fd, .ready = joiner_spoke };
	joiner->next = residents->joiners;
	joiner->slot = &residents->joiners;
	if (joiner->next)
		joiner->next->slot = &joiner->next;
	residents->joiners = joiner;
	residents->joiner_count++;
	loop_set_timer(residents->loop, &joiner->patience, JOIN_MILLISECONDS);
	if (loop_add(residents->loop, &joiner->socket, EPOLLIN, NULL) < 0)
		dismiss(joiner);
}

static void control_ready(struct watch *watch, uint32_t events)
{
	struct residents *residents =
		(struct residents *)((char *)watch - offsetof(struct residents, control));
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	(void)events;
	if (fd < 0)
		return;
	/* Any user of the host's network can connect to an abstract socket. */
	if (residents->joiner_count >= JOINERS_MAX ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
		(peer.uid != residents->owner && peer.uid != 0))
		close_fd(fd);
	else
		greet(residents, fd);
}

bool residents_are_gone(const struct residents *residents)
{
	return !residents->first;
}

struct residents *residents_new(struct loop *loop, int init_pidfd, int control_fd, residents_gone *gone,
	void *data, struct error *err)
{
	struct residents *residents = calloc(1, sizeof(*residents));

	if (!residents) {
		error_set(err, ENOMEM, "cannot watch the container");
		return NULL;
	}
	residents->loop = loop;
	residents->owner = geteuid();
	residents->gone = gone;
	residents->data = data;
	residents->control = (struct watch){ .fd = control_fd, .ready = control_ready };
	if (add_resident(residents, init_pidfd, err) == 0 &&
		loop_add(loop, &residents->control, EPOLLIN, err) == 0)
		return residents;
	residents_free(residents);
	return NULL;
}

void residents_free(struct residents *residents)
{
	if (!residents)
		return;
	while (residents->joiners)
		dismiss(residents->joiners);
	while (residents->first)
		remove_resident(residents->first);
	loop_remove(residents->loop, &residents->control);
	free(residents);
}
