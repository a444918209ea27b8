/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "host/malformed.h"

void resize(struct wire *w, int by)
{
	w->size += by;
	w->msg.hdr.size = htole32(w->size);
}

void replace_fd(struct wire *w, int fd)
{
	cleanup_close(&w->fd);
	w->fd = fd;
}

/* Plays the script before a new connection. Returns what ends the reading of events. */
static int play(struct fake_daemon *f, const struct malformed_case *c, bool spoilt, int *events)
{
	struct script s = { .w = { { .fd = -1 }, { .fd = -1 } } };
	struct bufshare_event event;
	size_t i;
	int r;

	fake_open(f);
	fake_connect(f, "*");
	send_added(f, FREE, SIZE);
	send_added(f, HELD, SIZE);
	send_updated(f, HELD, 2);
	expect_event(f, BUFSHARE_EVENT_ADDED, FREE);
	expect_event(f, BUFSHARE_EVENT_ADDED, HELD);
	expect_event(f, BUFSHARE_EVENT_UPDATED, HELD);

	c->good(&s);
	if (spoilt)
		c->spoil(&s);
	for (i = 0; i < s.n; i++)
		fake_send(f, &s.w[i]);

	*events = 0;
	while ((r = bufshare_host_read_event(f->host, &event)) == 0)
		++*events;
	return r;
}

/* The program learns of it whatever it does, and so does the daemon. */
static void assert_closed(struct fake_daemon *f)
{
	struct pollfd poll_fd = { .fd = bufshare_host_get_fd(f->host), .events = POLLIN };
	struct bufshare_event event;

	memset(&event, 0xee, sizeof(event));
	assert_int_equal(poll(&poll_fd, 1, 0), 1);
	assert_int_equal(bufshare_host_read_event(f->host, &event), -EPROTO);
	assert_int_equal(event.type, 0xeeeeeeee);
	assert_int_equal(bufshare_host_subscribe(f->host, "other"), -ENOTCONN);
	assert_int_equal(bufshare_host_unsubscribe(f->host, "*"), -ENOTCONN);
	assert_int_equal(bufshare_host_request_stats(f->host), -ENOTCONN);
	fake_pump(f);
	assert_true(f->hung_up);
}

static void closes_the_connection(void **state)
{
	const struct malformed_case *c = *state;
	struct bufshare_host_buffer *buf = NULL;
	struct fake_daemon f;
	int events_of_good, events;

	assert_int_equal(play(&f, c, false, &events_of_good), -EAGAIN);
	assert_true(events_of_good > 0);
	fake_close(&f);

	assert_int_equal(play(&f, c, true, &events), -EPROTO);
	assert_true(events <= events_of_good);
	assert_closed(&f);

	/* A buffer that the program has stays, but can not be released. */
	if (bufshare_host_get_buffer(f.host, HELD, &buf) == 0)
		assert_int_equal(bufshare_host_buffer_release(buf, 2), -ENOTCONN);
	fake_close(&f);
	bufshare_host_buffer_unref(buf);
}

int malformed_run(const struct malformed_case *cases, size_t n)
{
	struct CMUnitTest *tests = calloc(n, sizeof(*tests));
	size_t i;
	int r;

	assert_non_null(tests);
	for (i = 0; i < n; i++)
		tests[i] = (struct CMUnitTest){
			.name = cases[i].name,
			.test_func = closes_the_connection,
			.setup_func = fd_leak_setup,
			.teardown_func = fd_leak_teardown,
			.initial_state = (void *)&cases[i],
		};
	r = _cmocka_run_group_tests("malformed", tests, n, NULL, NULL);
	free(tests);
	return r;
}
