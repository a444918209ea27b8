/* SPDX-License-Identifier: MIT */
/* Fences that updates wait for, and syncobjs that are signalled when they are released. */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <signal.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

static uint32_t syncobj_new(int fd)
{
	uint32_t handle;

	expect(drmSyncobjCreate(fd, 0, &handle) == 0);
	return handle;
}

/* Whether it is signalled before the time is over; the fence may come meanwhile. */
static bool syncobj_wait(int fd, uint32_t handle, uint64_t point, int timeout_ms)
{
	struct timespec t;
	int64_t until;

	clock_gettime(CLOCK_MONOTONIC, &t);
	until = (int64_t)t.tv_sec * 1000000000 + t.tv_nsec + (int64_t)timeout_ms * 1000000;
	if (!point)
		return drmSyncobjWait(fd, &handle, 1, until,
				      DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL) == 0;
	return drmSyncobjTimelineWait(fd, &handle, &point, 1, until,
				      DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT, NULL) == 0;
}

static struct drm_bufshare_update_entry fd_entry(uint64_t id, int fence)
{
	struct drm_bufshare_update_entry entry = update_entry(id);

	entry.flags = DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	entry.in_fence_fd = fence;
	return entry;
}

static struct drm_bufshare_update_entry release_entry(uint64_t id, uint32_t syncobj, uint64_t point)
{
	struct drm_bufshare_update_entry entry = update_entry(id);

	entry.flags = DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ;
	entry.release_syncobj = syncobj;
	entry.release_point = point;
	return entry;
}

static void expect_waiting(int fd, uint64_t id, uint64_t seq)
{
	struct drm_bufshare_info info;

	expect_no_event(fd);
	info = get_info(fd, id);
	expect(info.seq == seq && info.released < seq);
	expect(info.flags & DRM_BUFSHARE_INFO_BUSY);
}

static void expect_released(int fd, uint64_t id, uint64_t seq)
{
	expect(expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, id).seq == seq);
	expect(get_info(fd, id).released == seq);
}

/* ---- what an update waits for ---- */

static void feature(void)
{
	int fd = open_node(node.render);

	expect(get_param(fd, DRM_BUFSHARE_PARAM_FEATURES) & DRM_BUFSHARE_FEATURE_FENCES);
}

static void sync_file(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), fence = fence_new(timeline, 1);
	struct drm_bufshare_update_entry entry = fd_entry(register_new(fd, 4096), fence);

	expect_ok(update(fd, &entry, 1));
	close(fence);
	expect(entry.seq == 1);
	expect_waiting(fd, entry.id, 1);
	timeline_advance(timeline, 1);
	expect_released(fd, entry.id, 1);
}

static void signaled_already(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), fence = fence_new(timeline, 1);
	struct drm_bufshare_update_entry entry = fd_entry(register_new(fd, 4096), fence);

	timeline_advance(timeline, 1);
	expect_ok(update(fd, &entry, 1));
	expect_released(fd, entry.id, 1);
}

/* Its timeline is closed: what was drawn is what there is. */
static void fence_with_error(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), fence = fence_new(timeline, 1);
	struct drm_bufshare_update_entry entry = fd_entry(register_new(fd, 4096), fence);

	expect_ok(update(fd, &entry, 1));
	close(timeline);
	expect_released(fd, entry.id, 1);
}

static void syncobj(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), fence = fence_new(timeline, 1);
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));

	entry.flags = DRM_BUFSHARE_UPDATE_IN_SYNCOBJ;
	entry.in_syncobj = syncobj_new(fd);
	expect(drmSyncobjImportSyncFile(fd, entry.in_syncobj, fence) == 0);
	expect_ok(update(fd, &entry, 1));
	expect_waiting(fd, entry.id, 1);
	timeline_advance(timeline, 1);
	expect_released(fd, entry.id, 1);
}

static void syncobj_point(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), fence = fence_new(timeline, 1);
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 4096));
	uint32_t binary = syncobj_new(fd);
	uint64_t first = 1;

	entry.flags = DRM_BUFSHARE_UPDATE_IN_SYNCOBJ;
	entry.in_syncobj = syncobj_new(fd);
	entry.in_point = 1;
	expect(drmSyncobjTimelineSignal(fd, &entry.in_syncobj, &first, 1) == 0);
	expect(drmSyncobjImportSyncFile(fd, binary, fence) == 0);
	expect(drmSyncobjTransfer(fd, entry.in_syncobj, 7, binary, 0, 0) == 0);

	expect_ok(update(fd, &entry, 1));
	expect_released(fd, entry.id, 1);
	entry.in_point = 7;
	expect_ok(update(fd, &entry, 1));
	expect_waiting(fd, entry.id, 2);
	timeline_advance(timeline, 1);
	expect_released(fd, entry.id, 2);
}

static void attach_fence(int fd, uint32_t handle, int fence, uint32_t access)
{
	struct dma_buf_import_sync_file args = { .flags = access, .fd = fence };
	int buf;

	expect(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	expect_ok(call(buf, DMA_BUF_IOCTL_IMPORT_SYNC_FILE, &args));
	close(buf);
}

static void implicit(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	uint32_t handle = create(fd, 4096);
	struct drm_bufshare_update_entry entry = update_entry(register_handle(fd, handle));

	entry.flags = DRM_BUFSHARE_UPDATE_IN_IMPLICIT;
	expect_ok(update(fd, &entry, 1));
	expect_released(fd, entry.id, 1);

	/* Who reads does not keep the host from reading, but who writes does. */
	attach_fence(fd, handle, fence_new(timeline, 2), DMA_BUF_SYNC_READ);
	expect_ok(update(fd, &entry, 1));
	expect_released(fd, entry.id, 2);
	attach_fence(fd, handle, fence_new(timeline, 1), DMA_BUF_SYNC_WRITE);
	expect_ok(update(fd, &entry, 1));
	expect_waiting(fd, entry.id, 3);
	timeline_advance(timeline, 1);
	expect_released(fd, entry.id, 3);
}

static void all_kinds(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	uint32_t handle = create(fd, 4096);
	struct drm_bufshare_update_entry entry =
		fd_entry(register_handle(fd, handle), fence_new(timeline, 2));

	entry.flags |= DRM_BUFSHARE_UPDATE_IN_SYNCOBJ | DRM_BUFSHARE_UPDATE_IN_IMPLICIT;
	entry.in_syncobj = syncobj_new(fd);
	expect(drmSyncobjImportSyncFile(fd, entry.in_syncobj, fence_new(timeline, 1)) == 0);
	attach_fence(fd, handle, fence_new(timeline, 3), DMA_BUF_SYNC_WRITE);

	expect_ok(update(fd, &entry, 1));
	timeline_advance(timeline, 1);
	expect_waiting(fd, entry.id, 1);
	timeline_advance(timeline, 1);
	expect_waiting(fd, entry.id, 1);
	timeline_advance(timeline, 1);
	expect_released(fd, entry.id, 1);
}

/* ---- order ---- */

/* An update without fences does not overtake one that waits; both may be told as one. */
static void in_order(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	struct drm_bufshare_update_entry entry =
		fd_entry(register_new(fd, 4096), fence_new(timeline, 1));
	struct drm_bufshare_update_entry plain = update_entry(entry.id);

	expect_ok(update(fd, &entry, 1));
	expect_ok(update(fd, &plain, 1));
	expect_ok(update(fd, &plain, 1));
	expect(plain.seq == 3);
	expect_waiting(fd, entry.id, 3);
	timeline_advance(timeline, 1);
	while (get_info(fd, entry.id).released < 3)
		expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
}

static void signaled_out_of_order(void)
{
	int fd = open_node(node.render), first = timeline_new(), second = timeline_new();
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_update_entry entry = fd_entry(id, fence_new(first, 1));

	expect_ok(update(fd, &entry, 1));
	entry = fd_entry(id, fence_new(second, 1));
	expect_ok(update(fd, &entry, 1));
	timeline_advance(second, 1);
	expect_waiting(fd, id, 2);
	timeline_advance(first, 1);
	while (get_info(fd, id).released < 2)
		expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, id);
}

/* Other buffers do not wait. */
static void other_buffer(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	struct drm_bufshare_update_entry entries[2] = {
		fd_entry(register_new(fd, 4096), fence_new(timeline, 1)),
		update_entry(register_new(fd, 4096)),
	};

	expect_ok(update(fd, entries, 2));
	expect_released(fd, entries[1].id, 1);
	expect_waiting(fd, entries[0].id, 1);
	timeline_advance(timeline, 1);
	expect_released(fd, entries[0].id, 1);
}

/* One timeline value signals the fences of as many buffers as a call takes. */
static void many_buffers(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), i;
	int fence = fence_new(timeline, 1);
	struct drm_bufshare_update_entry entries[DRM_BUFSHARE_MAX_UPDATES];
	struct drm_bufshare_event event;

	for (i = 0; i < DRM_BUFSHARE_MAX_UPDATES; i++)
		entries[i] = fd_entry(register_new(fd, 4096), fence);
	expect_ok(update(fd, entries, DRM_BUFSHARE_MAX_UPDATES));
	expect_no_event(fd);
	timeline_advance(timeline, 1);
	for (i = 0; i < DRM_BUFSHARE_MAX_UPDATES; i++)
		expect(read_event(fd, 5000, &event) && event.seq == 1);
	expect_no_event(fd);
}

static void too_many_waiting(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), i;
	struct drm_bufshare_update_entry entry =
		fd_entry(register_new(fd, 4096), fence_new(timeline, 1));
	struct drm_bufshare_update_entry plain = update_entry(entry.id);
	struct drm_bufshare_event event;

	for (i = 0; i < DRM_BUFSHARE_MAX_OUTSTANDING; i++)
		expect_ok(update(fd, &entry, 1));
	expect_result(update(fd, &entry, 1), -EBUSY);
	expect_result(update(fd, &plain, 1), -EBUSY);
	expect(get_info(fd, entry.id).seq == DRM_BUFSHARE_MAX_OUTSTANDING);
	timeline_advance(timeline, 1);
	while (get_info(fd, entry.id).released < DRM_BUFSHARE_MAX_OUTSTANDING)
		expect(read_event(fd, 5000, &event));
	expect_ok(update(fd, &plain, 1));
}

/* ---- the release ---- */

static void release_binary(void)
{
	int fd = open_node(node.render);
	uint32_t handle = syncobj_new(fd);
	struct drm_bufshare_update_entry entry = release_entry(register_new(fd, 4096), handle, 0);

	expect(!syncobj_wait(fd, handle, 0, 0));
	expect_ok(update(fd, &entry, 1));
	expect(syncobj_wait(fd, handle, 0, 5000));
	expect_released(fd, entry.id, 1);
}

static void release_timeline(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	uint32_t handle = syncobj_new(fd), i;
	uint64_t id = register_new(fd, 4096), value;
	struct drm_bufshare_update_entry entry;

	for (i = 1; i <= 3; i++) {
		entry = release_entry(id, handle, 10 * i);
		entry.flags |= DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
		entry.in_fence_fd = fence_new(timeline, i);
		expect_ok(update(fd, &entry, 1));
	}
	for (i = 1; i <= 3; i++) {
		expect(!syncobj_wait(fd, handle, 10 * i, 50));
		timeline_advance(timeline, 1);
		expect(syncobj_wait(fd, handle, 10 * i, 5000));
		expect(drmSyncobjQuery(fd, &handle, &value, 1) == 0 && value == 10 * i);
		expect_released(fd, id, i);
	}
}

/* The file is full of events that nobody reads: the syncobj is signalled nevertheless. */
static void release_without_event(void)
{
	int fd = open_node(node.render), i;
	uint32_t handle = syncobj_new(fd);
	struct drm_bufshare_update_entry entry = release_entry(register_new(fd, 4096), handle, 0);

	for (i = 1; i <= 150; i++) {
		entry.release_point = i;
		expect_ok(update(fd, &entry, 1));
		expect(syncobj_wait(fd, handle, i, 5000));
	}
}

static void too_many_releases(void)
{
	int fd = open_node(node.render), timeline = timeline_new(), i;
	uint64_t id = register_new(fd, 4096);
	uint32_t handle = syncobj_new(fd);
	struct drm_bufshare_update_entry entry = fd_entry(id, fence_new(timeline, 1));

	expect_ok(update(fd, &entry, 1));
	for (i = 1; i <= DRM_BUFSHARE_MAX_OUTSTANDING; i++) {
		entry = release_entry(id, handle, i);
		expect_ok(update(fd, &entry, 1));
	}
	expect_result(update(fd, &entry, 1), -EBUSY);
	timeline_advance(timeline, 1);
	expect(syncobj_wait(fd, handle, DRM_BUFSHARE_MAX_OUTSTANDING, 5000));
	entry.release_point = DRM_BUFSHARE_MAX_OUTSTANDING + 1;
	expect_ok(update(fd, &entry, 1));
	expect(syncobj_wait(fd, handle, DRM_BUFSHARE_MAX_OUTSTANDING + 1, 5000));
}

/* ---- ends while a fence is pending ---- */

static void unregistered(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	uint32_t handle = syncobj_new(fd);
	struct drm_bufshare_update_entry entry = release_entry(register_new(fd, 4096), handle, 1);

	entry.flags |= DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	entry.in_fence_fd = fence_new(timeline, 1);
	expect_ok(update(fd, &entry, 1));
	unregister(fd, entry.id);
	expect(syncobj_wait(fd, handle, 1, 5000));
	timeline_advance(timeline, 1);
	expect_no_event(fd);
}

static void reset(void)
{
	int fd = open_node(node.render), timeline = timeline_new();
	struct drm_bufshare_update_entry entry =
		fd_entry(register_new(fd, 4096), fence_new(timeline, 1));
	struct drm_bufshare_reset args = { 0 };

	expect_ok(update(fd, &entry, 1));
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args));
	timeline_advance(timeline, 1);
	expect_no_event(fd);
}

/* Another file resets everything: the buffer is lost, and what waits is released. */
static void reset_by_another(void)
{
	int fd = open_node(node.render), admin = open_node(node.render), timeline = timeline_new();
	uint32_t handle = syncobj_new(fd);
	struct drm_bufshare_update_entry entry = release_entry(register_new(fd, 4096), handle, 1);
	struct drm_bufshare_reset args = { .flags = DRM_BUFSHARE_RESET_ALL };
	struct drm_bufshare_event event;

	entry.flags |= DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	entry.in_fence_fd = fence_new(timeline, 1);
	expect_ok(update(fd, &entry, 1));
	expect_ok(call(admin, DRM_IOCTL_BUFSHARE_RESET, &args));
	expect(syncobj_wait(fd, handle, 1, 5000));
	event = expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	expect(event.flags == DRM_BUFSHARE_RELEASED_HOST_GONE);
	expect_event(fd, DRM_BUFSHARE_EVENT_BUFFER_LOST, entry.id);
	timeline_advance(timeline, 1);
	expect_no_event(fd);
	expect_result(update(fd, &entry, 1), -ESTALE);
}

static void closed(void)
{
	int fd = open_node(node.render), admin = open_node(node.render), timeline = timeline_new();
	uint32_t handle = syncobj_new(fd), there;
	struct drm_bufshare_update_entry entry = release_entry(register_new(fd, 4096), handle, 1);
	int syncobj_fd;

	expect(drmSyncobjHandleToFD(fd, handle, &syncobj_fd) == 0);
	expect(drmSyncobjFDToHandle(admin, syncobj_fd, &there) == 0);
	entry.flags |= DRM_BUFSHARE_UPDATE_IN_FENCE_FD;
	entry.in_fence_fd = fence_new(timeline, 1);
	expect_ok(update(fd, &entry, 1));
	close(fd);
	wait_unlisted(admin, entry.id);
	expect(syncobj_wait(admin, there, 1, 5000));
	timeline_advance(timeline, 1);
}

/* In each round the fence is signalled while the program dies. */
static void killed(void)
{
	int timeline = timeline_new(), round, pipes[2], status, fence;
	struct drm_bufshare_update_entry entry;
	uint64_t id;
	pid_t pid;

	for (round = 1; round <= 10; round++) {
		fence = fence_new(timeline, round);
		expect(pipe(pipes) == 0);
		pid = fork();
		expect(pid >= 0);
		if (pid == 0) {
			int fd = open_node(node.render);

			entry = fd_entry(register_new(fd, 4096), fence);
			expect_ok(update(fd, &entry, 1));
			expect(write(pipes[1], &entry.id, sizeof(entry.id)) == sizeof(entry.id));
			pause();
		}
		expect(read(pipes[0], &id, sizeof(id)) == sizeof(id));
		expect(kill(pid, SIGKILL) == 0);
		timeline_advance(timeline, 1);
		expect(waitpid(pid, &status, 0) == pid);
		close(fence);
		close(pipes[0]);
		close(pipes[1]);
	}
	wait_unlisted(open_node(node.render), id);
}

/* ---- what is wrong ---- */

/* One call with a good entry and a bad one: neither is done, and the good one's syncobj stays. */
static void fails(void (*spoil)(int fd, struct drm_bufshare_update_entry *entry), int error)
{
	int fd = open_node(node.render), timeline = timeline_new();
	uint32_t handle = syncobj_new(fd);
	struct drm_bufshare_update_entry entries[2] = {
		release_entry(register_new(fd, 4096), handle, 1),
		fd_entry(register_new(fd, 4096), fence_new(timeline, 1)),
	};
	uint64_t ids[2] = { entries[0].id, entries[1].id };

	spoil(fd, &entries[1]);
	expect_result(update(fd, entries, 2), error);
	expect(get_info(fd, ids[0]).seq == 0 && get_info(fd, ids[1]).seq == 0);
	timeline_advance(timeline, 1);
	expect_no_event(fd);
	expect(!syncobj_wait(fd, handle, 1, 0));
}

static void spoil_negative_fd(int fd, struct drm_bufshare_update_entry *entry)
{
	entry->in_fence_fd = -1;
}

static void spoil_closed_fd(int fd, struct drm_bufshare_update_entry *entry)
{
	close(entry->in_fence_fd);
}

static void spoil_foreign_fd(int fd, struct drm_bufshare_update_entry *entry)
{
	entry->in_fence_fd = fd;
}

static void spoil_syncobj(int fd, struct drm_bufshare_update_entry *entry)
{
	entry->flags |= DRM_BUFSHARE_UPDATE_IN_SYNCOBJ;
	entry->in_syncobj = 4711;
}

static void spoil_empty_syncobj(int fd, struct drm_bufshare_update_entry *entry)
{
	entry->flags |= DRM_BUFSHARE_UPDATE_IN_SYNCOBJ;
	entry->in_syncobj = syncobj_new(fd);
}

static void spoil_point(int fd, struct drm_bufshare_update_entry *entry)
{
	uint64_t point = 1;

	entry->flags |= DRM_BUFSHARE_UPDATE_IN_SYNCOBJ;
	entry->in_syncobj = syncobj_new(fd);
	expect(drmSyncobjTimelineSignal(fd, &entry->in_syncobj, &point, 1) == 0);
	entry->in_point = 2;
}

static void spoil_release(int fd, struct drm_bufshare_update_entry *entry)
{
	entry->flags |= DRM_BUFSHARE_UPDATE_RELEASE_SYNCOBJ;
	entry->release_syncobj = 4711;
}

static void spoil_release_point(int fd, struct drm_bufshare_update_entry *entry)
{
	spoil_release(fd, entry);
	entry->release_point = 1;
}

static void wrong_fd(void)
{
	fails(spoil_negative_fd, -EINVAL);
	fails(spoil_closed_fd, -EINVAL);
	fails(spoil_foreign_fd, -EINVAL);
}

static void wrong_syncobj(void)
{
	fails(spoil_syncobj, -ENOENT);
	fails(spoil_empty_syncobj, -EINVAL);
	fails(spoil_point, -EINVAL);
}

static void wrong_release(void)
{
	fails(spoil_release, -ENOENT);
	fails(spoil_release_point, -ENOENT);
}

const struct test fence_tests[] = {
	{ "fence: the driver has them", feature },
	{ "fence: sync_file", sync_file },
	{ "fence: signalled already", signaled_already },
	{ "fence: with an error", fence_with_error },
	{ "fence: syncobj", syncobj },
	{ "fence: point of a syncobj", syncobj_point },
	{ "fence: implicit", implicit },
	{ "fence: all kinds at once", all_kinds },
	{ "fence: updates stay in order", in_order },
	{ "fence: signalled out of order", signaled_out_of_order },
	{ "fence: other buffers do not wait", other_buffer },
	{ "fence: many buffers at once", many_buffers },
	{ "fence: too many updates wait", too_many_waiting },
	{ "fence: release by a syncobj", release_binary },
	{ "fence: release by points of a syncobj", release_timeline },
	{ "fence: release without room for events", release_without_event },
	{ "fence: too many releases are due", too_many_releases },
	{ "fence: unregistered while it waits", unregistered },
	{ "fence: reset while it waits", reset },
	{ "fence: lost while it waits", reset_by_another },
	{ "fence: closed while it waits", closed },
	{ "fence: killed while it waits", killed },
	{ "fence: no sync_file", wrong_fd },
	{ "fence: no syncobj, or without a fence", wrong_syncobj },
	{ "fence: no syncobj for the release", wrong_release },
	{ NULL, NULL },
};
