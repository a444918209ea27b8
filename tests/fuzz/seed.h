/* SPDX-License-Identifier: MIT */
/*
 * What the seeds are made of.
 */
#ifndef TESTS_FUZZ_SEED_H
#define TESTS_FUZZ_SEED_H

#include <stddef.h>
#include <stdint.h>

#define SEED_APPLICATION "fuzz.seed"
#define SEED_PROPERTIES "height=8\0width=8" /* with its last NUL */

struct seed {
	uint8_t bytes[16384];
	size_t n;
};

void put(struct seed *s, const void *bytes, size_t size);
void put_u8(struct seed *s, uint8_t value);
void put_u16(struct seed *s, uint16_t value);
void put_chunk(struct seed *s, const void *bytes, size_t size);

/* Memory of a ring: descriptors at 0, and where the others are. Returns bytes. */
#define SEED_RING_SIZE 16
#define SEED_AVAIL 0x400
#define SEED_USED 0x800
#define SEED_INDIRECT 0x300
#define SEED_REQUEST 0x1000
#define SEED_ANSWER 0x2000
#define SEED_RING_MEMORY (SEED_AVAIL + 64)
size_t seed_ring(uint64_t gpa, uint8_t memory[SEED_RING_MEMORY]);

/* seed-keeper.c */
#define SEED_MAX_SAVED 9 /* slots: one more than the buffers of fuzz-worker.c */
void seed_worker(struct seed *s);
void seed_keeper(struct seed *s);

/* seed-files.c */
void seed_png(struct seed *s);
void seed_ppm(struct seed *s);
void seed_recording(struct seed *s);
void seed_text(struct seed *s);

#endif /* TESTS_FUZZ_SEED_H */
