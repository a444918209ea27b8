/* SPDX-License-Identifier: MIT */
/* The calls in which the fault tests fail one thing after the other. */
#ifndef TESTS_GUEST_KERNEL_SUITE_FAULT_H
#define TESTS_GUEST_KERNEL_SUITE_FAULT_H

#include "suite.h"

#define MEMORY 16384

/* What a call is made with; made anew for each time it is made. */
struct state {
	int fd;
	int other; /* of the same node */
	int card;
	int buf; /* another driver's dma-buf */
	int fence;
	uint32_t handle;
	uint32_t syncobj;
	uint64_t id, id2; /* registered */
	uint64_t waiting; /* its update waits for a fence of the timeline */
	int timeline;
	void *mem;
};

struct state state_new(void);
void state_end(struct state *s);

/* Each makes a call that succeeds where nothing fails: 0 or a negative errno. */
int call_open(struct state *s);
int call_get_param(struct state *s);
int call_create(struct state *s);
int call_dumb(struct state *s);
int call_map(struct state *s);
int call_register(struct state *s);
int call_unregister(struct state *s);
int call_set(struct state *s);
int call_get(struct state *s);
int call_update(struct state *s);
int call_update_behind(struct state *s);
int call_update_many(struct state *s);
int call_update_fences(struct state *s);
int call_info(struct state *s);
int call_list(struct state *s);
int call_reset(struct state *s);
int call_reset_all(struct state *s);
int call_ping(struct state *s);
int call_user_memory(struct state *s);
int call_export(struct state *s);
int call_import_own(struct state *s);
int call_import(struct state *s);
int call_read(struct state *s);

/* What is to be seen after a call with that result. */
void check_register(struct state *s, int result);
void check_update(struct state *s, int result);
void check_update_behind(struct state *s, int result);
void check_update_many(struct state *s, int result);
void check_read(struct state *s, int result);

#endif /* TESTS_GUEST_KERNEL_SUITE_FAULT_H */
