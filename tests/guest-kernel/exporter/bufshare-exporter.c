// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * For tests only: exports dma-bufs as real drivers do, and as they would if they had memory
 * that the host cannot reach.
 */
#include <linux/dma-buf.h>
#include <linux/dma-direct.h>
#include <linux/fs.h>
#include <linux/gfp.h>
#include <linux/ioport.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#include "exporter.h"

/* Of an x86 machine's interrupt controller; and more than any UML has. */
#define NO_RAM 0xfee00000

struct export {
	u32 kind;
	u32 num_pages;
	struct page *pages;
};

static atomic_t num_buffers, num_attachments;

static int attach(struct dma_buf *buf, struct dma_buf_attachment *attachment)
{
	struct export *export = buf->priv;

	if (export->kind == EXPORTER_ATTACH_FAILS)
		return -EBUSY;
	atomic_inc(&num_attachments);
	return 0;
}

static void detach(struct dma_buf *buf, struct dma_buf_attachment *attachment)
{
	atomic_dec(&num_attachments);
}

static void make_wrong(u32 kind, struct scatterlist *sg, unsigned int i, unsigned int last)
{
	if (kind == EXPORTER_DEVICE || (kind == EXPORTER_DEVICE_AT_END && i == last))
		sg_dma_address(sg) = NO_RAM + i * PAGE_SIZE;
	if (kind == EXPORTER_ADDRESS_OFF && i == last)
		sg_dma_address(sg) += 512;
	if (kind == EXPORTER_SIZE_OFF && i == last)
		sg_dma_len(sg) -= 512;
	if (kind == EXPORTER_EMPTY_PIECE && i == last)
		sg_dma_len(sg) = 0;
}

static bool is_ram(unsigned long pfn)
{
#ifdef CONFIG_UML
	return pfn_valid(pfn);
#else
	return region_intersects(PFN_PHYS(pfn), PAGE_SIZE, IORESOURCE_SYSTEM_RAM,
				 IORES_DESC_NONE) == REGION_INTERSECTS;
#endif
}

/* From the top down, so that none continues the one before it. They are only talked of. */
static int scatter(struct sg_table *sgt, struct device *dev)
{
	struct scatterlist *sg;
	struct sysinfo info;
	unsigned long pfn;
	int i;

	/* Memory has holes, and so ends above its size; but UML's last pages are its own. */
	si_meminfo(&info);
	pfn = IS_ENABLED(CONFIG_UML) ? info.totalram : 2 * info.totalram;
	for_each_sgtable_sg(sgt, sg, i) {
		while (pfn && !is_ram(--pfn))
			;
		if (!pfn)
			return -ENOMEM;
		sg_dma_address(sg) = phys_to_dma(dev, PFN_PHYS(pfn));
		sg_dma_len(sg) = PAGE_SIZE;
	}
	return 0;
}

static unsigned int pieces(u32 kind, u32 num_pages)
{
	switch (kind) {
	case EXPORTER_SCATTERED:
		return num_pages;
	case EXPORTER_SHORT:
		return EXPORTER_PAGES - 1;
	case EXPORTER_LONG:
	case EXPORTER_EMPTY_PIECE:
		return EXPORTER_PAGES + 1;
	default:
		return EXPORTER_PAGES;
	}
}

static struct sg_table *map_dma_buf(struct dma_buf_attachment *attachment,
				    enum dma_data_direction dir)
{
	struct export *export = attachment->dmabuf->priv;
	unsigned int n = pieces(export->kind, export->num_pages);
	struct scatterlist *sg;
	struct sg_table *sgt;
	int i, ret;

	if (export->kind == EXPORTER_MAP_FAILS)
		return ERR_PTR(-EIO);
	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return ERR_PTR(-ENOMEM);
	if (sg_alloc_table(sgt, n, GFP_KERNEL)) {
		kfree(sgt);
		return ERR_PTR(-ENOMEM);
	}
	if (export->kind == EXPORTER_SCATTERED) {
		ret = scatter(sgt, attachment->dev);
		if (!ret)
			return sgt;
		sg_free_table(sgt);
		kfree(sgt);
		return ERR_PTR(ret);
	}
	for_each_sgtable_sg(sgt, sg, i) {
		bool again = export->kind == EXPORTER_TWICE && i == n - 1;
		struct page *page = export->pages + (again ? 0 : i);

		sg_set_page(sg, page, PAGE_SIZE, 0);
		sg_dma_address(sg) = phys_to_dma(attachment->dev, page_to_phys(page));
		sg_dma_len(sg) = PAGE_SIZE;
		make_wrong(export->kind, sg, i, n - 1);
	}
	return sgt;
}

static void unmap_dma_buf(struct dma_buf_attachment *attachment, struct sg_table *sgt,
			  enum dma_data_direction dir)
{
	sg_free_table(sgt);
	kfree(sgt);
}

static void release(struct dma_buf *buf)
{
	struct export *export = buf->priv;

	__free_pages(export->pages, get_order((EXPORTER_PAGES + 1) * PAGE_SIZE));
	kfree(export);
	atomic_dec(&num_buffers);
}

static const struct dma_buf_ops ops = {
	.attach = attach,
	.detach = detach,
	.map_dma_buf = map_dma_buf,
	.unmap_dma_buf = unmap_dma_buf,
	.release = release,
};

static struct dma_buf *make(u32 kind, u32 num_pages)
{
	DEFINE_DMA_BUF_EXPORT_INFO(info);
	struct export *export;
	struct dma_buf *buf;

	export = kzalloc(sizeof(*export), GFP_KERNEL);
	if (!export)
		return ERR_PTR(-ENOMEM);

	buf = ERR_PTR(-ENOMEM);
	export->kind = kind;
	export->num_pages = num_pages;
	export->pages = alloc_pages(GFP_KERNEL | __GFP_ZERO,
				    get_order((EXPORTER_PAGES + 1) * PAGE_SIZE));
	if (!export->pages)
		goto err_free;

	info.ops = &ops;
	info.size = (kind == EXPORTER_SCATTERED ? num_pages : EXPORTER_PAGES) * PAGE_SIZE;
	info.flags = O_RDWR;
	info.priv = export;
	buf = dma_buf_export(&info);
	if (IS_ERR(buf))
		goto err_free_pages;
	atomic_inc(&num_buffers);
	return buf;

err_free_pages:
	__free_pages(export->pages, get_order((EXPORTER_PAGES + 1) * PAGE_SIZE));
err_free:
	kfree(export);
	return buf;
}

static long make_ioctl(struct exporter_make __user *user)
{
	struct exporter_make args;
	struct dma_buf *buf;

	if (copy_from_user(&args, user, sizeof(args)))
		return -EFAULT;
	if (args.kind >= EXPORTER_NUM_KINDS || (args.kind == EXPORTER_SCATTERED && !args.pages))
		return -EINVAL;
	buf = make(args.kind, args.pages);
	if (IS_ERR(buf))
		return PTR_ERR(buf);

	args.fd = dma_buf_fd(buf, O_CLOEXEC);
	if (args.fd < 0) {
		dma_buf_put(buf);
		return args.fd;
	}
	return copy_to_user(user, &args, sizeof(args)) ? -EFAULT : 0;
}

static long count_ioctl(struct exporter_count __user *user)
{
	struct exporter_count args = {
		.buffers = atomic_read(&num_buffers),
		.attachments = atomic_read(&num_attachments),
	};

	return copy_to_user(user, &args, sizeof(args)) ? -EFAULT : 0;
}

static long exporter_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	void __user *user = (void __user *)arg;

	switch (cmd) {
	case EXPORTER_IOCTL_MAKE:
		return make_ioctl(user);
	case EXPORTER_IOCTL_COUNT:
		return count_ioctl(user);
	}
	return -ENOTTY;
}

static const struct file_operations fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = exporter_ioctl,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "bufshare-exporter",
	.fops = &fops,
};
module_misc_device(device);

#if LINUX_VERSION_CODE >= KERNEL_VERSION(6, 13, 0)
MODULE_IMPORT_NS("DMA_BUF");
#else
MODULE_IMPORT_NS(DMA_BUF);
#endif
MODULE_DESCRIPTION("dma-bufs for the tests of virtio-bufshare");
MODULE_AUTHOR("The virtio-bufshare developers");
MODULE_LICENSE("Dual MIT/GPL");
