/* SPDX-License-Identifier: MIT */
/* dma-bufs of other drivers. */
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "exporter.h"
#include "suite.h"

#define PAGE 4096
#define SIZE 65536

static int import(int fd, int buf, uint32_t *handle)
{
	return drmPrimeFDToHandle(fd, buf, handle) < 0 ? -errno : 0;
}

/* Takes the dma-buf, which is closed. */
static uint32_t import_and_close(int fd, int buf)
{
	uint32_t handle = 0;

	expect_ok(import(fd, buf, &handle));
	expect(handle != 0);
	close(buf);
	return handle;
}

static int open_exporter(void)
{
	int fd = open(EXPORTER_NODE, O_RDWR | O_CLOEXEC);

	if (fd < 0)
		skip("the module bufshare-exporter is not loaded");
	return fd;
}

static int make(uint32_t kind)
{
	struct exporter_make args = { .kind = kind };
	int fd = open_exporter();

	expect(ioctl(fd, EXPORTER_IOCTL_MAKE, &args) == 0);
	close(fd);
	return args.fd;
}

static struct exporter_count count(void)
{
	struct exporter_count args;
	int fd = open_exporter();

	expect(ioctl(fd, EXPORTER_IOCTL_COUNT, &args) == 0);
	close(fd);
	return args;
}

static void wait_for_none(void)
{
	int tries;

	for (tries = 0; tries < 500 && (count().buffers || count().attachments); tries++)
		usleep(10000);
	expect(count().buffers == 0 && count().attachments == 0);
}

/* Registers, updates and unregisters a buffer that was imported. */
static struct drm_bufshare_info use(int fd, uint32_t handle, uint64_t size)
{
	struct drm_bufshare_update_entry entry = update_entry(register_handle(fd, handle));
	struct drm_bufshare_info info = get_info(fd, entry.id);

	expect(info.size == size);
	expect(info.num_ranges >= 1 && info.num_ranges <= size / PAGE);
	expect(info.flags & DRM_BUFSHARE_INFO_IMPORTED);
	expect(!(info.flags & DRM_BUFSHARE_INFO_USER_MEMORY));
	expect_ok(update(fd, &entry, 1));
	expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, entry.id);
	unregister(fd, entry.id);
	return info;
}

static void feature(void)
{
	int fd = open_node(node.render);

	expect(get_param(fd, DRM_BUFSHARE_PARAM_FEATURES) & DRM_BUFSHARE_FEATURE_IMPORT);
}

/* Adjacent pieces are one range. */
static void import_memory(void)
{
	int fd = open_node(node.render);
	uint32_t handle = import_and_close(fd, make(EXPORTER_MEMORY));

	expect(use(fd, handle, EXPORTER_PAGES * PAGE).num_ranges == 1);
	close_handle(fd, handle);
	wait_for_none();
}

/* Attached to from the import on, until there is neither a handle nor a registration. */
static void import_attached(void)
{
	int fd = open_node(node.render);
	uint32_t handle;
	uint64_t id;

	wait_for_none();
	handle = import_and_close(fd, make(EXPORTER_MEMORY));
	expect(count().buffers == 1 && count().attachments == 1);
	id = register_handle(fd, handle);
	close_handle(fd, handle);
	expect(count().buffers == 1 && count().attachments == 1);
	unregister(fd, id);
	wait_for_none();
}

/* As many ranges as there can be; or as there is memory. */
static void import_scattered(void)
{
	uint64_t ram = (uint64_t)sysconf(_SC_PHYS_PAGES), pages, most;
	struct exporter_make args = { .kind = EXPORTER_SCATTERED };
	int fd = open_node(node.render), exporter = open_exporter();
	uint32_t handle;

	pages = get_param(fd, DRM_BUFSHARE_PARAM_MAX_RANGES);
	expect(pages == VIRTIO_BUFSHARE_MAX_RANGES);
	most = get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFER_SIZE) / PAGE;
	if (most > get_param(fd, DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE) / PAGE)
		most = get_param(fd, DRM_BUFSHARE_PARAM_MAX_TOTAL_SIZE) / PAGE;
	if (most > ram / 4 * 3)
		most = ram / 4 * 3;
	if (pages > most)
		pages = most;
	args.pages = (uint32_t)pages;
	expect(ioctl(exporter, EXPORTER_IOCTL_MAKE, &args) == 0);
	close(exporter);
	handle = import_and_close(fd, args.fd);
	printf("# %llu ranges\n", (unsigned long long)pages);
	expect(use(fd, handle, pages * PAGE).num_ranges == pages);
}

static void import_closed_file(void)
{
	int fd = open_node(node.render);

	register_handle(fd, import_and_close(fd, make(EXPORTER_MEMORY)));
	close(fd);
	wait_for_none();
}

/* One object, whoever imports it, and one dma-buf, whoever exports it. */
static void import_twice(void)
{
	int fd = open_node(node.render), buf, again = -1;
	uint32_t handle = 0, second = 0, third = 0;

	wait_for_none();
	buf = make(EXPORTER_MEMORY);
	expect_ok(import(fd, buf, &handle));
	expect_ok(import(fd, buf, &second));
	expect(handle == second);
	expect(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &again) == 0);
	expect_ok(import(fd, again, &third));
	expect(handle == third);
	expect(count().buffers == 1 && count().attachments == 1);
}

static void import_in_two_files(void)
{
	int fd = open_node(node.render), other = open_node(node.card), buf = make(EXPORTER_MEMORY);
	uint32_t a = 0, b = 0;

	expect_ok(import(fd, buf, &a));
	expect_ok(import(other, buf, &b));
	expect(register_handle(fd, a) != register_handle(other, b));
}

static void refused(uint32_t kind, int error)
{
	uint32_t handle = 0;
	int buf;

	/* The test before this may have ended without waiting. */
	wait_for_none();
	buf = make(kind);
	expect_result(import(open_node(node.render), buf, &handle), error);
	expect(count().attachments == 0);
	close(buf);
	wait_for_none();
}

static void import_device(void)
{
	refused(EXPORTER_DEVICE, -EREMOTE);
}

static void import_device_at_end(void)
{
	refused(EXPORTER_DEVICE_AT_END, -EREMOTE);
}

static void import_address_off(void)
{
	refused(EXPORTER_ADDRESS_OFF, -EOPNOTSUPP);
}

static void import_size_off(void)
{
	refused(EXPORTER_SIZE_OFF, -EOPNOTSUPP);
}

static void import_empty_piece(void)
{
	refused(EXPORTER_EMPTY_PIECE, -EOPNOTSUPP);
}

static void import_short(void)
{
	refused(EXPORTER_SHORT, -EOPNOTSUPP);
}

static void import_long(void)
{
	refused(EXPORTER_LONG, -EOPNOTSUPP);
}

static void import_page_twice(void)
{
	refused(EXPORTER_TWICE, -EOPNOTSUPP);
}

static void import_attach_fails(void)
{
	refused(EXPORTER_ATTACH_FAILS, -EBUSY);
}

static void import_map_fails(void)
{
	refused(EXPORTER_MAP_FAILS, -EIO);
}

static void import_vgem(void)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 64, .bpp = 32 };
	int fd = open_node(node.render), vgem = open_vgem(), buf = -1;

	if (vgem < 0)
		skip("this kernel has no vgem");
	expect_ok(call(vgem, DRM_IOCTL_MODE_CREATE_DUMB, &args));
	expect(drmPrimeHandleToFD(vgem, args.handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	use(fd, import_and_close(fd, buf), args.size);
}

/* What is written through the mapping of the import is in the memory it was made of. */
static void import_udmabuf(void)
{
	struct udmabuf_create args = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = SIZE };
	int fd = open_node(node.render), dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), buf;
	char *mem, *mapped;
	uint32_t handle;

	if (dev < 0)
		skip("this kernel has no udmabuf");
	args.memfd = (uint32_t)memfd_create("suite", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	expect(ftruncate((int)args.memfd, SIZE) == 0);
	expect(fcntl((int)args.memfd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	buf = ioctl(dev, UDMABUF_CREATE, &args);
	expect(buf >= 0);
	handle = import_and_close(fd, buf);
	use(fd, handle, SIZE);

	mem = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, (int)args.memfd, 0);
	expect(mem != MAP_FAILED);
	mapped = map_handle(fd, handle, SIZE);
	strcpy(mapped + 5000, "hello");
	expect(strcmp(mem + 5000, "hello") == 0);
}

static void import_heap(void)
{
	struct dma_heap_allocation_data args = { .len = SIZE, .fd_flags = O_RDWR | O_CLOEXEC };
	int fd = open_node(node.render), heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0)
		skip("this kernel has no system heap");
	expect(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &args) == 0);
	use(fd, import_and_close(fd, (int)args.fd), SIZE);
}

/* Each of the two devices has a registration of its own of the memory. */
static void import_other_device(void)
{
	struct drm_bufshare_info a, b;
	uint32_t handle, imported;
	int fd, other, buf = -1;

	if (!have_other_node)
		skip("there is one device only");
	fd = open_node(node.render);
	other = open_node(other_node.render);
	handle = create(fd, SIZE);
	expect(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	imported = import_and_close(other, buf);
	a = get_info(fd, register_handle(fd, handle));
	b = get_info(other, register_handle(other, imported));
	expect(!(a.flags & DRM_BUFSHARE_INFO_IMPORTED));
	expect(b.flags & DRM_BUFSHARE_INFO_IMPORTED);
	expect(a.num_ranges == b.num_ranges);
	expect(memcmp(a.uuid, b.uuid, sizeof(a.uuid)) != 0);

	strcpy(map_handle(fd, handle, SIZE), "hello");
	expect(strcmp(map_handle(other, imported, SIZE), "hello") == 0);
}

static void import_no_dma_buf(void)
{
	uint32_t handle = 0;

	expect_result(import(open_node(node.render), STDIN_FILENO, &handle), -EINVAL);
}

const struct test import_tests[] = {
	{ "import: the feature is there", feature },
	{ "import: memory", import_memory },
	{ "import: as many ranges as there can be", import_scattered },
	{ "import: attached until the host let go", import_attached },
	{ "import: attached until the file is closed", import_closed_file },
	{ "import: twice is the same handle", import_twice },
	{ "import: in two files", import_in_two_files },
	{ "import: no RAM", import_device },
	{ "import: no RAM at the end", import_device_at_end },
	{ "import: address not on a page", import_address_off },
	{ "import: size not whole pages", import_size_off },
	{ "import: an empty piece", import_empty_piece },
	{ "import: a page is missing", import_short },
	{ "import: a page too many", import_long },
	{ "import: a page twice", import_page_twice },
	{ "import: the exporter does not let attach", import_attach_fails },
	{ "import: the exporter does not let map", import_map_fails },
	{ "import: of vgem", import_vgem },
	{ "import: of udmabuf", import_udmabuf },
	{ "import: of the system heap", import_heap },
	{ "import: of another device of this driver", import_other_device },
	{ "import: of what is no dma-buf", import_no_dma_buf },
	{ NULL, NULL },
};
