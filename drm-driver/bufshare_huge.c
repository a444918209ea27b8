// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Large pages for buffers. The fewer pieces a buffer has, the faster the host maps it, and
 * some hosts map no more than a thousand. Pages of shmem are small unless its file system
 * says otherwise, and the system's own does not; so the driver has two of its own.
 */
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/pagemap.h>
#include <linux/shmem_fs.h>

#include <drm/drm_gem.h>
#include <drm/drm_managed.h>

#include "bufshare_drv.h"
#include "compat.h"

static void unmount(struct drm_device *drm, void *mnt)
{
	kern_unmount(mnt);
}

/* NULL where the kernel has no large pages, or does not want to use them. */
static struct vfsmount *mount_tmpfs(struct bufshare_device *bdev, char *options)
{
	struct file_system_type *type;
	struct vfsmount *mnt;

	type = get_fs_type("tmpfs");
	if (!type)
		return NULL;

	mnt = vfs_kern_mount(type, SB_KERNMOUNT, type->name, options);
	module_put(type->owner);
	if (IS_ERR(mnt)) {
		drm_dbg_driver(bdev->drm, "no large pages: tmpfs does not know %s\n", options);
		return NULL;
	}
	if (drmm_add_action_or_reset(bdev->drm, unmount, mnt))
		return NULL;
	return mnt;
}

/* Does without where it must. */
void bufshare_huge_init(struct bufshare_device *bdev)
{
	char within_size[] = "huge=within_size", always[] = "huge=always";

	if (!IS_ENABLED(CONFIG_TRANSPARENT_HUGEPAGE))
		return;
	bdev->huge_within_size = mount_tmpfs(bdev, within_size);
	bdev->huge_always = mount_tmpfs(bdev, always);
}

/**
 * bufshare_huge_use - make an object of large pages as far as there are
 * @bdev: the device
 * @obj: new, and without pages
 * @always: even if a part of the last one is not used
 */
int bufshare_huge_use(struct bufshare_device *bdev, struct drm_gem_object *obj, bool always)
{
	struct vfsmount *mnt = always ? bdev->huge_always : bdev->huge_within_size;
	struct file *file;

	if (!mnt)
		return 0;
	file = bufshare_compat_shmem_file(mnt, "virtio-bufshare", obj->size);
	if (IS_ERR(file))
		return PTR_ERR(file);

	/* Of the helpers, which know which pages can be pinned. */
	mapping_set_gfp_mask(file->f_mapping, mapping_gfp_mask(obj->filp->f_mapping));
	fput(obj->filp);
	obj->filp = file;
	return 0;
}
