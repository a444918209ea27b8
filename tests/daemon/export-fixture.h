/* SPDX-License-Identifier: MIT */
/*
 * A guest's memory and one buffer in it, for tests of exports. What should not happen fails
 * the test.
 */
#ifndef TESTS_DAEMON_EXPORT_FIXTURE_H
#define TESTS_DAEMON_EXPORT_FIXTURE_H

#include "common/cleanup.h"
#include "host/daemon/export.h"
#include "host/ipc.h"

#define PAGE VIRTIO_BUFSHARE_PAGE_SIZE
#define PAGES 64 /* of each region */
#define OK VIRTIO_BUFSHARE_STATUS_OK

struct world {
	struct memory *memory;
	struct exporter ex;
	struct dev_buffer b;
	uint8_t *ram; /* both regions */
};

enum kind {
	SEALED,
	UNSEALED,
	TWO_FILES,
};

extern const struct dev_damage all;

/* Sealed memory, and a buffer of two pages at page 1 and one at page 8, not exported yet. */
int setup(void **state);
int setup_unsealed(void **state);
int setup_two_files(void **state);
int teardown(void **state);

void set_ranges(struct world *w, const struct dev_range *ranges, uint32_t n);

#define RANGES(w, ...)                                              \
	do {                                                        \
		const struct dev_range ranges_[] = { __VA_ARGS__ }; \
		set_ranges(w, ranges_, ARRAY_SIZE(ranges_));        \
	} while (0)
#define AT(page, pages) { (uint64_t)(page) * PAGE, (uint64_t)(pages) * PAGE }

/* Exports the buffer: a status without a detail. */
uint32_t make_export(struct world *w);

/* It is refused because of that limit. */
void assert_limit(struct world *w, uint32_t limit);

/* Bytes that were copied, at once. */
uint64_t refresh(struct world *w, const struct dev_damage *damage);

/* All of the guest's memory. */
void fill_guest(struct world *w, uint8_t byte);

/* What is in the copy at an offset. */
void assert_byte(struct world *w, uint64_t offset, uint8_t byte);

#endif /* TESTS_DAEMON_EXPORT_FIXTURE_H */
