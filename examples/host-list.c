/* SPDX-License-Identifier: MIT */
/*
 * List what a virtual machine shares, with all properties.
 *
 * cc -o host-list host-list.c $(pkg-config --cflags --libs libbufshare-host)
 */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include <bufshare-host.h>

/* Reads events until every buffer that is there has been told. */
static int wait_synced(struct bufshare_host *host)
{
	struct pollfd p = { .fd = bufshare_host_get_fd(host), .events = POLLIN };
	struct bufshare_event ev;
	int r;

	for (;;) {
		r = bufshare_host_read_event(host, &ev);
		if (r == 0 && ev.type == BUFSHARE_EVENT_SYNCED)
			return 0;
		if (r == -EAGAIN && poll(&p, 1, 5000) == 0)
			return -ETIMEDOUT;
		if (r < 0 && r != -EAGAIN)
			return r;
	}
}

static void print_buffer(const struct bufshare_host_buffer *buf)
{
	const char *name = NULL, *value;

	printf("%" PRIu64 ": %s, %" PRIu64 " bytes\n", bufshare_host_buffer_get_id(buf),
	       bufshare_host_buffer_get_application(buf), bufshare_host_buffer_get_size(buf));
	while (bufshare_host_buffer_next_property(buf, &name) == 0)
		if (bufshare_host_buffer_get_property(buf, name, &value) == 0)
			printf("\t%s=%s\n", name, value);
}

int main(int argc, char **argv)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_host *host = NULL;
	uint64_t id = 0;
	int r;

	if (argc != 2) {
		fprintf(stderr, "usage: host-list SOCKET\n");
		return 2;
	}

	r = bufshare_host_connect(argv[1], "*", &host);
	if (r == 0)
		r = wait_synced(host);
	if (r < 0) {
		fprintf(stderr, "cannot list %s: %s\n", argv[1], strerror(-r));
		bufshare_host_unref(host);
		return 1;
	}

	while (bufshare_host_next_buffer(host, &id) == 0) {
		if (bufshare_host_get_buffer(host, id, &buf) < 0)
			continue;
		print_buffer(buf);
		bufshare_host_buffer_unref(buf);
	}
	bufshare_host_unref(host);
	return 0;
}
