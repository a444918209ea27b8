/* SPDX-License-Identifier: MIT */
/*
 * Buffers whose export takes longer: their REGISTER is answered, and the commands behind
 * it take effect, when it is there.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "host/daemon/device.h"
#include "host/daemon/device-internal.h"

void dev_made(struct dev_buffer *b, void *token)
{
	struct virtio_bufshare_register_response resp = { 0 };
	struct dev *dev = b->dev;

	TAILQ_INSERT_TAIL(&dev->buffers, b, link);
	if (b->again)
		dev_take_over(b);
	dev->ops->added(dev->data, b);
	/* The guest may not have been told of the last change. */
	if (b->properties_generation)
		dev_tell_properties(b);

	memcpy(resp.uuid, b->uuid, sizeof(resp.uuid));
	resp.path = htole32(b->path);
	resp.consumers = htole32(b->consumers);
	dev->ops->complete(dev->data, token, &resp, sizeof(resp));
}

void dev_making(struct dev_buffer *b, void *token)
{
	b->making = true;
	b->token = token;
	TAILQ_INSERT_TAIL(&b->dev->making, b, link);
}

int dev_defer(struct dev_buffer *b, void *token, const void *request, size_t size)
{
	struct dev_deferred *d = malloc(sizeof(*d) + size);

	if (!d)
		return -ENOMEM;
	d->token = token;
	d->size = size;
	memcpy(d->request, request, size);
	STAILQ_INSERT_TAIL(&b->deferred, d, link);
	return 0;
}

/* It is made, or it is none. Returns the token of its REGISTER, and what waited for that. */
static void *end_making(struct dev_buffer *b, struct dev_deferred_list *deferred)
{
	STAILQ_INIT(deferred);
	STAILQ_CONCAT(deferred, &b->deferred);
	TAILQ_REMOVE(&b->dev->making, b, link);
	b->making = false;
	return steal_ptr(&b->token);
}

static void give_up(struct dev_buffer *b, void *token,
		    const struct virtio_bufshare_response *response)
{
	struct dev *dev = b->dev;

	dev_take_out(b);
	dev_buffer_free(b);
	dev->ops->complete(dev->data, token, response, sizeof(*response));
}

void dev_exported(struct dev_buffer *b, uint32_t status, uint32_t detail)
{
	const struct virtio_bufshare_response response = { htole32(status), htole32(detail) };
	struct dev_deferred_list deferred;
	struct dev_deferred *d;
	struct dev *dev = b->dev;
	void *token = end_making(b, &deferred);

	if (status == VIRTIO_BUFSHARE_STATUS_OK)
		dev_made(b, token);
	else
		give_up(b, token, &response);
	while ((d = STAILQ_FIRST(&deferred))) {
		STAILQ_REMOVE_HEAD(&deferred, link);
		dev_command(dev, d->token, d->request, d->size);
		free(d);
	}
}

void dev_unmake(struct dev_buffer *b, uint32_t status, uint32_t detail)
{
	const struct virtio_bufshare_response response = { htole32(status), htole32(detail) };
	struct dev_deferred_list deferred;
	struct dev_deferred *d;
	struct dev *dev = b->dev;

	dev->ops->drop_export(dev->data, b);
	give_up(b, end_making(b, &deferred), &response);
	while ((d = STAILQ_FIRST(&deferred))) {
		STAILQ_REMOVE_HEAD(&deferred, link);
		dev->ops->complete(dev->data, d->token, &response, sizeof(response));
		free(d);
	}
}
