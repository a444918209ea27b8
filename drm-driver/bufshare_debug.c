// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * What administrators see: the memory and buffers of a file in its fdinfo, and those of all
 * files, the requests and the counters in debugfs.
 */
#include <linux/seq_file.h>

#include <drm/drm_debugfs.h>
#include <drm/drm_drv.h>

#include "bufshare_drv.h"
#include "compat.h"

/* ---- fdinfo ---- */

struct file_summary {
	u32 buffers;
	u64 size;
	u32 busy;
	u32 waiting;
	u64 in_flight;
};

static void summarize(struct bufshare_file *bfile, struct file_summary *sum)
{
	struct bufshare_buffer *buf;

	spin_lock(&bfile->bdev->lock);
	list_for_each_entry(buf, &bfile->buffers, file_link) {
		sum->buffers++;
		sum->size += buf->size;
		sum->busy += buf->released < buf->seq;
		sum->waiting += buf->num_waiting;
		sum->in_flight += buf->seq - buf->released;
	}
	spin_unlock(&bfile->bdev->lock);
}

/* drm-usage-stats.rst has the rules. */
void bufshare_show_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	struct file_summary sum = {};

	summarize(file->driver_priv, &sum);
	bufshare_compat_show_memory(p, file);
	drm_printf(p, "virtio-bufshare-registered:\t%u\n", sum.buffers);
	drm_printf(p, "virtio-bufshare-registered-memory:\t%llu KiB\n", sum.size >> 10);
	drm_printf(p, "virtio-bufshare-busy:\t%u\n", sum.busy);
	drm_printf(p, "virtio-bufshare-in-flight:\t%llu\n", sum.in_flight);
	drm_printf(p, "virtio-bufshare-waiting:\t%u\n", sum.waiting);
}

/* ---- debugfs ---- */

static const char * const command_names[] = {
	[VIRTIO_BUFSHARE_CMD_INIT] = "INIT",
	[VIRTIO_BUFSHARE_CMD_REGISTER] = "REGISTER",
	[VIRTIO_BUFSHARE_CMD_UNREGISTER] = "UNREGISTER",
	[VIRTIO_BUFSHARE_CMD_UPDATE] = "UPDATE",
	[VIRTIO_BUFSHARE_CMD_SET_PROPERTIES] = "SET_PROPERTIES",
	[VIRTIO_BUFSHARE_CMD_GET_PROPERTIES] = "GET_PROPERTIES",
	[VIRTIO_BUFSHARE_CMD_RESET] = "RESET",
	[VIRTIO_BUFSHARE_CMD_QUERY] = "QUERY",
	[VIRTIO_BUFSHARE_CMD_PING] = "PING",
};

static_assert(ARRAY_SIZE(command_names) <= BUFSHARE_NUM_COMMANDS);

static const char * const event_names[] = {
	[0] = "unknown",
	[VIRTIO_BUFSHARE_EVENT_RELEASED] = "RELEASED",
	[VIRTIO_BUFSHARE_EVENT_CONSUMERS] = "CONSUMERS",
	[VIRTIO_BUFSHARE_EVENT_PROPERTIES] = "PROPERTIES",
	[VIRTIO_BUFSHARE_EVENT_RESTARTED] = "RESTARTED",
	[VIRTIO_BUFSHARE_EVENT_BUFFER_LOST] = "BUFFER_LOST",
	[VIRTIO_BUFSHARE_EVENT_OFFER_ADDED] = "OFFER_ADDED",
	[VIRTIO_BUFSHARE_EVENT_OFFER_UPDATED] = "OFFER_UPDATED",
	[VIRTIO_BUFSHARE_EVENT_OFFER_REMOVED] = "OFFER_REMOVED",
	[VIRTIO_BUFSHARE_EVENT_UNMAPPED] = "UNMAPPED",
};

static_assert(ARRAY_SIZE(event_names) <= BUFSHARE_NUM_EVENT_TYPES);

static const char * const state_names[] = {
	[BUFSHARE_REGISTERING] = "registering",
	[BUFSHARE_LIVE] = "live",
	[BUFSHARE_LOST] = "lost",
	[BUFSHARE_GONE] = "gone",
};

static const char *path_name(u32 path)
{
	switch (path) {
	case VIRTIO_BUFSHARE_PATH_COPY:
		return "copy";
	case VIRTIO_BUFSHARE_PATH_UDMABUF:
		return "udmabuf";
	case VIRTIO_BUFSHARE_PATH_MEMFD:
		return "memfd";
	}
	return "-";
}

static struct bufshare_device *seq_device(struct seq_file *m)
{
	struct drm_info_node *node = m->private;

	return to_bufshare_device(node->minor->dev);
}

static void show_buffer_locked(struct seq_file *m, const struct bufshare_buffer *buf)
{
	seq_printf(m, "%llu pid=%d state=%s size=%llu ranges=%u path=%s consumers=%u seq=%llu sent=%llu released=%llu waiting=%u syncobjs=%u application=%.*s uuid=%pUb\n",
		   buf->id, buf->file ? bufshare_compat_pid(buf->file->drm_file) : 0,
		   buf->kept ? "kept" : state_names[buf->state], buf->size, buf->num_ranges,
		   path_name(buf->path), buf->consumers, buf->seq, buf->sent, buf->released,
		   buf->num_waiting, buf->num_releases, VIRTIO_BUFSHARE_APPLICATION_SIZE,
		   buf->application, &buf->uuid);
}

/* Also those that no program has any more, while the host may still have them. */
static int buffers_show(struct seq_file *m, void *data)
{
	struct bufshare_device *bdev = seq_device(m);
	struct bufshare_buffer *buf;
	unsigned long id = 0;

	do {
		spin_lock(&bdev->lock);
		buf = xa_find_after(&bdev->buffers, &id, ULONG_MAX, XA_PRESENT);
		if (buf)
			show_buffer_locked(m, buf);
		spin_unlock(&bdev->lock);
		cond_resched();
	} while (buf && !seq_has_overflowed(m));
	return 0;
}

static void show_requests_locked(struct seq_file *m, struct list_head *list, const char *where)
{
	struct bufshare_request *req;

	list_for_each_entry(req, list, link) {
		seq_printf(m, "%s %s #%llu buffer=%llu size=%zu", where, command_names[req->type],
			   req->stamp, req->buffer ? req->buffer->id : 0, req->cmd_size);
		if (req->stamp)
			seq_printf(m, " since=%lldms",
				   ktime_ms_delta(ktime_get(), req->sent));
		seq_putc(m, '\n');
	}
}

static int requests_show(struct seq_file *m, void *data)
{
	struct bufshare_device *bdev = seq_device(m);

	spin_lock(&bdev->lock);
	show_requests_locked(m, &bdev->in_flight, "sent");
	show_requests_locked(m, &bdev->backlog, "backlog");
	spin_unlock(&bdev->lock);
	return 0;
}

static int counters_show(struct seq_file *m, void *data)
{
	struct bufshare_device *bdev = seq_device(m);
	struct bufshare_counters counters;
	unsigned int i;

	spin_lock(&bdev->lock);
	counters = bdev->counters;
	seq_printf(m, "running %d\nepoch %016llx\ngeneration %u\nbuffers %u\nbytes %llu\n",
		   bdev->running, bdev->epoch, bdev->generation, bdev->num_buffers,
		   bdev->total_size);
	seq_printf(m, "kept_buffers %u\nkept_bytes %llu\n", bdev->num_kept,
		   bdev->kept_size);
	seq_printf(m, "bad_messages %llu\n", bdev->bad_messages);
	spin_unlock(&bdev->lock);

	seq_printf(m, "failed %llu\ntimeouts %llu\nupdates %llu\nmerged %llu\noverflows %llu\n",
		   counters.failed, counters.timeouts, counters.updates, counters.merged,
		   counters.overflows);
	for (i = 0; i < ARRAY_SIZE(command_names); i++) {
		if (command_names[i])
			seq_printf(m, "command.%s %llu\n", command_names[i], counters.commands[i]);
	}
	for (i = 0; i < ARRAY_SIZE(event_names); i++)
		seq_printf(m, "event.%s %llu\n", event_names[i], counters.events[i]);
	return 0;
}

static const struct drm_info_list debugfs_files[] = {
	{ "bufshare_buffers", buffers_show, 0, NULL },
	{ "bufshare_requests", requests_show, 0, NULL },
	{ "bufshare_counters", counters_show, 0, NULL },
};

void bufshare_debugfs_init(struct drm_minor *minor)
{
	drm_debugfs_create_files(debugfs_files, ARRAY_SIZE(debugfs_files), minor->debugfs_root,
				 minor);
}
