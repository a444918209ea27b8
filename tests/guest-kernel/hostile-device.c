/* SPDX-License-Identifier: MIT */
/*
 * hostile-device FOLDER LIE...: devices that lie to the guest's driver, one for each LIE, at
 * the sockets FOLDER/LIE. They speak vhost-user through the daemon's own transport, and are a
 * correct small device but for their lie, which is one of
 *
 *   config.*	in the config space
 *   init.*	in the answer to INIT
 *   told	what the guest says: a buffer registered with the application "lie.X" is the
 *		last truth, and X what the device does from then on; "lie.none" ends it
 *
 * and what the guest can tell is COMMAND.KIND, about the answer to a command, or event.KIND,
 * events before the answer to a PING.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/daemon/log.h"

#include "hostile-device.h"

static unsigned int connections;

/* ---- the correct device ---- */

/* Whether the guest says what the lie is to be, and the device remembers it. */
static bool is_told(struct device *dev, const char *application)
{
	if (strncmp(application, "lie.", 4) != 0)
		return false;
	snprintf(dev->lie, sizeof(dev->lie), "%.60s", application + 4);
	if (strcmp(dev->lie, "none") == 0)
		let_go(dev);
	return true;
}

/* Whether the answer is to be true whatever the lie is. */
static bool reply_register(struct device *dev, const void *request, struct reply *r)
{
	const struct virtio_bufshare_register *cmd = request;
	char application[sizeof(cmd->application) + 1] = "";

	r->size = sizeof(r->registered);
	memcpy(r->registered.uuid, &cmd->buffer, sizeof(cmd->buffer));
	r->registered.uuid[15] = 1;
	r->registered.path = htole32(VIRTIO_BUFSHARE_PATH_COPY);
	memcpy(application, cmd->application, sizeof(cmd->application));
	if (is_told(dev, application))
		return true;
	dev->buffer = le64toh(cmd->buffer);
	dev->seq = 0;
	return false;
}

static void reply_update(struct device *dev, const void *request)
{
	const struct virtio_bufshare_update *cmd = request;
	struct virtio_bufshare_event event = about(dev, VIRTIO_BUFSHARE_EVENT_RELEASED);

	if (le64toh(cmd->buffer) == dev->buffer)
		dev->seq = le64toh(cmd->seq);
	if (strcmp(dev->lie, "none") != 0)
		return;
	event.flags = htole32(VIRTIO_BUFSHARE_RELEASED_NO_CONSUMER);
	event.buffer = cmd->buffer;
	event.seq = cmd->seq;
	send_event(dev, event);
	vq_notify(vu_queue(dev->vu, VIRTIO_BUFSHARE_QUEUE_EVENT));
}

/* Whether the answer is to be true whatever the lie is. */
static bool reply_to(struct device *dev, const void *request, struct reply *r)
{
	const struct virtio_bufshare_request *hdr = request;
	static const char block[] = "host.x=1";

	r->size = sizeof(r->hdr);
	if (le32toh(hdr->type) != VIRTIO_BUFSHARE_CMD_INIT && le64toh(hdr->epoch) != dev->epoch) {
		r->hdr.status = htole32(VIRTIO_BUFSHARE_STATUS_EPOCH);
		if (le32toh(hdr->type) == VIRTIO_BUFSHARE_CMD_REGISTER)
			reply_register(dev, request, r);
		return true;
	}
	switch (le32toh(hdr->type)) {
	case VIRTIO_BUFSHARE_CMD_INIT:
		r->size = sizeof(r->init);
		r->init.epoch = htole64(++dev->epoch);
		r->init.caps = ((const struct virtio_bufshare_init *)request)->caps;
		return false;
	case VIRTIO_BUFSHARE_CMD_REGISTER:
		return reply_register(dev, request, r);
	case VIRTIO_BUFSHARE_CMD_UNREGISTER:
		r->size = sizeof(r->unregistered);
		return false;
	case VIRTIO_BUFSHARE_CMD_UPDATE:
		reply_update(dev, request);
		return false;
	case VIRTIO_BUFSHARE_CMD_GET_PROPERTIES:
		r->size = sizeof(r->properties) + sizeof(block);
		r->properties.generation = htole64(1);
		r->properties.properties_size = htole32(sizeof(block));
		memcpy(&r->properties + 1, block, sizeof(block));
		return false;
	case VIRTIO_BUFSHARE_CMD_PING:
		r->size = sizeof(r->ping);
		r->ping.cookie = ((const struct virtio_bufshare_ping *)request)->cookie;
		if (strncmp(dev->lie, "init.", 5) == 0 ||
		    strcmp(dev->lie, "unregister.mapped-after-restart") == 0)
			send_events(dev, "restarted");
		if (strncmp(dev->lie, "event.", 6) == 0)
			send_events(dev, dev->lie + 6);
		return false;
	}
	return false;
}

static void serve(struct device *dev, struct vq_element *element)
{
	union {
		struct virtio_bufshare_request hdr;
		uint8_t bytes[512];
	} request = { 0 };
	struct reply r = { .element = element };
	uint32_t size = element->readable < sizeof(request) ? element->readable : sizeof(request);

	if (vq_element_read(element, 0, &request, size) < 0) {
		vq_push(element, NULL, 0);
		return;
	}
	if (reply_to(dev, &request, &r))
		answer_honestly(&r);
	else
		answer(dev, le32toh(request.hdr.type), &r);
}

static void op_kick(void *data, unsigned int index)
{
	struct device *dev = data;
	struct vq_element *element;

	if (index != VIRTIO_BUFSHARE_QUEUE_CONTROL)
		return;
	while (vq_pop(ctrl(dev), &element) == 0)
		serve(dev, element);
	vq_notify(ctrl(dev));
}

static void op_started(void *data, int how)
{
}

static void on_late(void *data)
{
	let_go(data);
}

/* The driver was reloaded: the next one is told the truth, unless the device never tells it. */
static void op_stopped(void *data)
{
	struct device *dev = data;
	unsigned int i;

	for (i = 0; i < dev->num_held; i++)
		vq_push(dev->held[i], NULL, 0);
	dev->num_held = 0;
	dev->flood_left = 0;
	if (strncmp(dev->lie, "init.", 5) != 0)
		strcpy(dev->lie, "none");
}

static void op_memory_changed(void *data)
{
}

/* The guest ends, and with it one device after the other. */
static void op_closed(void *data, int reason)
{
	struct device *dev = data;

	if (--connections == 0)
		loop_quit(dev->loop, 0);
}

static const struct vu_ops ops = {
	.started = op_started,
	.stopped = op_stopped,
	.queue_kick = op_kick,
	.memory_changed = op_memory_changed,
	.closed = op_closed,
};

/* ---- the program ---- */

static void fill_config(struct device *dev)
{
	struct virtio_bufshare_config *c = &dev->config;

	*c = (struct virtio_bufshare_config){
		.magic = htole32(VIRTIO_BUFSHARE_MAGIC),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_RECOVERY |
				VIRTIO_BUFSHARE_CAP_UNMAPPED),
		.max_buffers = htole32(64),
		.max_buffer_size = htole64(1 << 20),
		.max_total_size = htole64(16 << 20),
		.max_ranges = htole32(1024),
		.max_properties = htole32(8),
		.max_properties_size = htole32(512),
		.max_damage = htole32(4),
	};
	memcpy(c->label, dev->lie, strlen(dev->lie));
}

static void spoil_config(struct device *dev)
{
	struct virtio_bufshare_config *c = &dev->config;
	const char *kind = dev->lie + strlen("config.");

	if (strncmp(dev->lie, "config.", 7) != 0)
		return;
	if (strcmp(kind, "magic") == 0)
		c->magic = ~c->magic;
	else if (strcmp(kind, "version") == 0)
		c->version = htole32(VIRTIO_BUFSHARE_VERSION + 1);
	else if (strcmp(kind, "zero") == 0)
		c->max_ranges = 0;
	else if (strcmp(kind, "label") == 0)
		memcpy(c->label, "../../etc", 10);
	else if (strcmp(kind, "unterminated") == 0)
		memset(c->label, 'x', sizeof(c->label));
	else if (strcmp(kind, "ones") == 0)
		memset(&c->caps, 0xff, sizeof(*c) - offsetof(struct virtio_bufshare_config, caps));
	else
		log_err("there is no lie %s", dev->lie);
	strcpy(dev->lie, "none");
}

static void on_connection(void *data, uint32_t events)
{
	struct device *dev = data;
	struct vu_config config = {
		.num_queues = VIRTIO_BUFSHARE_NUM_QUEUES, .config = &dev->config,
		.config_size = sizeof(dev->config), .ops = &ops, .data = dev,
	};
	int sock = accept(dev->listener, NULL, NULL);

	if (sock < 0 || dev->vu || vu_new(dev->loop, sock, &config, &dev->vu) < 0)
		log_err("a second VMM, or an unusable one");
	else
		connections++;
}

static int device_new(struct loop *loop, const char *folder, const char *lie)
{
	struct device *dev = calloc(1, sizeof(*dev));
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct loop_source *ignored;

	if (!dev)
		return -ENOMEM;
	dev->loop = loop;
	snprintf(dev->lie, sizeof(dev->lie), "%s", lie);
	fill_config(dev);
	spoil_config(dev);
	if (strcmp(lie, "told") == 0)
		strcpy(dev->lie, "none");
	if ((size_t)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/%s", folder, lie) >=
	    sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	dev->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (dev->listener < 0 || bind(dev->listener, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    listen(dev->listener, 1) < 0)
		return -errno;
	if (loop_add_fd(loop, dev->listener, EPOLLIN, on_connection, dev, &ignored) < 0 ||
	    loop_add_timer(loop, on_late, dev, &dev->late) < 0 ||
	    loop_add_timer(loop, on_flood, dev, &dev->flood) < 0)
		return -ENOMEM;
	return 0;
}

/* What it has belongs to the process, which ends with the guest. */
int main(int argc, char **argv)
{
	struct loop *loop;
	int i, r;

	if (argc < 3) {
		fprintf(stderr, "usage: hostile-device FOLDER LIE...\n");
		return 2;
	}
	r = loop_new(&loop);
	for (i = 2; i < argc && r == 0; i++)
		r = device_new(loop, argv[1], argv[i]);
	if (r == 0)
		r = loop_run(loop);
	if (r < 0)
		fprintf(stderr, "hostile-device: %s\n", strerror(-r));
	return r < 0;
}
