/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/transport-fixture.h"
#include "common/fd-leak.h"

static void tell(struct fixture *f, char what)
{
	if (f->num_told < sizeof(f->told) - 1)
		f->told[f->num_told++] = what;
}

static void started(void *data, int how)
{
	struct fixture *f = data;

	tell(f, 'S');
	f->how = how;
	assert_true(vu_is_started(f->vu));
}

static void stopped(void *data)
{
	struct fixture *f = data;

	tell(f, 's');
	assert_false(vu_is_started(f->vu));
	assert_false(vq_is_running(vu_queue(f->vu, ECHO)));
}

static void answer(struct vq_element *element, uint32_t size)
{
	_cleanup_free_ uint8_t *buf = malloc(size + 1);

	assert_non_null(buf);
	if (vq_element_read(element, 0, buf, size) < 0)
		memset(buf, 0, size);
	vq_push(element, buf, size);
}

static void serve_echo(struct fixture *f)
{
	struct vq *vq = vu_queue(f->vu, ECHO);
	struct vq_element *element;
	int r;

	while ((r = vq_pop(vq, &element)) == 0) {
		if (!f->hold) {
			answer(element, element->readable);
			continue;
		}
		assert_in_range(f->num_held, 0, FIXTURE_MAX_HELD - 1);
		f->held[f->num_held++] = element;
	}
	if (r != -EAGAIN)
		f->pop_error = r;
	vq_notify(vq);
}

static void queue_kick(void *data, unsigned int index)
{
	struct fixture *f = data;

	tell(f, '0' + index);
	if (index == ECHO)
		serve_echo(f);
}

static void memory_changed(void *data)
{
	tell(data, 'M');
}

static void closed(void *data, int reason)
{
	struct fixture *f = data;

	tell(f, 'C');
	f->close_reason = reason;
	if (f->free_when_closed)
		f->vu = vu_free(f->vu);
}

static const struct vu_ops ops = {
	.started = started,
	.stopped = stopped,
	.queue_kick = queue_kick,
	.memory_changed = memory_changed,
	.closed = closed,
};

static int pump(void *data)
{
	struct fixture *f = data;

	return loop_iterate(f->loop, 5);
}

static void connect_both(struct fixture *f)
{
	const struct vu_config config = {
		.num_queues = 2,
		.config = f->config,
		.config_size = sizeof(f->config),
		.ops = &ops,
		.data = f,
	};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	assert_int_equal(vu_new(f->loop, fds[0], &config, &f->vu), 0);
	f->ff = ff_new(fds[1], pump, f);
}

int fixture_setup(void **state)
{
	struct fixture *f;
	size_t i;

	if (fd_leak_setup(NULL) < 0)
		return -1;

	f = calloc(1, sizeof(*f));
	assert_non_null(f);
	f->param = *state;
	for (i = 0; i < sizeof(f->config); i++)
		f->config[i] = i + 1;
	assert_int_equal(loop_new(&f->loop), 0);
	connect_both(f);
	*state = f;
	return 0;
}

static void drop_held(struct fixture *f)
{
	while (f->num_held > 0)
		vq_push(f->held[--f->num_held], NULL, 0);
}

int fixture_teardown(void **state)
{
	struct fixture *f = *state;

	vu_free(f->vu);
	drop_held(f); /* void by now, and yet still ours */
	ff_free(f->ff);
	loop_free(f->loop);
	free(f);
	return fd_leak_teardown(NULL);
}

void fixture_renew(struct fixture *f)
{
	vu_free(f->vu);
	drop_held(f);
	ff_free(f->ff);
	connect_both(f);
	fixture_forget(f);
}

void fixture_forget(struct fixture *f)
{
	memset(f->told, 0, sizeof(f->told));
	f->num_told = 0;
}

void fixture_expect(struct fixture *f, const char *told)
{
	assert_string_equal(f->told, told);
	fixture_forget(f);
}

void fixture_echo(struct fixture *f)
{
	static const char request[] = "anybody there?";
	char buf[sizeof(request)] = "";

	assert_int_equal(ff_command(f->ff, request, sizeof(request), buf, sizeof(buf)),
			 sizeof(request));
	assert_string_equal(buf, request);
}

int fixture_event(struct fixture *f, const void *data, uint32_t size)
{
	struct vq *vq = vu_queue(f->vu, EVENTS);
	struct vq_element *element;
	int r;

	r = vq_pop(vq, &element);
	if (r < 0)
		return r;

	vq_push(element, data, size);
	vq_notify(vq);
	return 0;
}

void fixture_answer(struct fixture *f, unsigned int held, uint32_t size)
{
	assert_in_range(held, 0, f->num_held - 1);
	answer(f->held[held], size);
	f->held[held] = NULL;
}

void fixture_settle(struct fixture *f)
{
	while (loop_iterate(f->loop, 0) > 0)
		;
}
