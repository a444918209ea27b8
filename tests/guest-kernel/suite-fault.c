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
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-heap.h>
#include <xf86drm.h>

#include "suite.h"

#define FAULTS "/sys/kernel/debug/"
#define FAIL_NTH "/proc/thread-self/fail-nth"
#define MAX_FAULTS 1000 /* of one call; a call that has more goes round in circles */
#define MEMORY 16384

/* What a call is made with; made anew for each time it is made. */
struct state {
	int fd;
	int other; /* of the same node */
	int card;
	int buf; /* another driver's dma-buf */
	int fence;
	uint32_t handle;
	uint32_t syncobj;
	uint64_t id, id2; /* registered */
	uint64_t waiting; /* its update waits for a fence of the timeline */
	int timeline;
	void *mem;
};

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

/* ---- the calls ---- */

static int call_open(struct state *s)
{
	int fd = open(node.render, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

static int call_get_param(struct state *s)
{
	struct drm_bufshare_get_param args = { .param = DRM_BUFSHARE_PARAM_EPOCH };

	return call(s->fd, DRM_IOCTL_BUFSHARE_GET_PARAM, &args);
}

static int call_create(struct state *s)
{
	struct drm_bufshare_create args = { .size = MEMORY };

	return call(s->fd, DRM_IOCTL_BUFSHARE_CREATE, &args);
}

static int call_dumb(struct state *s)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 64, .bpp = 32 };

	return call(s->card, DRM_IOCTL_MODE_CREATE_DUMB, &args);
}

static int call_map(struct state *s)
{
	struct drm_bufshare_map args = { .handle = s->handle };
	int ret = call(s->fd, DRM_IOCTL_BUFSHARE_MAP, &args);
	void *mem;

	if (ret)
		return ret;
	mem = mmap(NULL, MEMORY, PROT_READ, MAP_SHARED, s->fd, (off_t)args.offset);
	if (mem == MAP_FAILED)
		return -errno;
	munmap(mem, MEMORY);
	return 0;
}

static int call_register(struct state *s)
{
	static const char block[] = "width=64\0height=64";
	struct drm_bufshare_register args = register_args(s->handle);

	args.properties = (uintptr_t)block;
	args.properties_size = sizeof(block);
	return call(s->fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);
}

/* All or nothing; only where the results cannot be written is the state not known. */
static void check_register(struct state *s, int result)
{
	struct drm_bufshare_list args = { 0 };

	expect_ok(call(s->fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(result == -EFAULT || args.count == (result ? 3 : 4));
}

static int call_unregister(struct state *s)
{
	struct drm_bufshare_unregister args = { .id = s->id };

	return call(s->fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);
}

static int call_set(struct state *s)
{
	static const char block[] = "title=a name\0width";
	struct drm_bufshare_set_properties args = {
		.id = s->id, .properties = (uintptr_t)block, .properties_size = sizeof(block),
	};

	return call(s->fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

static int call_get(struct state *s)
{
	char block[DRM_BUFSHARE_MAX_PROPERTIES_SIZE];
	struct drm_bufshare_get_properties args = {
		.id = s->id, .properties = (uintptr_t)block, .properties_size = sizeof(block),
	};

	return call(s->fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args);
}

static int call_update(struct state *s)
{
	struct drm_bufshare_rect rect = { 0, 0, 64, 1 };
	struct drm_bufshare_update_entry entry = update_entry(s->id);

	entry.damage = (uintptr_t)&rect;
	entry.num_damage = 1;
	return update(s->fd, &entry, 1);
}

static void check_update(struct state *s, int result)
{
	uint64_t seq = get_info(s->fd, s->id).seq;

	expect(result == -EFAULT || seq == (result ? 1 : 2));
	while (seq--)
		expect_event(s->fd, DRM_BUFSHARE_EVENT_RELEASED, s->id);
}

static int call_update_behind(struct state *s)
{
	struct drm_bufshare_update_entry entry = update_entry(s->waiting);

	return update(s->fd, &entry, 1);
}

/* Both are released when the fence is signalled, whatever failed. */
static void check_update_behind(struct state *s, int result)
{
	uint64_t seq = get_info(s->fd, s->waiting).seq;

	expect(result == -EFAULT || seq == (result ? 1 : 2));
	timeline_advance(s->timeline, 1);
	while (get_info(s->fd, s->waiting).released < seq)
		usleep(1000);
}

static int call_update_many(struct state *s)
{
	struct drm_bufshare_rect rect = { 0, 0, 1, 1 };
	struct drm_bufshare_update_entry entries[] = { update_entry(s->id), update_entry(s->id2) };

	entries[1].damage = (uintptr_t)&rect;
	entries[1].num_damage = 1;
	return update(s->fd, entries, 2);
}

static void check_update_many(struct state *s, int result)
{
	uint64_t seq = get_info(s->fd, s->id).seq, seq2 = get_info(s->fd, s->id2).seq;

	expect(seq == seq2 + 1 && (seq2 == 0 || seq2 == 1));
	expect(result == -EFAULT || seq2 == (result ? 0 : 1));
}

static int call_update_fences(struct state *s)
{
	struct drm_bufshare_update_entry entry = update_entry(s->id);

	entry.flags = DRM_BUFSHARE_UPDATE_IN_FENCE_FD | DRM_BUFSHARE_UPDATE_IN_SYNCOBJ |
		      DRM_BUFSHARE_UPDATE_IN_IMPLICIT | DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ;
	entry.in_fence_fd = s->fence;
	entry.in_syncobj = s->syncobj;
	entry.release_syncobj = s->syncobj;
	entry.release_point = 7;
	return update(s->fd, &entry, 1);
}

static int call_info(struct state *s)
{
	struct drm_bufshare_info args = { .id = s->id };

	return call(s->fd, DRM_IOCTL_BUFSHARE_INFO, &args);
}

static int call_list(struct state *s)
{
	uint64_t ids[4];
	struct drm_bufshare_list args = { .ids = (uintptr_t)ids, .count = 4 };

	return call(s->fd, DRM_IOCTL_BUFSHARE_LIST, &args);
}

static int call_reset(struct state *s)
{
	struct drm_bufshare_reset args = { 0 };

	return call(s->fd, DRM_IOCTL_BUFSHARE_RESET, &args);
}

static int call_reset_all(struct state *s)
{
	struct drm_bufshare_reset args = { .flags = DRM_BUFSHARE_RESET_ALL };

	return call(s->fd, DRM_IOCTL_BUFSHARE_RESET, &args);
}

static int call_ping(struct state *s)
{
	struct drm_bufshare_ping args = { 0 };

	return call(s->fd, DRM_IOCTL_BUFSHARE_PING, &args);
}

static int call_user_memory(struct state *s)
{
	struct drm_bufshare_user_memory args = { .addr = (uintptr_t)s->mem, .size = MEMORY };
	struct drm_bufshare_register reg;
	int ret = call(s->fd, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args);

	if (ret)
		return ret;
	reg = register_args(args.handle);
	return call(s->fd, DRM_IOCTL_BUFSHARE_REGISTER, &reg);
}

static int call_export(struct state *s)
{
	int buf;

	if (drmPrimeHandleToFD(s->fd, s->handle, DRM_CLOEXEC | DRM_RDWR, &buf) < 0)
		return -errno;
	close(buf);
	return 0;
}

/* Another file of this device, so that it gets a handle of its own. */
static int call_import_own(struct state *s)
{
	uint32_t handle;
	int buf, ret;

	if (drmPrimeHandleToFD(s->fd, s->handle, DRM_CLOEXEC | DRM_RDWR, &buf) < 0)
		return -errno;
	ret = drmPrimeFDToHandle(s->other, buf, &handle) < 0 ? -errno : 0;
	close(buf);
	return ret;
}

static int call_import(struct state *s)
{
	struct drm_bufshare_register args;
	uint32_t handle;

	if (drmPrimeFDToHandle(s->fd, s->buf, &handle) < 0)
		return -errno;
	args = register_args(handle);
	return call(s->fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);
}

/* There is one. */
static int call_read(struct state *s)
{
	struct drm_bufshare_event event;

	return read(s->fd, &event, sizeof(event)) < 0 ? -errno : 0;
}

/* What could not be read is still there. */
static void check_read(struct state *s, int result)
{
	if (result)
		expect_event(s->fd, DRM_BUFSHARE_EVENT_RELEASED, s->id);
	expect_no_event(s->fd);
}

/* ---- each of them with each fault ---- */

static int heap_buffer(void)
{
	struct dma_heap_allocation_data args = { .len = MEMORY, .fd_flags = O_RDWR | O_CLOEXEC };
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0)
		return -1;
	expect_ok(call(heap, DMA_HEAP_IOCTL_ALLOC, &args));
	close(heap);
	return (int)args.fd;
}

static struct state state_new(void)
{
	struct state s = {
		.fd = open_node(node.render), .other = open_node(node.render),
		.card = open_node(node.card),
	};
	struct drm_bufshare_update_entry entry;

	s.handle = create(s.fd, MEMORY);
	s.id = register_new(s.fd, 4096);
	s.id2 = register_new(s.fd, 4096);
	s.waiting = register_new(s.fd, 4096);
	s.timeline = timeline_new();
	s.buf = heap_buffer();
	expect(drmSyncobjCreate(s.fd, DRM_SYNCOBJ_CREATE_SIGNALED, &s.syncobj) == 0);
	expect(drmSyncobjExportSyncFile(s.fd, s.syncobj, &s.fence) == 0);
	s.mem = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	expect(s.mem != MAP_FAILED);
	memset(s.mem, 1, MEMORY);
	entry = update_entry(s.waiting);
	entry.flags = DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	entry.in_fence_fd = fence_new(s.timeline, 1);
	expect_ok(update(s.fd, &entry, 1));
	close(entry.in_fence_fd);
	entry = update_entry(s.id);
	expect_ok(update(s.fd, &entry, 1));
	while (get_info(s.fd, s.id).released < 1)
		usleep(1000);
	return s;
}

static void state_end(struct state *s)
{
	munmap(s->mem, MEMORY);
	close(s->timeline);
	close(s->fence);
	close(s->fd);
	close(s->other);
	close(s->card);
	if (s->buf >= 0)
		close(s->buf);
}

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
