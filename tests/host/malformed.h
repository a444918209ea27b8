/* SPDX-License-Identifier: MIT */
/*
 * Cases, each a script that the library takes, and the same script wrong in one way, which
 * it must not take.
 */
#ifndef TESTS_HOST_MALFORMED_H
#define TESTS_HOST_MALFORMED_H

#include "host/fake-daemon.h"

/* In sight before each script: one buffer that is free, and one whose update 2 is held. */
#define FREE 7
#define HELD 8
#define NEW 9
#define SIZE (4 * FAKE_PAGE)

struct script {
	struct wire w[2];
	size_t n;
};

struct malformed_case {
	const char *name;
	void (*good)(struct script *s);
	void (*spoil)(struct script *s);
};

/* Writes a field of the structure at the beginning of message i. */
#define SPOIL(i, type, field, value)                                                       \
	do {                                                                               \
		type m_;                                                                   \
		memcpy(&m_, &s->w[i].msg, sizeof(m_));                                     \
		m_.field = (value);                                                        \
		memcpy(&s->w[i].msg, &m_, sizeof(m_));                                     \
	} while (0)

/* The record and its header agree, and are longer or shorter than they should be. */
void resize(struct wire *w, int by);

void replace_fd(struct wire *w, int fd);

/* Each as a test of its own; for main(). */
int malformed_run(const struct malformed_case *cases, size_t n);

#endif /* TESTS_HOST_MALFORMED_H */
