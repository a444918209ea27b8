/* SPDX-License-Identifier: MIT */
/*
 * A libgbm that draws nothing: buffers, and surfaces that hand them out and take them back
 * as Mesa's do. A program links it in place of the real one. What a bo says of itself is
 * what the test writes there.
 */
#ifndef TESTS_FAKE_GBM_H
#define TESTS_FAKE_GBM_H

#include <stdbool.h>
#include <stdint.h>

#include <gbm.h>

#define FAKE_GBM_BUFFERS 4

struct gbm_device {
	int fd;
};

struct gbm_bo {
	struct gbm_device *device;
	int dmabuf; /* -1: it cannot be exported */
	uint32_t width, height, format;
	uint64_t modifier;
	int num_planes;
	uint32_t strides[4], offsets[4], handles[4];
	bool locked;
};

struct gbm_surface {
	struct gbm_bo bos[FAKE_GBM_BUFFERS];
	struct gbm_bo *front; /* drawn to, and not locked */
};

/* A picture of 8 times 8 pixels, XR24, linear, in memory of another driver. */
void fake_gbm_bo_init(struct gbm_bo *bo, struct gbm_device *device);
void fake_gbm_bo_fini(struct gbm_bo *bo);

void fake_gbm_surface_init(struct gbm_surface *surface, struct gbm_device *device);
void fake_gbm_surface_fini(struct gbm_surface *surface);

/* eglSwapBuffers(): false if no buffer is free. */
bool fake_gbm_draw(struct gbm_surface *surface);

int fake_gbm_count_locked(const struct gbm_surface *surface);

#endif /* TESTS_FAKE_GBM_H */
