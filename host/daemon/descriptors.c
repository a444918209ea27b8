/* SPDX-License-Identifier: MIT */
#include <sys/resource.h>

#include "host/daemon/descriptors.h"
#include "host/daemon/log.h"

/* For everything that is not a buffer: sockets, queues, regions of guest memory, messages. */
#define RESERVED 256

uint32_t descriptors_for_buffers(uint32_t buffers)
{
	struct rlimit limit;
	rlim_t room;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return buffers;
	if (limit.rlim_cur < limit.rlim_max) {
		limit.rlim_cur = limit.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &limit) < 0 && getrlimit(RLIMIT_NOFILE, &limit) < 0)
			return buffers;
	}
	room = limit.rlim_cur > RESERVED ? limit.rlim_cur - RESERVED : 1;
	if (room >= buffers)
		return buffers;
	log_warn("%llu file descriptors are enough for %llu buffers, not for %u: raise the limit "
		 "(ulimit -n, LimitNOFILE=) or lower --max-buffers",
		 (unsigned long long)limit.rlim_cur, (unsigned long long)room, buffers);
	return (uint32_t)room;
}
