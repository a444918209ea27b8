/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The driver of the virtio-bufshare device.
 *
 * A program's call goes from bufshare_ioctl.c, which copies and checks, to a registration
 * (bufshare_buffer.c, bufshare_command.c; bufshare_update.c and bufshare_cycle.c, with its
 * fences in bufshare_fence.c), and as a request
 * (bufshare_request.c) over the control queue (bufshare_vq.c). What comes back is an answer to
 * a request, or an event of the device (bufshare_event.c), which may become an event of a file.
 *
 * Locks, outermost first:
 *
 * - bufshare_updates.mutex: one UPDATE call of a file at a time. Held while the program's
 *   memory is read, and by nobody else.
 * - bufshare_buffer.props_mutex: one program at a time works on the properties of a buffer,
 *   and may wait for the device. Nothing that must make progress takes it.
 * - bufshare_device.lock: all state that changes, of the queues, files and registrations. A
 *   spinlock of process context: the interrupt handlers take none. References are never
 *   dropped under it, because the last one of a registration takes it.
 * - The locks of xarrays and of DRM's events.
 */
#ifndef BUFSHARE_DRV_H
#define BUFSHARE_DRV_H

#include <linux/completion.h>
#include <linux/kref.h>
#include <linux/ktime.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/scatterlist.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/uuid.h>
#include <linux/virtio.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_file.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_print.h>

#include <drm/bufshare_drm.h>
#include <linux/virtio_bufshare.h>

#include "bufshare_props.h"

struct dma_fence_chain;
struct drm_syncobj;
struct vfsmount;
struct virtqueue;
struct bufshare_updates;

/* The largest pieces of commands: what the kernel still has when memory is in pieces. */
#define BUFSHARE_MAX_PIECE_ORDER PAGE_ALLOC_COSTLY_ORDER

/* The config space in the CPU's byte order, checked, and cut to what the driver can do. */
struct bufshare_config {
	u32 version;
	u64 caps;
	uuid_t uuid;
	char label[VIRTIO_BUFSHARE_LABEL_SIZE];
	char application[VIRTIO_BUFSHARE_APPLICATION_SIZE];
	u16 subsystem_vendor;
	u16 subsystem_device;
	u32 max_buffers;
	u64 max_buffer_size;
	u64 max_total_size;
	u32 max_ranges;
	u32 max_properties;
	u32 max_properties_size;
	u32 max_damage;
};

/* How far bringing all registrations back after a restart of the host side has come. */
enum bufshare_recovery {
	BUFSHARE_RECOVERY_NONE,
	BUFSHARE_RECOVERY_INIT, /* until INIT is answered */
	BUFSHARE_RECOVERY_REGISTER,
};

/* What a suspension leaves of the device. */
enum bufshare_power {
	BUFSHARE_AWAKE,
	BUFSHARE_FALLING_ASLEEP, /* no recovery begins */
	BUFSHARE_ASLEEP, /* the device is reset, and there are no queues */
};

#define BUFSHARE_NUM_COMMANDS		(VIRTIO_BUFSHARE_CMD_PING + 1)
#define BUFSHARE_NUM_EVENT_TYPES	(VIRTIO_BUFSHARE_EVENT_UNMAPPED + 1)

/* What happened since the device is there, for debugfs. */
struct bufshare_counters {
	u64 commands[BUFSHARE_NUM_COMMANDS]; /* sent */
	u64 failed; /* of these */
	u64 timeouts; /* programs that did not wait any longer */
	u64 updates; /* of programs */
	u64 merged; /* of these, with others into one command */
	u64 events[BUFSHARE_NUM_EVENT_TYPES]; /* of the device; 0: unknown */
	u64 overflows; /* of files */
};

/**
 * struct bufshare_device - a device; lives as long as its drm_device
 * @drm: what it is part of
 * @vdev: the virtio device; gone after remove(), so only probe, remove and sysfs use it
 * @config: constant
 * @dma_quirk: the device is told guest-physical addresses whatever the IOMMU; constant
 * @huge_within_size: where memory comes from, of large pages if they fit; or NULL; constant
 * @huge_always: the same, if they fit or not
 * @max_pieces: of a command in the control queue, beside its answer; constant
 * @max_piece: bytes of the largest piece of memory a queue takes; constant
 * @wq: for the works below; NULL once the queues have ended
 * @queue_work: takes what the device has used from both queues
 * @recovery_work: registers everything again
 * @lock: protects all that follows
 * @running: the queues take buffers; once false, it stays so
 * @power: other than AWAKE only while the guest is suspended, or the device reset
 * @lost: files have had their last event
 * @recovery: other than NONE: ordinary requests wait in the backlog
 * @restart_again: the device restarted in the middle of the recovery
 * @generation: counts the INITs that succeeded
 * @epoch: in force; zero if there is none
 * @caps: in force
 * @ctrl_vq: commands
 * @event_vq: events
 * @events: the buffers in @event_vq
 * @num_events: how many
 * @backlog: requests that wait for room, in order
 * @in_flight: requests in @ctrl_vq
 * @ended: requests that end without an answer
 * @stock: requests for updates to come
 * @num_stock: how many
 * @max_stock: there may be so many; constant
 * @released: struct bufshare_release, to be signalled
 * @let_go: registrations that were kept, to be freed
 * @num_kept: registrations whose pages programs of the host still have
 * @kept_size: their bytes
 * @num_leaving: UNREGISTER requests that are not answered
 * @stamp: of the request that was sent last
 * @files: struct bufshare_file
 * @buffers: all registrations the host may know, by id; holds no references
 * @last_id: of a registration
 * @num_buffers: registrations that count against the limit
 * @total_size: their bytes
 * @bad_messages: of the device, malformed or out of place
 * @counters: what else is counted
 */
struct bufshare_device {
	struct drm_device *drm;
	struct virtio_device *vdev;
	struct bufshare_config config;
	bool dma_quirk;
	struct vfsmount *huge_within_size;
	struct vfsmount *huge_always;
	size_t max_pieces;
	size_t max_piece;
	struct workqueue_struct *wq;
	struct work_struct queue_work;
	struct work_struct recovery_work;

	spinlock_t lock;
	bool running;
	enum bufshare_power power;
	bool lost;
	enum bufshare_recovery recovery;
	bool restart_again;
	u32 generation;
	u64 epoch;
	u64 caps;
	struct virtqueue *ctrl_vq;
	struct virtqueue *event_vq;
	struct virtio_bufshare_event *events;
	unsigned int num_events;
	struct list_head backlog;
	struct list_head in_flight;
	struct list_head ended;
	struct list_head stock;
	unsigned int num_stock;
	unsigned int max_stock;
	struct list_head released;
	struct list_head let_go;
	unsigned int num_kept;
	u64 kept_size;
	unsigned int num_leaving;
	u64 stamp;
	struct list_head files;
	struct xarray buffers;
	u64 last_id;
	u32 num_buffers;
	u64 total_size;
	u64 bad_messages;
	struct bufshare_counters counters;
};

/* An event of a file, from its reservation until DRM has it. */
struct bufshare_event {
	struct drm_pending_event base; /* first: DRM frees it by this address */
	struct drm_bufshare_event event;
	struct list_head link; /* bufshare_buffer.events */
};

/* Events of a file for which there is always room, or an unread one of the same kind. */
enum bufshare_standing {
	BUFSHARE_STANDING_OVERFLOW,
	BUFSHARE_STANDING_RESTARTED,
	BUFSHARE_NUM_STANDING,
};

/**
 * struct bufshare_file - an open file; all of it under bufshare_device.lock
 * @bdev: its device
 * @drm_file: what it is part of
 * @link: in bufshare_device.files
 * @live: between open and release, when events may be reserved
 * @buffers: registrations, in order of their ids
 * @lost: DEVICE_LOST, reserved
 * @standing: reserved; NULL from when one is sent until there is room again
 * @owed: a standing event that was due when there was neither room nor memory
 * @updates: for its UPDATE calls, with a lock of its own; constant
 */
struct bufshare_file {
	struct bufshare_device *bdev;
	struct drm_file *drm_file;
	struct list_head link;
	bool live;
	struct list_head buffers;
	struct bufshare_event *lost;
	struct bufshare_event *standing[BUFSHARE_NUM_STANDING];
	bool owed[BUFSHARE_NUM_STANDING];
	struct bufshare_updates *updates;
};

/* A GEM object. */
struct bufshare_bo {
	struct drm_gem_shmem_object base; /* first: the helpers free it by this address */
	struct list_head buffers; /* registrations of it; bufshare_device.lock */
};

enum bufshare_state {
	BUFSHARE_REGISTERING, /* the device was asked, or will be; no program has the id */
	BUFSHARE_LIVE,
	BUFSHARE_LOST, /* the host dropped it; waits to be unregistered */
	BUFSHARE_GONE, /* for programs; the host may still have it */
};

struct bufshare_request;
struct bufshare_wait;

/* A point of a syncobj, to be signalled when an update is released. */
struct bufshare_release {
	struct list_head link; /* bufshare_buffer.releases, bufshare_device.released */
	u64 seq; /* of the update */
	struct drm_syncobj *syncobj; /* a reference */
	u64 point;
	struct dma_fence_chain *chain; /* for the point; NULL: the syncobj is a binary one */
};

/**
 * struct bufshare_buffer - a registration
 * @ref: one is the registration's own: from the first attempt until the host has let go
 * @bdev: its device
 * @id: in bufshare_device.buffers; zero before it is there
 * @obj: a reference; its pages are pinned
 * @size: bytes; constant
 * @num_ranges: constant once the device was asked
 * @flags: VIRTIO_BUFSHARE_REGISTER_* of the program; constant
 * @user_data: constant
 * @application: constant
 * @state: under bufshare_device.lock, like all that follows but the mutex
 * @counted: against the device's limits
 * @file: whose it is; NULL when it is GONE
 * @file_link: in bufshare_file.buffers, or bufshare_device.let_go
 * @bo_link: in bufshare_bo.buffers
 * @stamp: of the REGISTER request
 * @uuid: made by the device
 * @path: enum virtio_bufshare_path
 * @consumers: as far as the device told
 * @consumers_told: an event said so, which is newer than the answer to REGISTER
 * @lost_early: an event said that it is lost, before the answer to REGISTER was seen
 * @lost_reason: of that event
 * @still_mapped: the answer to UNREGISTER said so
 * @unmapped: an event said that this is over, which may be seen before that answer
 * @kept: has a reference, until that is over
 * @seq: of the newest update
 * @sent: the device was told of updates up to this one
 * @released: updates up to this one are released
 * @update: the request for the next update, or @pending; NULL: it cannot have any more
 * @pending: the update that waits in the backlog
 * @waiting: updates before that one, in order, of which the first waits for its fences
 * @num_waiting: how many
 * @events: reserved RELEASED events, in order of their seq
 * @releases: struct bufshare_release, in order of their seq
 * @num_releases: how many
 * @unregister: the request, made in advance because it must not fail
 * @props_mutex: see above
 * @props: the guest's properties, a sorted block
 * @props_size: bytes of it
 * @host_props: the host's as far as they were read, a sorted block; both mutex and lock
 * @host_props_size: bytes of it
 * @host_generation: of @host_props
 * @host_newest: generation of the newest PROPERTIES event
 * @host_stale: @host_props is from before a restart
 */
struct bufshare_buffer {
	struct kref ref;
	struct bufshare_device *bdev;
	u64 id;
	struct drm_gem_object *obj;
	u64 size;
	u32 num_ranges;
	u32 flags;
	u64 user_data;
	char application[VIRTIO_BUFSHARE_APPLICATION_SIZE];

	enum bufshare_state state;
	bool counted;
	struct bufshare_file *file;
	struct list_head file_link;
	struct list_head bo_link;
	u64 stamp;
	uuid_t uuid;
	u32 path;
	u32 consumers;
	bool consumers_told;
	bool lost_early;
	u32 lost_reason;
	bool still_mapped;
	bool unmapped;
	bool kept;

	u64 seq;
	u64 sent;
	u64 released;
	struct bufshare_request *update;
	struct bufshare_request *pending;
	struct list_head waiting;
	u32 num_waiting;
	struct list_head events;
	struct list_head releases;
	u32 num_releases;
	struct bufshare_request *unregister;

	struct mutex props_mutex;
	char *props;
	size_t props_size;
	char *host_props;
	size_t host_props_size;
	u64 host_generation;
	u64 host_newest;
	bool host_stale;
};

/**
 * struct bufshare_request - a command and its answer
 * @ref: one is the queue's, from the submission until @answered was called
 * @bdev: its device
 * @link: in the line of a buffer, in the backlog, in flight, ended, or in stock
 * @batch: for whoever waits for many
 * @done: @result is there
 * @buffer: the registration it is about, a reference; or NULL
 * @sending: called under bufshare_device.lock when it goes to the queue; or NULL
 * @answered: called once, in process context, without locks; or NULL
 * @type: enum virtio_bufshare_command
 * @cmd: the command; the epoch is filled in when it is sent
 * @cmd_size: bytes of it
 * @resp: the answer
 * @resp_size: bytes there
 * @resp_min: bytes of the shortest answer that says OK
 * @used: bytes that the device says it wrote
 * @wait: for the fences of an update; NULL when there is nothing to wait for
 * @spare: of an update that waits for fences: the request for the one behind it
 * @scratch: memory that @answered needs, freed with the request
 * @queued: in the backlog, where it can be withdrawn
 * @keep: it is never withdrawn
 * @apart: command and answer have memory of their own
 * @urgent: part of the recovery, not held up by it
 * @retry: sent once more when a restart got in its way
 * @retried: it was
 * @tell_owner: it is not the file of @buffer that changes its properties
 * @generation: of the epoch it was sent in
 * @stamp: grows with each request that is sent
 * @sent: when it was sent
 * @result: a negative errno, or zero
 * @status: enum virtio_bufshare_status of the answer
 * @detail: of the answer
 * @resp_sg: the answer
 * @num_sg: how many @cmd_sg
 * @cmd_sg: the pieces of the command
 */
struct bufshare_request {
	struct kref ref;
	struct bufshare_device *bdev;
	struct list_head link;
	struct list_head batch;
	struct completion done;
	struct bufshare_buffer *buffer;
	void (*sending)(struct bufshare_request *req);
	void (*answered)(struct bufshare_request *req);
	u32 type;
	void *cmd;
	size_t cmd_size;
	void *resp;
	u32 resp_size;
	u32 resp_min;
	u32 used;
	struct bufshare_wait *wait;
	struct bufshare_request *spare;
	void *scratch;
	bool queued;
	bool keep;
	bool apart;
	bool urgent;
	bool retry;
	bool retried;
	bool tell_owner;
	u32 generation;
	u64 stamp;
	ktime_t sent;
	int result;
	u32 status;
	u32 detail;
	struct scatterlist resp_sg;
	unsigned int num_sg;
	struct scatterlist cmd_sg[];
};

static inline struct bufshare_device *to_bufshare_device(struct drm_device *drm)
{
	return drm->dev_private;
}

static inline struct bufshare_bo *to_bufshare_bo(struct drm_gem_object *obj)
{
	return container_of(to_drm_gem_shmem_obj(obj), struct bufshare_bo, base);
}

/* bufshare_ioctl.c */
#define BUFSHARE_NUM_IOCTLS (DRM_BUFSHARE_USER_MEMORY + 1)
extern const struct drm_ioctl_desc bufshare_ioctls[BUFSHARE_NUM_IOCTLS];

/* bufshare_gem.c */
struct drm_gem_object *bufshare_gem_create(struct drm_device *drm, size_t size, bool huge);
int bufshare_gem_create_dumb(struct drm_file *file, struct drm_device *drm,
			     struct drm_mode_create_dumb *args);
struct drm_gem_object *bufshare_gem_create_object(struct drm_device *drm, size_t size);
struct drm_gem_object *bufshare_gem_import(struct drm_device *drm, struct dma_buf *buf);
struct drm_gem_object *bufshare_gem_import_sg_table(struct drm_device *drm,
						    struct dma_buf_attachment *attach,
						    struct sg_table *sgt);
int bufshare_gem_ranges(struct bufshare_device *bdev, struct drm_gem_object *obj,
			struct virtio_bufshare_range *ranges, u32 room);

/* bufshare_huge.c */
void bufshare_huge_init(struct bufshare_device *bdev);
int bufshare_huge_use(struct bufshare_device *bdev, struct drm_gem_object *obj, bool always);

/* bufshare_memory.c */
int bufshare_memory_reachable(struct bufshare_device *bdev);
int bufshare_memory_map_error(struct bufshare_device *bdev, int error);
int bufshare_memory_ranges(struct bufshare_device *bdev, struct sg_table *sgt, u64 size,
			   struct virtio_bufshare_range *ranges, u32 room);
int bufshare_memory_check(struct bufshare_device *bdev, struct sg_table *sgt, u64 size);

/* bufshare_user.c */
bool bufshare_user_is(const struct drm_gem_object *obj);
struct sg_table *bufshare_user_sgt(struct drm_gem_object *obj);
struct drm_gem_object *bufshare_user_create(struct drm_device *drm, unsigned long addr,
					    size_t size);

/* bufshare_buffer.c */
int bufshare_buffer_register(struct bufshare_file *bfile, struct drm_gem_object *obj,
			     struct drm_bufshare_register *args, const char *props);
int bufshare_buffer_unregister(struct bufshare_buffer *buf, u32 *flags);
int bufshare_buffer_info(struct bufshare_buffer *buf, struct drm_bufshare_info *args);
struct bufshare_buffer *bufshare_buffer_get(struct bufshare_file *bfile, u64 id, bool any_file);
struct bufshare_buffer *bufshare_buffer_get_by_obj(struct bufshare_file *bfile,
						   struct drm_gem_object *obj);
struct bufshare_buffer *bufshare_buffer_find_locked(struct bufshare_device *bdev, u64 id);
void bufshare_buffer_put(struct bufshare_buffer *buf);
u32 bufshare_buffer_list(struct bufshare_file *bfile, bool all, u64 after, u64 *ids, u32 room);
int bufshare_buffer_reset_file(struct bufshare_file *bfile, u32 reason, bool wait);
int bufshare_buffer_reset_all(struct bufshare_file *bfile);
void bufshare_buffer_lose_locked(struct bufshare_buffer *buf, u32 reason);
void bufshare_buffer_drop_all(struct bufshare_device *bdev);

/* bufshare_kept.c */
bool bufshare_kept_too_much_locked(const struct bufshare_device *bdev);
void bufshare_kept_unregistered(struct bufshare_request *req);
void bufshare_kept_unmapped_locked(struct bufshare_buffer *buf);
void bufshare_kept_ask(struct bufshare_device *bdev);
void bufshare_kept_free(struct bufshare_device *bdev);
void bufshare_kept_wait(struct bufshare_device *bdev);
void bufshare_kept_drop_all(struct bufshare_device *bdev);

/* bufshare_command.c */
struct bufshare_request *bufshare_command_register(struct bufshare_buffer *buf, u32 flags);
int bufshare_command_registered(struct bufshare_request *req);
struct bufshare_request *bufshare_command_unregister(struct bufshare_device *bdev);
int bufshare_command_init(struct bufshare_device *bdev, u64 epoch, bool urgent);
int bufshare_command_ping(struct bufshare_device *bdev, u64 *time_ns);
bool bufshare_command_props_fit(struct bufshare_device *bdev, const char *block, size_t size,
				u32 *limit);
int bufshare_command_set_props(struct bufshare_buffer *buf, struct bufshare_file *by,
			       const char *changes, size_t size);
int bufshare_command_get_props(struct bufshare_buffer *buf, char *block, size_t *size);

/* bufshare_event.c */
struct bufshare_event *bufshare_event_new(u32 type, gfp_t gfp);
bool bufshare_event_reserve_locked(struct bufshare_file *bfile, struct bufshare_event *ev);
void bufshare_event_send_reserved_locked(struct bufshare_file *bfile, struct bufshare_event *ev);
void bufshare_event_cancel(struct bufshare_device *bdev, struct bufshare_event *ev);
void bufshare_event_send_locked(struct bufshare_file *bfile, u32 type,
				const struct bufshare_buffer *buf, u64 seq, u32 flags, u32 value);
void bufshare_event_send_standing_locked(struct bufshare_file *bfile,
					 enum bufshare_standing which);
void bufshare_event_handle(struct bufshare_device *bdev,
			   const struct virtio_bufshare_event *event);
int bufshare_file_open(struct drm_device *drm, struct drm_file *drm_file);
void bufshare_file_set_live(struct drm_file *drm_file, bool live);
void bufshare_file_postclose(struct drm_device *drm, struct drm_file *drm_file);
void bufshare_files_lost(struct bufshare_device *bdev);

/* bufshare_recovery.c */
void bufshare_recovery_start_locked(struct bufshare_device *bdev);
void bufshare_recovery_resume_locked(struct bufshare_device *bdev);
void bufshare_recovery_work(struct work_struct *work);

/* bufshare_request.c */
extern unsigned int bufshare_timeout_ms;
void bufshare_bad_message(struct bufshare_device *bdev, const char *what, u64 value);
struct bufshare_request *bufshare_request_new(struct bufshare_device *bdev, u32 type,
					      size_t cmd_size, u32 resp_size, u32 resp_min);
void bufshare_request_renew(struct bufshare_request *req);
void bufshare_request_trim(struct bufshare_request *req, size_t cmd_size);
struct bufshare_request *bufshare_request_get(struct bufshare_request *req);
void bufshare_request_put(struct bufshare_request *req);
int bufshare_request_parse(struct bufshare_request *req);
bool bufshare_request_restart(struct bufshare_request *req);
void bufshare_request_finish(struct bufshare_request *req, int result);
void bufshare_queue_locked(struct bufshare_request *req);
void bufshare_requeue_locked(struct bufshare_request *req);
void bufshare_kick_locked(struct bufshare_device *bdev);
void bufshare_end_locked(struct bufshare_request *req, int result);
void bufshare_flush_locked(struct bufshare_device *bdev);
void bufshare_submit(struct bufshare_request *req);
int bufshare_wait(struct bufshare_request *req);
int bufshare_call(struct bufshare_request *req);

/* bufshare_vq.c */
int bufshare_vq_init(struct bufshare_device *bdev);
void bufshare_vq_stop(struct bufshare_device *bdev);
void bufshare_vq_fini(struct bufshare_device *bdev);
void bufshare_vq_freeze(struct bufshare_device *bdev);
int bufshare_vq_restore(struct bufshare_device *bdev);

/* bufshare_debug.c */
void bufshare_show_fdinfo(struct drm_printer *p, struct drm_file *file);
void bufshare_debugfs_init(struct drm_minor *minor);

/* bufshare_sysfs.c */
int bufshare_sysfs_add(struct bufshare_device *bdev);
void bufshare_sysfs_remove(struct bufshare_device *bdev);

#endif /* BUFSHARE_DRV_H */
