/* SPDX-License-Identifier: MIT */
/* Fences for tests: the kernel's sw_sync or, where it has none, vgem's. */
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

/* The interface of sw_sync has no header either. */
struct sw_sync_create_fence {
	uint32_t value;
	char name[32];
	int32_t fence;
};

#define SW_SYNC_CREATE_FENCE _IOWR('W', 0, struct sw_sync_create_fence)
#define SW_SYNC_INC _IOW('W', 1, uint32_t)

/* libdrm does not install vgem's header. */
struct vgem_fence_attach {
	uint32_t handle;
	uint32_t flags;
	uint32_t out_fence;
	uint32_t pad;
};

struct vgem_fence_signal {
	uint32_t fence;
	uint32_t flags;
};

#define VGEM_FENCE_WRITE 1
#define VGEM_FENCE_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_fence_attach)
#define VGEM_FENCE_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_fence_signal)

static bool has_sw_sync;
static uint32_t vgem_values[FD_SETSIZE]; /* of timelines */
static struct {
	int timeline;
	uint32_t value;
	uint32_t fence;
} vgem_fences[512];
static unsigned int num_vgem_fences;

int timeline_new(void)
{
	int fd = open("/sys/kernel/debug/sync/sw_sync", O_RDWR | O_CLOEXEC);

	has_sw_sync = fd >= 0;
	if (fd < 0)
		fd = open_vgem();
	if (fd < 0)
		skip("this kernel has no fences for tests (CONFIG_SW_SYNC, or vgem)");
	expect(fd < FD_SETSIZE);
	vgem_values[fd] = 0;
	return fd;
}

/* A fence of a buffer that is not needed any more, as a sync_file. */
static int vgem_fence_new(int vgem, uint32_t value)
{
	struct drm_mode_create_dumb dumb = { .width = 64, .height = 16, .bpp = 32 };
	struct dma_buf_export_sync_file export = { .flags = DMA_BUF_SYNC_READ };
	struct vgem_fence_attach attach = { .flags = VGEM_FENCE_WRITE };
	int buf;

	expect(num_vgem_fences < sizeof(vgem_fences) / sizeof(vgem_fences[0]));
	expect_ok(call(vgem, DRM_IOCTL_MODE_CREATE_DUMB, &dumb));
	attach.handle = dumb.handle;
	expect_ok(call(vgem, VGEM_FENCE_ATTACH, &attach));
	expect(drmPrimeHandleToFD(vgem, dumb.handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	close_handle(vgem, dumb.handle);
	expect_ok(call(buf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export));
	close(buf);
	vgem_fences[num_vgem_fences].timeline = vgem;
	vgem_fences[num_vgem_fences].value = value;
	vgem_fences[num_vgem_fences++].fence = attach.out_fence;
	return export.fd;
}

int fence_new(int timeline, uint32_t value)
{
	struct sw_sync_create_fence args = { .value = value, .name = "guest-suite" };

	if (!has_sw_sync)
		return vgem_fence_new(timeline, value);
	expect_ok(call(timeline, SW_SYNC_CREATE_FENCE, &args));
	return args.fence;
}

void timeline_advance(int timeline, uint32_t by)
{
	struct vgem_fence_signal signal_args = { 0 };
	unsigned int i;

	if (has_sw_sync) {
		expect_ok(call(timeline, SW_SYNC_INC, &by));
		return;
	}
	vgem_values[timeline] += by;
	for (i = 0; i < num_vgem_fences; i++) {
		if (vgem_fences[i].timeline != timeline ||
		    vgem_fences[i].value > vgem_values[timeline])
			continue;
		vgem_fences[i].timeline = -1;
		signal_args.fence = vgem_fences[i].fence;
		expect_ok(call(timeline, VGEM_FENCE_SIGNAL, &signal_args));
	}
}
