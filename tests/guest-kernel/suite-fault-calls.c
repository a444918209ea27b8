/* SPDX-License-Identifier: MIT */
/* What the fault tests call: one of each, and what must be true afterwards. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-heap.h>
#include <xf86drm.h>

#include "suite-fault.h"

/* ---- the calls ---- */

int call_open(struct state *s)
{
	int fd = open(node.render, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

int call_get_param(struct state *s)
{
	struct drm_bufshare_get_param args = { .param = DRM_BUFSHARE_PARAM_EPOCH };

	return call(s->fd, DRM_IOCTL_BUFSHARE_GET_PARAM, &args);
}

int call_create(struct state *s)
{
	struct drm_bufshare_create args = { .size = MEMORY };

	return call(s->fd, DRM_IOCTL_BUFSHARE_CREATE, &args);
}

int call_dumb(struct state *s)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 64, .bpp = 32 };

	return call(s->card, DRM_IOCTL_MODE_CREATE_DUMB, &args);
}

int call_map(struct state *s)
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

int call_register(struct state *s)
{
	static const char block[] = "width=64\0height=64";
	struct drm_bufshare_register args = register_args(s->handle);

	args.properties = (uintptr_t)block;
	args.properties_size = sizeof(block);
	return call(s->fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);
}

/* All or nothing; only where the results cannot be written is the state not known. */
void check_register(struct state *s, int result)
{
	struct drm_bufshare_list args = { 0 };

	expect_ok(call(s->fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(result == -EFAULT || args.count == (result ? 3 : 4));
}

int call_unregister(struct state *s)
{
	struct drm_bufshare_unregister args = { .id = s->id };

	return call(s->fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);
}

int call_set(struct state *s)
{
	static const char block[] = "title=a name\0width";
	struct drm_bufshare_set_properties args = {
		.id = s->id, .properties = (uintptr_t)block, .properties_size = sizeof(block),
	};

	return call(s->fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

int call_get(struct state *s)
{
	char block[DRM_BUFSHARE_MAX_PROPERTIES_SIZE];
	struct drm_bufshare_get_properties args = {
		.id = s->id, .properties = (uintptr_t)block, .properties_size = sizeof(block),
	};

	return call(s->fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args);
}

int call_update(struct state *s)
{
	struct drm_bufshare_rect rect = { 0, 0, 64, 1 };
	struct drm_bufshare_update_entry entry = update_entry(s->id);

	entry.damage = (uintptr_t)&rect;
	entry.num_damage = 1;
	return update(s->fd, &entry, 1);
}

void check_update(struct state *s, int result)
{
	uint64_t seq = get_info(s->fd, s->id).seq;

	expect(result == -EFAULT || seq == (result ? 1 : 2));
	while (seq--)
		expect_event(s->fd, DRM_BUFSHARE_EVENT_RELEASED, s->id);
}

int call_update_behind(struct state *s)
{
	struct drm_bufshare_update_entry entry = update_entry(s->waiting);

	return update(s->fd, &entry, 1);
}

/* Both are released when the fence is signalled, whatever failed. */
void check_update_behind(struct state *s, int result)
{
	uint64_t seq = get_info(s->fd, s->waiting).seq;

	expect(result == -EFAULT || seq == (result ? 1 : 2));
	timeline_advance(s->timeline, 1);
	while (get_info(s->fd, s->waiting).released < seq)
		usleep(1000);
}

int call_update_many(struct state *s)
{
	struct drm_bufshare_rect rect = { 0, 0, 1, 1 };
	struct drm_bufshare_update_entry entries[] = { update_entry(s->id), update_entry(s->id2) };

	entries[1].damage = (uintptr_t)&rect;
	entries[1].num_damage = 1;
	return update(s->fd, entries, 2);
}

void check_update_many(struct state *s, int result)
{
	uint64_t seq = get_info(s->fd, s->id).seq, seq2 = get_info(s->fd, s->id2).seq;

	expect(seq == seq2 + 1 && (seq2 == 0 || seq2 == 1));
	expect(result == -EFAULT || seq2 == (result ? 0 : 1));
}

int call_update_fences(struct state *s)
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

int call_info(struct state *s)
{
	struct drm_bufshare_info args = { .id = s->id };

	return call(s->fd, DRM_IOCTL_BUFSHARE_INFO, &args);
}

int call_list(struct state *s)
{
	uint64_t ids[4];
	struct drm_bufshare_list args = { .ids = (uintptr_t)ids, .count = 4 };

	return call(s->fd, DRM_IOCTL_BUFSHARE_LIST, &args);
}

int call_reset(struct state *s)
{
	struct drm_bufshare_reset args = { 0 };

	return call(s->fd, DRM_IOCTL_BUFSHARE_RESET, &args);
}

int call_reset_all(struct state *s)
{
	struct drm_bufshare_reset args = { .flags = DRM_BUFSHARE_RESET_ALL };

	return call(s->fd, DRM_IOCTL_BUFSHARE_RESET, &args);
}

int call_ping(struct state *s)
{
	struct drm_bufshare_ping args = { 0 };

	return call(s->fd, DRM_IOCTL_BUFSHARE_PING, &args);
}

int call_user_memory(struct state *s)
{
	struct drm_bufshare_user_memory args = { .addr = (uintptr_t)s->mem, .size = MEMORY };
	struct drm_bufshare_register reg;
	int ret = call(s->fd, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args);

	if (ret)
		return ret;
	reg = register_args(args.handle);
	return call(s->fd, DRM_IOCTL_BUFSHARE_REGISTER, &reg);
}

int call_export(struct state *s)
{
	int buf;

	if (drmPrimeHandleToFD(s->fd, s->handle, DRM_CLOEXEC | DRM_RDWR, &buf) < 0)
		return -errno;
	close(buf);
	return 0;
}

/* Another file of this device, so that it gets a handle of its own. */
int call_import_own(struct state *s)
{
	uint32_t handle;
	int buf, ret;

	if (drmPrimeHandleToFD(s->fd, s->handle, DRM_CLOEXEC | DRM_RDWR, &buf) < 0)
		return -errno;
	ret = drmPrimeFDToHandle(s->other, buf, &handle) < 0 ? -errno : 0;
	close(buf);
	return ret;
}

int call_import(struct state *s)
{
	struct drm_bufshare_register args;
	uint32_t handle;

	if (drmPrimeFDToHandle(s->fd, s->buf, &handle) < 0)
		return -errno;
	args = register_args(handle);
	return call(s->fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);
}

/* There is one. */
int call_read(struct state *s)
{
	struct drm_bufshare_event event;

	return read(s->fd, &event, sizeof(event)) < 0 ? -errno : 0;
}

/* What could not be read is still there. */
void check_read(struct state *s, int result)
{
	if (result)
		expect_event(s->fd, DRM_BUFSHARE_EVENT_RELEASED, s->id);
	expect_no_event(s->fd);
}

/* ---- what they are made with ---- */

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

struct state state_new(void)
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

void state_end(struct state *s)
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
