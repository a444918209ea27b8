/* SPDX-License-Identifier: MIT */
/* Registrations: register, unregister, info, list, reset, and whose they are. */
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "suite.h"

static void register_good(void)
{
	static const uint8_t no_uuid[DRM_BUFSHARE_UUID_SIZE];
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 65536));
	struct drm_bufshare_info info;

	args.user_data = 0x1122334455667788;
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
	expect(args.id != 0);
	expect(args.status == VIRTIO_BUFSHARE_STATUS_OK && args.detail == 0);
	expect(args.num_ranges >= 1 && args.num_ranges <= 16);
	expect(memcmp(args.uuid, no_uuid, sizeof(no_uuid)) != 0);

	info = get_info(fd, args.id);
	expect(info.id == args.id && info.handle == 0 && info.flags == 0);
	expect(info.size == 65536 && info.seq == 0 && info.released == 0);
	expect(info.user_data == 0x1122334455667788);
	expect(info.num_ranges == args.num_ranges);
	expect(info.path >= VIRTIO_BUFSHARE_PATH_COPY && info.path <= VIRTIO_BUFSHARE_PATH_MEMFD);
	expect(info.consumers == 0);
	expect(memcmp(info.uuid, args.uuid, sizeof(info.uuid)) == 0);
	expect(strcmp(info.application, APPLICATION) == 0);
	expect_no_event(fd);
}

/* Ids and UUIDs are never used again. */
static void register_again(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 4096);
	uint64_t first, second;
	uint8_t uuid[DRM_BUFSHARE_UUID_SIZE];

	first = register_handle(fd, handle);
	memcpy(uuid, get_info(fd, first).uuid, sizeof(uuid));
	unregister(fd, first);
	second = register_handle(fd, handle);
	expect(second > first);
	expect(memcmp(uuid, get_info(fd, second).uuid, sizeof(uuid)) != 0);
}

/* The memory stays although the handle is closed. */
static void register_keeps_object(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 4096);
	uint64_t id = register_handle(fd, handle);

	close_handle(fd, handle);
	expect(get_info(fd, id).size == 4096);
	unregister(fd, id);
}

/* Calls with args and expects the error; nothing may be registered then. */
static void register_fails(int fd, struct drm_bufshare_register args, int error, uint32_t status,
			   uint32_t detail)
{
	struct drm_bufshare_list list = { 0 };

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args), error);
	expect(args.id == 0 && args.num_ranges == 0);
	expect(args.status == status && args.detail == detail);
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &list));
	expect(list.count == 0);
}

static void register_wrong(int fd, struct drm_bufshare_register args, int error)
{
	register_fails(fd, args, error, VIRTIO_BUFSHARE_STATUS_OK, 0);
}

static void register_twice(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 4096);
	struct drm_bufshare_register args = register_args(handle);

	register_handle(fd, handle);
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args), -EALREADY);
}

static void register_no_handle(void)
{
	register_wrong(open_node(node.render), register_args(1), -ENOENT);
}

static void register_flags(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	args.flags = 1U << 31;
	register_wrong(fd, args, -EINVAL);
}

/* The host may forbid it, but says so then. */
static void register_share_rw(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 4096));
	int r;

	args.flags = DRM_BUFSHARE_REGISTER_SHARE_RW;
	r = call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);
	if (r == -EACCES)
		expect(args.status == VIRTIO_BUFSHARE_STATUS_DENIED);
	else
		expect_ok(r);
}

static void register_application(const char *application, size_t size)
{
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	memset(args.application, 0, sizeof(args.application));
	memcpy(args.application, application, size);
	register_wrong(fd, args, -EINVAL);
}

static void register_application_empty(void)
{
	register_application("", 0);
}

static void register_application_character(void)
{
	register_application("a/b", 3);
}

static void register_application_begin(void)
{
	register_application(".a", 2);
}

static void register_application_unterminated(void)
{
	char text[DRM_BUFSHARE_APPLICATION_SIZE];

	memset(text, 'a', sizeof(text));
	register_application(text, sizeof(text));
}

static void register_application_padding(void)
{
	register_application("a\0b", 3);
}

static void register_application_longest(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	memset(args.application, 'A', sizeof(args.application) - 1);
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
	expect(strlen(get_info(fd, args.id).application) == sizeof(args.application) - 1);
}

static void register_properties(const char *block, uint32_t size, int error, uint32_t status,
				uint32_t detail)
{
	int fd = open_node(node.render);
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	args.properties = (uintptr_t)block;
	args.properties_size = size;
	register_fails(fd, args, error, status, detail);
}

static void register_properties_pointer(void)
{
	register_properties((const char *)16, 8, -EFAULT, VIRTIO_BUFSHARE_STATUS_OK, 0);
}

static void register_properties_malformed(void)
{
	register_properties("Width=1", 8, -EINVAL, VIRTIO_BUFSHARE_STATUS_OK, 0);
}

static void register_properties_removal(void)
{
	register_properties("width", 6, -EINVAL, VIRTIO_BUFSHARE_STATUS_OK, 0);
}

static void register_properties_host(void)
{
	register_properties("host.a=1", 9, -EPERM, VIRTIO_BUFSHARE_STATUS_OK, 0);
}

static void register_properties_too_large(void)
{
	static char block[DRM_BUFSHARE_MAX_PROPERTIES_SIZE + 1];

	memset(block, 'a', sizeof(block));
	register_properties(block, sizeof(block), -ENOSPC, VIRTIO_BUFSHARE_STATUS_LIMIT,
			    VIRTIO_BUFSHARE_LIMIT_PROPERTIES_SIZE);
}

static void register_properties_too_many(void)
{
	uint64_t max = get_param(open_node(node.render), DRM_BUFSHARE_PARAM_MAX_PROPERTIES);
	char block[DRM_BUFSHARE_MAX_PROPERTIES_SIZE];
	uint32_t size = 0;
	uint64_t i;

	for (i = 0; i <= max; i++)
		size += (uint32_t)sprintf(block + size, "p%u=x", (unsigned int)i) + 1;
	register_properties(block, size, -ENOSPC, VIRTIO_BUFSHARE_STATUS_LIMIT,
			    VIRTIO_BUFSHARE_LIMIT_PROPERTIES);
}

/* A dumb buffer can be larger than what can be registered. */
static void register_too_large(void)
{
	int fd = open_node(node.card);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE);
	struct drm_mode_create_dumb dumb = { .width = 1024, .height = max / 4096 + 1, .bpp = 32 };

	expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &dumb));
	register_fails(fd, register_args(dumb.handle), -ENOSPC, VIRTIO_BUFSHARE_STATUS_LIMIT,
		       VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE);
}

/* As many as there may be, which is again so when they are gone. */
static void register_too_many(void)
{
	int fd = open_node(node.render), i;
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFERS), n;
	struct drm_bufshare_register args;
	struct drm_bufshare_reset reset = { 0 };

	if (max > 4096)
		skip("the device allows more than 4096 buffers");
	for (i = 0; i < 2; i++) {
		for (n = 0; n < max; n++)
			register_new(fd, 4096);
		args = register_args(create(fd, 4096));
		expect_result(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args), -ENOSPC);
		expect(args.status == VIRTIO_BUFSHARE_STATUS_LIMIT);
		expect(args.detail == VIRTIO_BUFSHARE_LIMIT_BUFFERS);
		expect_ok(call(fd, DRM_IOCTL_BUFSHARE_RESET, &reset));
	}
}

/* The limit of all buffers, where it is small enough to be reached. */
static void register_too_much(void)
{
	int fd = open_node(node.card);
	uint64_t total = get_param(fd, DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE);
	struct drm_mode_create_dumb dumb = { .width = 1024, .height = max / 4096, .bpp = 32 };
	struct drm_bufshare_register args;
	uint64_t used;

	/* What is touched is real memory, of which a small guest has little. */
	if (total > (128 << 20))
		skip("the device allows more than 128 MiB");
	for (used = 0; used + max <= total; used += max) {
		expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &dumb));
		register_handle(fd, dumb.handle);
	}
	expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &dumb));
	args = register_args(dumb.handle);
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args), -ENOSPC);
	expect(args.status == VIRTIO_BUFSHARE_STATUS_LIMIT);
	expect(args.detail == VIRTIO_BUFSHARE_LIMIT_TOTAL_SIZE);
}

static int unregister_result(int fd, struct drm_bufshare_unregister args)
{
	return call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args);
}

static void unregister_good(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_unregister args = { .id = register_new(fd, 4096) };
	struct drm_bufshare_info info = { .id = args.id };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args));
	expect(args.flags == 0 && args.pad == 0);
	expect(!is_listed(fd, args.id, 0));
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_INFO, &info), -ENOENT);
	expect_result(unregister_result(fd, args), -ENOENT);
}

static void unregister_wrong(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);

	expect_result(unregister_result(fd, (struct drm_bufshare_unregister){ .id = id, .flags = 1 }),
		      -EINVAL);
	expect_result(unregister_result(fd, (struct drm_bufshare_unregister){ .id = id, .pad = 1 }),
		      -EINVAL);
	expect_result(unregister_result(fd, (struct drm_bufshare_unregister){ .id = 0 }), -ENOENT);
	expect_result(unregister_result(fd, (struct drm_bufshare_unregister){ .id = id + 1 }),
		      -ENOENT);
	expect(is_listed(fd, id, 0));
}

static int info_result(int fd, struct drm_bufshare_info args)
{
	return call(fd, DRM_IOCTL_BUFSHARE_INFO, &args);
}

static void info_by_handle(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 4096);
	uint64_t id = register_handle(fd, handle);
	struct drm_bufshare_info args = { .handle = handle };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_INFO, &args));
	expect(args.id == id && args.handle == handle);
}

static void info_wrong(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 4096), unregistered = create(fd, 4096);
	uint64_t id = register_handle(fd, handle);

	expect_result(info_result(fd, (struct drm_bufshare_info){ 0 }), -EINVAL);
	expect_result(info_result(fd, (struct drm_bufshare_info){ .id = id, .handle = handle }),
		      -EINVAL);
	expect_result(info_result(fd, (struct drm_bufshare_info){ .id = id, .flags = 1 }), -EINVAL);
	expect_result(info_result(fd, (struct drm_bufshare_info){ .id = id, .pad = 1 }), -EINVAL);
	expect_result(info_result(fd, (struct drm_bufshare_info){ .id = id + 1 }), -ENOENT);
	expect_result(info_result(fd, (struct drm_bufshare_info){ .handle = unregistered }),
		      -ENOENT);
	expect_result(info_result(fd, (struct drm_bufshare_info){ .handle = 77 }), -ENOENT);
}

static void list_good(void)
{
	int fd = open_node(node.render), i;
	uint64_t registered[5], ids[5] = { 0 };
	struct drm_bufshare_list args = { .count = 9 };

	for (i = 0; i < 5; i++)
		registered[i] = register_new(fd, 4096);
	unregister(fd, registered[2]);

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(args.count == 4);

	args = (struct drm_bufshare_list){ .ids = (uintptr_t)ids, .count = 5 };
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(args.count == 4);
	expect(ids[0] == registered[0] && ids[1] == registered[1] && ids[2] == registered[3] &&
	       ids[3] == registered[4] && ids[4] == 0);
}

static void list_little_room(void)
{
	int fd = open_node(node.render);
	uint64_t first = register_new(fd, 4096), second = register_new(fd, 4096);
	uint64_t ids[2] = { 0 };
	struct drm_bufshare_list args = { .ids = (uintptr_t)ids, .count = 1 };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(args.count == 2 && ids[0] == first && ids[1] == 0);

	args = (struct drm_bufshare_list){ .ids = (uintptr_t)ids, .count = 1, .after = first };
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(args.count == 1 && ids[0] == second);

	args.after = UINT64_MAX;
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(args.count == 0);
}

static void list_wrong(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_list args = { .flags = 1U << 31 };

	register_new(fd, 4096);
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args), -EINVAL);
	args = (struct drm_bufshare_list){ .ids = 16, .count = 1 };
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args), -EFAULT);
}

/* The administrator sees all buffers and reads of them; nobody else does. */
static void list_all(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_list args = { .flags = DRM_BUFSHARE_LIST_ALL };
	struct drm_bufshare_info info = { .id = id };

	expect(!is_listed(other, id, 0));
	expect(is_listed(other, id, DRM_BUFSHARE_LIST_ALL));
	expect_ok(call(other, DRM_IOCTL_BUFSHARE_INFO, &info));
	expect(info.size == 4096);

	drop_privileges();
	expect_result(call(other, DRM_IOCTL_BUFSHARE_LIST, &args), -EACCES);
	info = (struct drm_bufshare_info){ .id = id };
	expect_result(call(other, DRM_IOCTL_BUFSHARE_INFO, &info), -ENOENT);
}

/* Not even the administrator changes by accident what another file has registered. */
static void ownership(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_set_properties set = {
		.id = id, .properties = (uintptr_t)"a=1", .properties_size = 4,
	};
	struct drm_bufshare_update_entry entry = update_entry(id);

	expect_result(unregister_result(other, (struct drm_bufshare_unregister){ .id = id }),
		      -ENOENT);
	expect_result(call(other, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &set), -ENOENT);
	expect_result(update(other, &entry, 1), -ENOENT);
	expect(get_info(fd, id).seq == 0);
}

static void reset_file(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint64_t a = register_new(fd, 4096), b = register_new(fd, 4096);
	uint64_t c = register_new(other, 4096);
	struct drm_bufshare_reset args = { 0 };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args));
	expect(!is_listed(fd, a, 0) && !is_listed(fd, b, 0));
	expect(is_listed(other, c, 0));
	expect_no_event(fd);
	expect_no_event(other);
	/* nothing left to do */
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args));
	register_new(fd, 4096);
}

static void reset_wrong(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_reset args = { .flags = 1U << 31 };

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args), -EINVAL);
	args = (struct drm_bufshare_reset){ .pad = 1 };
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args), -EINVAL);
	drop_privileges();
	args = (struct drm_bufshare_reset){ .flags = DRM_BUFSHARE_RESET_ALL };
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args), -EACCES);
	expect(is_listed(fd, id, 0));
}

/* Others learn that their buffers are lost, and can go on. */
static void reset_all(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint64_t mine = register_new(fd, 4096);
	uint32_t handle = create(other, 4096);
	uint64_t theirs = register_handle(other, handle);
	struct drm_bufshare_reset args = { .flags = DRM_BUFSHARE_RESET_ALL };
	struct drm_bufshare_update_entry entry = update_entry(theirs);
	struct drm_bufshare_event event;

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_RESET, &args));
	expect(!is_listed(fd, mine, 0));
	expect_no_event(fd);
	event = expect_event(other, DRM_BUFSHARE_EVENT_BUFFER_LOST, theirs);
	expect(event.value == VIRTIO_BUFSHARE_REASON_RESET);
	expect(get_info(other, theirs).flags == DRM_BUFSHARE_INFO_LOST);
	expect_result(update(other, &entry, 1), -ESTALE);
	unregister(other, theirs);
	register_handle(other, handle);
}

const struct test register_tests[] = {
	{ "register: good", register_good },
	{ "register: ids and UUIDs are never used again", register_again },
	{ "register: keeps the object", register_keeps_object },
	{ "register: twice", register_twice },
	{ "register: no such handle", register_no_handle },
	{ "register: unknown flag", register_flags },
	{ "register: SHARE_RW", register_share_rw },
	{ "register: application empty", register_application_empty },
	{ "register: application with a bad character", register_application_character },
	{ "register: application with a bad beginning", register_application_begin },
	{ "register: application not terminated", register_application_unterminated },
	{ "register: application not padded with zeroes", register_application_padding },
	{ "register: application as long as it can be", register_application_longest },
	{ "register: properties at a bad address", register_properties_pointer },
	{ "register: properties malformed", register_properties_malformed },
	{ "register: properties with a removal", register_properties_removal },
	{ "register: properties of the host", register_properties_host },
	{ "register: properties too large", register_properties_too_large },
	{ "register: too many properties", register_properties_too_many },
	{ "register: buffer too large", register_too_large },
	{ "register: too many buffers", register_too_many },
	{ "register: too much in all", register_too_much },
	{ "unregister: good, and void afterwards", unregister_good },
	{ "unregister: wrong", unregister_wrong },
	{ "info: by handle", info_by_handle },
	{ "info: wrong", info_wrong },
	{ "list: in order", list_good },
	{ "list: little room, and from where it ended", list_little_room },
	{ "list: wrong", list_wrong },
	{ "list: of all files", list_all },
	{ "ownership: another file's buffers", ownership },
	{ "reset: of the file", reset_file },
	{ "reset: wrong", reset_wrong },
	{ "reset: of all files", reset_all },
	{ NULL, NULL },
};
