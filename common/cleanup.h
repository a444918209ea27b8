/* SPDX-License-Identifier: MIT */
/*
 * What a variable holds is given back when it goes out of scope.
 */
#ifndef COMMON_CLEANUP_H
#define COMMON_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))
#define _cleanup_free_ _cleanup_(cleanup_free)
#define _cleanup_close_ _cleanup_(cleanup_close)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

/* Closes the fd if there is one; errno stays as it was. */
static inline void cleanup_close(const int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

/* Takes the value out of a variable, so that its cleanup finds nothing. */
#define steal_ptr(p)				\
	({					\
		__typeof__(*(p)) stolen_ = *(p);	\
		*(p) = NULL;			\
		stolen_;			\
	})

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

#endif /* COMMON_CLEANUP_H */
