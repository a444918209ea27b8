/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <string.h>

#include "fuzz/seed.h"

void put(struct seed *s, const void *bytes, size_t size)
{
	if (size)
		memcpy(s->bytes + s->n, bytes, size);
	s->n += size;
}

void put_u8(struct seed *s, uint8_t value)
{
	put(s, &value, 1);
}

void put_u16(struct seed *s, uint16_t value)
{
	value = htole16(value);
	put(s, &value, 2);
}

void put_chunk(struct seed *s, const void *bytes, size_t size)
{
	put_u16(s, (uint16_t)size);
	put(s, bytes, size);
}
