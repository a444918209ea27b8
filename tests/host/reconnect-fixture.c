/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <endian.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "host/reconnect-fixture.h"

void listen_again(struct world *w)
{
	unlink(w->addr.sun_path);
	w->listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(w->listener >= 0);
	assert_int_equal(bind(w->listener, (struct sockaddr *)&w->addr, sizeof(w->addr)), 0);
	assert_int_equal(listen(w->listener, 4), 0);
}

void listen_no_more(struct world *w)
{
	unlink(w->addr.sun_path);
	cleanup_close(&w->listener);
	w->listener = -1;
}

int world_setup(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_int_equal(fd_leak_setup(state), 0);
	w->addr.sun_family = AF_UNIX;
	snprintf(w->addr.sun_path, sizeof(w->addr.sun_path), "/tmp/test-host-reconnect.%d",
		 (int)getpid());
	listen_again(w);
	fake_open(&w->f);
	fake_connect(&w->f, "view*");
	assert_int_equal(recovery_init(w->f.host, w->addr.sun_path), 0);
	*state = w;
	return 0;
}

int world_teardown(void **state)
{
	struct world *w = *state;

	fake_close(&w->f);
	listen_no_more(w);
	free(w);
	return fd_leak_teardown(state);
}

void lose(struct world *w)
{
	cleanup_close(&w->f.sock);
	w->f.sock = -1;
}

/* The fd that the program polls says that there is something, in good time. */
void assert_woken(struct world *w)
{
	struct pollfd p = { .fd = bufshare_host_get_fd(w->f.host), .events = POLLIN };

	assert_int_equal(poll(&p, 1, 20000), 1);
}

/* The daemon is there again: HELLO and the patterns came. */
void accept_again(struct world *w)
{
	struct bufshare_host *host = w->f.host;
	int sock;

	sock = accept4(w->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	assert_true(sock >= 0);
	w->f = (struct fake_daemon){ .sock = sock, .client = -1, .host = host };
	fake_pump(&w->f);
	assert_int_equal(w->f.num_hellos, 1);
}

struct bufshare_ipc_welcome *welcome_fields(struct wire *wire)
{
	return (void *)&wire->msg;
}

void send_welcome(struct world *w, uint64_t epoch, uint32_t state)
{
	struct wire wire;

	wire_welcome(&wire);
	welcome_fields(&wire)->epoch = htole64(epoch);
	welcome_fields(&wire)->state = htole32(state);
	fake_send(&w->f, &wire);
}

void expect_state(struct world *w, uint64_t state)
{
	assert_int_equal(expect_event(&w->f, BUFSHARE_EVENT_STATE, 0).value, state);
	assert_int_equal(bufshare_host_get_state(w->f.host), state);
}

void lose_and_come_back(struct world *w)
{
	w->f.host->recovery.lost_ms = INT64_MIN / 2; /* the last time was long ago */
	lose(w);
	expect_state(w, BUFSHARE_GUEST_RECOVERING);
	accept_again(w);
	send_welcome(w, 1, BUFSHARE_IPC_STATE_RUNNING);
	expect_state(w, BUFSHARE_GUEST_RUNNING);
}

void expect_again(struct world *w, uint64_t id)
{
	assert_int_equal(expect_event(&w->f, BUFSHARE_EVENT_ADDED, id).flags, BUFSHARE_ADDED_AGAIN);
}

/* Its time is over, at once. */
void end_grace(struct world *w)
{
	const struct itimerspec now = { .it_value.tv_nsec = 1 };

	assert_int_equal(timerfd_settime(w->f.host->recovery.timer, 0, &now, NULL), 0);
	assert_woken(w);
}
