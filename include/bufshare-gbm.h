/* SPDX-License-Identifier: MIT */
/*
 * libbufshare-gbm: share what is drawn through GBM, as by EGL, without copying it.
 *
 * The rules of bufshare.h hold. A GBM device of the card node of a bufshare device needs no
 * other driver: Mesa draws into its buffers in software. Memory of other GBM devices is
 * shared if the driver can import it.
 *
 * The bufshare device is opened by itself, never made with bufshare_device_new_from_fd()
 * from the file of the GBM device: the two would close each other's handles (-EINVAL).
 */
#ifndef BUFSHARE_GBM_H
#define BUFSHARE_GBM_H

#include <bufshare.h>

#ifdef __cplusplus
extern "C" {
#endif

struct gbm_bo;
struct gbm_surface;

struct bufshare_gbm_surface; /* a gbm_surface whose front buffers are shared */

/*
 * Makes a buffer of the memory of bo, with the framebuffer properties that say how the
 * picture lies there. bo stays the caller's and may be destroyed; the memory stays.
 * Errors of bufshare_buffer_import() and bufshare_buffer_set_framebuffer();
 * -EOPNOTSUPP also: the planes are not in one piece of memory, or nobody knows how the
 * picture lies there (make bo with a modifier or GBM_BO_USE_LINEAR).
 */
int bufshare_gbm_buffer_new(struct bufshare_device *dev, struct gbm_bo *bo,
			    struct bufshare_buffer **buf);

/*
 * Shares the front buffers of a surface from now on, as buffers of the given application
 * protocol. The surface stays the caller's, who keeps it as long as the new object, locks
 * no front buffer and takes none back.
 */
int bufshare_gbm_surface_new(struct bufshare_device *dev, struct gbm_surface *surface,
			     const char *application, struct bufshare_gbm_surface **shared);

struct bufshare_gbm_surface *bufshare_gbm_surface_ref(struct bufshare_gbm_surface *shared);

/*
 * Drops a reference. The last one unregisters the buffers, which may block for the host's
 * answer, and gives the front buffers back. NULL is allowed. Returns NULL.
 */
struct bufshare_gbm_surface *bufshare_gbm_surface_unref(struct bufshare_gbm_surface *shared);

/*
 * After each eglSwapBuffers(): locks the front buffer, registers it if it is new, which
 * blocks for the host's answer, and updates it, as bufshare_buffer_update() does. It stays
 * locked until the host has released the update. -ENOENT: nothing was drawn since the last
 * call; errors of bufshare_buffer_register() and bufshare_buffer_update(), upon which
 * nothing is locked.
 */
int bufshare_gbm_surface_update(struct bufshare_gbm_surface *shared,
				const struct bufshare_rect *damage, size_t n, uint64_t *seq);

/*
 * Gives the front buffers back that the host has released, and returns how many are still
 * locked. Does not block. To be called when there are events, or before drawing.
 */
int bufshare_gbm_surface_unlock(struct bufshare_gbm_surface *shared);

/*
 * The same, and blocks until the surface has a buffer to draw to, at most for timeout_ns;
 * negative: for ever. Returns 0. To be called before drawing, so that eglSwapBuffers()
 * finds one. -ETIMEDOUT; -EBUSY: all are locked, and not for the host; -EINTR; -ENODEV.
 */
int bufshare_gbm_surface_wait(struct bufshare_gbm_surface *shared, int64_t timeout_ns);

/* The buffer of the newest update, to set properties of; borrowed. NULL: none yet. */
struct bufshare_buffer *bufshare_gbm_surface_get_buffer(const struct bufshare_gbm_surface *shared);

#ifdef __cplusplus
}
#endif

#endif /* BUFSHARE_GBM_H */
