/* SPDX-License-Identifier: MIT */
/* Updates, and their release by a host on which nobody looks. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>

#include "suite.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void good(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 4096));
	struct drm_bufshare_update_entry entry;
	struct drm_bufshare_event event;
	struct drm_bufshare_info info;
	uint64_t seq, begin;

	args.user_data = 42;
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
	for (seq = 1; seq <= 10; seq++) {
		begin = now_ns();
		entry = update_entry(args.id);
		expect_ok(update(fd, &entry, 1));
		expect(entry.seq == seq);
		event = expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, args.id);
		expect(event.seq == seq && event.user_data == 42 && event.value == 0);
		expect(event.flags == DRM_BUFSHARE_RELEASED_NO_CONSUMER);
		expect(event.time_ns >= begin && event.time_ns <= now_ns());
	}
	info = get_info(fd, args.id);
	expect(info.flags == 0 && info.seq == 10 && info.released == 10);
}

/* As many buffers as there may be in one call, each with its own event. */
static void many_buffers(void)
{
	int fd = open_node(node.render);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_UPDATES);
	uint64_t buffers = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFERS), i;
	struct drm_bufshare_update_entry entries[DRM_BUFSHARE_MAX_UPDATES];
	bool released[DRM_BUFSHARE_MAX_UPDATES] = { false };
	struct drm_bufshare_event event;

	expect(max == DRM_BUFSHARE_MAX_UPDATES);
	max = max < buffers ? max : buffers;
	for (i = 0; i < max; i++)
		entries[i] = update_entry(register_new(fd, 4096));
	expect_ok(update(fd, entries, (uint32_t)max));
	for (i = 0; i < max; i++) {
		expect(entries[i].seq == 1);
		expect(read_event(fd, 5000, &event));
		expect(event.base.type == DRM_BUFSHARE_EVENT_RELEASED && event.seq == 1);
		expect(event.id >= entries[0].id && event.id - entries[0].id < max);
		expect(!released[event.id - entries[0].id]);
		released[event.id - entries[0].id] = true;
	}
	expect_no_event(fd);
}

static void damage(void)
{
	int fd = open_node(node.render);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_DAMAGE);
	struct drm_bufshare_rect rects[DRM_BUFSHARE_MAX_DAMAGE];
	struct drm_bufshare_update_entry entry = update_entry(register_new(fd, 65536));
	uint32_t i;

	expect(max >= 1 && max <= DRM_BUFSHARE_MAX_DAMAGE);
	for (i = 0; i < max; i++)
		rects[i] = (struct drm_bufshare_rect){ i, 2 * i, 1 + i, 3 };
	rects[0] = (struct drm_bufshare_rect){ UINT32_MAX - 1, 0, 1, UINT32_MAX };
	entry.damage = (uintptr_t)rects;
	entry.num_damage = (uint32_t)max;
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
}

/* One call with a good entry and a bad one: neither is done. */
static void fails(void (*spoil)(struct drm_bufshare_update_entry *entry), int error)
{
	int fd = open_node(node.render);
	struct drm_bufshare_update_entry entries[2] = {
		update_entry(register_new(fd, 4096)), update_entry(register_new(fd, 4096)),
	};
	uint64_t ids[2] = { entries[0].id, entries[1].id };

	spoil(&entries[1]);
	expect_result(update(fd, entries, 2), error);
	expect(entries[0].seq == 0);
	expect(get_info(fd, ids[0]).seq == 0 && get_info(fd, ids[1]).seq == 0);
	expect_no_event(fd);
}

static void spoil_id(struct drm_bufshare_update_entry *entry)
{
	entry->id += 1;
}

static void spoil_twice(struct drm_bufshare_update_entry *entry)
{
	entry->id -= 1;
}

static void spoil_flags(struct drm_bufshare_update_entry *entry)
{
	entry->flags = 1U << 31;
}

static void spoil_pad(struct drm_bufshare_update_entry *entry)
{
	entry->pad = 1;
}

static void spoil_fence_fd(struct drm_bufshare_update_entry *entry)
{
	entry->in_fence_fd = 5;
}

static void spoil_syncobj(struct drm_bufshare_update_entry *entry)
{
	entry->in_syncobj = 1;
}

static void spoil_point(struct drm_bufshare_update_entry *entry)
{
	entry->in_point = 1;
}

static void spoil_release_syncobj(struct drm_bufshare_update_entry *entry)
{
	entry->release_syncobj = 1;
}

static void spoil_release_point(struct drm_bufshare_update_entry *entry)
{
	entry->release_point = 1;
}

static struct drm_bufshare_rect rects[DRM_BUFSHARE_MAX_DAMAGE + 1];

static void set_rects(struct drm_bufshare_update_entry *entry, struct drm_bufshare_rect rect)
{
	rects[0] = (struct drm_bufshare_rect){ 0, 0, 1, 1 };
	rects[1] = rect;
	entry->damage = (uintptr_t)rects;
	entry->num_damage = 2;
}

static void spoil_width(struct drm_bufshare_update_entry *entry)
{
	set_rects(entry, (struct drm_bufshare_rect){ 0, 0, 0, 1 });
}

static void spoil_height(struct drm_bufshare_update_entry *entry)
{
	set_rects(entry, (struct drm_bufshare_rect){ 0, 0, 1, 0 });
}

static void spoil_right(struct drm_bufshare_update_entry *entry)
{
	set_rects(entry, (struct drm_bufshare_rect){ UINT32_MAX, 0, 1, 1 });
}

static void spoil_bottom(struct drm_bufshare_update_entry *entry)
{
	set_rects(entry, (struct drm_bufshare_rect){ 0, 2, 1, UINT32_MAX - 1 });
}

static void spoil_num_damage(struct drm_bufshare_update_entry *entry)
{
	int i;

	for (i = 0; i <= DRM_BUFSHARE_MAX_DAMAGE; i++)
		rects[i] = (struct drm_bufshare_rect){ 0, 0, 1, 1 };
	entry->damage = (uintptr_t)rects;
	entry->num_damage = DRM_BUFSHARE_MAX_DAMAGE + 1;
}

static void spoil_damage_pointer(struct drm_bufshare_update_entry *entry)
{
	entry->damage = 16;
	entry->num_damage = 1;
}

static void wrong_id(void)
{
	fails(spoil_id, -ENOENT);
}

static void wrong_twice(void)
{
	fails(spoil_twice, -EINVAL);
}

static void wrong_flags(void)
{
	fails(spoil_flags, -EINVAL);
}

static void wrong_pad(void)
{
	fails(spoil_pad, -EINVAL);
}

static void wrong_without_flag(void)
{
	fails(spoil_fence_fd, -EINVAL);
	fails(spoil_syncobj, -EINVAL);
	fails(spoil_point, -EINVAL);
	fails(spoil_release_syncobj, -EINVAL);
	fails(spoil_release_point, -EINVAL);
}

static void wrong_width(void)
{
	fails(spoil_width, -EINVAL);
}

static void wrong_height(void)
{
	fails(spoil_height, -EINVAL);
}

static void wrong_right(void)
{
	fails(spoil_right, -EINVAL);
}

static void wrong_bottom(void)
{
	fails(spoil_bottom, -EINVAL);
}

static void wrong_num_damage(void)
{
	fails(spoil_num_damage, -EINVAL);
}

static void wrong_damage_pointer(void)
{
	fails(spoil_damage_pointer, -EFAULT);
}

static void wrong_call(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_update_entry entries[DRM_BUFSHARE_MAX_UPDATES + 1] = {
		update_entry(id),
	};
	struct drm_bufshare_update args = {
		.updates = (uintptr_t)entries, .count = 1, .flags = 1,
	};

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_UPDATE, &args), -EINVAL);
	expect_result(update(fd, entries, 0), -EINVAL);
	expect_result(update(fd, entries, DRM_BUFSHARE_MAX_UPDATES + 1), -EINVAL);
	expect_result(update(fd, (struct drm_bufshare_update_entry *)16, 1), -EFAULT);
	expect(get_info(fd, id).seq == 0);
}

/* Where the sequence number cannot be written, there is no update. */
static void read_only_entries(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_update_entry *entry;

	entry = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(entry != MAP_FAILED);
	*entry = update_entry(id);
	expect(mprotect(entry, 4096, PROT_READ) == 0);
	expect_result(update(fd, entry, 1), -EFAULT);
	expect(get_info(fd, id).seq == 0);
}

const struct test update_tests[] = {
	{ "update: released at once where nobody looks", good },
	{ "update: many buffers at once", many_buffers },
	{ "update: with damage", damage },
	{ "update: no such buffer", wrong_id },
	{ "update: a buffer twice", wrong_twice },
	{ "update: unknown flag", wrong_flags },
	{ "update: pad", wrong_pad },
	{ "update: fields without their flag", wrong_without_flag },
	{ "update: damage without width", wrong_width },
	{ "update: damage without height", wrong_height },
	{ "update: damage beyond the right end of numbers", wrong_right },
	{ "update: damage beyond the bottom end of numbers", wrong_bottom },
	{ "update: too much damage", wrong_num_damage },
	{ "update: damage at a bad address", wrong_damage_pointer },
	{ "update: wrong call", wrong_call },
	{ "update: entries that cannot be written", read_only_entries },
	{ NULL, NULL },
};
