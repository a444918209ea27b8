/* SPDX-License-Identifier: MIT */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "host/lib/internal.h"

/* What an application is made of, and what makes a glob of it. */
static bool pattern_valid(const char *pattern)
{
	size_t i;

	for (i = 0; pattern[i]; i++) {
		bool alnum = isascii((unsigned char)pattern[i]) &&
			     isalnum((unsigned char)pattern[i]);

		if (i == BUFSHARE_IPC_NAME_SIZE - 1)
			return false;
		if (!alnum && !strchr("._-*?[]!^", pattern[i]))
			return false;
	}
	return i > 0;
}

/* Index of a pattern; num_patterns if it is not there. */
static size_t find_pattern(const struct bufshare_host *host, const char *pattern)
{
	size_t i;

	for (i = 0; i < host->num_patterns; i++) {
		if (strcmp(host->patterns[i], pattern) == 0)
			break;
	}
	return i;
}

int subscription_send(struct bufshare_host *host, uint32_t type, const char *pattern)
{
	struct bufshare_ipc_subscribe msg;
	int r;

	r = ipc_field_set(msg.pattern, sizeof(msg.pattern), pattern);
	if (r < 0)
		return r;

	ipc_header(&msg, type, sizeof(msg));
	return outbox_send(host, &msg, sizeof(msg));
}

BUFSHARE_EXPORT int bufshare_host_subscribe(struct bufshare_host *host, const char *application)
{
	int r;

	if (!host || !application || !pattern_valid(application))
		return -EINVAL;
	if (host->error)
		return -ENOTCONN;
	if (find_pattern(host, application) < host->num_patterns)
		return -EALREADY;
	if (host->num_patterns == BUFSHARE_IPC_MAX_SUBSCRIPTIONS)
		return -ENOSPC;

	/* While the connection is lost it is kept for the next one. */
	r = host->sock < 0 ? 0 : subscription_send(host, BUFSHARE_IPC_SUBSCRIBE, application);
	if (r < 0)
		return r;

	strcpy(host->patterns[host->num_patterns++], application);
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_unsubscribe(struct bufshare_host *host, const char *application)
{
	size_t i;
	int r;

	if (!host || !application || !pattern_valid(application))
		return -EINVAL;
	if (host->error)
		return -ENOTCONN;
	i = find_pattern(host, application);
	if (i == host->num_patterns)
		return -ENOENT;

	r = host->sock < 0 ? 0 : subscription_send(host, BUFSHARE_IPC_UNSUBSCRIBE, application);
	if (r < 0)
		return r;

	host->num_patterns--;
	memmove(host->patterns[i], host->patterns[host->num_patterns], sizeof(host->patterns[i]));
	return 0;
}
