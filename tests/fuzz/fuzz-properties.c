/* SPDX-License-Identifier: MIT */
/*
 * Property blocks, as either side of each boundary gets them. Steps: flags, and a block.
 * Whatever is accepted must come out again, and within the limits.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/props.h"
#include "fuzz/fuzz.h"

const char fuzz_name[] = "properties";

#define MAX_STEPS 64

/* In memory of its own, so that a sanitizer sees who reads beyond it. */
static char *copy(const uint8_t *block, size_t size)
{
	char *p = malloc(size ? size : 1);

	fuzz_check(p);
	if (size)
		memcpy(p, block, size);
	return p;
}

static void check_round_trip(const struct props *props)
{
	const unsigned int both = PROPS_GUEST | PROPS_HOST;
	struct props again = { 0 };
	const struct prop *p = NULL;
	char block[PROPS_BLOCK_MAX];
	size_t size, n = 0;

	fuzz_check(props->n <= PROPS_MAX && props->block_size <= PROPS_BLOCK_MAX);
	size = props_write_block(props, both, block);
	fuzz_check(size == props->block_size);
	fuzz_check(props_check_block(block, size, both) == 0);
	fuzz_check(props_apply(&again, block, size) == 0);
	fuzz_check(again.n == props->n);
	while ((p = props_next(props, p ? p->name : NULL))) {
		const char *value = props_get(&again, p->name);

		fuzz_check(props_name_valid(p->name) && props_value_valid(p->value));
		fuzz_check(value && strcmp(value, p->value) == 0);
		n++;
	}
	fuzz_check(n == props->n);
	props_clear(&again);
}

static void step(struct props *props, struct fuzz_input *in)
{
	unsigned int flags = fuzz_u8(in) & (PROPS_REMOVALS | PROPS_GUEST | PROPS_HOST);
	const uint8_t *bytes;
	size_t size;
	char *block;
	int r;

	bytes = fuzz_chunk(in, &size);
	block = copy(bytes, size);
	r = props_check_block(block, size, flags);
	fuzz_check(r == 0 || r == -EINVAL || r == -EPERM || r == -ENOSPC);
	if (r == 0) {
		r = props_apply(props, block, size);
		fuzz_check(r == 0 || r == -ENOSPC);
	}
	props_label_field_valid(block, size);
	free(block);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input in = { data, size };
	struct props props = { 0 };
	int i;

	for (i = 0; in.size && i < MAX_STEPS; i++)
		step(&props, &in);
	check_round_trip(&props);
	props_clear(&props);
	return 0;
}
