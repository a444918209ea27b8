/* SPDX-License-Identifier: MIT */
/*
 * SipHash-2-4 with a 128-bit result (Aumasson and Bernstein, 2012): a keyed hash of short
 * inputs that nobody without the key can foresee. No library at hand has just this.
 */
#ifndef COMMON_SIPHASH_H
#define COMMON_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

#define SIPHASH_KEY_SIZE 16

void siphash128(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t size,
		uint8_t hash[16]);

/* The same as a UUID of RFC 9562, version 8. */
void siphash_uuid(const uint8_t key[SIPHASH_KEY_SIZE], const void *data, size_t size,
		  uint8_t uuid[16]);

#endif /* COMMON_SIPHASH_H */
