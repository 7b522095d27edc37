/* A worse tun0, for tests: packets lost, sent twice, or overtaken by the next one, in both directions, by chance.
 *
 * Never on unless network.json says so, which only tests do: the policy has no word for it.
 */
#pragma once

#include "spec/error.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct impair;

struct impairment {
	uint8_t lose, repeat, delay; /* per cent of all packets */
};

struct impair *impair_new(const struct impairment *impairment, struct error *err);
void impair_free(struct impair *impair);
/* Like read() and write() of the device. */
ssize_t impair_read(struct impair *impair, int fd, void *bytes, size_t size);
ssize_t impair_write(struct impair *impair, int fd, const void *bytes, size_t length);
