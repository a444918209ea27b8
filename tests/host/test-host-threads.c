/* SPDX-License-Identifier: MIT */
/*
 * What libbufshare-host(3) says of threads: connections of their own, one connection by
 * turns, and mapped memory for all at any time.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "host/fake-daemon.h"

#define NUM_THREADS 4
#define NUM_UPDATES 200
#define NUM_RENEWALS 200
#define SIZE (16 * FAKE_PAGE)

/* cmocka's checks are for the main thread: the others count what is wrong. */
struct worker {
	pthread_t thread;
	struct fake_daemon *daemon;
	struct bufshare_host_buffer *buf;
	pthread_mutex_t *lock; /* NULL: the connection is its own */
	_Atomic uint64_t *seq; /* of the update that waits for somebody */
	unsigned int taken, wrong;
};

/* ---- a connection each ---- */

static void *take_updates(void *data)
{
	struct worker *w = data;
	struct bufshare_event ev;

	while (w->taken < NUM_UPDATES && !w->wrong) {
		int r = bufshare_host_read_event(w->daemon->host, &ev);

		if (r == -EAGAIN)
			continue;
		w->taken++;
		w->wrong += r < 0 || ev.type != BUFSHARE_EVENT_UPDATED || ev.seq != w->taken + 1 ||
			    bufshare_host_buffer_release(w->buf, ev.seq) < 0;
		atomic_store(w->seq, ev.seq + 1);
	}
	return NULL;
}

static void connections_of_their_own(void **state)
{
	static struct fake_daemon daemons[NUM_THREADS];
	struct worker workers[NUM_THREADS] = { 0 };
	_Atomic uint64_t next[NUM_THREADS];
	uint64_t sent[NUM_THREADS] = { 0 };
	unsigned int i, done = 0;

	for (i = 0; i < NUM_THREADS; i++) {
		fake_open(&daemons[i]);
		fake_connect(&daemons[i], "*");
		workers[i].daemon = &daemons[i];
		workers[i].buf = add_buffer(&daemons[i], 1, SIZE);
		workers[i].seq = &next[i];
		atomic_init(&next[i], 2);
	}
	for (i = 0; i < NUM_THREADS; i++)
		assert_int_equal(pthread_create(&workers[i].thread, NULL, take_updates, &workers[i]),
				 0);
	while (done < NUM_THREADS * NUM_UPDATES) {
		for (i = 0; i < NUM_THREADS; i++) {
			uint64_t seq = atomic_load(&next[i]);

			if (seq == sent[i] || seq > NUM_UPDATES + 1)
				continue;
			fake_pump(&daemons[i]);
			send_updated(&daemons[i], 1, seq);
			sent[i] = seq;
			done++;
		}
	}
	for (i = 0; i < NUM_THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
		assert_int_equal(workers[i].taken, NUM_UPDATES);
		bufshare_host_buffer_unref(workers[i].buf);
		fake_close(&daemons[i]);
	}
}

/* ---- one connection by turns ---- */

static void *take_in_turn(void *data)
{
	struct worker *w = data;
	struct bufshare_event ev;

	for (;;) {
		int r;

		pthread_mutex_lock(w->lock);
		if (atomic_load(w->seq) > NUM_UPDATES + 1) {
			pthread_mutex_unlock(w->lock);
			return NULL;
		}
		r = bufshare_host_read_event(w->daemon->host, &ev);
		if (r == 0) {
			w->wrong += bufshare_host_buffer_release(w->buf, ev.seq) < 0;
			atomic_store(w->seq, ev.seq + 1);
			w->taken++;
		} else if (r != -EAGAIN) {
			w->wrong++;
			atomic_store(w->seq, NUM_UPDATES + 2);
		}
		pthread_mutex_unlock(w->lock);
	}
}

static void one_connection_by_turns(void **state)
{
	static struct fake_daemon daemon;
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	struct worker workers[NUM_THREADS] = { 0 };
	_Atomic uint64_t next = 2;
	unsigned int i, taken = 0;
	uint64_t sent = 0, seq;

	fake_open(&daemon);
	fake_connect(&daemon, "*");
	workers[0].buf = add_buffer(&daemon, 1, SIZE);
	for (i = 0; i < NUM_THREADS; i++) {
		workers[i].daemon = &daemon;
		workers[i].buf = workers[0].buf;
		workers[i].lock = &lock;
		workers[i].seq = &next;
		assert_int_equal(pthread_create(&workers[i].thread, NULL, take_in_turn, &workers[i]),
				 0);
	}
	while ((seq = atomic_load(&next)) <= NUM_UPDATES + 1) {
		if (seq == sent)
			continue;
		fake_pump(&daemon);
		send_updated(&daemon, 1, seq);
		sent = seq;
	}
	for (i = 0; i < NUM_THREADS; i++) {
		assert_int_equal(pthread_join(workers[i].thread, NULL), 0);
		assert_int_equal(workers[i].wrong, 0);
		taken += workers[i].taken;
	}
	assert_int_equal(taken, NUM_UPDATES);
	bufshare_host_buffer_unref(workers[0].buf);
	fake_close(&daemon);
}

/* ---- mapped memory ---- */

struct reader {
	const volatile uint8_t *map;
	_Atomic bool stop;
	unsigned int rounds, wrong;
};

/* What it sees is of one daemon or of the next: there is no moment without memory. */
static void *read_all(void *data)
{
	struct reader *r = data;
	size_t i;

	while (!atomic_load(&r->stop) || !r->rounds) {
		for (i = 0; i < SIZE; i += FAKE_PAGE) {
			const uint8_t byte = r->map[i]; /* the next look may see the other */

			r->wrong += byte != 0x11 && byte != 0x22;
		}
		r->rounds++;
	}
	return NULL;
}

static int filled_memfd(size_t size, uint8_t byte)
{
	static uint8_t contents[2 * SIZE];

	memset(contents, byte, size);
	return make_memfd(contents, size, F_SEAL_SHRINK | F_SEAL_GROW);
}

/* As the next daemon has it: a copy, or guest memory in pieces. */
static void renew(struct bufshare_host_buffer *buf, bool pieces)
{
	struct host_ranges ranges = { 0 };
	int fd;

	if (pieces) {
		ranges.v = calloc(2, sizeof(*ranges.v));
		ranges.n = 2;
		ranges.v[0] = (struct host_range){ SIZE, SIZE / 2 };
		ranges.v[1] = (struct host_range){ 0, SIZE / 2 };
		ranges.size = SIZE;
		ranges.end = SIZE + SIZE / 2;
		fd = filled_memfd(2 * SIZE, 0x22);
		assert_int_equal(mapping_replace(buf, BUFSHARE_PATH_MEMFD, &fd, &ranges), 0);
	} else {
		fd = filled_memfd(SIZE, 0x11);
		assert_int_equal(mapping_replace(buf, BUFSHARE_PATH_COPY, &fd, &ranges), 0);
	}
}

static void memory_for_all(void **state)
{
	static struct fake_daemon daemon;
	struct bufshare_host_buffer *buf;
	struct reader reader = { 0 };
	pthread_t thread;
	const void *map;
	unsigned int i;

	fake_open(&daemon);
	fake_connect(&daemon, "*");
	buf = add_buffer(&daemon, 1, SIZE);
	renew(buf, false);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	reader.map = map;
	assert_int_equal(pthread_create(&thread, NULL, read_all, &reader), 0);
	for (i = 0; i < NUM_RENEWALS; i++)
		renew(buf, i % 2 == 0);
	atomic_store(&reader.stop, true);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(reader.wrong, 0);
	assert_true(reader.rounds > 0);
	bufshare_host_buffer_unref(buf);
	fake_close(&daemon);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fd_leak_setup, fd_leak_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(connections_of_their_own),
		TEST(one_connection_by_turns),
		TEST(memory_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
