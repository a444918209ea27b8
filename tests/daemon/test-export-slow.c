/* SPDX-License-Identifier: MIT */
/*
 * While the thread for exports is at work: nobody else waits for it, and whatever ends
 * meanwhile ends in order. The work stands still until a test lets it go on.
 */
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "daemon/consumer-fixture.h"
#include "host/daemon/export-internal.h"

#define SIZE (256 << 10) /* more than is copied at once */
#define ALL (struct virtio_bufshare_rect){ 0 }

/* ---- the work ---- */

static struct {
	bool blocks;
	bool no_threads;
	int begun[2], go[2]; /* a byte for each job */
} work;

void __real_export_run_copy(struct export_job *job);
void __wrap_export_run_copy(struct export_job *job);
void __wrap_export_run_udmabuf(struct export_job *job);
int __real_open(const char *path, int flags, ...);
int __wrap_open(const char *path, int flags, ...);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *data),
			  void *data);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *data),
			  void *data);

/* In the thread, where no assertion can be made. */
static void stand_still(void)
{
	char c = 0;

	if (!work.blocks)
		return;
	if (write(work.begun[1], &c, 1) != 1 || read(work.go[0], &c, 1) != 1)
		abort();
}

void __wrap_export_run_copy(struct export_job *job)
{
	stand_still();
	__real_export_run_copy(job);
}

/* There is no udmabuf where tests run. */
void __wrap_export_run_udmabuf(struct export_job *job)
{
	stand_still();
	export_of(job)->result = memfd_create("dma-buf", MFD_CLOEXEC);
}

int __wrap_open(const char *path, int flags, ...)
{
	return __real_open(strcmp(path, "/dev/udmabuf") ? path : "/dev/null", flags);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *data),
			  void *data)
{
	return work.no_threads ? EAGAIN : __real_pthread_create(thread, attr, fn, data);
}

static void wait_begun(void)
{
	char c;

	assert_int_equal(read(work.begun[0], &c, 1), 1);
}

static void let_go(void)
{
	assert_int_equal(write(work.go[1], "x", 1), 1);
}

/* ---- the world ---- */

static uint64_t big; /* where the large buffer is */

static int setup_mode(void **state, int mode)
{
	struct backend_config config = cf_config();
	struct cf *cf;

	memset(&work, 0, sizeof(work));
	assert_int_equal(pipe2(work.begun, O_CLOEXEC), 0);
	assert_int_equal(pipe2(work.go, O_CLOEXEC), 0);
	assert_int_equal(fd_leak_setup(state), 0);
	config.export_mode = mode;
	config.release_timeout_ns = 0;
	cf = cf_start(&config);
	big = ff_alloc(cf->ff, SIZE);
	*state = cf;
	return 0;
}

static int setup_copy(void **state)
{
	return setup_mode(state, EXPORT_COPY);
}

static int setup_udmabuf(void **state)
{
	return setup_mode(state, EXPORT_AUTO);
}

static int teardown(void **state)
{
	size_t i;
	int r;

	/* What a test that failed left standing. */
	if (write(work.go[1], "xxxxxxxx", 8) != 8)
		return -1;
	r = cf_teardown(state);
	for (i = 0; i < 2; i++) {
		close(work.begun[i]);
		close(work.go[i]);
	}
	return r;
}

static unsigned int send_register(struct cf *cf, uint64_t id)
{
	const struct {
		struct virtio_bufshare_register hdr;
		struct virtio_bufshare_range range;
	} req = {
		.hdr = {
			.hdr = {
				.type = htole32(VIRTIO_BUFSHARE_CMD_REGISTER),
				.epoch = htole64(cf->epoch),
			},
			.buffer = htole64(id),
			.size = htole64(SIZE),
			.num_ranges = htole32(1),
			.application = CF_APPLICATION,
		},
		.range = { htole64(big), htole64(SIZE) },
	};

	return ff_send(cf->ff, VIRTIO_BUFSHARE_QUEUE_CONTROL, &req, sizeof(req),
		       sizeof(struct virtio_bufshare_register_response));
}

static struct virtio_bufshare_register_response wait_register(struct cf *cf, unsigned int token)
{
	struct virtio_bufshare_register_response resp;

	assert_int_equal(ff_wait(cf->ff, VIRTIO_BUFSHARE_QUEUE_CONTROL, token, &resp, sizeof(resp)),
			 sizeof(resp));
	return resp;
}

/* The buffer that takes time. */
static void register_big(struct cf *cf)
{
	const struct virtio_bufshare_register_response resp = wait_register(cf, send_register(cf, 9));

	assert_int_equal(le32toh(resp.hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
}

static bool is_answered(struct cf *cf, unsigned int token)
{
	cf_pump(cf);
	return ff_is_used(cf->ff, VIRTIO_BUFSHARE_QUEUE_CONTROL, token);
}

/* The next message, however long the thread takes. */
static union cf_message wait_message(struct cf *cf, int sock, uint32_t type)
{
	union cf_message msg;
	int r, fd = -1, tries;

	for (tries = 0; (r = cf_next(cf, sock, &msg, &fd)) == 0 && tries < 1000; tries++)
		loop_iterate(cf->loop, 10);
	assert_int_equal(r, type);
	if (fd >= 0)
		close(fd);
	return msg;
}

/* Everything but the thread goes on: the VMM, the guest's other buffers, a consumer of them. */
static void assert_goes_on(struct cf *cf, int sock, uint64_t id)
{
	struct virtio_bufshare_config config;

	ff_get_config(cf->ff, 0, &config, sizeof(config));
	assert_int_equal(le32toh(config.magic), VIRTIO_BUFSHARE_MAGIC);
	cf_update(cf, id, 1, ALL);
	cf_expect_updated(cf, sock, id, 1);
	cf_release(cf, sock, id, 1);
	cf_expect_released(cf, id, 1, 0);
	cf_expect_nothing(cf, sock);
}

static void update_big(struct cf *cf, uint64_t seq, uint8_t byte)
{
	memset(ff_ptr(cf->ff, big, SIZE), byte, SIZE);
	cf_update(cf, 9, seq, ALL);
}

/* A subscriber that knows the large buffer, whose descriptor it keeps. */
static int knows_big(struct cf *cf, int *fd)
{
	int sock = cf_subscriber(cf, CF_APPLICATION);
	union cf_message msg = cf_expect_added(cf, sock, fd);

	assert_int_equal(le64toh(msg.added.buffer), 9);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	return sock;
}

static void assert_contents(int fd, uint8_t byte)
{
	static uint8_t got[SIZE];
	size_t i;

	assert_int_equal(pread(fd, got, sizeof(got), 0), sizeof(got));
	for (i = 0; i < sizeof(got); i++)
		assert_int_equal(got[i], byte);
}

/* ---- dma-bufs ---- */

static void test_register(void **state)
{
	struct cf *cf = *state;
	unsigned int token;
	int sock;

	cf_register(cf, 1);
	sock = cf_knows(cf, 1);
	work.blocks = true;
	token = send_register(cf, 9);
	cf_pump(cf);
	wait_begun();
	assert_goes_on(cf, sock, 1);
	assert_false(is_answered(cf, token));

	let_go();
	assert_int_equal(le32toh(wait_register(cf, token).path), VIRTIO_BUFSHARE_PATH_UDMABUF);
	cf_expect_added_id(cf, sock, 9);
	close(sock);
}

/* The VMM stops the rings, and is answered; the guest is when they go on. */
static void test_register_stop(void **state)
{
	struct cf *cf = *state;
	unsigned int token;

	work.blocks = true;
	token = send_register(cf, 9);
	cf_pump(cf);
	wait_begun();
	ff_stop(cf->ff);
	let_go();
	while (loop_iterate(cf->loop, 100) == 0)
		;
	ff_resume(cf->ff);
	assert_int_equal(le32toh(wait_register(cf, token).hdr.status), VIRTIO_BUFSHARE_STATUS_OK);
}

/* A new driver: what comes of the old one's command is nobody's. */
static void test_register_reset(void **state)
{
	struct cf *cf = *state;

	work.blocks = true;
	send_register(cf, 9);
	cf_pump(cf);
	wait_begun();
	ff_reset(cf->ff);
	let_go();
	while (loop_iterate(cf->loop, 100) == 0)
		;
	assert_true(ff_is_quiet(cf->ff));
}

/* Two wait, of which the second has not begun when all is over. */
static void test_register_vmm_gone(void **state)
{
	struct cf *cf = *state;

	work.blocks = true;
	send_register(cf, 9);
	send_register(cf, 10);
	cf_pump(cf);
	wait_begun();
	cf->ff = ff_free(cf->ff);
	while (!cf->gone)
		loop_iterate(cf->loop, 100);
	let_go();
}

/* The memory is taken away meanwhile: its mapping stays until the work is done. */
static void test_register_memory_gone(void **state)
{
	struct virtio_bufshare_response resp;
	struct vhost_user_region regions[2];
	struct vhost_user_mem_table table = { .num_regions = 2 };
	struct cf *cf = *state;
	unsigned int token;

	ff_regions(regions);
	/* All but the page that is the last of the large buffer. */
	regions[1].size = big + SIZE - CF_PAGE - regions[1].gpa;
	table.regions[0] = regions[0];
	table.regions[1] = regions[1];
	work.blocks = true;
	token = send_register(cf, 9);
	cf_pump(cf);
	wait_begun();
	assert_int_equal(ff_call(cf->ff, VHOST_USER_SET_MEM_TABLE, &table,
				 offsetof(struct vhost_user_mem_table, regions[2]),
				 (int[]){ cf->ff->ram_fd, cf->ff->ram_fd }, 2), 0);
	let_go();
	ff_wait(cf->ff, VIRTIO_BUFSHARE_QUEUE_CONTROL, token, &resp, sizeof(resp));
	assert_int_equal(le32toh(resp.status), VIRTIO_BUFSHARE_STATUS_MEMORY);
}

/* ---- copies ---- */

static void test_copy(void **state)
{
	struct cf *cf = *state;
	int sock, other, fd;

	register_big(cf);
	sock = knows_big(cf, &fd);
	cf_register_as(cf, 1, "other", "", 0);
	other = cf_subscriber(cf, "other");
	cf_expect_added_id(cf, other, 1);
	cf_expect(cf, other, BUFSHARE_IPC_SYNCED);

	work.blocks = true;
	update_big(cf, 1, 0x11);
	wait_begun();
	work.blocks = false; /* for small ones */
	assert_goes_on(cf, other, 1);
	cf_expect_nothing(cf, sock);
	cf_expect_not_released(cf, 9);

	let_go();
	assert_int_equal(le64toh(wait_message(cf, sock, BUFSHARE_IPC_UPDATED).updated.seq), 1);
	assert_contents(fd, 0x11);
	cf_release(cf, sock, 9, 1);
	cf_expect_released(cf, 9, 1, 0);
	close(fd);
	close(other);
	close(sock);
}

/* Whoever comes meanwhile is told when the contents are there, and then that this is all. */
static void test_copy_subscribe(void **state)
{
	struct cf *cf = *state;
	int sock;

	register_big(cf);
	update_big(cf, 1, 0x22);
	cf_expect_released(cf, 9, 1, VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	work.blocks = true;
	sock = cf_subscriber(cf, "*");
	wait_begun();
	cf_expect_nothing(cf, sock);
	work.blocks = false;
	let_go();
	assert_int_equal(le64toh(wait_message(cf, sock, BUFSHARE_IPC_ADDED).added.seq), 1);
	wait_message(cf, sock, BUFSHARE_IPC_SYNCED);
	close(sock);
}

/* The buffer goes while somebody waits to be told of it: then there is nothing to tell. */
static void test_copy_subscribe_unregister(void **state)
{
	struct cf *cf = *state;
	int sock;

	register_big(cf);
	update_big(cf, 1, 0x22);
	work.blocks = true;
	sock = cf_subscriber(cf, "*");
	wait_begun();
	assert_int_equal(cf_unregister_wait(cf, 9), 0);
	cf_expect(cf, sock, BUFSHARE_IPC_SYNCED);
	cf_expect_nothing(cf, sock);
	let_go();
	close(sock);
}

/* Questions that wait for copies do not add up: nobody is asked any more until then. */
static void test_copy_subscribe_often(void **state)
{
	struct bufshare_ipc_ping ping = { .cookie = htole64(5) };
	struct cf *cf = *state;
	union cf_message msg;
	int sock, i, fd;

	register_big(cf);
	update_big(cf, 1, 0x22);
	work.blocks = true;
	sock = cf_hello(cf);
	for (i = 0; i < 70; i++)
		cf_subscribe(cf, sock, BUFSHARE_IPC_SUBSCRIBE, "*");
	ipc_header(&ping, BUFSHARE_IPC_PING, sizeof(ping));
	cf_send(cf, sock, &ping, sizeof(ping));
	wait_begun();
	assert_int_equal(cf_next(cf, sock, &msg, &fd), 0);
	work.blocks = false;
	let_go();
	wait_message(cf, sock, BUFSHARE_IPC_ADDED);
	for (i = 0; i < 70; i++)
		wait_message(cf, sock, BUFSHARE_IPC_SYNCED);
	wait_message(cf, sock, BUFSHARE_IPC_PONG);
	close(sock);
}

static void test_copy_unregister(void **state)
{
	struct cf *cf = *state;
	int sock, fd;

	register_big(cf);
	sock = knows_big(cf, &fd);
	work.blocks = true;
	update_big(cf, 1, 0x33);
	wait_begun();
	assert_int_equal(cf_unregister_wait(cf, 9), 0);
	cf_expect_removed(cf, sock, 9, VIRTIO_BUFSHARE_REASON_UNREGISTERED);

	/* The same id again, while the copy of the old one goes on. */
	register_big(cf);
	cf_expect_added_id(cf, sock, 9);
	work.blocks = false;
	let_go();
	cf_update(cf, 9, 1, ALL);
	wait_message(cf, sock, BUFSHARE_IPC_UPDATED);
	close(fd);
	close(sock);
}

static void test_copy_vmm_gone(void **state)
{
	struct cf *cf = *state;
	int sock, fd;

	register_big(cf);
	sock = knows_big(cf, &fd);
	work.blocks = true;
	update_big(cf, 1, 0x33);
	wait_begun();
	cf->ff = ff_free(cf->ff);
	assert_int_equal(le32toh(wait_message(cf, sock, BUFSHARE_IPC_STATE).state.state),
			 BUFSHARE_IPC_STATE_SUSPENDED);
	while (!cf->gone)
		loop_iterate(cf->loop, 100);
	assert_int_equal(le32toh(cf_skip_to(cf, sock, BUFSHARE_IPC_STATE).state.state),
			 BUFSHARE_IPC_STATE_GONE);
	let_go();
	close(fd);
	close(sock);
}

/* Without a thread everything is as it was before there was one. */
static void test_copy_no_thread(void **state)
{
	struct cf *cf = *state;
	int sock, fd;

	work.no_threads = true;
	register_big(cf);
	sock = knows_big(cf, &fd);
	update_big(cf, 1, 0x44);
	assert_int_equal(le64toh(wait_message(cf, sock, BUFSHARE_IPC_UPDATED).updated.seq), 1);
	assert_contents(fd, 0x44);
	close(fd);
	close(sock);
}

#define COPY(name) cmocka_unit_test_setup_teardown(name, setup_copy, teardown)
#define UDMABUF(name) cmocka_unit_test_setup_teardown(name, setup_udmabuf, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		UDMABUF(test_register),
		UDMABUF(test_register_stop),
		UDMABUF(test_register_reset),
		UDMABUF(test_register_vmm_gone),
		UDMABUF(test_register_memory_gone),
		COPY(test_copy),
		COPY(test_copy_subscribe),
		COPY(test_copy_subscribe_unregister),
		COPY(test_copy_subscribe_often),
		COPY(test_copy_unregister),
		COPY(test_copy_vmm_gone),
		COPY(test_copy_no_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
