/* Cleanup attributes: what a scope owns is released when the scope ends, on every path out of it.
 * After systemd's _cleanup_ macros. Every room may include this file.
 */
#pragma once

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(function) __attribute__((cleanup(function)))

/* close() that keeps errno, ignores -1 and returns -1, for `fd = close_fd(fd)`. */
static inline int close_fd(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

static inline void cleanup_free(void *pointer)
{
	free(*(void **)pointer);
}

static inline void cleanup_close(int *fd)
{
	close_fd(*fd);
}

static inline void cleanup_fclose(FILE **file)
{
	if (*file)
		fclose(*file);
}

static inline void cleanup_closedir(DIR **directory)
{
	if (*directory)
		closedir(*directory);
}

#define _cleanup_free_	   _cleanup_(cleanup_free)
#define _cleanup_close_	   _cleanup_(cleanup_close)
#define _cleanup_fclose_   _cleanup_(cleanup_fclose)
#define _cleanup_closedir_ _cleanup_(cleanup_closedir)

/* Hand ownership out of a cleanup scope. */
static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#define steal_pointer(pointer)                             \
	({                                                 \
		__typeof__(*(pointer)) *slot_ = (pointer); \
		__typeof__(*(pointer)) stolen_ = *slot_;   \
		*slot_ = NULL;                             \
		stolen_;                                   \
	})

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))
