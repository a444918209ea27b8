/* SPDX-License-Identifier: MIT */
/*
 * Whether what the daemon sent is what host/ipc.h allows. It may be hostile, or pass
 * on what a hostile guest said.
 */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "host/lib/internal.h"

#define BOTH_SIDES (PROPS_GUEST | PROPS_HOST)

_Static_assert(BUFSHARE_IPC_NAME_SIZE == BUFSHARE_LABEL_SIZE &&
		       BUFSHARE_IPC_NAME_SIZE == BUFSHARE_APPLICATION_SIZE &&
		       BUFSHARE_IPC_UUID_SIZE == BUFSHARE_UUID_SIZE &&
		       BUFSHARE_IPC_MAX_DAMAGE == BUFSHARE_MAX_DAMAGE,
	       "the API and the protocol have the same limits");
_Static_assert((int)BUFSHARE_PATH_COPY == VIRTIO_BUFSHARE_PATH_COPY &&
		       (int)BUFSHARE_PATH_UDMABUF == VIRTIO_BUFSHARE_PATH_UDMABUF &&
		       (int)BUFSHARE_PATH_MEMFD == VIRTIO_BUFSHARE_PATH_MEMFD,
	       "paths are passed on as they are");
_Static_assert((int)BUFSHARE_COPY_ASKED == BUFSHARE_IPC_WHY_ASKED &&
		       (int)BUFSHARE_COPY_NO_UDMABUF == BUFSHARE_IPC_WHY_NO_UDMABUF &&
		       (int)BUFSHARE_COPY_UDMABUF_DENIED == BUFSHARE_IPC_WHY_UDMABUF_DENIED &&
		       (int)BUFSHARE_COPY_NOT_SEALED == BUFSHARE_IPC_WHY_NOT_SEALED &&
		       (int)BUFSHARE_COPY_RANGES == BUFSHARE_IPC_WHY_RANGES &&
		       (int)BUFSHARE_COPY_SIZE == BUFSHARE_IPC_WHY_SIZE &&
		       (int)BUFSHARE_COPY_KERNEL == BUFSHARE_IPC_WHY_KERNEL &&
		       (int)BUFSHARE_COPY_FILES == BUFSHARE_IPC_WHY_FILES &&
		       (int)BUFSHARE_COPY_DRIVER == BUFSHARE_IPC_WHY_DRIVER &&
		       (int)BUFSHARE_COPY_RIGHT == BUFSHARE_IPC_WHY_RIGHT &&
		       (int)BUFSHARE_COPY_CAPABILITY == BUFSHARE_IPC_WHY_CAP,
	       "reasons for a copy are passed on as they are");

int check_welcome(const struct bufshare_ipc_welcome *m, uint64_t caps)
{
	if (le32toh(m->magic) != BUFSHARE_IPC_MAGIC || le32toh(m->version) != BUFSHARE_IPC_VERSION)
		return -EPROTO;
	if (le64toh(m->caps) & ~caps)
		return -EPROTO;
	if (!props_label_field_valid(m->label, sizeof(m->label)) ||
	    !props_label_field_valid(m->application, sizeof(m->application)))
		return -EPROTO;
	if (le32toh(m->state) > BUFSHARE_IPC_STATE_GONE)
		return -EPROTO;
	return 0;
}

/* A property block of this size, and no more, follows the structure. */
static bool block_fits(size_t size, size_t structure, __le32 block_size)
{
	return le32toh(block_size) <= BUFSHARE_IPC_MAX_PROPERTIES_SIZE &&
	       size == structure + le32toh(block_size);
}

int check_added(const struct bufshare_ipc_added *m, size_t size, const char *block)
{
	const uint64_t bytes = le64toh(m->size);
	const uint32_t path = le32toh(m->path);

	if (!m->buffer || bytes == 0 || bytes > VIRTIO_BUFSHARE_MAX_BUFFER_SIZE)
		return -EPROTO;
	if (!m->application[0] || !props_label_field_valid(m->application, sizeof(m->application)))
		return -EPROTO;
	if (path < VIRTIO_BUFSHARE_PATH_COPY || path > VIRTIO_BUFSHARE_PATH_MEMFD)
		return -EPROTO;
	if (le32toh(m->flags) & ~(BUFSHARE_IPC_ADDED_AGAIN | BUFSHARE_IPC_ADDED_WRITABLE |
				  BUFSHARE_IPC_ADDED_SETTABLE))
		return -EPROTO;
	if (le32toh(m->why) > BUFSHARE_IPC_WHY_CAP || !block_fits(size, sizeof(*m), m->properties_size))
		return -EPROTO;
	if (props_check_block(block, le32toh(m->properties_size), BOTH_SIDES) < 0)
		return -EPROTO;
	return 0;
}

int check_updated(const struct bufshare_ipc_updated *m, size_t size,
		  const struct virtio_bufshare_rect *damage)
{
	const uint32_t n = le32toh(m->num_damage);
	uint32_t i;

	if (le32toh(m->flags) & ~BUFSHARE_IPC_UPDATED_COALESCED)
		return -EPROTO;
	if (n > BUFSHARE_IPC_MAX_DAMAGE || size != sizeof(*m) + n * sizeof(*damage))
		return -EPROTO;

	for (i = 0; i < n; i++) {
		if (!damage[i].width || !damage[i].height)
			return -EPROTO;
	}
	return 0;
}

int check_properties(const struct bufshare_ipc_properties *m, size_t size, const char *block)
{
	if (m->reserved || !block_fits(size, sizeof(*m), m->properties_size))
		return -EPROTO;
	if (props_check_block(block, le32toh(m->properties_size), BOTH_SIDES | PROPS_REMOVALS) < 0)
		return -EPROTO;
	return 0;
}

int check_consumer(const struct bufshare_ipc_consumer *m)
{
	if (!props_label_field_valid(m->program, sizeof(m->program)))
		return -EPROTO;
	return le32toh(m->flags) & ~BUFSHARE_IPC_CONSUMER_SELF ? -EPROTO : 0;
}

int check_error(const struct bufshare_ipc_error *m)
{
	return m->code && memchr(m->text, 0, sizeof(m->text)) ? 0 : -EPROTO;
}
