/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "host/daemon/memory.h"
#include "host/daemon/memory-guard.h"

#define FILE_SIZE 0x10000ULL

static const struct memory_info valid = {
	.gpa = 0x100000,
	.size = 0x8000,
	.uva = 0x7f0000000000,
	.offset = 0x2000,
};

static void free_memory(struct memory **memory)
{
	memory_free(*memory);
}

#define _cleanup_memory_ _cleanup_(free_memory)

static struct memory *new_memory(void)
{
	struct memory *memory;

	assert_int_equal(memory_new(&memory), 0);
	return memory;
}

static int new_file(uint64_t size)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, size), 0);
	return fd;
}

static void add(struct memory *memory, const struct memory_info *info)
{
	assert_int_equal(memory_add(memory, info, new_file(FILE_SIZE)), 0);
}

/* The fd of a region that is refused stays the caller's. */
static int try_add(struct memory *memory, const struct memory_info *info)
{
	_cleanup_close_ int fd = new_file(FILE_SIZE);
	int r;

	r = memory_add(memory, info, fd);
	if (r == 0)
		steal_fd(&fd);
	return r;
}

static void test_lookup(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_span span;

	add(memory, &valid);
	assert_int_equal(memory_count(memory), 1);
	assert_int_equal(memory_lookup(memory, 0x101234, 0x100, &span), 0);
	assert_ptr_equal(span.region, memory_get(memory, 0));
	assert_ptr_equal(span.hva, span.region->hva + 0x1234);
	assert_int_equal(span.offset, 0x3234);

	assert_int_equal(memory_lookup_uva(memory, 0x7f0000001234, 0x100, &span), 0);
	assert_ptr_equal(span.hva, span.region->hva + 0x1234);
	assert_int_equal(span.offset, 0x3234);
}

/* Whether the mapping at an address stays out of core dumps. */
static bool is_not_dumped(const void *addr)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	unsigned long start, end;
	bool here = false, found = false, not_dumped = false;
	char line[512];

	assert_non_null(f);
	while (!found && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			here = (unsigned long)addr >= start && (unsigned long)addr < end;
		found = here && strncmp(line, "VmFlags:", 8) == 0;
		not_dumped = found && strstr(line, " dd");
	}
	fclose(f);
	assert_true(found);
	return not_dumped;
}

/* The guest's memory is nobody's business when the daemon crashes. */
static void test_not_dumped(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();

	assert_false(is_not_dumped(memory));
	add(memory, &valid);
	assert_true(is_not_dumped(memory_get(memory, 0)->hva));
	assert_true(is_not_dumped(memory_get(memory, 0)->hva + valid.size - 1));
}

/* What is written through the table is in the file where it should be, and the other way round. */
static void test_contents(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info info = valid;
	struct memory_span span;
	char buf[5] = "";

	info.offset = 0x2345; /* not a page's beginning */
	add(memory, &info);
	assert_int_equal(memory_lookup(memory, info.gpa + 0x7000, 5, &span), 0);
	memcpy(span.hva, "hello", 5);
	assert_int_equal(span.offset, 0x9345);
	assert_int_equal(pread(span.region->fd, buf, 5, 0x9345), 5);
	assert_memory_equal(buf, "hello", 5);
	assert_int_equal(pwrite(span.region->fd, "HELLO", 5, 0x9345), 5);
	assert_memory_equal(span.hva, "HELLO", 5);
}

static void test_lookup_edges(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info second = valid;
	struct memory_span span;

	second.gpa += valid.size; /* adjacent, and yet another region */
	second.uva += 0x100000;
	add(memory, &valid);
	add(memory, &second);

	assert_int_equal(memory_lookup(memory, valid.gpa, valid.size, &span), 0);
	assert_int_equal(memory_lookup(memory, second.gpa + second.size - 1, 1, &span), 0);
	assert_int_equal(memory_lookup(memory, valid.gpa - 1, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, valid.gpa - 1, 2, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, second.gpa + second.size, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, second.gpa, second.size + 1, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, second.gpa - 1, 2, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, valid.gpa, 0, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, valid.gpa + 1, UINT64_MAX, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, UINT64_MAX, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup_uva(memory, valid.uva + valid.size, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup_uva(memory, valid.gpa, 1, &span), -EFAULT);
}

static void test_refused(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info info = valid;

	info.size = 0;
	assert_int_equal(try_add(memory, &info), -EINVAL);
	info = valid;
	info.gpa = UINT64_MAX - info.size + 1;
	assert_int_equal(try_add(memory, &info), -EINVAL);
	info = valid;
	info.uva = UINT64_MAX - info.size + 1;
	assert_int_equal(try_add(memory, &info), -EINVAL);
	info = valid;
	info.offset = UINT64_MAX - info.size + 1;
	assert_int_equal(try_add(memory, &info), -EINVAL);
	info = valid;
	info.offset = FILE_SIZE - info.size + 1;
	assert_int_equal(try_add(memory, &info), -ENXIO);
	info.offset--;
	assert_int_equal(try_add(memory, &info), 0);
}

static void test_overlap(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info info = valid;

	add(memory, &valid);
	assert_int_equal(try_add(memory, &info), -EEXIST);
	info.uva += 0x100000;
	info.gpa += info.size - 1;
	assert_int_equal(try_add(memory, &info), -EEXIST);
	info.gpa = valid.gpa - info.size + 1;
	assert_int_equal(try_add(memory, &info), -EEXIST);
	info.gpa = valid.gpa - info.size;
	assert_int_equal(try_add(memory, &info), 0);

	info = valid;
	info.gpa += 0x100000;
	info.uva = valid.uva + 1;
	assert_int_equal(try_add(memory, &info), -EEXIST);
}

static void test_not_a_file(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(memory_add(memory, &valid, fds[0]), -EMEDIUMTYPE);
	assert_int_equal(memory_add(memory, &valid, -1), -EBADF);
	close(fds[0]);
	close(fds[1]);
}

static void test_read_only_file(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	_cleanup_close_ int fd = new_file(FILE_SIZE);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(memory_add(memory, &valid, fd), -EPERM);
}

static void test_full(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info info = valid;
	int i;

	for (i = 0; i < MEMORY_MAX_REGIONS; i++) {
		add(memory, &info);
		info.gpa += info.size;
		info.uva += info.size;
	}
	assert_int_equal(try_add(memory, &info), -ENOSPC);
	assert_int_equal(memory_count(memory), MEMORY_MAX_REGIONS);
}

static void test_remove(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info info = valid;
	struct memory_span span;

	add(memory, &valid);
	info.gpa += 0x100000;
	info.uva += 0x100000;
	add(memory, &info);

	info = valid;
	info.size--;
	assert_int_equal(memory_remove(memory, &info), -ENOENT);
	info = valid;
	info.gpa++;
	assert_int_equal(memory_remove(memory, &info), -ENOENT);
	info = valid;
	info.uva++;
	assert_int_equal(memory_remove(memory, &info), -ENOENT);

	/* QEMU does not say the offset again. */
	info = valid;
	info.offset = 0;
	assert_int_equal(memory_remove(memory, &info), 0);
	assert_int_equal(memory_remove(memory, &info), -ENOENT);
	assert_int_equal(memory_lookup(memory, valid.gpa, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, valid.gpa + 0x100000, 1, &span), 0);
}

static void test_reference(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_region *region;

	add(memory, &valid);
	region = memory_region_ref(memory_get(memory, 0));
	assert_int_equal(memory_remove(memory, &valid), 0);
	region->hva[0] = 1;
	assert_true(fcntl(region->fd, F_GETFD) >= 0);
	assert_null(memory_region_unref(region));
	assert_null(memory_region_unref(NULL));
}

static void test_seals(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	char name[] = "/tmp/test-memory-XXXXXX";
	struct memory_info info = valid;
	int fd;

	fd = new_file(FILE_SIZE);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
	assert_int_equal(memory_add(memory, &info, fd), 0);
	assert_int_equal(memory_get(memory, 0)->seals, F_SEAL_SHRINK | F_SEAL_GROW);
	assert_int_equal(memory_get(memory, 0)->page_size, sysconf(_SC_PAGESIZE));

	fd = memfd_create("unsealed", MFD_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
	info.gpa += info.size;
	info.uva += info.size;
	assert_int_equal(memory_add(memory, &info, fd), 0);
	assert_int_equal(memory_get(memory, 1)->seals, F_SEAL_SEAL);

	fd = mkostemp(name, O_CLOEXEC);
	assert_true(fd >= 0);
	unlink(name);
	assert_int_equal(ftruncate(fd, FILE_SIZE), 0);
	info.gpa += info.size;
	info.uva += info.size;
	assert_int_equal(memory_add(memory, &info, fd), 0);
	assert_true(memory_get(memory, 2)->seals == -1 ||
		    memory_get(memory, 2)->seals == F_SEAL_SEAL);
}

/* Whether /proc/self/smaps says of that mapping that it stays out of core dumps. */
static bool is_left_out_of_dumps(const void *addr)
{
	unsigned long start = 0, end = 0, from, to;
	char line[512];
	FILE *smaps = fopen("/proc/self/smaps", "re");
	bool dd = false;

	assert_non_null(smaps);
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			start = from;
			end = to;
		}
		if ((unsigned long)addr >= start && (unsigned long)addr < end &&
		    strncmp(line, "VmFlags:", 8) == 0)
			dd = strstr(line, " dd") != NULL;
	}
	fclose(smaps);
	return dd;
}

static void test_no_dump(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();

	add(memory, &valid);
	assert_true(is_left_out_of_dumps(memory_get(memory, 0)->hva));
}

static void test_replace(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info infos[2] = { valid, valid };
	struct memory_region *old, *other;
	int fds[2] = { new_file(FILE_SIZE), new_file(FILE_SIZE) };
	int again;

	infos[1].gpa += 0x100000;
	infos[1].uva += 0x100000;
	again = fcntl(fds[0], F_DUPFD_CLOEXEC, 0);
	assert_int_equal(memory_replace(memory, infos, fds, 2), 0);
	assert_int_equal(memory_count(memory), 2);
	old = memory_region_ref(memory_get(memory, 0));
	other = memory_region_ref(memory_get(memory, 1));

	/* The first one is the same file at the same place, the second another file. */
	fds[0] = again;
	fds[1] = new_file(FILE_SIZE);
	assert_int_equal(memory_replace(memory, infos, fds, 2), 0);
	assert_ptr_equal(memory_get(memory, 0), old);
	assert_ptr_not_equal(memory_get(memory, 1), other);
	assert_int_equal(memory_count(memory), 2);

	assert_int_equal(memory_replace(memory, NULL, NULL, 0), 0);
	assert_int_equal(memory_count(memory), 0);
	memory_region_unref(old);
	memory_region_unref(other);
}

/* The second of two is wrong: the table and the descriptors stay as they were. */
static void test_replace_refused(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	_cleanup_close_ int a = new_file(FILE_SIZE);
	_cleanup_close_ int b = new_file(FILE_SIZE);
	struct memory_info infos[2] = { valid, valid };
	const int fds[2] = { a, b };
	struct memory_region *old;

	add(memory, &valid);
	old = memory_get(memory, 0);
	assert_int_equal(memory_replace(memory, infos, fds, 2), -EEXIST);
	assert_int_equal(memory_replace(memory, infos, fds, MEMORY_MAX_REGIONS + 1), -ENOSPC);
	assert_int_equal(memory_count(memory), 1);
	assert_ptr_equal(memory_get(memory, 0), old);
	old->hva[0] = 1;
}

/* Carried over regions are checked like new ones. */
static void test_replace_with_duplicate(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info infos[2] = { valid, valid };
	_cleanup_close_ int fd = new_file(FILE_SIZE);
	const int fds[2] = { fd, fd };

	assert_int_equal(memory_add(memory, &valid, fcntl(fd, F_DUPFD_CLOEXEC, 0)), 0);
	assert_int_equal(memory_replace(memory, infos, fds, 2), -EEXIST);
	assert_int_equal(memory_count(memory), 1);
}

/* The file was shrunk behind our back: whoever asks again is told. */
static void test_replace_shrunk(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	_cleanup_close_ int fd = new_file(FILE_SIZE);

	assert_int_equal(memory_add(memory, &valid, fcntl(fd, F_DUPFD_CLOEXEC, 0)), 0);
	assert_int_equal(ftruncate(fd, valid.offset + valid.size - 1), 0);
	assert_int_equal(memory_replace(memory, &valid, &fd, 1), -ENXIO);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fd_leak_setup, fd_leak_teardown)

/* The owner of a file that is not sealed shrinks it under our hands. */
static void test_torn(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_info other = valid;
	struct memory_span span;
	volatile uint8_t *bytes;
	int fd = new_file(FILE_SIZE);

	add(memory, &valid);
	other.gpa += 0x100000;
	other.uva += 0x100000;
	assert_int_equal(memory_add(memory, &other, fd), 0);
	assert_int_equal(memory_lookup(memory, other.gpa, other.size, &span), 0);
	bytes = span.hva;
	bytes[0] = bytes[other.size - 1] = 7;

	assert_int_equal(ftruncate(fd, other.offset + 0x1000), 0);
	assert_false(memory_is_torn(memory)); /* nobody knows yet */
	assert_int_equal(bytes[0], 7);
	assert_int_equal(bytes[other.size - 1], 0);
	bytes[other.size - 1] = 8;
	assert_int_equal(bytes[other.size - 1], 8);
	assert_int_equal(bytes[0], 7); /* what is still there is as it was */

	assert_true(memory_is_torn(memory));
	assert_int_equal(memory_lookup(memory, other.gpa, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup_uva(memory, other.uva, 1, &span), -EFAULT);
	assert_int_equal(memory_lookup(memory, valid.gpa, 1, &span), 0);
	assert_int_equal(memory_remove(memory, &other), 0);
	assert_false(memory_is_torn(memory));
}

/* Any other SIGBUS ends the process, as it does without us. */
static void test_foreign_sigbus(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	_cleanup_close_ int fd = new_file(FILE_SIZE);
	volatile uint8_t *map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	int status;
	pid_t pid;

	assert_ptr_not_equal(map, MAP_FAILED);
	add(memory, &valid);
	pid = fork();
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		alarm(10);
		if (ftruncate(fd, 0) == 0)
			map[0] = 1;
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
	munmap((void *)map, FILE_SIZE);
}

static void test_guards_are_limited(void **state)
{
	_cleanup_memory_ struct memory *memory = new_memory();
	struct memory_region *kept[MEMORY_GUARD_MAX];
	size_t i;

	/* Regions that have left the table, but that somebody still uses. */
	for (i = 0; i < ARRAY_SIZE(kept); i++) {
		add(memory, &valid);
		kept[i] = memory_region_ref(memory_get(memory, 0));
		assert_int_equal(memory_remove(memory, &valid), 0);
	}
	assert_int_equal(try_add(memory, &valid), -ENOSPC);
	for (i = 0; i < ARRAY_SIZE(kept); i++)
		memory_region_unref(kept[i]);
	assert_int_equal(try_add(memory, &valid), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_lookup),
		TEST(test_not_dumped),
		TEST(test_contents),
		TEST(test_lookup_edges),
		TEST(test_refused),
		TEST(test_overlap),
		TEST(test_not_a_file),
		TEST(test_read_only_file),
		TEST(test_full),
		TEST(test_remove),
		TEST(test_reference),
		TEST(test_seals),
		TEST(test_no_dump),
		TEST(test_replace),
		TEST(test_replace_refused),
		TEST(test_replace_with_duplicate),
		TEST(test_replace_shrunk),
		TEST(test_torn),
		TEST(test_foreign_sigbus),
		TEST(test_guards_are_limited),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
