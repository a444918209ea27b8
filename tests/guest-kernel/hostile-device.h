/* SPDX-License-Identifier: MIT */
/* What the two halves of hostile-device share: the device, and its lies. */
#ifndef TESTS_GUEST_KERNEL_HOSTILE_DEVICE_H
#define TESTS_GUEST_KERNEL_HOSTILE_DEVICE_H

#include <linux/virtio_bufshare.h>

#include "host/daemon/loop.h"
#include "host/daemon/vhost-user.h"
#include "host/daemon/virtqueue-internal.h"

#define MAX_HELD VQ_MAX_SIZE

struct device {
	struct loop *loop;
	int listener;
	struct vu *vu;
	struct loop_source *late, *flood;
	struct virtio_bufshare_config config;
	char lie[VIRTIO_BUFSHARE_LABEL_SIZE];
	uint64_t epoch;
	uint64_t buffer, seq; /* what events are about */
	struct vq_element *held[MAX_HELD];
	unsigned int num_held;
	unsigned int flood_left;
};

struct reply {
	struct vq_element *element;
	union {
		struct virtio_bufshare_response hdr;
		struct virtio_bufshare_init_response init;
		struct virtio_bufshare_register_response registered;
		struct virtio_bufshare_unregister_response unregistered;
		struct virtio_bufshare_get_properties_response properties;
		struct virtio_bufshare_ping_response ping;
		uint8_t bytes[4096];
	};
	uint32_t size;
};

/* Ends with the answer, which is as the lie has it. */
void answer(struct device *dev, uint32_t type, struct reply *r);
void answer_honestly(struct reply *r);

/* What the lie says before the answer to a PING; kind: behind "event.". */
void send_events(struct device *dev, const char *kind);

void send_event(struct device *dev, struct virtio_bufshare_event event);

/* An event that a correct device could send. */
struct virtio_bufshare_event about(struct device *dev, uint32_t type);

/* Answers all that was held, with nonsense. */
void let_go(struct device *dev);

/* Sends some more of a flood. For a timer. */
void on_flood(void *data);

static inline struct vq *ctrl(struct device *dev)
{
	return vu_queue(dev->vu, VIRTIO_BUFSHARE_QUEUE_CONTROL);
}

#endif /* TESTS_GUEST_KERNEL_HOSTILE_DEVICE_H */
