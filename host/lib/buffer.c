/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "host/lib/internal.h"

static void buffer_freep(struct bufshare_host_buffer **buf)
{
	if (*buf)
		buffer_free(*buf);
}

int buffer_new(struct bufshare_host *host, const struct bufshare_ipc_added *m, const char *block,
	       int *fd, struct host_ranges *ranges, struct bufshare_host_buffer **buf)
{
	_cleanup_(buffer_freep) struct bufshare_host_buffer *b = NULL;
	int r;

	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;

	b->refs = 1;
	b->fd = -1;
	b->id = le64toh(m->buffer);
	b->size = le64toh(m->size);
	b->seq = le64toh(m->seq);
	b->path = le32toh(m->path);
	b->copy_reason = le32toh(m->why);
	b->settable = le32toh(m->flags) & BUFSHARE_IPC_ADDED_SETTABLE;
	memcpy(b->uuid, m->uuid, sizeof(b->uuid));
	memcpy(b->application, m->application, sizeof(b->application));

	r = props_apply(&b->props, block, le32toh(m->properties_size));
	if (r < 0)
		return r;

	b->fd = steal_fd(fd);
	b->ranges = *ranges;
	*ranges = (struct host_ranges){ 0 };

	b->host = host;
	host->num_ranges += b->ranges.n;
	LIST_INSERT_HEAD(&host->buffers, b, link);

	*buf = steal_ptr(&b);
	return 0;
}

int buffer_renew(struct bufshare_host_buffer *buf, const struct bufshare_ipc_added *m,
		 const char *block, int *fd, struct host_ranges *ranges)
{
	_cleanup_(props_clear) struct props props = { 0 };
	int r;

	if (memcmp(buf->uuid, m->uuid, sizeof(buf->uuid)) != 0 || buf->size != le64toh(m->size) ||
	    memcmp(buf->application, m->application, sizeof(buf->application)) != 0)
		return -EPROTO;

	r = props_apply(&props, block, le32toh(m->properties_size));
	if (r == 0)
		r = mapping_replace(buf, le32toh(m->path), fd, ranges);
	if (r < 0)
		return r;

	props_clear(&buf->props);
	buf->props = props;
	props = (struct props){ 0 };
	buf->copy_reason = le32toh(m->why);
	buf->settable = le32toh(m->flags) & BUFSHARE_IPC_ADDED_SETTABLE;
	buf->seq = le64toh(m->seq);
	buf->num_damage = 0;
	return 0;
}

void buffer_free(struct bufshare_host_buffer *buf)
{
	if (buf->host) {
		outbox_forget(buf);
		buf->host->num_ranges -= buf->ranges.n;
		LIST_REMOVE(buf, link);
	}
	mapping_drop(buf);
	ranges_clear(&buf->ranges);
	props_clear(&buf->props);
	free(buf);
}

void buffer_out_of_sight(struct bufshare_host_buffer *buf)
{
	recovery_buffer(buf->host, buf);
	buf->in_sight = false;
	buf->held = 0;
	outbox_forget(buf);
	bufshare_host_buffer_unref(buf);
}

/* Whether the daemon waits to hear that the buffer is closed. */
static bool closed_is_due(const struct bufshare_host_buffer *buf)
{
	return buf->host && !buf->host->error && !buf->host->send_closed && !buf->is_unknown;
}

BUFSHARE_EXPORT struct bufshare_host_buffer *
bufshare_host_buffer_ref(struct bufshare_host_buffer *buf)
{
	if (buf)
		buf->refs++;
	return buf;
}

BUFSHARE_EXPORT struct bufshare_host_buffer *
bufshare_host_buffer_unref(struct bufshare_host_buffer *buf)
{
	if (!buf || --buf->refs > 0)
		return NULL;

	mapping_drop(buf);
	if (closed_is_due(buf))
		outbox_closed(buf);
	else
		buffer_free(buf);
	return NULL;
}

BUFSHARE_EXPORT uint64_t bufshare_host_buffer_get_id(const struct bufshare_host_buffer *buf)
{
	return buf ? buf->id : 0;
}

BUFSHARE_EXPORT uint64_t bufshare_host_buffer_get_size(const struct bufshare_host_buffer *buf)
{
	return buf ? buf->size : 0;
}

BUFSHARE_EXPORT uint64_t bufshare_host_buffer_get_seq(const struct bufshare_host_buffer *buf)
{
	return buf ? buf->seq : 0;
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_path(const struct bufshare_host_buffer *buf)
{
	return buf ? buf->path : -EINVAL;
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_copy_reason(const struct bufshare_host_buffer *buf)
{
	return buf ? buf->copy_reason : -EINVAL;
}

BUFSHARE_EXPORT const char *
bufshare_host_buffer_get_application(const struct bufshare_host_buffer *buf)
{
	return buf ? buf->application : NULL;
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_uuid(const struct bufshare_host_buffer *buf,
						  uint8_t uuid[BUFSHARE_UUID_SIZE])
{
	if (!buf || !uuid)
		return -EINVAL;

	memcpy(uuid, buf->uuid, BUFSHARE_UUID_SIZE);
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_property(const struct bufshare_host_buffer *buf,
						      const char *name, const char **value)
{
	const char *found;

	if (!buf || !name || !value)
		return -EINVAL;

	found = props_get(&buf->props, name);
	if (!found)
		return -ENOENT;

	*value = found;
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_buffer_next_property(const struct bufshare_host_buffer *buf,
						       const char **name)
{
	const struct prop *prop;

	if (!buf || !name)
		return -EINVAL;

	prop = props_next(&buf->props, *name);
	if (!prop)
		return -ENOENT;

	*name = prop->name;
	return 0;
}

/* A message of one property; returns its size. */
static size_t property_message(union ipc_message *msg, uint64_t buffer, const char *name,
			       const char *value)
{
	struct bufshare_ipc_properties m = { .buffer = htole64(buffer) };
	char *block = msg->bytes + sizeof(m);
	size_t size;

	size = snprintf(block, sizeof(*msg) - sizeof(m), "%s%s%s", name, value ? "=" : "",
			value ? value : "");
	size++;
	m.properties_size = htole32(size);
	ipc_header(&m, BUFSHARE_IPC_SET_PROPERTIES, sizeof(m) + size);
	memcpy(msg, &m, sizeof(m));
	return sizeof(m) + size;
}

BUFSHARE_EXPORT int bufshare_host_buffer_set_property(struct bufshare_host_buffer *buf,
						      const char *name, const char *value)
{
	union ipc_message msg;
	size_t size;

	if (!buf || !name || !props_name_valid(name) || (value && !props_value_valid(value)))
		return -EINVAL;
	if (!props_is_host(name))
		return -EPERM;
	if (!buf->host)
		return -ENOTCONN;
	if (!buf->in_sight || buf->is_void)
		return -ENOENT;
	if (!(buf->host->caps & BUFSHARE_IPC_CAP_SET_PROPERTIES) || !buf->settable)
		return -EACCES;

	size = property_message(&msg, buf->id, name, value);
	return outbox_send(buf->host, &msg, size);
}

BUFSHARE_EXPORT int bufshare_host_buffer_get_damage(const struct bufshare_host_buffer *buf,
						    const struct bufshare_rect **damage, size_t *n)
{
	if (!buf || !damage || !n)
		return -EINVAL;

	*damage = buf->damage;
	*n = buf->num_damage;
	return 0;
}

BUFSHARE_EXPORT int bufshare_host_buffer_release(struct bufshare_host_buffer *buf, uint64_t seq)
{
	if (!buf)
		return -EINVAL;
	if (!buf->host || buf->host->error || buf->host->send_closed)
		return -ENOTCONN;
	if (!seq || buf->held != seq)
		return -EALREADY;

	buf->held = 0;
	outbox_release(buf, seq);
	return buf->host->send_closed ? -ENOTCONN : 0;
}
