/* SPDX-License-Identifier: MIT */
/*
 * What the keeper remembers of a VMM's messages.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/fd-leak.h"
#include "host/daemon/journal.h"

static struct journal journal;

static int setup(void **state)
{
	assert_int_equal(fd_leak_setup(state), 0);
	journal_init(&journal);
	return 0;
}

static int teardown(void **state)
{
	journal_clear(&journal);
	return fd_leak_teardown(state);
}

/* A message of one letter with a descriptor, which is closed if nobody keeps it. */
static int note(char letter, struct vu_note note)
{
	static struct message msg;
	int r;

	msg.bytes[0] = (uint8_t)letter;
	msg.size = 1;
	msg.fds[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
	msg.num_fds = 1;
	assert_true(msg.fds[0] >= 0);
	r = journal_note(&journal, &note, &msg);
	assert_int_equal(msg.num_fds, r == 0 && note.keep ? 0 : 1);
	message_clear(&msg);
	return r;
}

static void keep(char letter, uint32_t key)
{
	assert_int_equal(note(letter, (struct vu_note){ .keep = key }), 0);
}

static void assert_journal(const char *letters)
{
	struct journal_entry *e;
	char text[64];
	size_t n = 0;

	TAILQ_FOREACH(e, &journal.entries, link) {
		assert_int_equal(e->size, 1);
		assert_int_equal(e->num_fds, 1);
		text[n++] = (char)e->bytes[0];
	}
	text[n] = '\0';
	assert_string_equal(text, letters);
	assert_int_equal(journal.n, n);
}

static void test_by_key(void **state)
{
	keep('b', 2);
	keep('c', 3);
	keep('a', 1);
	assert_journal("abc");
}

static void test_nothing_to_keep(void **state)
{
	assert_int_equal(note('a', (struct vu_note){ 0 }), 0);
	assert_journal("");
}

static void test_replaced(void **state)
{
	keep('a', 1);
	keep('b', 2);
	keep('x', 1);
	assert_journal("xb");
}

static void test_forgotten(void **state)
{
	keep('a', 1);
	keep('b', 2);
	keep('c', 3);
	keep('d', 4);
	assert_int_equal(note('x', (struct vu_note){ .forget_first = 2, .forget_last = 3 }), 0);
	assert_journal("ad");
}

/* First what it voids goes: what is kept may be in that range. */
static void test_kept_and_forgotten(void **state)
{
	keep('a', 1);
	keep('b', 2);
	keep('c', 3);
	assert_int_equal(note('x', (struct vu_note){ .keep = 2, .forget_first = 1, .forget_last = 9 }), 0);
	assert_journal("x");
}

static void test_full(void **state)
{
	uint32_t i;

	for (i = 1; i <= JOURNAL_MAX; i++)
		keep('a', i);
	assert_int_equal(note('x', (struct vu_note){ .keep = i, .forget_first = 1, .forget_last = 9 }),
			 -ENOSPC);
	assert_int_equal(journal.n, JOURNAL_MAX);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_by_key),
		TEST(test_nothing_to_keep),
		TEST(test_replaced),
		TEST(test_forgotten),
		TEST(test_kept_and_forgotten),
		TEST(test_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
