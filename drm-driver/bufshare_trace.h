/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * Tracepoints: every command and its answer, every event of the device and every event that a
 * file is given. In virtio-bufshare(4).
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM virtio_bufshare

#if !defined(BUFSHARE_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define BUFSHARE_TRACE_H

#include <linux/tracepoint.h>

#include "bufshare_drv.h"

#define BUFSHARE_TRACE_COMMANDS \
	{ VIRTIO_BUFSHARE_CMD_INIT, "INIT" }, \
	{ VIRTIO_BUFSHARE_CMD_REGISTER, "REGISTER" }, \
	{ VIRTIO_BUFSHARE_CMD_UNREGISTER, "UNREGISTER" }, \
	{ VIRTIO_BUFSHARE_CMD_UPDATE, "UPDATE" }, \
	{ VIRTIO_BUFSHARE_CMD_SET_PROPERTIES, "SET_PROPERTIES" }, \
	{ VIRTIO_BUFSHARE_CMD_GET_PROPERTIES, "GET_PROPERTIES" }, \
	{ VIRTIO_BUFSHARE_CMD_RESET, "RESET" }, \
	{ VIRTIO_BUFSHARE_CMD_QUERY, "QUERY" }, \
	{ VIRTIO_BUFSHARE_CMD_PING, "PING" }

#define BUFSHARE_TRACE_EVENTS \
	{ VIRTIO_BUFSHARE_EVENT_RELEASED, "RELEASED" }, \
	{ VIRTIO_BUFSHARE_EVENT_CONSUMERS, "CONSUMERS" }, \
	{ VIRTIO_BUFSHARE_EVENT_PROPERTIES, "PROPERTIES" }, \
	{ VIRTIO_BUFSHARE_EVENT_RESTARTED, "RESTARTED" }, \
	{ VIRTIO_BUFSHARE_EVENT_BUFFER_LOST, "BUFFER_LOST" }, \
	{ VIRTIO_BUFSHARE_EVENT_UNMAPPED, "UNMAPPED" }, \
	{ VIRTIO_BUFSHARE_EVENT_OFFER_ADDED, "OFFER_ADDED" }, \
	{ VIRTIO_BUFSHARE_EVENT_OFFER_UPDATED, "OFFER_UPDATED" }, \
	{ VIRTIO_BUFSHARE_EVENT_OFFER_REMOVED, "OFFER_REMOVED" }

#define BUFSHARE_TRACE_FILE_EVENTS \
	{ DRM_BUFSHARE_EVENT_RELEASED, "RELEASED" }, \
	{ DRM_BUFSHARE_EVENT_CONSUMERS, "CONSUMERS" }, \
	{ DRM_BUFSHARE_EVENT_PROPERTIES, "PROPERTIES" }, \
	{ DRM_BUFSHARE_EVENT_BUFFER_LOST, "BUFFER_LOST" }, \
	{ DRM_BUFSHARE_EVENT_RESTARTED, "RESTARTED" }, \
	{ DRM_BUFSHARE_EVENT_DEVICE_LOST, "DEVICE_LOST" }, \
	{ DRM_BUFSHARE_EVENT_OVERFLOW, "OVERFLOW" }

/* A command goes to the device. */
TRACE_EVENT(bufshare_command,
	TP_PROTO(const struct bufshare_request *req),
	TP_ARGS(req),
	TP_STRUCT__entry(
		__field(int, card)
		__field(u32, type)
		__field(u64, stamp)
		__field(u64, epoch)
		__field(u64, buffer)
		__field(size_t, size)
	),
	TP_fast_assign(
		__entry->card = req->bdev->drm->primary->index;
		__entry->type = req->type;
		__entry->stamp = req->stamp;
		__entry->epoch = req->bdev->epoch;
		__entry->buffer = req->buffer ? req->buffer->id : 0;
		__entry->size = req->cmd_size;
	),
	TP_printk("card%d #%llu %s buffer=%llu epoch=%016llx size=%zu", __entry->card,
		  __entry->stamp, __print_symbolic(__entry->type, BUFSHARE_TRACE_COMMANDS),
		  __entry->buffer, __entry->epoch, __entry->size)
);

/* The device has answered. */
TRACE_EVENT(bufshare_answer,
	TP_PROTO(const struct bufshare_request *req, int result),
	TP_ARGS(req, result),
	TP_STRUCT__entry(
		__field(int, card)
		__field(u32, type)
		__field(u64, stamp)
		__field(u64, buffer)
		__field(int, result)
		__field(u32, status)
		__field(u32, detail)
		__field(u32, size)
		__field(u64, ns)
	),
	TP_fast_assign(
		__entry->card = req->bdev->drm->primary->index;
		__entry->type = req->type;
		__entry->stamp = req->stamp;
		__entry->buffer = req->buffer ? req->buffer->id : 0;
		__entry->result = result;
		__entry->status = req->status;
		__entry->detail = req->detail;
		__entry->size = req->used;
		__entry->ns = ktime_to_ns(ktime_sub(ktime_get(), req->sent));
	),
	TP_printk("card%d #%llu %s buffer=%llu result=%d status=%u detail=%u size=%u after=%lluns",
		  __entry->card, __entry->stamp,
		  __print_symbolic(__entry->type, BUFSHARE_TRACE_COMMANDS), __entry->buffer,
		  __entry->result, __entry->status, __entry->detail, __entry->size, __entry->ns)
);

/* The device says something by itself. */
TRACE_EVENT(bufshare_event,
	TP_PROTO(const struct bufshare_device *bdev, const struct virtio_bufshare_event *event),
	TP_ARGS(bdev, event),
	TP_STRUCT__entry(
		__field(int, card)
		__field(u32, type)
		__field(u32, flags)
		__field(u64, epoch)
		__field(u64, buffer)
		__field(u64, seq)
		__field(u64, value)
	),
	TP_fast_assign(
		__entry->card = bdev->drm->primary->index;
		__entry->type = le32_to_cpu(event->type);
		__entry->flags = le32_to_cpu(event->flags);
		__entry->epoch = le64_to_cpu(event->epoch);
		__entry->buffer = le64_to_cpu(event->buffer);
		__entry->seq = le64_to_cpu(event->seq);
		__entry->value = le64_to_cpu(event->value);
	),
	TP_printk("card%d %s buffer=%llu seq=%llu value=%llu flags=0x%x epoch=%016llx",
		  __entry->card, __print_symbolic(__entry->type, BUFSHARE_TRACE_EVENTS),
		  __entry->buffer, __entry->seq, __entry->value, __entry->flags, __entry->epoch)
);

/* A program that reads its file hears of something. */
TRACE_EVENT(bufshare_file_event,
	TP_PROTO(const struct bufshare_file *bfile, const struct drm_bufshare_event *event),
	TP_ARGS(bfile, event),
	TP_STRUCT__entry(
		__field(int, card)
		__field(const void *, file)
		__field(u32, type)
		__field(u32, flags)
		__field(u64, buffer)
		__field(u64, seq)
		__field(u32, value)
	),
	TP_fast_assign(
		__entry->card = bfile->bdev->drm->primary->index;
		__entry->file = bfile;
		__entry->type = event->base.type;
		__entry->flags = event->flags;
		__entry->buffer = event->id;
		__entry->seq = event->seq;
		__entry->value = event->value;
	),
	TP_printk("card%d file=%p %s buffer=%llu seq=%llu value=%u flags=0x%x", __entry->card,
		  __entry->file, __print_symbolic(__entry->type, BUFSHARE_TRACE_FILE_EVENTS),
		  __entry->buffer, __entry->seq, __entry->value, __entry->flags)
);

/* A program has updated a buffer; the command may come much later, for several updates. */
TRACE_EVENT(bufshare_update,
	TP_PROTO(const struct bufshare_buffer *buf, u32 num_damage, bool waits),
	TP_ARGS(buf, num_damage, waits),
	TP_STRUCT__entry(
		__field(int, card)
		__field(u64, buffer)
		__field(u64, seq)
		__field(u32, num_damage)
		__field(bool, waits)
	),
	TP_fast_assign(
		__entry->card = buf->bdev->drm->primary->index;
		__entry->buffer = buf->id;
		__entry->seq = buf->seq;
		__entry->num_damage = num_damage;
		__entry->waits = waits;
	),
	TP_printk("card%d buffer=%llu seq=%llu damage=%u%s", __entry->card, __entry->buffer,
		  __entry->seq, __entry->num_damage, __entry->waits ? " waits for fences" : "")
);

#endif /* BUFSHARE_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE bufshare_trace
#include <trace/define_trace.h>
