/* SPDX-License-Identifier: MIT */
/* The lies of hostile-device: in answers, in the ring that carries them, and in events. */
#include <string.h>

#include "host/daemon/log.h"
#include "host/daemon/memory.h"

#include "hostile-device.h"

#define LATE_NS 1500000000ull
#define FLOOD 20000

/* ---- lies about the ring ---- */

static void push_raw(struct vq *vq, uint32_t id, uint32_t len)
{
	struct vring_used_elem *slot = &vq->used->ring[vq->next_used % vq->size];

	slot->id = htole32(id);
	slot->len = htole32(len);
	vq->next_used++;
	store16(&vq->used->idx, vq->next_used, memory_order_release);
	vq->pushed = true;
}

static void write_answer(const struct vq_element *e, const uint8_t *answer, uint32_t size)
{
	struct memory_span span;
	unsigned int i;
	uint32_t n;

	for (i = e->num_readable; size && i < e->num_segments; i++) {
		n = e->segments[i].size < size ? e->segments[i].size : size;
		if (memory_lookup(e->vq->memory, e->segments[i].gpa, n, &span) < 0)
			return;
		memcpy(span.hva, answer, n);
		answer += n;
		size -= n;
	}
}

/* The answer is there, but the device says that it is of another length. */
static void push_with_length(struct vq_element *e, const uint8_t *answer, uint32_t size,
			     uint32_t len)
{
	write_answer(e, answer, size);
	push_raw(e->vq, e->head, len);
	e->vq->state->order[e->head] = 0;
	vq_element_free(e);
}

static void send_event_bytes(struct device *dev, const struct virtio_bufshare_event *event,
			     uint32_t len)
{
	struct vq_element *e;

	if (vq_pop(vu_queue(dev->vu, VIRTIO_BUFSHARE_QUEUE_EVENT), &e) == 0)
		push_with_length(e, (const uint8_t *)event, sizeof(*event), len);
}

void send_event(struct device *dev, struct virtio_bufshare_event event)
{
	send_event_bytes(dev, &event, sizeof(event));
}

struct virtio_bufshare_event about(struct device *dev, uint32_t type)
{
	return (struct virtio_bufshare_event){
		.type = htole32(type), .epoch = htole64(dev->epoch),
		.buffer = htole64(dev->buffer), .seq = htole64(dev->seq),
	};
}

/* ---- answers ---- */

void answer_honestly(struct reply *r)
{
	vq_push(r->element, r->bytes, r->size);
}

static void answer_short(struct device *dev, struct reply *r)
{
	push_with_length(r->element, r->bytes, r->size, sizeof(r->hdr) - 1);
}

static void answer_header(struct device *dev, struct reply *r)
{
	push_with_length(r->element, r->bytes, sizeof(r->hdr), sizeof(r->hdr));
}

static void answer_empty(struct device *dev, struct reply *r)
{
	push_with_length(r->element, r->bytes, r->size, 0);
}

static void answer_long(struct device *dev, struct reply *r)
{
	push_with_length(r->element, r->bytes, r->size, r->element->writable + 1);
}

static void answer_huge(struct device *dev, struct reply *r)
{
	push_with_length(r->element, r->bytes, r->size, UINT32_MAX);
}

static void answer_status(struct device *dev, struct reply *r)
{
	r->hdr.status = htole32(VIRTIO_BUFSHARE_STATUS_HOST + 1);
	answer_honestly(r);
}

static void answer_max_status(struct device *dev, struct reply *r)
{
	r->hdr.status = htole32(UINT32_MAX);
	answer_honestly(r);
}

static void answer_error(struct device *dev, struct reply *r)
{
	r->hdr.status = htole32(VIRTIO_BUFSHARE_STATUS_INVALID);
	answer_honestly(r);
}

static void answer_epoch(struct device *dev, struct reply *r)
{
	r->hdr.status = htole32(VIRTIO_BUFSHARE_STATUS_EPOCH);
	answer_honestly(r);
}

static void hold(struct device *dev, struct vq_element *e)
{
	if (dev->num_held < MAX_HELD)
		dev->held[dev->num_held++] = e;
	else
		vq_push(e, NULL, 0);
}

static void answer_never(struct device *dev, struct reply *r)
{
	hold(dev, r->element);
}

/* What is held gets an answer that says OK, of whatever. */
static void answer_late(struct device *dev, struct reply *r)
{
	write_answer(r->element, r->bytes, r->size);
	hold(dev, r->element);
	loop_timer_set(dev->late, LATE_NS, 0);
}

void let_go(struct device *dev)
{
	unsigned int i;

	for (i = 0; i < dev->num_held; i++)
		push_with_length(dev->held[i], NULL, 0, dev->held[i]->writable);
	dev->num_held = 0;
	vq_notify(ctrl(dev));
}

static void answer_twice(struct device *dev, struct reply *r)
{
	uint32_t head = r->element->head;
	struct vq *vq = r->element->vq;

	push_with_length(r->element, r->bytes, r->size, r->size);
	push_raw(vq, head, r->size);
}

static void answer_other(struct device *dev, struct reply *r)
{
	push_raw(ctrl(dev), (r->element->head + 1u) % ctrl(dev)->size, r->size);
	hold(dev, r->element);
}

static void answer_beyond(struct device *dev, struct reply *r)
{
	push_raw(ctrl(dev), UINT32_MAX, r->size);
	hold(dev, r->element);
}

/* As if it had answered as often as the ring has room, and more. */
static void answer_index(struct device *dev, struct reply *r)
{
	ctrl(dev)->next_used += (uint16_t)(ctrl(dev)->size + 7);
	answer_honestly(r);
}

static void answer_index_often(struct device *dev, struct reply *r)
{
	struct vq *vq = ctrl(dev);

	answer_index(dev, r);
	vq_notify(vq);
	store16(&vq->used->idx, 1, memory_order_release);
	vq_call(vq);
	store16(&vq->used->idx, UINT16_MAX, memory_order_release);
	vq_call(vq);
}

static void answer_without_uuid(struct device *dev, struct reply *r)
{
	memset(r->registered.uuid, 0, sizeof(r->registered.uuid));
	answer_honestly(r);
}

static void answer_path(struct device *dev, struct reply *r)
{
	r->registered.path = htole32(VIRTIO_BUFSHARE_PATH_MEMFD + 1);
	answer_honestly(r);
}

static void answer_flags(struct device *dev, struct reply *r)
{
	memset(&r->unregistered.flags, 0xff, 8);
	answer_honestly(r);
}

static void answer_mapped(struct device *dev, struct reply *r)
{
	r->unregistered.flags = htole32(VIRTIO_BUFSHARE_UNREGISTER_STILL_MAPPED);
	answer_honestly(r);
}

/* It was, but the event says already that this is over. */
static void answer_unmapped(struct device *dev, struct reply *r)
{
	send_events(dev, "unmapped");
	answer_mapped(dev, r);
}

static void answer_cookie(struct device *dev, struct reply *r)
{
	r->ping.cookie ^= 1;
	answer_honestly(r);
}

static void answer_large_block(struct device *dev, struct reply *r)
{
	r->properties.properties_size = htole32(UINT32_MAX);
	answer_honestly(r);
}

static void answer_block_beyond(struct device *dev, struct reply *r)
{
	r->properties.properties_size = htole32(r->size - sizeof(r->properties) + 1);
	answer_honestly(r);
}

static void answer_reserved(struct device *dev, struct reply *r)
{
	r->properties.reserved = htole32(1);
	answer_honestly(r);
}

static void replace_block(struct reply *r, const char *block, size_t size)
{
	memcpy(&r->properties + 1, block, size);
	r->properties.properties_size = htole32((uint32_t)size);
	r->size = (uint32_t)(sizeof(r->properties) + size);
	answer_honestly(r);
}

static void answer_guest_name(struct device *dev, struct reply *r)
{
	static const char block[] = "width=7";

	replace_block(r, block, sizeof(block));
}

static void answer_unterminated(struct device *dev, struct reply *r)
{
	static const char block[] = { 'h', 'o', 's', 't', '.', 'x', '=', '1' };

	replace_block(r, block, sizeof(block));
}

static void answer_name_twice(struct device *dev, struct reply *r)
{
	static const char block[] = "host.x=1\0host.x=2";

	replace_block(r, block, sizeof(block));
}

static void answer_no_epoch(struct device *dev, struct reply *r)
{
	r->init.epoch = 0;
	answer_honestly(r);
}

static void answer_more_caps(struct device *dev, struct reply *r)
{
	r->init.caps = htole64(UINT64_MAX);
	answer_honestly(r);
}

/* To INIT: it is there again, but not for long. */
static void answer_restarted(struct device *dev, struct reply *r)
{
	answer_honestly(r);
	send_events(dev, "restarted");
}

static const struct {
	const char *kind;
	void (*answer)(struct device *dev, struct reply *r);
} answers[] = {
	{ "short", answer_short },
	{ "header", answer_header },
	{ "empty", answer_empty },
	{ "long", answer_long },
	{ "huge", answer_huge },
	{ "status", answer_status },
	{ "max-status", answer_max_status },
	{ "error", answer_error },
	{ "epoch", answer_epoch },
	{ "never", answer_never },
	{ "late", answer_late },
	{ "twice", answer_twice },
	{ "other", answer_other },
	{ "beyond", answer_beyond },
	{ "index", answer_index },
	{ "index-often", answer_index_often },
	{ "no-uuid", answer_without_uuid },
	{ "path", answer_path },
	{ "flags", answer_flags },
	{ "mapped", answer_mapped },
	{ "mapped-after-restart", answer_mapped },
	{ "unmapped", answer_unmapped },
	{ "cookie", answer_cookie },
	{ "large-block", answer_large_block },
	{ "block-beyond", answer_block_beyond },
	{ "reserved", answer_reserved },
	{ "guest-name", answer_guest_name },
	{ "unterminated", answer_unterminated },
	{ "name-twice", answer_name_twice },
	{ "no-epoch", answer_no_epoch },
	{ "restarted", answer_restarted },
	{ "more-caps", answer_more_caps },
};

/* ---- events ---- */

static void events_released(struct device *dev, uint64_t seq, int times)
{
	struct virtio_bufshare_event event = about(dev, VIRTIO_BUFSHARE_EVENT_RELEASED);

	event.seq = htole64(seq);
	event.flags = htole32(UINT32_MAX);
	while (times--)
		send_event(dev, event);
}

static void event_value(struct device *dev, uint32_t type, uint64_t value)
{
	struct virtio_bufshare_event event = about(dev, type);

	event.value = htole64(value);
	send_event(dev, event);
}

static void event_of(struct device *dev, uint64_t epoch, uint64_t buffer)
{
	struct virtio_bufshare_event event = about(dev, VIRTIO_BUFSHARE_EVENT_RELEASED);

	event.epoch = htole64(epoch);
	event.buffer = htole64(buffer);
	send_event(dev, event);
}

void on_flood(void *data)
{
	struct device *dev = data;
	struct vq *vq = vu_queue(dev->vu, VIRTIO_BUFSHARE_QUEUE_EVENT);
	int i;

	for (i = 0; i < 64 && dev->flood_left; i++, dev->flood_left--)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_CONSUMERS, dev->flood_left);
	vq_notify(vq);
	if (dev->flood_left)
		loop_timer_set(dev->flood, 0, 0);
}

void send_events(struct device *dev, const char *kind)
{
	struct virtio_bufshare_event event = about(dev, VIRTIO_BUFSHARE_EVENT_RELEASED);

	if (strcmp(kind, "unknown") == 0)
		event_value(dev, UINT32_MAX, UINT64_MAX);
	else if (strcmp(kind, "short") == 0)
		send_event_bytes(dev, &event, sizeof(event) - 1);
	else if (strcmp(kind, "empty") == 0)
		send_event_bytes(dev, &event, 0);
	else if (strcmp(kind, "huge") == 0)
		send_event_bytes(dev, &event, UINT32_MAX);
	else if (strcmp(kind, "no-buffer") == 0)
		event_of(dev, dev->epoch, 0);
	else if (strcmp(kind, "never-was") == 0)
		event_of(dev, dev->epoch, dev->buffer + 1000000);
	else if (strcmp(kind, "max-buffer") == 0)
		event_of(dev, dev->epoch, UINT64_MAX);
	else if (strcmp(kind, "old-epoch") == 0)
		event_of(dev, dev->epoch - 1, dev->buffer);
	else if (strcmp(kind, "future") == 0)
		events_released(dev, dev->seq + 1, 1);
	else if (strcmp(kind, "max-seq") == 0)
		events_released(dev, UINT64_MAX, 1);
	else if (strcmp(kind, "past") == 0)
		events_released(dev, 0, 1);
	else if (strcmp(kind, "released-twice") == 0)
		events_released(dev, dev->seq, 2);
	else if (strcmp(kind, "consumers") == 0)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_CONSUMERS, UINT64_MAX);
	else if (strcmp(kind, "properties") == 0)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_PROPERTIES, 1);
	else if (strcmp(kind, "lost") == 0)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_BUFFER_LOST, VIRTIO_BUFSHARE_REASON_HOST);
	else if (strcmp(kind, "lost-reason") == 0)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_BUFFER_LOST, VIRTIO_BUFSHARE_REASON_HOST + 1);
	else if (strcmp(kind, "unmapped") == 0)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_UNMAPPED, 0);
	else if (strcmp(kind, "restarted") == 0)
		event_value(dev, VIRTIO_BUFSHARE_EVENT_RESTARTED, 0);
	else if (strcmp(kind, "restarted-often") == 0)
		for (int i = 0; i < 50; i++)
			event_value(dev, VIRTIO_BUFSHARE_EVENT_RESTARTED, 0);
	else if (strcmp(kind, "flood") == 0) {
		dev->flood_left = FLOOD;
		on_flood(dev);
	}
	vq_notify(vu_queue(dev->vu, VIRTIO_BUFSHARE_QUEUE_EVENT));
}

static const char *command_name(uint32_t type)
{
	static const char *const names[] = {
		[VIRTIO_BUFSHARE_CMD_INIT] = "init", [VIRTIO_BUFSHARE_CMD_REGISTER] = "register",
		[VIRTIO_BUFSHARE_CMD_UNREGISTER] = "unregister",
		[VIRTIO_BUFSHARE_CMD_UPDATE] = "update",
		[VIRTIO_BUFSHARE_CMD_SET_PROPERTIES] = "set",
		[VIRTIO_BUFSHARE_CMD_GET_PROPERTIES] = "get",
		[VIRTIO_BUFSHARE_CMD_RESET] = "reset", [VIRTIO_BUFSHARE_CMD_QUERY] = "query",
		[VIRTIO_BUFSHARE_CMD_PING] = "ping",
	};

	return type < sizeof(names) / sizeof(names[0]) && names[type] ? names[type] : "unknown";
}

void answer(struct device *dev, uint32_t type, struct reply *r)
{
	const char *name = command_name(type);
	size_t n = strlen(name), i;

	if (strncmp(dev->lie, name, n) == 0 && dev->lie[n] == '.') {
		for (i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
			if (strcmp(dev->lie + n + 1, answers[i].kind) == 0) {
				answers[i].answer(dev, r);
				return;
			}
		}
		log_err("there is no lie %s", dev->lie);
	}
	answer_honestly(r);
}
