/* SPDX-License-Identifier: MIT */
/*
 * libbufshare-gbm, over a libgbm and a driver that are fakes. What Mesa really does on the
 * card node is what the EGL example shows in the VM.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <linux/virtio_bufshare.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <bufshare-gbm.h>
#include <drm_fourcc.h>

#include "common/skip-test.h"
#include "guest/fake-gbm.h"
#include "guest/guest-fixture.h"

#define MS 1000000LL

static struct gbm_device other_gpu = { .fd = -1 };

static struct bufshare_gbm_surface *shared_new(struct guest *g, struct gbm_surface *surface)
{
	struct bufshare_gbm_surface *shared;

	fake_gbm_surface_init(surface, &other_gpu);
	assert_int_equal(bufshare_gbm_surface_new(g->dev, surface, "app", &shared), 0);
	return shared;
}

/* ---- one bo ---- */

static void test_bo(void **state)
{
	struct guest *g = *state;
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;
	struct gbm_bo bo;
	void *pixels;

	fake_gbm_bo_init(&bo, &other_gpu);
	bo.offsets[0] = 128;
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.width, 8);
	assert_int_equal(fb.height, 8);
	assert_int_equal(fb.stride, 64);
	assert_int_equal(fb.offset, 128);
	assert_int_equal(fb.format, DRM_FORMAT_XRGB8888);
	assert_int_equal(fb.modifier, 0);
	assert_int_equal(fb.num_more, 0);

	/* It is the same memory, and outlives the bo. */
	assert_int_equal(pwrite(bo.dmabuf, "x", 1, 4095), 1);
	fake_gbm_bo_fini(&bo);
	assert_int_equal(bufshare_buffer_register(buf, "app"), 0);
	pixels = fake_get_memory(g->fake, bufshare_buffer_get_id(buf));
	assert_int_equal(((char *)pixels)[4095], 'x');
	bufshare_buffer_unref(buf);
}

static void check_format(struct guest *g, uint32_t gbm, uint32_t drm)
{
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;
	struct gbm_bo bo;

	fake_gbm_bo_init(&bo, &other_gpu);
	bo.format = gbm;
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.format, drm);
	bufshare_buffer_unref(buf);
	fake_gbm_bo_fini(&bo);
}

static void test_formats(void **state)
{
	check_format(*state, GBM_FORMAT_ARGB8888, DRM_FORMAT_ARGB8888);
	check_format(*state, GBM_BO_FORMAT_XRGB8888, DRM_FORMAT_XRGB8888);
	check_format(*state, GBM_BO_FORMAT_ARGB8888, DRM_FORMAT_ARGB8888);
}

static void test_planes(void **state)
{
	struct guest *g = *state;
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;
	struct gbm_bo bo;

	fake_gbm_bo_init(&bo, &other_gpu);
	bo.format = GBM_FORMAT_NV12;
	bo.num_planes = 2;
	bo.strides[1] = 32;
	bo.offsets[1] = 512;
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.num_more, 1);
	assert_int_equal(fb.more[0].stride, 32);
	assert_int_equal(fb.more[0].offset, 512);
	bufshare_buffer_unref(buf);
	fake_gbm_bo_fini(&bo);
}

static void test_modifier(void **state)
{
	struct guest *g = *state;
	struct bufshare_framebuffer fb;
	struct bufshare_buffer *buf;
	struct gbm_bo bo;

	fake_gbm_bo_init(&bo, &other_gpu);
	bo.modifier = I915_FORMAT_MOD_X_TILED;
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.modifier, I915_FORMAT_MOD_X_TILED);
	bufshare_buffer_unref(buf);

	/* Without one nobody knows how it lies, but for our own nodes. */
	bo.modifier = DRM_FORMAT_MOD_INVALID;
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), -EOPNOTSUPP);
	bo.device = &(struct gbm_device){
		.fd = open(fake_device_card_path(g->fake), O_RDWR | O_CLOEXEC),
	};
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), 0);
	assert_int_equal(bufshare_buffer_get_framebuffer(buf, &fb), 0);
	assert_int_equal(fb.modifier, DRM_FORMAT_MOD_LINEAR);
	bufshare_buffer_unref(buf);
	close(bo.device->fd);
	fake_gbm_bo_fini(&bo);
}

static void test_bo_wrong(void **state)
{
	struct guest *g = *state;
	struct bufshare_buffer *buf = NULL;
	struct bufshare_device *closed;
	struct gbm_bo good, bo;

	fake_gbm_bo_init(&good, &other_gpu);
	assert_int_equal(bufshare_gbm_buffer_new(NULL, &good, &buf), -EINVAL);
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, NULL, &buf), -EINVAL);
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &good, NULL), -EINVAL);
	assert_int_equal(bufshare_device_new_from_label(NULL, &closed), 0);
	assert_int_equal(bufshare_gbm_buffer_new(closed, &good, &buf), -ENOTCONN);
	bufshare_device_unref(closed);

#define REFUSED(error, ...) \
	do { \
		bo = good; \
		__VA_ARGS__; \
		assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), error); \
	} while (0)
	REFUSED(-EOPNOTSUPP, bo.num_planes = 0);
	REFUSED(-EOPNOTSUPP, bo.num_planes = 5);
	REFUSED(-EOPNOTSUPP, bo.format = GBM_FORMAT_NV12; bo.num_planes = 2; bo.strides[1] = 64;
		bo.offsets[1] = 512; bo.handles[1] = 2); /* in two pieces */
	REFUSED(-EOPNOTSUPP, bo.dmabuf = -1);
	REFUSED(-EINVAL, bo.height = 65); /* outside the memory */
	REFUSED(-EINVAL, bo.num_planes = 2; bo.strides[1] = 64);
	bo = good;
	bo.dmabuf = fake_dmabuf_new(4096, false);
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), -EOPNOTSUPP);
	close(bo.dmabuf);
	assert_null(buf);
	assert_int_equal(fake_count_handles(g->fake), 0);
	fake_gbm_bo_fini(&good);
}

/* Whoever closed its handle first would close the other's. */
static void test_same_file(void **state)
{
	struct guest *g = *state;
	const int fd = bufshare_device_get_fd(g->dev), other = dup(fd);
	struct gbm_device device = { .fd = other };
	struct bufshare_buffer *buf;
	const pid_t self = getpid();
	struct gbm_bo bo;

	if (syscall(SYS_kcmp, self, self, KCMP_FILE, fd, other) != 0) {
		close(other);
		SKIP_TEST("kcmp() is not allowed");
	}
	fake_gbm_bo_init(&bo, &device);
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), -EINVAL);
	device.fd = fd;
	assert_int_equal(bufshare_gbm_buffer_new(g->dev, &bo, &buf), -EINVAL);
	fake_gbm_bo_fini(&bo);
	close(other);
}

/* ---- a surface ---- */

static void test_surface(void **state)
{
	const struct bufshare_rect damage = { 1, 2, 3, 4 };
	const struct drm_bufshare_rect *rects;
	struct bufshare_gbm_surface *shared;
	struct gbm_surface surface;
	struct guest *g = *state;
	struct bufshare_buffer *first;
	uint64_t seq;

	shared = shared_new(g, &surface);
	assert_null(bufshare_gbm_surface_get_buffer(shared));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), -ENOENT);

	/* Locked from the update to its release. */
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, &damage, 1, &seq), 0);
	assert_int_equal(seq, 1);
	assert_int_equal(fake_get_damage(g->fake, &rects), 1);
	assert_int_equal(rects[0].height, 4);
	assert_int_equal(fake_gbm_count_locked(&surface), 1);
	assert_int_equal(bufshare_gbm_surface_unlock(shared), 1);
	first = bufshare_gbm_surface_get_buffer(shared);
	assert_string_equal(fake_get_application(g->fake, bufshare_buffer_get_id(first)), "app");
	assert_string_equal(fake_get_property(g->fake, bufshare_buffer_get_id(first), "width"), "8");
	fake_host_release(g->fake, bufshare_buffer_get_id(first), 1, 0);
	assert_int_equal(bufshare_gbm_surface_unlock(shared), 0);
	assert_int_equal(fake_gbm_count_locked(&surface), 0);

	/* The same buffer again is the same registration. */
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, &seq), 0);
	assert_int_equal(seq, 2);
	assert_ptr_equal(bufshare_gbm_surface_get_buffer(shared), first);
	assert_int_equal(fake_count_registered(g->fake), 1);

	/* The end gives back what is locked. */
	assert_ptr_equal(bufshare_gbm_surface_ref(shared), shared);
	assert_null(bufshare_gbm_surface_unref(shared));
	assert_int_equal(fake_gbm_count_locked(&surface), 1);
	assert_null(bufshare_gbm_surface_unref(shared));
	assert_int_equal(fake_gbm_count_locked(&surface), 0);
	assert_int_equal(fake_count_registered(g->fake), 0);
	fake_gbm_surface_fini(&surface);
}

static void test_surface_wrong(void **state)
{
	struct bufshare_gbm_surface *shared = NULL;
	char longest[BUFSHARE_APPLICATION_SIZE + 1];
	struct bufshare_device *closed;
	struct gbm_surface surface;
	struct guest *g = *state;

	memset(longest, 'a', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	assert_int_equal(bufshare_gbm_surface_new(NULL, &surface, "app", &shared), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_new(g->dev, NULL, "app", &shared), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_new(g->dev, &surface, NULL, &shared), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_new(g->dev, &surface, "", &shared), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_new(g->dev, &surface, longest, &shared), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_new(g->dev, &surface, "app", NULL), -EINVAL);
	assert_int_equal(bufshare_device_new_from_label(NULL, &closed), 0);
	assert_int_equal(bufshare_gbm_surface_new(closed, &surface, "app", &shared), -ENOTCONN);
	bufshare_device_unref(closed);
	assert_null(shared);
	assert_null(bufshare_gbm_surface_ref(NULL));
	assert_null(bufshare_gbm_surface_unref(NULL));
	assert_null(bufshare_gbm_surface_get_buffer(NULL));
	assert_int_equal(bufshare_gbm_surface_unlock(NULL), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_wait(NULL, 0), -EINVAL);
	assert_int_equal(bufshare_gbm_surface_update(NULL, NULL, 0, NULL), -EINVAL);

	shared = shared_new(g, &surface);
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 1, NULL), -EINVAL);
	bufshare_gbm_surface_unref(shared);
	fake_gbm_surface_fini(&surface);
}

/* What fails leaves nothing locked, and the next picture is tried again. */
static void test_surface_refused(void **state)
{
	struct bufshare_gbm_surface *shared;
	struct gbm_surface surface;
	struct guest *g = *state;

	shared = shared_new(g, &surface);
	fake_refuse_register(g->fake, VIRTIO_BUFSHARE_STATUS_DENIED, 0);
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), -EACCES);
	assert_int_equal(fake_gbm_count_locked(&surface), 0);
	assert_null(bufshare_gbm_surface_get_buffer(shared));
	fake_refuse_register(g->fake, 0, 0);

	fake_fail_ioctl(g->fake, DRM_IOCTL_BUFSHARE_UPDATE, EIO, 1);
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), -EIO);
	assert_int_equal(fake_gbm_count_locked(&surface), 0);
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), 0);
	bufshare_gbm_surface_unref(shared);
	fake_gbm_surface_fini(&surface);
}

/* A buffer that the host dropped is registered again. */
static void test_surface_lost(void **state)
{
	struct bufshare_gbm_surface *shared;
	struct gbm_surface surface;
	struct guest *g = *state;
	uint64_t id;

	shared = shared_new(g, &surface);
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), 0);
	id = bufshare_buffer_get_id(bufshare_gbm_surface_get_buffer(shared));
	fake_host_lose_buffer(g->fake, id, VIRTIO_BUFSHARE_REASON_HOST);
	assert_int_equal(bufshare_gbm_surface_unlock(shared), 0);
	assert_true(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), 0);
	assert_true(bufshare_buffer_get_id(bufshare_gbm_surface_get_buffer(shared)) > id);
	assert_int_equal(fake_count_registered(g->fake), 1);
	bufshare_gbm_surface_unref(shared);
	fake_gbm_surface_fini(&surface);
}

static void test_wait(void **state)
{
	struct bufshare_gbm_surface *shared;
	uint64_t ids[FAKE_GBM_BUFFERS];
	struct bufshare_event event;
	struct gbm_surface surface;
	struct guest *g = *state;
	int i, released = 0;

	shared = shared_new(g, &surface);
	for (i = 0; i < FAKE_GBM_BUFFERS; i++) {
		assert_int_equal(bufshare_gbm_surface_wait(shared, -1), 0);
		assert_true(fake_gbm_draw(&surface));
		assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), 0);
		ids[i] = bufshare_buffer_get_id(bufshare_gbm_surface_get_buffer(shared));
	}
	assert_false(fake_gbm_draw(&surface));
	assert_int_equal(bufshare_gbm_surface_wait(shared, 0), -ETIMEDOUT);

	/* An event that says nothing of it does not end the wait, nor is it lost. */
	fake_host_consumers(g->fake, ids[0], 1);
	assert_int_equal(bufshare_gbm_surface_wait(shared, 5 * MS), -ETIMEDOUT);

	/* Any of them will do, not only the oldest. */
	fake_host_release(g->fake, ids[2], 1, 0);
	assert_int_equal(bufshare_gbm_surface_wait(shared, -1), 0);
	assert_int_equal(fake_gbm_count_locked(&surface), FAKE_GBM_BUFFERS - 1);
	assert_true(fake_gbm_draw(&surface));
	while (bufshare_device_read_event(g->dev, &event) == 0)
		released += event.type == BUFSHARE_EVENT_RELEASED ? 10 : 1;
	assert_int_equal(released, 11);

	/* Without the device the program can still draw. */
	assert_int_equal(bufshare_gbm_surface_update(shared, NULL, 0, NULL), 0);
	fake_device_unplug(g->fake);
	assert_int_equal(bufshare_gbm_surface_wait(shared, -1), 0);
	assert_int_equal(fake_gbm_count_locked(&surface), 0);
	bufshare_gbm_surface_unref(shared);
	fake_gbm_surface_fini(&surface);
}

/* Somebody else holds all of them: nothing will ever come. */
static void test_wait_busy(void **state)
{
	struct bufshare_gbm_surface *shared;
	struct gbm_surface surface;
	struct guest *g = *state;
	int i;

	shared = shared_new(g, &surface);
	for (i = 0; i < FAKE_GBM_BUFFERS; i++)
		surface.bos[i].locked = true;
	assert_int_equal(bufshare_gbm_surface_wait(shared, -1), -EBUSY);
	bufshare_gbm_surface_unref(shared);
	fake_gbm_surface_fini(&surface);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		guest_test(test_bo),
		guest_test(test_formats),
		guest_test(test_planes),
		guest_test(test_modifier),
		guest_test(test_bo_wrong),
		guest_test(test_same_file),
		guest_test(test_surface),
		guest_test(test_surface_wrong),
		guest_test(test_surface_refused),
		guest_test(test_surface_lost),
		guest_test(test_wait),
		guest_test(test_wait_busy),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
