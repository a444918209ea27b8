/* SPDX-License-Identifier: MIT */
/*
 * Every allocation and every copy from and to the program fails once, in every call: the call
 * fails and nothing has happened, or it copes. What the driver's own threads allocate fails
 * now and then.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite-fault.h"

#define FAULTS "/sys/kernel/debug/"
#define FAIL_NTH "/proc/thread-self/fail-nth"
#define MAX_FAULTS 1000 /* of one call; a call that has more goes round in circles */

/* ---- faults ---- */

static void set_file(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		skip("this kernel has no fault injection");
	expect(write(fd, value, strlen(value)) == (ssize_t)strlen(value));
	close(fd);
}

static void set_up_faults(void)
{
	set_file(FAULTS "failslab/ignore-gfp-wait", "N");
	set_file(FAULTS "failslab/verbose", "0");
	set_file(FAULTS "fail_page_alloc/ignore-gfp-wait", "N");
	set_file(FAULTS "fail_page_alloc/min-order", "0");
	set_file(FAULTS "fail_page_alloc/verbose", "0");
	set_file(FAULTS "fail_usercopy/verbose", "0");
}

static int nth_fd = -1;

static void fail_nth(int nth)
{
	char number[16];
	int n = snprintf(number, sizeof(number), "%d", nth);

	expect(pwrite(nth_fd, number, (size_t)n, 0) == n);
}

/* Whether the fault came to pass before this was asked, which it can hit too; it is over now. */
static bool failed_nth(void)
{
	char left[16] = "";
	bool passed = pread(nth_fd, left, sizeof(left) - 1, 0) > 0 && atoi(left) == 0;

	while (pwrite(nth_fd, "0", 1, 0) != 1)
		;
	return passed;
}

/* ---- each of them with each fault ---- */

/* Whatever failed before, it works now. */
static void expect_works(int (*run)(struct state *s))
{
	struct state s = state_new();

	expect_ok(run(&s));
	state_end(&s);
}

enum { MAY_FAIL, MUST_NOT_FAIL };

static void each_fault(int (*run)(struct state *s), void (*check)(struct state *s, int result),
		       int how)
{
	int nth, result, failures = 0;
	bool injected = true;

	set_up_faults();
	nth_fd = open(FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (nth_fd < 0)
		skip("this kernel has no fail-nth");
	for (nth = 1; injected; nth++) {
		struct state s = state_new();

		expect(nth < MAX_FAULTS);
		fail_nth(nth);
		result = run(&s);
		injected = failed_nth();
		if (result && result != -ENOMEM && result != -EFAULT && result != -ENOSPC)
			fail(__FILE__, __LINE__, "fault %d: %s", nth, strerror(-result));
		if (result && !injected)
			fail(__FILE__, __LINE__, "without a fault: %s", strerror(-result));
		if (how == MUST_NOT_FAIL && result && result != -EFAULT)
			fail(__FILE__, __LINE__, "fault %d: what must not fail has", nth);
		if (check)
			check(&s, result);
		failures += result != 0;
		state_end(&s);
	}
	printf("# %d faults, %d failures\n", nth - 2, failures);
	expect(nth > 2);
	expect_works(run);
}

#define FAULT_TEST(name, check, how) \
	static void fault_##name(void) \
	{ \
		each_fault(call_##name, check, how); \
	}

FAULT_TEST(open, NULL, MAY_FAIL)
FAULT_TEST(get_param, NULL, MUST_NOT_FAIL)
FAULT_TEST(create, NULL, MAY_FAIL)
FAULT_TEST(dumb, NULL, MAY_FAIL)
FAULT_TEST(map, NULL, MAY_FAIL)
FAULT_TEST(register, check_register, MAY_FAIL)
FAULT_TEST(unregister, NULL, MUST_NOT_FAIL)
FAULT_TEST(set, NULL, MAY_FAIL)
FAULT_TEST(get, NULL, MAY_FAIL)
FAULT_TEST(update, check_update, MUST_NOT_FAIL)
FAULT_TEST(update_many, check_update_many, MUST_NOT_FAIL)
FAULT_TEST(update_behind, check_update_behind, MUST_NOT_FAIL)
FAULT_TEST(update_fences, check_update, MAY_FAIL)
FAULT_TEST(info, NULL, MAY_FAIL)
FAULT_TEST(list, NULL, MAY_FAIL)
FAULT_TEST(reset, NULL, MUST_NOT_FAIL)
FAULT_TEST(reset_all, NULL, MAY_FAIL)
FAULT_TEST(ping, NULL, MAY_FAIL)
FAULT_TEST(user_memory, NULL, MAY_FAIL)
FAULT_TEST(export, NULL, MAY_FAIL)
FAULT_TEST(import_own, NULL, MAY_FAIL)
FAULT_TEST(read, check_read, MAY_FAIL)

static void fault_import(void)
{
	if (access("/dev/dma_heap/system", F_OK) < 0)
		skip("this kernel has no heap of dma-bufs");
	each_fault(call_import, NULL, MAY_FAIL);
}

/* ---- without any memory ---- */

/* From now on, as far as allocations may fail. To be ended without one. */
static int fail_all(void)
{
	static const char * const kinds[] = { "failslab", "fail_page_alloc" };
	int fd = open("/proc/self/make-it-fail", O_WRONLY | O_CLOEXEC);
	char path[128];
	size_t i;

	expect(fd >= 0);
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		snprintf(path, sizeof(path), FAULTS "%s/task-filter", kinds[i]);
		set_file(path, "Y");
		snprintf(path, sizeof(path), FAULTS "%s/times", kinds[i]);
		set_file(path, "-1");
		snprintf(path, sizeof(path), FAULTS "%s/probability", kinds[i]);
		set_file(path, "100");
	}
	expect(write(fd, "1", 1) == 1);
	return fd;
}

static void fail_no_more(int fd)
{
	expect(write(fd, "0", 1) == 1);
	close(fd);
	set_file(FAULTS "failslab/probability", "0");
	set_file(FAULTS "failslab/task-filter", "N");
	set_file(FAULTS "fail_page_alloc/probability", "0");
	set_file(FAULTS "fail_page_alloc/task-filter", "N");
}

/* An update takes no memory that it could not do without, however many there are. */
static void update_without_memory(void)
{
	int fd = open_node(node.render), failing, i, created, result = 0;
	struct drm_bufshare_create args = { .size = MEMORY };
	struct drm_bufshare_update_entry entries[] = {
		update_entry(register_new(fd, 4096)), update_entry(register_new(fd, 4096)),
	};
	struct drm_bufshare_event event;

	set_up_faults();
	failing = fail_all();
	created = call(fd, DRM_IOCTL_BUFSHARE_CREATE, &args);
	for (i = 0; i < 500 && !result; i++)
		result = update(fd, entries, 2);
	fail_no_more(failing);
	expect_result(created, -ENOMEM);
	expect_ok(result);
	for (i = 0; i < 500 && get_info(fd, entries[1].id).released < 500; i++)
		usleep(10000);
	expect(get_info(fd, entries[0].id).released == 500);
	expect(get_info(fd, entries[1].id).released == 500);
	expect(read_event(fd, 0, &event));
}

/* ---- the driver's threads ---- */

/* Whether faults may hit the kernel's worker threads. */
static void set_workers(const char *value)
{
	struct dirent *entry;
	char path[300], name[32];
	DIR *dir = opendir("/proc");
	int fd;

	expect(dir);
	while ((entry = readdir(dir))) {
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		memset(name, 0, sizeof(name));
		if (read(fd, name, sizeof(name) - 1) > 0 && strncmp(name, "kworker/u", 9) == 0) {
			snprintf(path, sizeof(path), "/proc/%s/make-it-fail", entry->d_name);
			set_file(path, value);
		}
		close(fd);
	}
	closedir(dir);
}

/* No release is lost: the program has its event, or an OVERFLOW and the state. */
static void fault_workers(void)
{
	int fd = open_node(node.render), i, events = 0;
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	struct drm_bufshare_event event;

	set_up_faults();
	set_file(FAULTS "failslab/task-filter", "Y");
	set_workers("1");
	set_file(FAULTS "failslab/probability", "50");
	set_file(FAULTS "failslab/times", "-1");
	for (i = 0; i < 100; i++) {
		expect_ok(update(fd, &entry, 1));
		while (read_event(fd, 5, &event))
			events++;
	}
	set_file(FAULTS "failslab/probability", "0");
	set_workers("0");
	set_file(FAULTS "failslab/task-filter", "N");
	for (i = 0; i < 500 && get_info(fd, entry.id).released < entry.seq; i++)
		usleep(10000);
	expect(get_info(fd, entry.id).released == entry.seq);
	expect(events > 0);
}

const struct test fault_tests[] = {
	{ "fault: open", fault_open },
	{ "fault: GET_PARAM", fault_get_param },
	{ "fault: CREATE", fault_create },
	{ "fault: a dumb buffer", fault_dumb },
	{ "fault: MAP and mmap", fault_map },
	{ "fault: REGISTER", fault_register },
	{ "fault: UNREGISTER", fault_unregister },
	{ "fault: SET_PROPERTIES", fault_set },
	{ "fault: GET_PROPERTIES", fault_get },
	{ "fault: UPDATE", fault_update },
	{ "fault: UPDATE of two buffers", fault_update_many },
	{ "fault: UPDATE behind one that waits", fault_update_behind },
	{ "fault: UPDATE with fences", fault_update_fences },
	{ "fault: UPDATE without any memory", update_without_memory },
	{ "fault: INFO", fault_info },
	{ "fault: LIST", fault_list },
	{ "fault: RESET", fault_reset },
	{ "fault: RESET of all", fault_reset_all },
	{ "fault: PING", fault_ping },
	{ "fault: USER_MEMORY and REGISTER", fault_user_memory },
	{ "fault: export", fault_export },
	{ "fault: import of our own", fault_import_own },
	{ "fault: import of another driver's", fault_import },
	{ "fault: read of an event", fault_read },
	{ "fault: in the driver's threads", fault_workers },
	{ NULL, NULL },
};
