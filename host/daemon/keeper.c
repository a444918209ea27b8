/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/fds.h"
#include "host/daemon/keeper-internal.h"
#include "host/daemon/log.h"

#define NS_PER_S 1000000000ULL

/* What the worker has for its orderly end. */
#define END_NS (3 * NS_PER_S)

static void respawn(void *data)
{
	struct keeper *k = data;

	if (keeper_spawn(k) < 0) {
		log_err("cannot start the worker: %m; trying again");
		loop_timer_set(k->respawn, NS_PER_S, 0);
	}
}

void keeper_finish(struct keeper *k, int result)
{
	k->ending = true;
	k->result = result;
	keeper_update_listening(k);
	loop_timer_stop(k->respawn);
	keeper_tell(k, KEEPER_END, 0);
	if (k->pid)
		loop_timer_set(k->linger, END_NS, 0);
	else
		loop_quit(k->loop, result);
}

/* The VMM did not go, or the worker did not. */
static void lingered(void *data)
{
	struct keeper *k = data;

	if (k->vmm >= 0) {
		log_warn("ending before the VMM; QEMU does not survive that");
		keeper_disconnect(k, 0);
		return;
	}
	keeper_reap(k);
	loop_quit(k->loop, k->result);
}

void keeper_end(struct keeper *k)
{
	if (k->vmm < 0) {
		keeper_finish(k, 0);
		return;
	}
	if (k->ending || !k->config.linger_s) {
		lingered(k);
		return;
	}
	log_info("ending when the VMM does, or in %u s", k->config.linger_s);
	k->ending = true;
	keeper_update_listening(k);
	loop_timer_set(k->linger, k->config.linger_s * NS_PER_S, 0);
}

void keeper_set_log_level(struct keeper *k, int level)
{
	log_set_level(level);
	keeper_tell(k, KEEPER_LEVEL, level);
}

static void listen_again(void *data)
{
	struct keeper *k = data;

	k->no_room = false;
	keeper_update_listening(k);
}

static void on_connection(void *data, uint32_t events)
{
	struct keeper *k = data;
	int sock, r;

	sock = accept4(k->config.listener, NULL, NULL, SOCK_CLOEXEC);
	if (sock < 0 && fds_no_room(errno)) {
		log_err("a VMM has to wait: %m");
		k->no_room = true;
		keeper_update_listening(k);
		loop_timer_set(k->again, FDS_NO_ROOM_PAUSE_NS, 0);
	}
	if (sock < 0)
		return;
	r = keeper_connect(k, sock);
	if (r < 0) {
		log_err("cannot serve a VMM: %s", strerror(-r));
		close(sock);
	}
}

/* A file that nobody can make shorter: no worker ends because another one did that. */
static int make_state(struct keeper *k)
{
	k->state_fd = memfd_create("bufshare-state", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (k->state_fd < 0 || ftruncate(k->state_fd, (off_t)state_size(k->config.device)) < 0 ||
	    fcntl(k->state_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return -errno;
	k->state = mmap(NULL, sizeof(*k->state), PROT_READ | PROT_WRITE, MAP_SHARED, k->state_fd, 0);
	if (k->state == MAP_FAILED) {
		k->state = NULL;
		return -errno;
	}
	while (getrandom(k->state->key, sizeof(k->state->key), 0) != sizeof(k->state->key))
		;
	k->state->device = *k->config.device;
	return 0;
}

static void cleanup_keeper(struct keeper **k)
{
	keeper_free(*k);
}

int keeper_new(struct loop *loop, const struct keeper_config *config, struct keeper **keeper)
{
	_cleanup_(cleanup_keeper) struct keeper *k = calloc(1, sizeof(*k));
	int r;

	if (!k)
		return -ENOMEM;
	k->config = *config;
	k->loop = loop;
	k->channel = k->vmm = k->state_fd = -1;
	journal_init(&k->journal);

	r = make_state(k);
	if (r == 0)
		r = loop_add_timer(loop, respawn, k, &k->respawn);
	if (r == 0)
		r = loop_add_timer(loop, lingered, k, &k->linger);
	if (r == 0)
		r = loop_add_timer(loop, listen_again, k, &k->again);
	if (r == 0 && config->listener >= 0)
		r = loop_add_fd(loop, config->listener, 0, on_connection, k, &k->listener_source);
	if (r == 0)
		r = keeper_spawn(k);
	if (r == 0 && config->vmm >= 0)
		r = keeper_connect(k, config->vmm);
	if (r < 0)
		return r;
	*keeper = steal_ptr(&k);
	return 0;
}

struct keeper *keeper_free(struct keeper *k)
{
	if (!k)
		return NULL;
	keeper_reap(k);
	loop_source_remove(k->listener_source);
	loop_source_remove(k->vmm_source);
	loop_source_remove(k->respawn);
	loop_source_remove(k->linger);
	loop_source_remove(k->again);
	if (k->vmm >= 0)
		close(k->vmm);
	message_clear(&k->in);
	journal_clear(&k->journal);
	if (k->state)
		munmap(k->state, sizeof(*k->state));
	if (k->state_fd >= 0)
		close(k->state_fd);
	free(k);
	return NULL;
}
