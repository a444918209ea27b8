/* SPDX-License-Identifier: MIT */
/*
 * The host's properties of buffers, where a process leaves them to the next one: which may
 * find them half written, or not such as it would have written.
 */
#include <endian.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/device-fixture.h"
#include "host/daemon/device-internal.h"

#define SLOTS 5 /* one more than the fixture's device takes buffers */
#define AGAIN VIRTIO_BUFSHARE_REGISTER_AGAIN

static void *area;

static int setup_saved(void **state)
{
	struct world *w;

	if (setup(state) < 0)
		return -1;
	w = *state;
	area = calloc(1, dev_saved_size(SLOTS));
	assert_non_null(area);
	dev_saved_init(&w->dev.saved, area, SLOTS);
	return 0;
}

static int teardown_saved(void **state)
{
	int r = teardown(state);

	free(area);
	return r;
}

/* What is in force after another process took over. */
static void restart(struct world *w)
{
	uint64_t epoch = w->dev.epoch;

	dev_clear(&w->dev);
	dev_saved_init(&w->dev.saved, area, SLOTS);
	assert_int_equal(init(w, epoch), OK);
	assert_int_equal(w->dev.epoch, epoch);
}

static struct dev_buffer *again(struct world *w, uint64_t id)
{
	struct reg r = good(w, id);

	r.hdr.hdr.flags = htole32(AGAIN);
	assert_int_equal(send_register(w, &r), OK);
	return dev_find(&w->dev, id);
}

static void set(struct dev_buffer *b, const char *property)
{
	assert_int_equal(dev_set_host_properties(b, property, strlen(property) + 1), 0);
}

static void assert_host(const struct dev_buffer *b, const char *name, const char *value)
{
	const char *is = props_get(&b->host, name);

	if (value)
		assert_string_equal(is ?: "(none)", value);
	else
		assert_null(is);
}

/* The slot of a buffer; fails if there is none. */
static struct dev_saved_slot *slot_of(struct world *w, uint64_t id)
{
	uint32_t i;

	for (i = 0; i < SLOTS; i++)
		if (w->dev.saved.ids[i] == id)
			return &w->dev.saved.slots[i];
	fail();
	return NULL;
}

static unsigned int used(struct world *w)
{
	unsigned int i, n = 0;

	for (i = 0; i < SLOTS; i++)
		n += w->dev.saved.ids[i] != 0;
	return n;
}

static void test_again(void **state)
{
	struct world *w = *state;
	struct virtio_bufshare_event ev;
	struct dev_buffer *b;
	int i;

	registered(w, 1);
	set(registered(w, 2), "host.a=1");
	for (i = 2; i < 20; i++) {
		set(dev_find(&w->dev, 2), i % 2 ? "host.a=odd" : "host.a=even");
		assert_int_equal(used(w), 1);
		restart(w);
		b = again(w, 2);
		assert_host(b, "host.a", i % 2 ? "odd" : "even");
		assert_int_equal(b->properties_generation, i);
		assert_true(dev_next_event(&w->dev, &ev));
		assert_int_equal(le32toh(ev.type), VIRTIO_BUFSHARE_EVENT_PROPERTIES);
		assert_int_equal(le64toh(ev.value), i);
		assert_int_equal(again(w, 1)->host.n, 0);
		assert_false(dev_next_event(&w->dev, &ev));
	}
}

/* Who does not say AGAIN has another buffer. */
static void test_not_again(void **state)
{
	struct world *w = *state;

	set(registered(w, 1), "host.a=1");
	restart(w);
	assert_int_equal(registered(w, 1)->host.n, 0);
}

static void test_ends(void **state)
{
	struct world *w = *state;
	const struct virtio_bufshare_reset reset = { .hdr = hdr(w, VIRTIO_BUFSHARE_CMD_RESET) };

	set(registered(w, 1), "host.a=1");
	set(registered(w, 2), "host.a=2");
	assert_int_equal(unregister(w, 1), OK);
	assert_int_equal(used(w), 1);
	assert_int_equal(command(w, &reset, sizeof(reset)), OK);
	assert_int_equal(used(w), 0);
	set(registered(w, 3), "host.a=3");
	assert_int_equal(init(w, 0), OK);
	assert_int_equal(used(w), 0);
	assert_int_equal(again(w, 3)->host.n, 0);
}

static void test_not_in_force(void **state)
{
	struct world *w = *state;
	uint64_t epoch = w->dev.epoch;

	set(registered(w, 1), "host.a=1");
	dev_clear(&w->dev);
	assert_int_equal(init_with(w, epoch, 0), OK);
	assert_int_equal(again(w, 1)->host.n, 0);
}

/* Every id has been used, and few of them are registered again. */
static void test_stale(void **state)
{
	struct world *w = *state;
	uint64_t id, next;

	for (id = 1; id <= 4; id++)
		set(registered(w, id), "host.a=old");
	for (next = 5; next < 40; next++) {
		restart(w);
		assert_host(again(w, next - 1), "host.a", next == 5 ? "old" : "new");
		set(registered(w, next), "host.a=new");
		set(dev_find(&w->dev, next), "host.b=new");
		assert_host(dev_find(&w->dev, next - 1), "host.a", next == 5 ? "old" : "new");
	}
	restart(w);
	assert_host(again(w, 39), "host.b", "new");
}

/* It ended when the new value had its name and the old one had not lost it, whichever is first. */
static void test_both_named(void **state)
{
	struct world *w = *state;
	struct dev_saved *saved = &w->dev.saved;
	unsigned int from, to;

	for (from = 0; from < 2; from++) {
		to = 1 - from;
		assert_int_equal(init(w, 0), OK);
		memset(area, 0, dev_saved_size(SLOTS));
		saved->next = from;
		set(registered(w, 1), "host.a=old");
		assert_int_equal(saved->ids[from], 1);
		saved->slots[to] = saved->slots[from];
		memcpy(saved->slots[to].block, "host.a=new", 11);
		saved->slots[to].size = 11;
		saved->slots[to].generation++;
		saved->ids[to] = 1;
		restart(w);
		assert_host(again(w, 1), "host.a", "new");
		assert_int_equal(used(w), 1);
	}
}

/* It ended before the new value had its name. */
static void test_not_named(void **state)
{
	struct world *w = *state;
	struct dev_saved *saved = &w->dev.saved;

	set(registered(w, 1), "host.a=old");
	memset(&saved->slots[saved->next], 0x5a, sizeof(saved->slots[0]));
	restart(w);
	assert_host(again(w, 1), "host.a", "old");
}

/* A process that was taken over may have written anything; each wrong in one way. */
static void test_untrusted(void **state)
{
	static const struct {
		uint32_t size;
		const char *block;
	} wrong[] = {
		{ 8, "host.a=1" }, /* no end */
		{ 4, "a=1" }, /* the guest's */
		{ 7, "host.a" }, /* a removal */
		{ 9, "host.A=1" },
		{ UINT32_MAX, "host.a=1" },
		{ PROPS_BLOCK_MAX + 1, "host.a=1" },
	};
	struct world *w = *state;
	struct dev_buffer *b;
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct dev_saved_slot *slot;

		assert_int_equal(init(w, 0), OK);
		set(registered(w, 1), "host.a=1");
		slot = slot_of(w, 1);
		slot->size = wrong[i].size;
		memcpy(slot->block, wrong[i].block, strlen(wrong[i].block));
		restart(w);
		b = again(w, 1);
		assert_int_equal(b->host.n, 0);
		assert_int_equal(b->properties_generation, 2); /* so that the guest looks */
		set(b, "host.b=2");
	}
}

/* The guest's own have become too many for both. */
static void test_no_room_left(void **state)
{
	struct world *w = *state;

	set(registered(w, 1), "host.a=1");
	w->dev.limits.max_properties = 2;
	restart(w);
	assert_int_equal(again(w, 1)->host.n, 0); /* of two, as many as the guest has */
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup_saved, teardown_saved)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_again),
		TEST(test_not_again),
		TEST(test_ends),
		TEST(test_not_in_force),
		TEST(test_stale),
		TEST(test_both_named),
		TEST(test_not_named),
		TEST(test_untrusted),
		TEST(test_no_room_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
