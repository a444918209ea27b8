/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "host/lib/internal.h"

BUFSHARE_EXPORT int bufshare_host_request_stats(struct bufshare_host *host)
{
	struct bufshare_ipc_empty msg;

	if (!host)
		return -EINVAL;
	if (host->error)
		return -ENOTCONN;

	ipc_header(&msg, BUFSHARE_IPC_GET_STATS, sizeof(msg));
	return outbox_send(host, &msg, sizeof(msg));
}

BUFSHARE_EXPORT int bufshare_host_get_stats(const struct bufshare_host *host,
					    struct bufshare_host_stats *stats)
{
	if (!host || !stats)
		return -EINVAL;
	if (!host->stats_valid)
		return -ENOENT;

	*stats = host->stats;
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_get_consumer(const struct bufshare_host *host,
					       struct bufshare_host_consumer *consumer)
{
	if (!host || !consumer)
		return -EINVAL;
	if (!host->consumer_valid)
		return -ENOENT;

	*consumer = host->consumer;
	return 0;
}
