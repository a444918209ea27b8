/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <string.h>

#include "common/siphash.h"

struct state {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotate(uint64_t x, unsigned int bits)
{
	return x << bits | x >> (64 - bits);
}

static void rounds(struct state *s, unsigned int n)
{
	while (n--) {
		s->v0 += s->v1;
		s->v1 = rotate(s->v1, 13) ^ s->v0;
		s->v0 = rotate(s->v0, 32);
		s->v2 += s->v3;
		s->v3 = rotate(s->v3, 16) ^ s->v2;
		s->v0 += s->v3;
		s->v3 = rotate(s->v3, 21) ^ s->v0;
		s->v2 += s->v1;
		s->v1 = rotate(s->v1, 17) ^ s->v2;
		s->v2 = rotate(s->v2, 32);
	}
}

static uint64_t load(const uint8_t *p)
{
	uint64_t x;

	memcpy(&x, p, sizeof(x));
	return le64toh(x);
}

static void store(uint8_t *p, uint64_t x)
{
	x = htole64(x);
	memcpy(p, &x, sizeof(x));
}

static void absorb(struct state *s, uint64_t word)
{
	s->v3 ^= word;
	rounds(s, 2);
	s->v0 ^= word;
}

static uint64_t squeeze(struct state *s)
{
	rounds(s, 4);
	return s->v0 ^ s->v1 ^ s->v2 ^ s->v3;
}

void siphash128(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t size,
		uint8_t hash[16])
{
	const uint64_t k0 = load(key), k1 = load(key + 8);
	struct state s = {
		0x736f6d6570736575 ^ k0,
		0x646f72616e646f6d ^ k1 ^ 0xee,
		0x6c7967656e657261 ^ k0,
		0x7465646279746573 ^ k1,
	};
	const uint8_t *p = data;
	uint8_t last[8] = { 0 };
	size_t left;

	for (left = size; left >= 8; left -= 8, p += 8)
		absorb(&s, load(p));
	memcpy(last, p, left);
	last[7] = (uint8_t)size;
	absorb(&s, load(last));

	s.v2 ^= 0xee;
	store(hash, squeeze(&s));
	s.v1 ^= 0xdd;
	store(hash + 8, squeeze(&s));
}

void siphash_uuid(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t size,
		  uint8_t uuid[16])
{
	siphash128(key, data, size, uuid);
	uuid[6] = (uint8_t)((uuid[6] & 0x0f) | 0x80);
	uuid[8] = (uint8_t)((uuid[8] & 0x3f) | 0x80);
}
