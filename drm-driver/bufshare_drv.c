// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The module, and the life of a device. */
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>
#include <drm/drm_prime.h>

#include "bufshare_cycle.h"
#include "bufshare_drv.h"
#include "compat.h"

module_param_named(timeout_ms, bufshare_timeout_ms, uint, 0644);
MODULE_PARM_DESC(timeout_ms, "how long a program waits for the host, in milliseconds");

static int bufshare_open(struct inode *inode, struct file *filp)
{
	int ret = drm_open(inode, filp);

	if (!ret)
		bufshare_file_set_live(filp->private_data, true);
	return ret;
}

static int bufshare_release(struct inode *inode, struct file *filp)
{
	bufshare_file_set_live(filp->private_data, false);
	return drm_release(inode, filp);
}

/* DRM_GEM_FOPS with our own open and release. */
static const struct file_operations bufshare_fops = {
	.owner = THIS_MODULE,
	.open = bufshare_open,
	.release = bufshare_release,
	.unlocked_ioctl = drm_ioctl,
	.compat_ioctl = drm_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = drm_gem_mmap,
	BUFSHARE_COMPAT_FOPS
};

/* With this name and dumb buffers on the card node, Mesa makes it a GBM device. */
static const struct drm_driver bufshare_drm_driver = {
	.driver_features = DRIVER_GEM | DRIVER_RENDER | DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.name = "virtio-bufshare",
	.desc = "Virtio buffer sharing",
	.major = 1,
	.fops = &bufshare_fops,
	.open = bufshare_file_open,
	.postclose = bufshare_file_postclose,
	.ioctls = bufshare_ioctls,
	.num_ioctls = BUFSHARE_NUM_IOCTLS,
	.dumb_create = bufshare_gem_create_dumb,
	.gem_create_object = bufshare_gem_create_object,
	.gem_prime_import = bufshare_gem_import,
	.debugfs_init = bufshare_debugfs_init,
	.gem_prime_import_sg_table = bufshare_gem_import_sg_table,
	BUFSHARE_COMPAT_DRIVER
};

/* A name that is not one is worse than none: rules and scripts use it. */
static void read_label(struct virtio_device *vdev, const char *what, const u8 *field, char *to)
{
	if (bufshare_label_valid((const char *)field, VIRTIO_BUFSHARE_LABEL_SIZE))
		memcpy(to, field, VIRTIO_BUFSHARE_LABEL_SIZE);
	else
		dev_warn(&vdev->dev, "the device's %s is malformed and ignored\n", what);
}

static int check_limits(struct virtio_device *vdev, const struct bufshare_config *config)
{
	if (config->max_buffers && config->max_buffer_size && config->max_total_size &&
	    config->max_ranges && config->max_properties && config->max_properties_size &&
	    config->max_damage)
		return 0;
	dev_err(&vdev->dev, "the device has a limit of zero: buffers %u of %llu bytes, %llu bytes in all, %u ranges, %u properties of %u bytes, %u rectangles\n",
		config->max_buffers, config->max_buffer_size, config->max_total_size,
		config->max_ranges, config->max_properties, config->max_properties_size,
		config->max_damage);
	return -EINVAL;
}

/* Reads the config space, which is constant, once. */
static int read_config(struct virtio_device *vdev, struct bufshare_config *config)
{
	struct virtio_bufshare_config raw;

	static_assert(VIRTIO_BUFSHARE_APPLICATION_SIZE == VIRTIO_BUFSHARE_LABEL_SIZE);
	virtio_cread_bytes(vdev, 0, &raw, sizeof(raw));
	if (le32_to_cpu(raw.magic) != VIRTIO_BUFSHARE_MAGIC) {
		dev_err(&vdev->dev, "not a virtio-bufshare device, though its id is %u: magic 0x%08x\n",
			VIRTIO_BUFSHARE_ID, le32_to_cpu(raw.magic));
		return -ENODEV;
	}
	config->version = le32_to_cpu(raw.version);
	if (config->version != VIRTIO_BUFSHARE_VERSION) {
		dev_err(&vdev->dev, "the device has version %u of the interface, the driver only %u\n",
			config->version, VIRTIO_BUFSHARE_VERSION);
		return -ENODEV;
	}

	config->caps = le64_to_cpu(raw.caps);
	import_uuid(&config->uuid, raw.uuid);
	read_label(vdev, "label", raw.label, config->label);
	read_label(vdev, "application", raw.application, config->application);
	config->subsystem_vendor = le16_to_cpu(raw.subsystem_vendor);
	config->subsystem_device = le16_to_cpu(raw.subsystem_device);
	config->max_buffers = min_t(u32, le32_to_cpu(raw.max_buffers), VIRTIO_BUFSHARE_MAX_BUFFERS);
	config->max_buffer_size = min_t(u64, le64_to_cpu(raw.max_buffer_size),
					VIRTIO_BUFSHARE_MAX_BUFFER_SIZE);
	config->max_total_size = le64_to_cpu(raw.max_total_size);
	config->max_ranges = min_t(u32, le32_to_cpu(raw.max_ranges), VIRTIO_BUFSHARE_MAX_RANGES);
	config->max_properties = min_t(u32, le32_to_cpu(raw.max_properties),
				       VIRTIO_BUFSHARE_MAX_PROPERTIES);
	config->max_properties_size = min_t(u32, le32_to_cpu(raw.max_properties_size),
					    VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE);
	config->max_damage = min_t(u32, le32_to_cpu(raw.max_damage), VIRTIO_BUFSHARE_MAX_DAMAGE);
	return check_limits(vdev, config);
}

/*
 * The parent of the DRM device is the virtio device's, which is the one that does DMA. Not a
 * devm_ function: the parent outlives the driver, and would call into it then.
 */
static struct bufshare_device *device_new(struct virtio_device *vdev)
{
	struct bufshare_device *bdev;
	struct drm_device *drm;

	drm = drm_dev_alloc(&bufshare_drm_driver, vdev->dev.parent);
	if (IS_ERR(drm))
		return ERR_CAST(drm);

	bdev = drmm_kzalloc(drm, sizeof(*bdev), GFP_KERNEL);
	if (!bdev) {
		drm_dev_put(drm);
		return ERR_PTR(-ENOMEM);
	}

	drm->dev_private = bdev;
	vdev->priv = bdev;
	bdev->drm = drm;
	bdev->vdev = vdev;
	bdev->dma_quirk = virtio_has_dma_quirk(vdev);
	spin_lock_init(&bdev->lock);
	INIT_LIST_HEAD(&bdev->backlog);
	INIT_LIST_HEAD(&bdev->in_flight);
	INIT_LIST_HEAD(&bdev->ended);
	INIT_LIST_HEAD(&bdev->stock);
	INIT_LIST_HEAD(&bdev->released);
	INIT_LIST_HEAD(&bdev->let_go);
	INIT_LIST_HEAD(&bdev->files);
	xa_init(&bdev->buffers);
	bufshare_huge_init(bdev);
	dma_set_max_seg_size(drm->dev, dma_max_mapping_size(drm->dev) ?: UINT_MAX);
	return bdev;
}

static int bufshare_probe(struct virtio_device *vdev)
{
	struct bufshare_device *bdev;
	int ret;

	if (!virtio_has_feature(vdev, VIRTIO_F_VERSION_1)) {
		dev_err(&vdev->dev, "the device is a legacy one\n");
		return -ENODEV;
	}

	bdev = device_new(vdev);
	if (IS_ERR(bdev))
		return PTR_ERR(bdev);

	ret = read_config(vdev, &bdev->config);
	if (ret)
		goto err_put_drm;

	ret = bufshare_vq_init(bdev);
	if (ret)
		goto err_put_drm;

	ret = bufshare_command_init(bdev, 0, false);
	if (ret) {
		dev_err(&vdev->dev, "the device did not answer the first command as it should (%d)\n",
			ret);
		goto err_fini_vq;
	}

	/* Before the nodes, so that whoever hears of them finds the attributes. */
	ret = bufshare_sysfs_add(bdev);
	if (ret)
		goto err_fini_vq;

	ret = drm_dev_register(bdev->drm, 0);
	if (ret)
		goto err_remove_sysfs;
	return 0;

err_remove_sysfs:
	bufshare_sysfs_remove(bdev);
err_fini_vq:
	bufshare_vq_stop(bdev);
	bufshare_vq_fini(bdev);
err_put_drm:
	drm_dev_put(bdev->drm);
	return ret;
}

/*
 * First nobody can begin anything, then nobody waits any longer, and only then does the
 * device forget the memory. Files and mappings that are open stay so, and are of no use.
 */
static void bufshare_remove(struct virtio_device *vdev)
{
	struct bufshare_device *bdev = vdev->priv;

	drm_dev_unplug(bdev->drm);
	bufshare_sysfs_remove(bdev);
	bufshare_kept_wait(bdev);
	bufshare_vq_stop(bdev);
	bufshare_cycle_stop(bdev);
	bufshare_files_lost(bdev);
	bufshare_vq_fini(bdev);
	bufshare_buffer_drop_all(bdev);
	bufshare_kept_drop_all(bdev);
	bufshare_release_signal(bdev);
	drm_dev_put(bdev->drm);
}

static int __maybe_unused bufshare_freeze(struct virtio_device *vdev)
{
	bufshare_vq_freeze(vdev->priv);
	return 0;
}

/* A device that does not come back is like one that was unplugged. */
static int __maybe_unused bufshare_restore(struct virtio_device *vdev)
{
	struct bufshare_device *bdev = vdev->priv;
	struct bufshare_config config = {};
	int ret;

	ret = read_config(vdev, &config);
	if (!ret)
		ret = bufshare_vq_restore(bdev);
	if (!ret)
		return 0;

	dev_err(&vdev->dev, "the device did not come back from a suspension or reset (%d)\n", ret);
	bufshare_vq_stop(bdev);
	bufshare_files_lost(bdev);
	return ret;
}

static const struct virtio_device_id bufshare_ids[] = {
	{ VIRTIO_BUFSHARE_ID, VIRTIO_DEV_ANY_ID },
	{ 0 },
};
MODULE_DEVICE_TABLE(virtio, bufshare_ids);

static struct virtio_driver bufshare_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = bufshare_ids,
	.probe = bufshare_probe,
	.remove = bufshare_remove,
	BUFSHARE_COMPAT_POWER(bufshare_freeze, bufshare_restore)
};
module_virtio_driver(bufshare_driver);

MODULE_DESCRIPTION("Virtio buffer sharing");
MODULE_AUTHOR("The virtio-bufshare developers");
MODULE_LICENSE("Dual MIT/GPL");
