/* See residents.h. */
#include "netns/residents.h"

#include "netns/control.h"
#include "netns/flows.h"
#include "spec/cleanup.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>

enum {
	RESIDENTS_MAX = 256,
	VISITORS_MAX = 8,
	VISIT_MILLISECONDS = 5000,
	DESCRIPTION_MAX = 1 << 20, /* of the flows that live: some five thousand of them */
};

struct resident {
	LIST_ENTRY(resident) link;
	struct residents *residents;
	struct watch init;
};

/* A hook that is about to say who else lives here, or somebody who asks what flows. */
struct visitor {
	LIST_ENTRY(visitor) link;
	struct residents *residents;
	struct watch socket;
	struct timer patience;
	char *answer;
	size_t length, sent;
};

struct residents {
	struct loop *loop;
	struct door {
		struct watch watch;
		struct residents *residents;
	} doors[2]; /* the control sockets */
	const struct flows *flows;
	uint64_t rules;
	uid_t owner;
	residents_gone *gone;
	void *data;
	LIST_HEAD(, resident) list;
	LIST_HEAD(, visitor) visitors;
	size_t count, visitor_count;
};

static void remove_resident(struct resident *resident)
{
	LIST_REMOVE(resident, link);
	resident->residents->count--;
	loop_remove(resident->residents->loop, &resident->init);
	close_fd(resident->init.fd);
	free(resident);
}

static void init_ended(struct watch *watch, uint32_t events)
{
	struct resident *resident = container_of(watch, struct resident, init);
	struct residents *residents = resident->residents;

	(void)events;
	remove_resident(resident);
	if (LIST_EMPTY(&residents->list))
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
	LIST_INSERT_HEAD(&residents->list, resident, link);
	residents->count++;
	return 0;
}

static void dismiss(struct visitor *visitor)
{
	struct loop *loop = visitor->residents->loop;

	LIST_REMOVE(visitor, link);
	visitor->residents->visitor_count--;
	loop_cancel_timer(loop, &visitor->patience);
	loop_close(loop, &visitor->socket);
	free(visitor->answer);
	free(visitor);
}

static void patience_ended(struct timer *timer)
{
	dismiss(container_of(timer, struct visitor, patience));
}

/* The descriptor that comes along with a newcomer, or -1: somebody asks, with a byte. False: nothing came, or something else. */
static bool receive(int socket, struct control_newcomer *newcomer, int *fd)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct iovec data = { .iov_base = newcomer, .iov_len = sizeof(*newcomer) };
	struct msghdr message = { .msg_iov = &data,
		.msg_iovlen = 1,
		.msg_control = control.bytes,
		.msg_controllen = sizeof(control) };
	ssize_t length;

	*fd = -1;
	length = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
	if (length <= 0)
		return false;
	if (message.msg_controllen >= CMSG_LEN(sizeof(int)) && control.header.cmsg_level == SOL_SOCKET &&
		control.header.cmsg_type == SCM_RIGHTS)
		memcpy(fd, CMSG_DATA(&control.header), sizeof(*fd));
	return length == (*fd < 0 ? 1 : (ssize_t)sizeof(*newcomer));
}

static void send_answer(struct visitor *visitor)
{
	ssize_t sent = send(visitor->socket.fd, visitor->answer + visitor->sent,
		visitor->length - visitor->sent, MSG_NOSIGNAL);

	if (sent < 0 && errno == EAGAIN)
		return;
	visitor->sent += sent > 0 ? (size_t)sent : 0;
	if (sent <= 0 || visitor->sent == visitor->length)
		dismiss(visitor);
}

static void tell_flows(struct visitor *visitor)
{
	visitor->answer = malloc(DESCRIPTION_MAX);
	if (visitor->answer)
		visitor->length = flows_describe(visitor->residents->flows, visitor->answer, DESCRIPTION_MAX);
	if (!visitor->length || loop_modify(visitor->residents->loop, &visitor->socket, EPOLLOUT) < 0)
		dismiss(visitor);
	else
		send_answer(visitor);
}

static void admit(struct visitor *visitor, const struct control_newcomer *newcomer, int pidfd)
{
	char answer = CONTROL_TAKEN;

	if (newcomer->rules != visitor->residents->rules) {
		close_fd(pidfd);
		answer = CONTROL_OTHER_RULES;
	} else if (add_resident(visitor->residents, pidfd, NULL) < 0) {
		return;
	}
	send(visitor->socket.fd, &answer, 1, MSG_NOSIGNAL);
}

static void visitor_spoke(struct watch *watch, uint32_t events)
{
	struct visitor *visitor = container_of(watch, struct visitor, socket);
	struct control_newcomer newcomer = { 0 };
	int pidfd;

	(void)events;
	if (visitor->answer) {
		send_answer(visitor);
		return;
	}
	if (!receive(watch->fd, &newcomer, &pidfd)) {
		close_fd(pidfd);
		dismiss(visitor);
	} else if (pidfd < 0) {
		tell_flows(visitor);
	} else {
		admit(visitor, &newcomer, pidfd);
		dismiss(visitor);
	}
}

static void greet(struct residents *residents, int fd)
{
	struct visitor *visitor = calloc(1, sizeof(*visitor));

	if (!visitor) {
		close_fd(fd);
		return;
	}
	visitor->residents = residents;
	visitor->patience.fire = patience_ended;
	visitor->socket = (struct watch){ .fd = fd, .ready = visitor_spoke };
	LIST_INSERT_HEAD(&residents->visitors, visitor, link);
	residents->visitor_count++;
	loop_set_timer(residents->loop, &visitor->patience, VISIT_MILLISECONDS);
	if (loop_add(residents->loop, &visitor->socket, EPOLLIN, NULL) < 0)
		dismiss(visitor);
}

static void control_ready(struct watch *watch, uint32_t events)
{
	struct residents *residents = ((struct door *)watch)->residents;
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	struct ucred peer;
	socklen_t size = sizeof(peer);

	(void)events;
	if (fd < 0)
		return;
	/* Any user of the host's network can connect to an abstract socket. */
	if (residents->visitor_count >= VISITORS_MAX ||
		getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 ||
		(peer.uid != residents->owner && peer.uid != 0))
		close_fd(fd);
	else
		greet(residents, fd);
}

static int open_door(struct door *door, struct residents *residents, int fd, struct error *err)
{
	*door = (struct door){ .watch = { .fd = fd, .ready = control_ready }, .residents = residents };
	return loop_add(residents->loop, &door->watch, EPOLLIN, err);
}

bool residents_are_gone(const struct residents *residents)
{
	return LIST_EMPTY(&residents->list);
}

struct residents *residents_new(struct loop *loop, const struct relay_config *config, residents_gone *gone,
	void *data, struct error *err)
{
	struct residents *residents = calloc(1, sizeof(*residents));

	if (!residents) {
		error_set(err, ENOMEM, "cannot watch the container");
		return NULL;
	}
	residents->loop = loop;
	residents->flows = config->flows;
	residents->rules = config->rules;
	residents->owner = geteuid();
	residents->gone = gone;
	residents->data = data;
	if (add_resident(residents, config->init_pidfd, err) == 0 &&
		open_door(&residents->doors[0], residents, config->control_fd, err) == 0 &&
		open_door(&residents->doors[1], residents, config->container_fd, err) == 0)
		return residents;
	residents_free(residents);
	return NULL;
}

void residents_free(struct residents *residents)
{
	if (!residents)
		return;
	while (!LIST_EMPTY(&residents->visitors))
		dismiss(LIST_FIRST(&residents->visitors));
	while (!LIST_EMPTY(&residents->list))
		remove_resident(LIST_FIRST(&residents->list));
	for (size_t i = 0; i < ARRAY_SIZE(residents->doors); i++)
		loop_remove(residents->loop, &residents->doors[i].watch);
	free(residents);
}
