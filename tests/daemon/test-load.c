/* SPDX-License-Identifier: MIT */
/*
 * Many buffers, many consumers and many updates, with consumers among them that are slow in
 * every way. Nothing is lost: each consumer sees the newest of each buffer in the end, every
 * change in the damage it is given, and no update is unaccounted for. Memory does not grow
 * with time, nor the cost of an update with the number of buffers.
 *
 * make check does little of it; scripts/check-load does it all, and shows the figures.
 */
#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"

#define CONSUMERS 16
#define BUFFERS 1024
#define TILES 16 /* of a picture, in a row; an update changes one */
#define BATCH 32 /* updates that the guest sends at once */
#define GROUPS 16 /* applications */
#define QUEUE VIRTIO_BUFSHARE_QUEUE_CONTROL
#define EVENTS VIRTIO_BUFSHARE_QUEUE_EVENT

/* How a consumer behaves. */
enum kind {
	FAST, /* reads and releases all the time */
	ONE_APPLICATION, /* the same, of an application of 64 buffers */
	SLOW, /* reads and releases now and then */
	HOLDER, /* reads all the time, and releases in the end */
	DEAF, /* reads nothing before the end */
	NARROW, /* fast, with room for a few messages */
};

static const enum kind kinds[CONSUMERS] = {
	FAST, FAST, FAST, ONE_APPLICATION, ONE_APPLICATION, ONE_APPLICATION, ONE_APPLICATION,
	ONE_APPLICATION, SLOW, SLOW, SLOW, HOLDER, HOLDER, DEAF, DEAF, NARROW,
};

struct consumer {
	int sock;
	enum kind kind;
	bool releases;
	uint64_t seen[BUFFERS + 1]; /* seq, by id */
	uint64_t held[BUFFERS + 1];
	uint64_t added, delivered;
};

struct load {
	struct cf *cf;
	unsigned int buffers;
	uint64_t seq[BUFFERS + 1];
	uint64_t released[BUFFERS + 1];
	uint64_t changed[BUFFERS + 1][TILES]; /* seq of the last update of each tile */
	struct consumer consumers[CONSUMERS];
	uint64_t updates, random;
	uint64_t lost; /* changes that no damage told of */
};

static uint64_t now_ns(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* xorshift: the same each time */
static uint32_t dice(struct load *l, uint32_t n)
{
	l->random ^= l->random << 13;
	l->random ^= l->random >> 7;
	l->random ^= l->random << 17;
	return (uint32_t)((l->random >> 16) % n);
}

/* ---- the guest ---- */

static unsigned int add_update(struct load *l, uint64_t id)
{
	uint32_t tile = dice(l, TILES);
	const struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect rect;
	} req = {
		.hdr = {
			.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_UPDATE),
				 .epoch = htole64(l->cf->epoch) },
			.buffer = htole64(id),
			.seq = htole64(++l->seq[id]),
			.num_damage = htole32(1),
		},
		.rect = { htole32(tile * 10), 0, htole32(10), htole32(10) },
	};

	l->changed[id][tile] = l->seq[id];
	l->updates++;
	return ff_add(l->cf->ff, QUEUE, &req, sizeof(req), sizeof(struct virtio_bufshare_response));
}

/* Different buffers, as they come. */
static void update_batch(struct load *l)
{
	struct virtio_bufshare_response resp;
	unsigned int tokens[BATCH], i;
	uint32_t first = dice(l, l->buffers), step = l->buffers / BATCH;

	for (i = 0; i < BATCH; i++)
		tokens[i] = add_update(l, (first + i * step) % l->buffers + 1);
	ff_kick(l->cf->ff, QUEUE);
	for (i = 0; i < BATCH; i++) {
		assert_int_equal(ff_wait(l->cf->ff, QUEUE, tokens[i], &resp, sizeof(resp)),
				 sizeof(resp));
		assert_int_equal(le32toh(resp.status), VIRTIO_BUFSHARE_STATUS_OK);
	}
}

static void take_events(struct load *l)
{
	struct virtio_bufshare_event ev;

	while (ff_poll_event(l->cf->ff, EVENTS, &ev, sizeof(ev)))
		if (le32toh(ev.type) == VIRTIO_BUFSHARE_EVENT_RELEASED)
			l->released[le64toh(ev.buffer)] = le64toh(ev.seq);
}

/* ---- the consumers ---- */

static void send_release(struct load *l, struct consumer *c, uint64_t id, uint64_t seq)
{
	struct bufshare_ipc_release m = { .buffer = htole64(id), .seq = htole64(seq) };
	int r;

	ipc_header(&m, BUFSHARE_IPC_RELEASE, sizeof(m));
	while ((r = ipc_send(c->sock, &m, sizeof(m), -1)) == -EAGAIN)
		loop_iterate(l->cf->loop, 0);
	assert_int_equal(r, 0);
}

static bool tells_of(const struct bufshare_ipc_updated *m, uint32_t tile)
{
	const struct virtio_bufshare_rect *rect = (const void *)(m + 1);
	uint32_t i, n = le32toh(m->num_damage);

	for (i = 0; i < n; i++)
		if (le32toh(rect[i].x) <= tile * 10 &&
		    le32toh(rect[i].x) + le32toh(rect[i].width) >= tile * 10 + 10)
			return true;
	return n == 0;
}

static void on_updated(struct load *l, struct consumer *c, const struct bufshare_ipc_updated *m)
{
	uint64_t id = le64toh(m->buffer), seq = le64toh(m->seq);
	uint32_t tile;

	assert_true(id >= 1 && id <= l->buffers && !c->held[id]);
	assert_true(seq > c->seen[id] && seq <= l->seq[id]);
	for (tile = 0; tile < TILES; tile++) {
		uint64_t changed = l->changed[id][tile];

		if (changed > c->seen[id] && changed <= seq && !tells_of(m, tile))
			l->lost++;
	}
	c->seen[id] = seq;
	c->delivered++;
	if (c->releases)
		send_release(l, c, id, seq);
	else
		c->held[id] = seq;
}

/* Reads what is there. */
static unsigned int read_all(struct load *l, struct consumer *c)
{
	union cf_message msg;
	unsigned int n;
	int r, fd;

	for (n = 0; ; n++) {
		fd = -1;
		r = ipc_recv(c->sock, &msg.raw, &fd);
		if (fd >= 0)
			close(fd);
		if (r == -EAGAIN)
			return n;
		assert_true(r > 0);
		if (le32toh(msg.hdr.type) == BUFSHARE_IPC_UPDATED)
			on_updated(l, c, &msg.updated);
		else if (le32toh(msg.hdr.type) == BUFSHARE_IPC_ADDED)
			c->added++;
	}
}

static void connect_one(struct load *l, struct consumer *c, enum kind kind, unsigned int i)
{
	const struct bufshare_ipc_hello hello = cf_make_hello();
	char pattern[16] = "*";

	c->kind = kind;
	c->releases = kind != HOLDER;
	c->sock = kind == NARROW ? cf_connect_narrow(l->cf) : cf_connect(l->cf);
	cf_send(l->cf, c->sock, &hello, sizeof(hello));
	if (kind == ONE_APPLICATION)
		snprintf(pattern, sizeof(pattern), "app%u", i % GROUPS);
	cf_subscribe(l->cf, c->sock, BUFSHARE_IPC_SUBSCRIBE, pattern);
}

/* Those whose turn it is. */
static void let_live(struct load *l)
{
	unsigned int i;

	for (i = 0; i < CONSUMERS; i++) {
		struct consumer *c = &l->consumers[i];

		if (c->kind == DEAF || (c->kind == SLOW && dice(l, 512)))
			continue;
		read_all(l, c);
	}
	loop_iterate(l->cf->loop, 0);
}

static uint64_t steal_seq(uint64_t *seq)
{
	uint64_t stolen = *seq;

	*seq = 0;
	return stolen;
}

/* Everybody reads and releases everything. */
static void catch_up(struct load *l)
{
	unsigned int i, id, n, idle = 0;

	for (i = 0; i < CONSUMERS; i++) {
		struct consumer *c = &l->consumers[i];

		c->releases = true;
		for (id = 1; id <= l->buffers; id++)
			if (c->held[id])
				send_release(l, c, id, steal_seq(&c->held[id]));
	}
	while (idle < 8) {
		n = 0;
		for (i = 0; i < CONSUMERS; i++)
			n += read_all(l, &l->consumers[i]);
		n += (unsigned int)loop_iterate(l->cf->loop, 0);
		idle = n ? 0 : idle + 1;
		take_events(l);
	}
}

/* ---- the whole ---- */

static void start(struct load *l, void **state, unsigned int buffers)
{
	struct backend_config config = cf_config();
	char application[16];
	unsigned int i, id;

	config.export_mode = EXPORT_MEMFD;
	config.max_consumers = CONSUMERS;
	memset(l, 0, sizeof(*l));
	assert_int_equal(fd_leak_setup(state), 0);
	*state = l->cf = cf_start(&config);
	l->cf->wait_ms = 0;
	l->buffers = buffers;
	l->random = 0x9e3779b97f4a7c15;
	for (id = 1; id <= buffers; id++) {
		snprintf(application, sizeof(application), "app%u", id % GROUPS);
		cf_register_as(l->cf, id, application, "format=XR24", sizeof("format=XR24"));
	}
	for (i = 0; i < CONSUMERS; i++)
		connect_one(l, &l->consumers[i], kinds[i], i);
}

static void stop(struct load *l, void **state)
{
	int i;

	for (i = 0; i < CONSUMERS; i++)
		close(l->consumers[i].sock);
	cf_teardown(state);
}

struct memory_use {
	size_t heap, resident; /* bytes */
};

static struct memory_use memory_use(void)
{
	struct mallinfo2 info = mallinfo2();
	struct memory_use use = { .heap = info.uordblks + info.hblkhd };
	FILE *f = fopen("/proc/self/statm", "re");
	size_t pages;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%*u %zu", &pages), 1);
	fclose(f);
	use.resident = pages * (size_t)sysconf(_SC_PAGESIZE);
	return use;
}

/* By the daemon's own counters: each update was delivered, or is part of one that was. */
static void check_stats(struct load *l, struct consumer *c)
{
	struct bufshare_ipc_empty m;
	union cf_message msg;

	ipc_header(&m, BUFSHARE_IPC_GET_STATS, sizeof(m));
	cf_send(l->cf, c->sock, &m, sizeof(m));
	do {
		msg = cf_skip_to(l->cf, c->sock, BUFSHARE_IPC_STATS);
		assert_int_equal(le64toh(msg.stats.updates),
				 le64toh(msg.stats.delivered) + le64toh(msg.stats.coalesced));
		assert_int_equal(le64toh(msg.stats.lag), 0);
		assert_int_equal(le64toh(msg.stats.revoked), 0);
		assert_int_equal(le64toh(msg.stats.delivered), le64toh(msg.stats.released));
	} while (msg.stats.buffer);
	assert_int_equal(le64toh(msg.stats.delivered), c->delivered);
}

static void check_all(struct load *l)
{
	unsigned int i, id;

	for (id = 1; id <= l->buffers; id++)
		assert_int_equal(l->released[id], l->seq[id]);
	for (i = 0; i < CONSUMERS; i++) {
		struct consumer *c = &l->consumers[i];

		assert_int_equal(c->added, c->kind == ONE_APPLICATION ? l->buffers / GROUPS :
									l->buffers);
		for (id = 1; id <= l->buffers; id++)
			if (c->kind != ONE_APPLICATION || id % GROUPS == i % GROUPS)
				assert_int_equal(c->seen[id], l->seq[id]);
		check_stats(l, c);
	}
	assert_int_equal(l->lost, 0);
}

static uint64_t wanted_updates(void)
{
	const char *text = getenv("BUFSHARE_LOAD_UPDATES");

	return text ? strtoull(text, NULL, 10) : 20000;
}

static void run(struct load *l, uint64_t updates)
{
	uint64_t end = l->updates + updates;

	while (l->updates < end) {
		update_batch(l);
		let_live(l);
		if (l->updates % (64 * BATCH) == 0)
			take_events(l);
	}
}

/* Until all there is has been used once: every buffer changed, every queue as long as it gets. */
static uint64_t warm_up(struct load *l)
{
	uint64_t n = 16ull * l->buffers;

	run(l, n);
	return n;
}

static struct load *new_load(void)
{
	struct load *l = malloc(sizeof(*l));

	assert_non_null(l);
	return l;
}

static void test_load(void **state)
{
	const uint64_t wanted = wanted_updates();
	_cleanup_free_ struct load *l = new_load();
	struct memory_use warm, most, use;
	uint64_t begin, delivered = 0, step;
	unsigned int i;

	start(l, state, BUFFERS);
	warm_up(l);
	warm = most = memory_use();
	begin = now_ns(CLOCK_MONOTONIC);
	step = wanted > 100000 ? 10000 : wanted;
	while (l->updates < wanted) {
		run(l, step);
		use = memory_use();
		if (use.heap > most.heap)
			most.heap = use.heap;
		if (use.resident > most.resident)
			most.resident = use.resident;
	}
	begin = now_ns(CLOCK_MONOTONIC) - begin;
	catch_up(l);
	check_all(l);
	use = memory_use();
	for (i = 0; i < CONSUMERS; i++)
		delivered += l->consumers[i].delivered;
	printf("# load: %u consumers, %u buffers, %" PRIu64 " updates in %.1f s, delivered %" PRIu64
	       " times, nothing lost\n",
	       CONSUMERS, BUFFERS, l->updates, (double)begin / 1e9, delivered);
	printf("# load: heap %zu KiB when warm, at most %zu, %zu in the end; resident %zu, %zu, %zu KiB\n",
	       warm.heap >> 10, most.heap >> 10, use.heap >> 10, warm.resident >> 10,
	       most.resident >> 10, use.resident >> 10);
	assert_true(most.heap <= warm.heap + (64 << 10));
	assert_true(use.heap <= warm.heap + (64 << 10));
	stop(l, state);
}

/* What scripts/check-load counts the instructions of, by this name. */
static void __attribute__((noinline)) measured(struct load *l, uint64_t updates)
{
	run(l, updates);
}

/* CPU time of an update, in ns, with that many buffers and otherwise the same. */
static double cost(struct load *l, void **state, unsigned int buffers, uint64_t updates)
{
	uint64_t begin;

	start(l, state, buffers);
	warm_up(l);
	begin = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	measured(l, updates);
	begin = now_ns(CLOCK_PROCESS_CPUTIME_ID) - begin;
	catch_up(l);
	check_all(l);
	stop(l, state);
	return (double)begin / (double)updates;
}

/* Of scripts/check-load: one cost, of that many buffers, and nothing else. */
static void test_counted(void **state)
{
	const char *buffers = getenv("BUFSHARE_LOAD_COUNT");
	_cleanup_free_ struct load *l = new_load();

	cost(l, state, (unsigned int)atoi(buffers), wanted_updates());
}

static void test_cost(void **state)
{
	const uint64_t updates = wanted_updates() / 5;
	_cleanup_free_ struct load *l = new_load();
	double few = cost(l, state, 64, updates), many = cost(l, state, BUFFERS, updates);

	printf("# load: an update costs %.1f us of CPU with 64 buffers, %.1f us with %u: %.2f times\n",
	       few / 1e3, many / 1e3, BUFFERS, many / few);
	assert_true(many < 3 * few);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_load),
		cmocka_unit_test(test_cost),
	};
	const struct CMUnitTest counted[] = {
		cmocka_unit_test(test_counted),
	};
	struct rlimit limit;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getenv("BUFSHARE_LOAD_COUNT"))
		return cmocka_run_group_tests(counted, NULL, NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
