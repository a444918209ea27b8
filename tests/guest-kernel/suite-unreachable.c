/* SPDX-License-Identifier: MIT */
/*
 * In a guest whose memory the device cannot reach as it is: all of it bounces (swiotlb=force),
 * or is behind an IOMMU that the device bypasses. Each kind of memory must be refused with the
 * error that says so, and with a line in the kernel's log; none may reach the host.
 */
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <xf86drm.h>

#include "exporter.h"
#include "suite.h"

#define SIZE 65536
#define LARGE (256UL << 20)

/* What is wrong with this guest's memory. */
struct reason {
	const char *option; /* of the kernel's command line */
	int error;
	const char *message;
};

static const struct reason reasons[] = {
	{ "swiotlb=force", -EADDRNOTAVAIL, "refusing memory: it bounces" },
	{ "intel_iommu=on", -EXDEV, "refusing memory: it is behind an IOMMU" },
};

static const struct reason *reason;
static int kernel_log = -1;

/* Opens the node; the kernel's log is read from here on. */
static int begin(void)
{
	char line[4096] = "";
	size_t i;
	int fd;

	fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	expect(fd >= 0 && read(fd, line, sizeof(line) - 1) > 0);
	close(fd);
	for (i = 0; !reason && i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (strstr(line, reasons[i].option))
			reason = &reasons[i];
	}
	if (!reason)
		skip("the device can reach this guest's memory");

	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	expect(kernel_log >= 0);
	expect(lseek(kernel_log, 0, SEEK_END) >= 0);
	return open_node(node.render);
}

/* drm.debug, which the guest's /init has set, makes the driver say it. */
static bool is_logged(void)
{
	char record[8192];
	bool found = false;
	ssize_t n;

	while ((n = read(kernel_log, record, sizeof(record) - 1)) > 0 || errno == EPIPE) {
		if (n <= 0)
			continue;
		record[n] = '\0';
		found |= strstr(record, "[virtio_bufshare]") && strstr(record, reason->message);
	}
	return found;
}

#define expect_refused(call) \
	do { \
		expect_result(call, reason->error); \
		expect(is_logged()); \
	} while (0)

/* The device is not asked, so nothing in the answer is its. */
static int try_register(int fd, uint32_t handle)
{
	struct drm_bufshare_register args = register_args(handle);
	int result = call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args);

	expect(result == 0 || (args.status == 0 && args.detail == 0));
	return result;
}

static int try_import(int fd, int buf)
{
	uint32_t handle;

	return drmPrimeFDToHandle(fd, buf, &handle) < 0 ? -errno : 0;
}

static void expect_nothing_registered(int fd)
{
	struct drm_bufshare_list args = { .flags = DRM_BUFSHARE_LIST_ALL };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	expect(args.count == 0);
}

/* The program can go on with the buffer: it is only not shared. */
static void own_memory(void)
{
	int fd = begin();
	uint32_t handle = create(fd, SIZE);
	char *mem = map_handle(fd, handle, SIZE);

	strcpy(mem, "hello");
	expect_refused(try_register(fd, handle));
	expect_refused(try_register(fd, handle));
	expect(strcmp(mem, "hello") == 0);
	expect_nothing_registered(fd);
}

/* More than there are bounce buffers for; addresses of an IOMMU do not run out. */
static void large_memory(void)
{
	int fd = begin();

	expect_refused(try_register(fd, create(fd, LARGE)));
	expect_nothing_registered(fd);
}

static void dumb_buffer(void)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 64, .bpp = 32 };
	int fd;

	begin();
	fd = open_node(node.card);
	expect_ok(call(fd, DRM_IOCTL_MODE_CREATE_DUMB, &args));
	expect_refused(try_register(fd, args.handle));
}

/* That it was tried changes nothing in the memory, and pins none of it. */
static void user_memory(void)
{
	struct drm_bufshare_user_memory args = { .size = SIZE };
	int fd = begin(), i;
	char *mem;

	mem = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	expect(mem != MAP_FAILED);
	args.addr = (uintptr_t)mem;
	for (i = 0; i < 100; i++) {
		memset(mem, i, SIZE);
		expect_result(call(fd, DRM_IOCTL_BUFSHARE_USER_MEMORY, &args), reason->error);
		expect(mem[0] == i && memcmp(mem, mem + 1, SIZE - 1) == 0);
	}
	expect(is_logged());
	expect_nothing_registered(fd);
}

static void import_vgem(void)
{
	struct drm_mode_create_dumb args = { .width = 64, .height = 64, .bpp = 32 };
	int fd = begin(), vgem = open_vgem(), buf = -1;

	expect(vgem >= 0);
	expect_ok(call(vgem, DRM_IOCTL_MODE_CREATE_DUMB, &args));
	expect(drmPrimeHandleToFD(vgem, args.handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	expect_refused(try_import(fd, buf));
}

static void import_udmabuf(void)
{
	struct udmabuf_create args = { .flags = UDMABUF_FLAGS_CLOEXEC, .size = SIZE };
	int fd = begin(), dev = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), buf;

	if (dev < 0)
		skip("this kernel has no udmabuf");
	args.memfd = (uint32_t)memfd_create("suite", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	expect(ftruncate((int)args.memfd, SIZE) == 0);
	expect(fcntl((int)args.memfd, F_ADD_SEALS, F_SEAL_SHRINK) == 0);
	buf = ioctl(dev, UDMABUF_CREATE, &args);
	expect(buf >= 0);
	expect_refused(try_import(fd, buf));
}

static void import_heap(void)
{
	struct dma_heap_allocation_data args = { .len = SIZE, .fd_flags = O_RDWR | O_CLOEXEC };
	int fd = begin(), heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0)
		skip("this kernel has no system heap");
	expect(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &args) == 0);
	expect_refused(try_import(fd, (int)args.fd));
}

/* The other device is no better off, and imports it from this one. */
static void import_own(void)
{
	int fd = begin(), buf = -1;

	if (!have_other_node)
		skip("there is one device only");
	expect(drmPrimeHandleToFD(fd, create(fd, SIZE), DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	expect_refused(try_import(open_node(other_node.render), buf));
}

/* The memory of the exporter, which maps nothing, does not bounce; an IOMMU has none of it. */
static void import_unmapped(void)
{
	struct exporter_make args = { .kind = EXPORTER_MEMORY };
	int fd = begin(), exporter = open(EXPORTER_NODE, O_RDWR | O_CLOEXEC);

	expect(exporter >= 0);
	expect(ioctl(exporter, EXPORTER_IOCTL_MAKE, &args) == 0);
	if (reason->error == -EADDRNOTAVAIL)
		expect_ok(try_import(fd, args.fd));
	else
		expect_refused(try_import(fd, args.fd));
}

/* Nor does an error of the exporter's own become one of these. */
static void import_fails(void)
{
	struct exporter_make args = { .kind = EXPORTER_ATTACH_FAILS };
	int fd = begin(), exporter = open(EXPORTER_NODE, O_RDWR | O_CLOEXEC);

	expect(exporter >= 0);
	expect(ioctl(exporter, EXPORTER_IOCTL_MAKE, &args) == 0);
	expect_result(try_import(fd, args.fd), -EBUSY);
	expect(!is_logged());
}

const struct test unreachable_tests[] = {
	{ "unreachable: memory of the driver", own_memory },
	{ "unreachable: more than bounces", large_memory },
	{ "unreachable: a dumb buffer", dumb_buffer },
	{ "unreachable: memory of the program", user_memory },
	{ "unreachable: a dma-buf of vgem", import_vgem },
	{ "unreachable: a dma-buf of udmabuf", import_udmabuf },
	{ "unreachable: a dma-buf of a heap", import_heap },
	{ "unreachable: a dma-buf of the other device", import_own },
	{ "unreachable: a dma-buf that is not mapped for the device", import_unmapped },
	{ "unreachable: an exporter that refuses", import_fails },
	{ NULL, NULL },
};
