/* SPDX-License-Identifier: MIT */
/* Buffers before they are registered: create, map, dumb buffers, dma-bufs. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

static int create_result(struct drm_bufshare_create args)
{
	return call(open_node(node.render), DRM_IOCTL_BUFSHARE_CREATE, &args);
}

static void create_rounds_up(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_create args = { .size = 5000 };
	long page = sysconf(_SC_PAGESIZE);

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_CREATE, &args));
	expect(args.size == (uint64_t)((5000 + page - 1) / page * page));
	expect(args.handle != 0);
}

static void create_zero_size(void)
{
	expect_result(create_result((struct drm_bufshare_create){ .size = 0 }), -EINVAL);
}

static void create_flags(void)
{
	expect_result(create_result((struct drm_bufshare_create){ .size = 4096, .flags = 2 }),
		      -EINVAL);
}

static void create_too_large(void)
{
	uint64_t max = get_param(open_node(node.render), DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE);

	expect_result(create_result((struct drm_bufshare_create){ .size = max + 1 }), -EINVAL);
	expect_result(create_result((struct drm_bufshare_create){ .size = UINT64_MAX }), -EINVAL);
}

static void create_is_zeroed(void)
{
	int fd = open_node(node.render);
	unsigned char *mem = map_handle(fd, create(fd, 65536), 65536);
	size_t i;

	for (i = 0; i < 65536; i++)
		expect(mem[i] == 0);
}

/* Pages of 2 MiB or so, unless there are none any more. */
static void create_huge(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_create args = {
		.size = 8 * 1024 * 1024 + 5000, .flags = DRM_BUFSHARE_CREATE_HUGE,
	};
	struct drm_bufshare_info info;
	char *mem;

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_CREATE, &args));
	expect(args.size == 8 * 1024 * 1024 + 8192);
	mem = map_handle(fd, args.handle, args.size);
	expect(mem[0] == 0 && mem[args.size - 1] == 0);
	strcpy(mem + 3 * 1024 * 1024 - 2, "hello");
	info = get_info(fd, register_handle(fd, args.handle));
	expect(info.size == args.size);
	printf("# %u ranges\n", info.num_ranges);
	if (get_param(fd, DRM_BUFSHARE_PARAM_FEATURES) & DRM_BUFSHARE_FEATURE_HUGE_PAGES)
		expect(info.num_ranges <= 64);
	expect(strcmp(mem + 3 * 1024 * 1024 - 2, "hello") == 0);
}

/* One memory behind two mappings, which outlive the handle and the file. */
static void map_shares(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 65536);
	char *a = map_handle(fd, handle, 65536);
	char *b = map_handle(fd, handle, 65536);

	strcpy(a + 40000, "hello");
	close_handle(fd, handle);
	close(fd);
	expect(strcmp(b + 40000, "hello") == 0);
}

static void map_pad(void)
{
	int fd = open_node(node.render);
	struct drm_bufshare_map args = { .handle = create(fd, 4096), .pad = 1 };

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_MAP, &args), -EINVAL);
}

static void map_no_handle(void)
{
	struct drm_bufshare_map args = { .handle = 1 };

	expect_result(call(open_node(node.render), DRM_IOCTL_BUFSHARE_MAP, &args), -ENOENT);
}

/* The offset of one file's buffer is of no use to another. */
static void map_of_other_file(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	struct drm_bufshare_map args = { .handle = create(fd, 4096) };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_MAP, &args));
	expect(mmap(NULL, 4096, PROT_READ, MAP_SHARED, other, (off_t)args.offset) == MAP_FAILED);
	expect(errno == EACCES);
}

static struct drm_mode_create_dumb create_dumb(int fd)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 32, .bpp = 32 };

	expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args));
	return args;
}

static void dumb_on_card(void)
{
	int fd = open_node(node.card);
	struct drm_mode_create_dumb dumb = create_dumb(fd);
	struct drm_mode_map_dumb map = { .handle = dumb.handle };
	uint32_t *mem;
	uint64_t id;

	expect(dumb.pitch >= 64 * 4 && dumb.size >= (uint64_t)dumb.pitch * 32);
	expect_ok(call(fd, DRM_IOCTL_MODE_MAP_DUMB, &map));
	mem = mmap(NULL, dumb.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)map.offset);
	expect(mem != MAP_FAILED);
	mem[0] = 0x12345678;
	id = register_handle(fd, dumb.handle);
	expect(get_info(fd, id).size == dumb.size);
	unregister(fd, id);
	expect(mem[0] == 0x12345678);
}

static void dumb_on_render(void)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 32, .bpp = 32 };

	expect_result(call(open_node(node.render), DRM_IOCTL_MODE_CREATE_DUMB, &args), -EACCES);
}

static int export(int fd, uint32_t handle)
{
	int buf;

	expect(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	return buf;
}

static int import(int fd, int buf, uint32_t *handle)
{
	return drmPrimeFDToHandle(fd, buf, handle) < 0 ? -errno : 0;
}

/* The dma-buf is the memory, and keeps it when nothing else does. */
static void prime_export(void)
{
	int fd = open_node(node.render), buf;
	uint32_t handle = create(fd, 65536);
	char *mem = map_handle(fd, handle, 65536), *other;

	buf = export(fd, handle);
	expect(lseek(buf, 0, SEEK_END) == 65536);
	strcpy(mem, "hello");
	close_handle(fd, handle);
	expect(munmap(mem, 65536) == 0);
	close(fd);
	other = mmap(NULL, 65536, PROT_READ, MAP_SHARED, buf, 0);
	expect(other != MAP_FAILED);
	expect(strcmp(other, "hello") == 0);
}

static void prime_import_same_file(void)
{
	int fd = open_node(node.render);
	uint32_t handle = create(fd, 4096), again = 0;

	expect_ok(import(fd, export(fd, handle), &again));
	expect(again == handle);
}

/* The same object in another file, registered by both. */
static void prime_import_other_file(void)
{
	int fd = open_node(node.render), other = open_node(node.card);
	uint32_t handle = create(fd, 4096), imported = 0;
	struct drm_bufshare_info a, b;
	uint64_t id, other_id;

	expect_ok(import(other, export(fd, handle), &imported));
	strcpy(map_handle(fd, handle, 4096), "hello");
	expect(strcmp(map_handle(other, imported, 4096), "hello") == 0);
	id = register_handle(fd, handle);
	other_id = register_handle(other, imported);
	a = get_info(fd, id);
	b = get_info(other, other_id);
	expect(id != other_id);
	expect(memcmp(a.uuid, b.uuid, sizeof(a.uuid)) != 0);
}

const struct test object_tests[] = {
	{ "create: the size is rounded up", create_rounds_up },
	{ "create: zero size", create_zero_size },
	{ "create: unknown flag", create_flags },
	{ "create: too large", create_too_large },
	{ "create: the memory is zeroed", create_is_zeroed },
	{ "create: of large pages", create_huge },
	{ "map: two mappings share the memory and outlive the file", map_shares },
	{ "map: pad", map_pad },
	{ "map: no such handle", map_no_handle },
	{ "map: another file's offset", map_of_other_file },
	{ "dumb: on the card node, and registered", dumb_on_card },
	{ "dumb: not on the render node", dumb_on_render },
	{ "prime: a dma-buf keeps the memory", prime_export },
	{ "prime: import into the same file is the same handle", prime_import_same_file },
	{ "prime: import into another file, registered by both", prime_import_other_file },
	{ NULL, NULL },
};
