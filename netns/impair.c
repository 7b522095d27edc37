/* See impair.h. */
#include "netns/impair.h"

#include "spec/cleanup.h"

#include <stdbool.h>
#include <string.h>

enum { PACKET_MAX = 65536 + 128 };

/* One packet that waits for the next to overtake it, or to come a second time. */
struct waiting {
	size_t length; /* 0: none */
	uint8_t bytes[PACKET_MAX];
};

struct impair {
	struct impairment impairment;
	uint32_t chance;
	struct waiting in, out;
};

enum fate { PASS, LOSE, REPEAT, DELAY };

struct impair *impair_new(const struct impairment *impairment, struct error *err)
{
	struct impair *impair = calloc(1, sizeof(*impair));

	if (!impair) {
		error_set(err, ENOMEM, "cannot make tun0 worse");
		return NULL;
	}
	impair->impairment = *impairment;
	impair->chance = 2463534242; /* the same each time: a failure can be seen again */
	return impair;
}

void impair_free(struct impair *impair)
{
	free(impair);
}

static enum fate decide(struct impair *impair)
{
	const struct impairment *by = &impair->impairment;
	uint32_t chance = impair->chance;
	int percent;

	chance ^= chance << 13; /* xorshift */
	chance ^= chance >> 17;
	chance ^= chance << 5;
	impair->chance = chance;
	percent = (int)(chance % 100);
	if (percent < by->lose)
		return LOSE;
	if (percent < by->lose + by->repeat)
		return REPEAT;
	return percent < by->lose + by->repeat + by->delay ? DELAY : PASS;
}

static void wait_with(struct waiting *waiting, const void *bytes, size_t length)
{
	if (length > sizeof(waiting->bytes))
		return;
	memcpy(waiting->bytes, bytes, length);
	waiting->length = length;
}

static ssize_t take_waiting(struct waiting *waiting, void *bytes, size_t size)
{
	size_t length = waiting->length < size ? waiting->length : size;

	memcpy(bytes, waiting->bytes, length);
	waiting->length = 0;
	return (ssize_t)length;
}

ssize_t impair_read(struct impair *impair, int fd, void *bytes, size_t size)
{
	bool overtaking = false;

	for (;;) {
		ssize_t length;
		enum fate fate;

		if (impair->in.length && !overtaking)
			return take_waiting(&impair->in, bytes, size);
		length = read(fd, bytes, size);
		if (length <= 0) /* nothing to be overtaken by */
			return impair->in.length ? take_waiting(&impair->in, bytes, size) : length;
		if (overtaking)
			return length;
		fate = decide(impair);
		if (fate == LOSE)
			continue;
		if (fate == REPEAT || fate == DELAY)
			wait_with(&impair->in, bytes, (size_t)length);
		if (fate != DELAY)
			return length;
		overtaking = true;
	}
}

ssize_t impair_write(struct impair *impair, int fd, const void *bytes, size_t length)
{
	enum fate fate = decide(impair);
	ssize_t written = (ssize_t)length;

	if (fate == DELAY && !impair->out.length) {
		wait_with(&impair->out, bytes, length);
		return written;
	}
	if (fate != LOSE)
		written = write(fd, bytes, length);
	if (fate == REPEAT)
		written = write(fd, bytes, length);
	if (impair->out.length && write(fd, impair->out.bytes, impair->out.length) >= 0)
		impair->out.length = 0;
	return written;
}
