// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What programs tell devices apart by, without opening one: the folder "bufshare" of the
 * virtio device.
 */
#include <linux/device.h>
#include <linux/sysfs.h>

#include "bufshare_drv.h"

static struct bufshare_device *to_bdev(struct device *dev)
{
	return dev_to_virtio(dev)->priv;
}

#define BUFSHARE_ATTR(name, format, value) \
	static ssize_t name##_show(struct device *dev, struct device_attribute *attr, char *buf) \
	{ \
		const struct bufshare_config *config = &to_bdev(dev)->config; \
		return sysfs_emit(buf, format "\n", value); \
	} \
	static DEVICE_ATTR_RO(name)

BUFSHARE_ATTR(version, "%u", config->version);
BUFSHARE_ATTR(label, "%s", config->label);
BUFSHARE_ATTR(application, "%s", config->application);
BUFSHARE_ATTR(uuid, "%pUb", &config->uuid);
BUFSHARE_ATTR(subsystem_vendor, "0x%04x", config->subsystem_vendor);
BUFSHARE_ATTR(subsystem_device, "0x%04x", config->subsystem_device);
BUFSHARE_ATTR(max_buffers, "%u", config->max_buffers);
BUFSHARE_ATTR(max_buffer_size, "%llu", config->max_buffer_size);
BUFSHARE_ATTR(max_total_size, "%llu", config->max_total_size);
BUFSHARE_ATTR(max_ranges, "%u", config->max_ranges);
BUFSHARE_ATTR(max_properties, "%u", config->max_properties);
BUFSHARE_ATTR(max_properties_size, "%u", config->max_properties_size);
BUFSHARE_ATTR(max_damage, "%u", config->max_damage);

/* Not constant: how often the device sent something malformed or out of place. */
static ssize_t bad_messages_show(struct device *dev, struct device_attribute *attr, char *buf)
{
	struct bufshare_device *bdev = to_bdev(dev);
	u64 n;

	spin_lock(&bdev->lock);
	n = bdev->bad_messages;
	spin_unlock(&bdev->lock);
	return sysfs_emit(buf, "%llu\n", n);
}
static DEVICE_ATTR_RO(bad_messages);

static struct attribute *bufshare_attrs[] = {
	&dev_attr_version.attr,
	&dev_attr_label.attr,
	&dev_attr_application.attr,
	&dev_attr_uuid.attr,
	&dev_attr_subsystem_vendor.attr,
	&dev_attr_subsystem_device.attr,
	&dev_attr_max_buffers.attr,
	&dev_attr_max_buffer_size.attr,
	&dev_attr_max_total_size.attr,
	&dev_attr_max_ranges.attr,
	&dev_attr_max_properties.attr,
	&dev_attr_max_properties_size.attr,
	&dev_attr_max_damage.attr,
	&dev_attr_bad_messages.attr,
	NULL
};

static const struct attribute_group bufshare_group = {
	.name = "bufshare",
	.attrs = bufshare_attrs,
};

int bufshare_sysfs_add(struct bufshare_device *bdev)
{
	return sysfs_create_group(&bdev->vdev->dev.kobj, &bufshare_group);
}

void bufshare_sysfs_remove(struct bufshare_device *bdev)
{
	sysfs_remove_group(&bdev->vdev->dev.kobj, &bufshare_group);
}
