/* See batch.h. The C library has no wrapper for these calls, and the relay needs no more of libaio. */
#include "netns/batch.h"

#include <linux/aio_abi.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static aio_context_t context; /* 0: none */

void batch_prepare(void)
{
	if (syscall(SYS_io_setup, BATCH_MAX, &context) < 0)
		context = 0;
}

/* How many of the first packets the kernel has dealt with. */
static size_t submit(int fd, const struct iovec *packets, size_t count)
{
	struct iocb blocks[BATCH_MAX], *pointers[BATCH_MAX];
	struct io_event results[BATCH_MAX];
	long submitted;

	for (size_t i = 0; i < count; i++) {
		blocks[i] = (struct iocb){ .aio_lio_opcode = IOCB_CMD_PWRITE,
			.aio_fildes = (uint32_t)fd,
			.aio_buf = (uintptr_t)packets[i].iov_base,
			.aio_nbytes = packets[i].iov_len };
		pointers[i] = &blocks[i];
	}
	submitted = syscall(SYS_io_submit, context, (long)count, pointers);
	if (submitted <= 0)
		return 0;
	syscall(SYS_io_getevents, context, submitted, submitted, results, NULL);
	return (size_t)submitted;
}

void batch_write(int fd, const struct iovec *packets, size_t count)
{
	size_t done = count > 1 && context ? submit(fd, packets, count) : 0;

	for (; done < count; done++) {
		if (write(fd, packets[done].iov_base, packets[done].iov_len) < 0)
			continue; /* lost */
	}
}
