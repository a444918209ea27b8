/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "common/cleanup.h"

static int exit_status(int error)
{
	switch (error) {
	case -ENOENT:
	case -ENODEV:
	case -ECONNREFUSED:
		return EXIT_NOT_FOUND;
	case -EACCES:
	case -EPERM:
		return EXIT_PERMISSION;
	case -ETIMEDOUT:
		return EXIT_TIMEOUT;
	case -EPROTO:
		return EXIT_PROTOCOL;
	default:
		return EXIT_FAILED;
	}
}

/* Names and values are of others: a terminal obeys nothing of them. */
__attribute__((format(printf, 2, 0))) static void say(const struct ctl *ctl, const char *format,
						      va_list ap)
{
	_cleanup_free_ char *text = NULL;

	if (vasprintf(&text, format, ap) < 0)
		text = NULL;
	fprintf(stderr, "bufsharectl: %s%s", ctl->verb ? ctl->verb->name : "",
		ctl->verb ? ": " : "");
	write_clean(stderr, text ?: format);
}

int fail(const struct ctl *ctl, int error, const char *hint, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(ctl, format, ap);
	va_end(ap);
	if (error)
		fprintf(stderr, ": %s", strerror(-error));
	if (hint)
		fprintf(stderr, " (%s)", hint);
	fputc('\n', stderr);
	return exit_status(error);
}

int usage(const struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	say(ctl, format, ap);
	va_end(ap);
	fprintf(stderr, "; see: bufsharectl help%s%s\n", ctl->verb ? " " : "",
		ctl->verb ? ctl->verb->name : "");
	return EXIT_USAGE;
}

void note(const struct ctl *ctl, const char *format, ...)
{
	va_list ap;

	if (ctl->quiet)
		return;
	va_start(ap, format);
	say(ctl, format, ap);
	va_end(ap);
	fputc('\n', stderr);
}

/* ---- the daemon ---- */

int connect_host(struct ctl *ctl, const char *application, struct bufshare_host **host)
{
	const char *hint = NULL;
	int r;

	r = bufshare_host_connect(ctl->socket, application, host);
	if (r == 0)
		return EXIT_OK;
	if (r == -ENOENT || r == -ECONNREFUSED)
		hint = "is vhost-user-bufshare running, and is this its consumer socket?";
	else if (r == -EACCES)
		hint = "the daemon serves its own user, and root";
	else if (r == -EPROTO)
		hint = "this is not the consumer socket of a daemon of this version";
	return fail(ctl, r, hint, "cannot connect to %s", ctl->socket);
}

int sync_host(struct ctl *ctl, struct bufshare_host *host)
{
	const uint64_t deadline = now_ns() + 10000000000ull;
	struct bufshare_event ev;
	int r;

	for (;;) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0 && ev.type == BUFSHARE_EVENT_SYNCED)
			return EXIT_OK;
		if (r == 0)
			continue;
		if (r == -EAGAIN)
			r = wait_for(ctl, bufshare_host_get_fd(host), deadline);
		if (r == 0)
			r = -ETIMEDOUT;
		if (r < 0)
			return fail(ctl, r, NULL, "the daemon does not list its buffers");
	}
}

int find_host_buffer(struct ctl *ctl, uint64_t id, struct bufshare_host **host,
		     struct bufshare_host_buffer **buf)
{
	_cleanup_(cleanup_host) struct bufshare_host *h = NULL;
	int r;

	r = connect_host(ctl, "*", &h);
	if (r == EXIT_OK)
		r = sync_host(ctl, h);
	if (r != EXIT_OK)
		return r;
	r = bufshare_host_get_buffer(h, id, buf);
	if (r < 0)
		return fail(ctl, r, "bufsharectl -H SOCKET buffers lists those there are",
			    "no buffer %" PRIu64, id);
	*host = steal_ptr(&h);
	return EXIT_OK;
}

/* ---- waiting ---- */

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

void interrupting_signals(sigset_t *set)
{
	sigemptyset(set);
	sigaddset(set, SIGINT);
	sigaddset(set, SIGTERM);
	sigaddset(set, SIGHUP);
}

void signals_kill(bool yes)
{
	sigset_t set;

	interrupting_signals(&set);
	sigprocmask(yes ? SIG_UNBLOCK : SIG_BLOCK, &set, NULL);
}

int wait_for_either(const struct ctl *ctl, int first, int second, uint64_t deadline_ns)
{
	struct pollfd p[3] = {
		{ .fd = ctl->signals, .events = POLLIN },
		{ .fd = first, .events = POLLIN }, /* negative: poll() leaves it out */
		{ .fd = second, .events = POLLIN },
	};
	struct timespec ts = { 0 };
	int r;

	/* Nobody reads any more: main() says why. */
	if (ferror(stdout))
		return -EINTR;
	do {
		uint64_t now = now_ns(), left = deadline_ns > now ? deadline_ns - now : 0;

		ts.tv_sec = (time_t)(left / 1000000000);
		ts.tv_nsec = (long)(left % 1000000000);
		r = ppoll(p, ARRAY_SIZE(p), deadline_ns ? &ts : NULL, NULL);
	} while (r < 0 && errno == EINTR);
	if (r < 0)
		return -errno;
	if (p[0].revents)
		return -EINTR;
	return (p[1].revents ? WAIT_FIRST : 0) | (p[2].revents ? WAIT_SECOND : 0);
}

int wait_for(const struct ctl *ctl, int fd, uint64_t deadline_ns)
{
	return wait_for_either(ctl, fd, -1, deadline_ns);
}

/* ---- arguments ---- */

bool parse_u64(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t n;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || *end || n > max)
		return false;
	*value = n;
	return true;
}

bool parse_seconds(const char *s, uint64_t *ns)
{
	double value;
	char *end;

	if ((*s < '0' || *s > '9') && *s != '.')
		return false;
	value = strtod(s, &end);
	if (*end || !(value > 0) || value > 1e9)
		return false;
	*ns = (uint64_t)(value * 1e9);
	return true;
}

bool parse_format(const char *s, uint32_t *format)
{
	if (strlen(s) != 4)
		return false;
	*format = (uint32_t)(unsigned char)s[0] | (uint32_t)(unsigned char)s[1] << 8 |
		  (uint32_t)(unsigned char)s[2] << 16 | (uint32_t)(unsigned char)s[3] << 24;
	return true;
}

int compare_u64(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

/* ---- cleanup ---- */

void cleanup_device(struct bufshare_device **dev)
{
	bufshare_device_unref(*dev);
}

void cleanup_buffer(struct bufshare_buffer **buf)
{
	bufshare_buffer_unref(*buf);
}

void cleanup_host(struct bufshare_host **host)
{
	bufshare_host_unref(*host);
}

void cleanup_host_buffer(struct bufshare_host_buffer **buf)
{
	bufshare_host_buffer_unref(*buf);
}

void cleanup_json(struct json_object **o)
{
	json_object_put(*o);
}
