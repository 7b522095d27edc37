/* Several packets written to a device by one system call, so that whoever they are for is woken once and finds them all.
 *
 * There is no such call but Linux's native AIO. Each write is done when io_submit() returns, as a TUN device knows no other kind.
 */
#pragma once

#include <stddef.h>
#include <sys/uio.h>

enum { BATCH_MAX = 8 };

/* Before the cell, which does not allow it. A kernel without AIO, or without room for it (fs.aio-max-nr), writes one after the other. */
void batch_prepare(void);

/* At most BATCH_MAX. What the device does not take is lost, as the network may lose packets. */
void batch_write(int fd, const struct iovec *packets, size_t count);
