/* SPDX-License-Identifier: MIT */
/*
 * The memory of buffers: one linear mapping of each path, for reading and for writing.
 * What only a real dma-buf can show is in tests/udmabuf.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/skip-test.h"
#include "host/fake-daemon.h"

#define HUGE (1 << 30) /* a multiple of all sizes of huge pages there are */
#define PIECES 3
#define SIZE (PIECES * FAKE_PAGE)

/* Buffer 7: pages 5, 0 and 2 of a memory file of 6 pages, each full of its number. */
struct memory {
	int fd;
	struct bufshare_host_buffer *buf;
};

static const unsigned int pages[PIECES] = { 5, 0, 2 };

static int make_ram(void)
{
	char ram[6 * FAKE_PAGE];
	int i;

	for (i = 0; i < 6; i++)
		memset(ram + i * FAKE_PAGE, i, FAKE_PAGE);
	return make_memfd(ram, sizeof(ram), F_SEAL_SHRINK);
}

static void add_pieces(struct fake_daemon *f, int fd)
{
	struct bufshare_ipc_range ranges[PIECES];
	struct wire w;
	int i;

	for (i = 0; i < PIECES; i++)
		ranges[i] = (struct bufshare_ipc_range){ htole64(pages[i] * FAKE_PAGE),
							 htole64(FAKE_PAGE) };
	wire_ranges(&w, 7, ranges, PIECES);
	fake_send(f, &w);
	wire_added_path(&w, 7, SIZE, VIRTIO_BUFSHARE_PATH_MEMFD, fcntl(fd, F_DUPFD_CLOEXEC, 0));
	fake_send(f, &w);
	expect_event(f, BUFSHARE_EVENT_ADDED, 7);
}

static struct memory add_memory(struct fake_daemon *f)
{
	struct memory m = { .fd = make_ram() };

	add_pieces(f, m.fd);
	assert_int_equal(bufshare_host_get_buffer(f->host, 7, &m.buf), 0);
	return m;
}

static void memory_end(struct memory *m)
{
	bufshare_host_buffer_unref(m->buf);
	close(m->fd);
}

static void assert_pieces(const char *map)
{
	size_t i;

	for (i = 0; i < SIZE; i++)
		assert_int_equal(map[i], pages[i / FAKE_PAGE]);
}

/* Whether a write there ends the process, as it should where only reading is allowed. */
static bool write_is_fatal(const void *addr)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		signal(SIGSEGV, SIG_DFL);
		*(volatile char *)(uintptr_t)addr = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV;
}

/* ---- for reading ---- */

static void copy_is_one_piece(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 1, SIZE);
	const void *addr, *again;

	assert_int_equal(bufshare_host_buffer_get_path(buf), BUFSHARE_PATH_COPY);
	assert_int_equal(bufshare_host_buffer_map(buf, &addr), 0);
	assert_int_equal(((const char *)addr)[SIZE - 1], 0);
	assert_int_equal(bufshare_host_buffer_map(buf, &again), 0);
	assert_ptr_equal(addr, again);
	assert_true(write_is_fatal(addr));
	assert_int_equal(bufshare_host_buffer_begin_read(buf), 0);
	assert_int_equal(bufshare_host_buffer_end_read(buf), 0);
	assert_int_equal(bufshare_host_buffer_get_dmabuf(buf), -EOPNOTSUPP);
	bufshare_host_buffer_unref(buf);
}

static void pieces_come_in_their_order(void **state)
{
	struct memory m = add_memory(*state);
	const void *addr;

	assert_int_equal(bufshare_host_buffer_get_path(m.buf), BUFSHARE_PATH_MEMFD);
	assert_int_equal(bufshare_host_buffer_map(m.buf, &addr), 0);
	assert_pieces(addr);
	assert_true(write_is_fatal(addr));
	assert_int_equal(bufshare_host_buffer_begin_read(m.buf), 0);
	assert_int_equal(bufshare_host_buffer_end_read(m.buf), 0);
	assert_int_equal(bufshare_host_buffer_get_dmabuf(m.buf), -EOPNOTSUPP);
	memory_end(&m);
}

static void mapping_goes_with_the_buffer(void **state)
{
	struct fake_daemon *f = *state;
	struct memory m = add_memory(f);
	unsigned char there;
	const void *addr;

	assert_int_equal(bufshare_host_buffer_map(m.buf, &addr), 0);
	send_removed(f, 7, VIRTIO_BUFSHARE_REASON_UNREGISTERED);
	expect_event(f, BUFSHARE_EVENT_REMOVED, 7);
	assert_pieces(addr);
	memory_end(&m);
	assert_int_equal(mincore((void *)(uintptr_t)addr, FAKE_PAGE, &there), -1);
	assert_int_equal(errno, ENOMEM);
}

/* A daemon's copy is of ordinary pages, which are always to be had. */
static void copy_of_huge_pages(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_event event;
	struct wire w;
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

	if (fd < 0)
		SKIP_TEST("no hugetlbfs");
	if (ftruncate(fd, HUGE) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0) {
		close(fd);
		SKIP_TEST("huge pages of another size");
	}
	wire_added_path(&w, 1, HUGE, VIRTIO_BUFSHARE_PATH_COPY, fd);
	fake_send(f, &w);
	assert_int_equal(bufshare_host_read_event(f->host, &event), -EPROTO);
}

/* ---- for writing ---- */

/* Each piece where it belongs, and nothing beside it. */
static void assert_written(int fd)
{
	char byte;
	int i;

	for (i = 0; i < PIECES; i++) {
		assert_int_equal(pread(fd, &byte, 1, pages[i] * FAKE_PAGE + 8), 1);
		assert_int_equal(byte, 'a' + i);
		assert_int_equal(pread(fd, &byte, 1, pages[i] * FAKE_PAGE + 9), 1);
		assert_int_equal(byte, pages[i]);
	}
}

static void write_pieces(char *addr)
{
	int i;

	for (i = 0; i < PIECES; i++)
		addr[i * FAKE_PAGE + 8] = 'a' + i;
}

static void writes_reach_the_memory(void **state)
{
	struct memory m = add_memory(*state);
	const void *map;
	void *addr;

	assert_int_equal(bufshare_host_buffer_map_writable(m.buf, &addr), 0);
	assert_pieces(addr);
	assert_int_equal(bufshare_host_buffer_begin_write(m.buf), 0);
	write_pieces(addr);
	assert_int_equal(bufshare_host_buffer_end_write(m.buf), 0);
	assert_written(m.fd);
	assert_int_equal(bufshare_host_buffer_map(m.buf, &map), 0);
	assert_ptr_equal(map, addr);
	memory_end(&m);
}

/* What was mapped for reading stays where it is. */
static void writable_later(void **state)
{
	struct memory m = add_memory(*state);
	void *addr, *again;
	const void *map;

	assert_int_equal(bufshare_host_buffer_map(m.buf, &map), 0);
	assert_int_equal(bufshare_host_buffer_map_writable(m.buf, &addr), 0);
	assert_ptr_equal(addr, map);
	write_pieces(addr);
	assert_written(m.fd);
	assert_int_equal(bufshare_host_buffer_map_writable(m.buf, &again), 0);
	assert_ptr_equal(again, addr);
	memory_end(&m);
}

static void copy_is_not_writable(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf = add_buffer(f, 1, SIZE);
	void *addr = f;
	const void *map;

	assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), -EOPNOTSUPP);
	assert_int_equal(bufshare_host_buffer_begin_write(buf), -EOPNOTSUPP);
	assert_int_equal(bufshare_host_buffer_end_write(buf), -EOPNOTSUPP);
	assert_ptr_equal(addr, f);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	assert_true(write_is_fatal(map));
	assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), -EOPNOTSUPP);
	assert_true(write_is_fatal(map));
	bufshare_host_buffer_unref(buf);
}

static void writing_needs_the_right(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf;
	struct bufshare_ipc_added m;
	struct wire w;
	void *addr;

	wire_added(&w, 1, SIZE);
	memcpy(&m, &w.msg, sizeof(m));
	m.why = htole32(BUFSHARE_IPC_WHY_RIGHT);
	memcpy(&w.msg, &m, sizeof(m));
	fake_send(f, &w);
	expect_event(f, BUFSHARE_EVENT_ADDED, 1);
	assert_int_equal(bufshare_host_get_buffer(f->host, 1, &buf), 0);
	assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), -EACCES);
	assert_int_equal(bufshare_host_buffer_begin_write(buf), -EACCES);
	assert_int_equal(bufshare_host_buffer_end_write(buf), -EACCES);
	bufshare_host_buffer_unref(buf);
}

/* The daemon gave a descriptor for reading: what was mapped before stays as it is. */
static void descriptor_for_reading(void **state)
{
	struct fake_daemon *f = *state;
	struct bufshare_host_buffer *buf;
	int fd = make_ram(), readable;
	const void *map;
	char path[64];
	void *addr;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	readable = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(readable >= 0);
	add_pieces(f, readable);
	close(readable);
	assert_int_equal(bufshare_host_get_buffer(f->host, 7, &buf), 0);
	assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), -EACCES);
	assert_int_equal(bufshare_host_buffer_map(buf, &map), 0);
	assert_int_equal(bufshare_host_buffer_map_writable(buf, &addr), -EACCES);
	assert_pieces(map);
	assert_true(write_is_fatal(map));
	bufshare_host_buffer_unref(buf);
	close(fd);
}

static void null_arguments(void **state)
{
	struct memory m = add_memory(*state);
	const void *map;
	void *addr;

	assert_int_equal(bufshare_host_buffer_map(NULL, &map), -EINVAL);
	assert_int_equal(bufshare_host_buffer_map(m.buf, NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_map_writable(NULL, &addr), -EINVAL);
	assert_int_equal(bufshare_host_buffer_map_writable(m.buf, NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_begin_read(NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_end_read(NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_begin_write(NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_end_write(NULL), -EINVAL);
	assert_int_equal(bufshare_host_buffer_get_dmabuf(NULL), -EINVAL);
	memory_end(&m);
}

#define TEST(fn) cmocka_unit_test_setup_teardown(fn, fake_setup, fake_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(copy_is_one_piece),
		TEST(pieces_come_in_their_order),
		TEST(mapping_goes_with_the_buffer),
		TEST(copy_of_huge_pages),
		TEST(writes_reach_the_memory),
		TEST(writable_later),
		TEST(copy_is_not_writable),
		TEST(writing_needs_the_right),
		TEST(descriptor_for_reading),
		TEST(null_arguments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
