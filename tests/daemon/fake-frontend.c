/* SPDX-License-Identifier: MIT */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/fake-frontend.h"
#include "daemon/fake-frontend-internal.h"

#define PAGE 4096ULL

/* A while: pumps that find nothing more to do. */
#define QUIET_PUMPS 3

static uint64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

uint64_t ff_deadline(void)
{
	return now_ms() + FF_TIMEOUT_MS;
}

void ff_pump(struct ff *ff, uint64_t deadline)
{
	if (now_ms() > deadline)
		fail_msg("waited too long");
	if (ff->pump(ff->data) < 0)
		fail_msg("waiting in vain: the pump failed");
}

/*
 * The guest's memory.
 */

static void ram_new(struct ff *ff)
{
	ff->ram_fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(ff->ram_fd >= 0);
	assert_int_equal(ftruncate(ff->ram_fd, FF_RAM_SIZE), 0);
	assert_int_equal(fcntl(ff->ram_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
			 0);
	ff->ram = mmap(NULL, FF_RAM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, ff->ram_fd, 0);
	assert_ptr_not_equal(ff->ram, MAP_FAILED);
	ff->next_low = FF_LOW_GPA;
	ff->next_high = FF_HIGH_GPA;
}

static uint64_t alloc(uint64_t *next, uint64_t end, size_t size)
{
	uint64_t gpa = *next;

	assert_true(size <= end - gpa);
	*next = (gpa + size + PAGE - 1) & ~(PAGE - 1);
	return gpa;
}

uint64_t ff_alloc(struct ff *ff, size_t size)
{
	return alloc(&ff->next_high, FF_HIGH_GPA + FF_HIGH_SIZE, size);
}

uint64_t ff_alloc_low(struct ff *ff, size_t size)
{
	return alloc(&ff->next_low, FF_LOW_GPA + FF_LOW_SIZE, size);
}

void *ff_ptr(struct ff *ff, uint64_t gpa, size_t size)
{
	if (gpa < FF_LOW_GPA + FF_LOW_SIZE) {
		assert_true(size <= FF_LOW_GPA + FF_LOW_SIZE - gpa);
		return ff->ram + (gpa - FF_LOW_GPA);
	}

	assert_in_range(gpa, FF_HIGH_GPA, FF_HIGH_GPA + FF_HIGH_SIZE);
	assert_true(size <= FF_HIGH_GPA + FF_HIGH_SIZE - gpa);
	return ff->ram + FF_LOW_SIZE + (gpa - FF_HIGH_GPA);
}

void *ff_beyond(struct ff *ff)
{
	return ff->ram + FF_RAM_SIZE - FF_BEYOND_SIZE;
}

uint64_t ff_uva(uint64_t gpa)
{
	return gpa < FF_HIGH_GPA ? gpa - FF_LOW_GPA + FF_LOW_UVA : gpa - FF_HIGH_GPA + FF_HIGH_UVA;
}

/*
 * Messages.
 */

static void attach_fds(struct msghdr *mh, char *control, const int *fds, size_t num_fds)
{
	struct cmsghdr *cmsg;

	mh->msg_control = control;
	mh->msg_controllen = CMSG_SPACE(num_fds * sizeof(int));
	cmsg = CMSG_FIRSTHDR(mh);
	cmsg->cmsg_level = SOL_SOCKET;
	cmsg->cmsg_type = SCM_RIGHTS;
	cmsg->cmsg_len = CMSG_LEN(num_fds * sizeof(int));
	memcpy(CMSG_DATA(cmsg), fds, num_fds * sizeof(int));
}

void ff_send_raw(struct ff *ff, const void *bytes, size_t size, const int *fds, size_t num_fds)
{
	char control[CMSG_SPACE(FF_MAX_FDS * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	uint64_t deadline = ff_deadline();
	const uint8_t *from = bytes;

	assert_in_range(num_fds, 0, FF_MAX_FDS);
	while (size > 0) {
		struct iovec iov = { .iov_base = (void *)from, .iov_len = size };
		struct msghdr mh = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (num_fds)
			attach_fds(&mh, control, fds, num_fds);
		n = sendmsg(ff->sock, &mh, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0) {
			assert_int_equal(errno, EAGAIN);
			ff_pump(ff, deadline);
			continue;
		}
		num_fds = 0;
		from += n;
		size -= n;
	}
}

void ff_message(struct ff *ff, uint32_t request, uint32_t flags, const void *payload,
		uint32_t size, const int *fds, size_t num_fds)
{
	struct {
		struct vhost_user_header hdr;
		uint8_t payload[FF_MAX_PAYLOAD];
	} msg = { .hdr = { request, flags | VHOST_USER_VERSION, size } };

	assert_in_range(size, 0, sizeof(msg.payload));
	if (size)
		memcpy(msg.payload, payload, size);
	ff_send_raw(ff, &msg, sizeof(msg.hdr) + size, fds, num_fds);
}

static void receive(struct ff *ff, void *buf, size_t size)
{
	uint64_t deadline = ff_deadline();
	uint8_t *to = buf;

	while (size > 0) {
		ssize_t n = recv(ff->sock, to, size, MSG_DONTWAIT);

		if (n < 0 && errno == EAGAIN) {
			ff_pump(ff, deadline);
			continue;
		}
		if (n <= 0)
			fail_msg("the back end closed the connection");
		to += n;
		size -= n;
	}
}

void ff_reply(struct ff *ff, uint32_t request, void *payload, uint32_t size)
{
	struct vhost_user_header hdr;

	receive(ff, &hdr, sizeof(hdr));
	assert_int_equal(hdr.request, request);
	assert_int_equal(hdr.flags, VHOST_USER_VERSION | VHOST_USER_REPLY);
	assert_int_equal(hdr.size, size);
	receive(ff, payload, size);
	ff->replies++;
}

uint64_t ff_call(struct ff *ff, uint32_t request, const void *payload, uint32_t size,
		 const int *fds, size_t num_fds)
{
	uint64_t ack;

	ff_message(ff, request, VHOST_USER_NEED_REPLY, payload, size, fds, num_fds);
	ff_reply(ff, request, &ack, sizeof(ack));
	return ack;
}

uint64_t ff_get_u64(struct ff *ff, uint32_t request)
{
	uint64_t value;

	ff_message(ff, request, 0, NULL, 0, NULL, 0);
	ff_reply(ff, request, &value, sizeof(value));
	return value;
}

/* Something that must succeed; without acknowledgements one can only see to it that it was done. */
static void must(struct ff *ff, uint32_t request, const void *payload, uint32_t size, int fd)
{
	size_t num_fds = fd >= 0 ? 1 : 0;

	if (ff->protocol & VHOST_USER_PROTOCOL_F_REPLY_ACK) {
		assert_int_equal(ff_call(ff, request, payload, size, &fd, num_fds), 0);
		return;
	}
	ff_message(ff, request, 0, payload, size, &fd, num_fds);
	ff_get_u64(ff, VHOST_USER_GET_FEATURES);
}

void ff_expect_closed(struct ff *ff)
{
	uint64_t deadline = ff_deadline();
	char c;

	for (;;) {
		ssize_t n = recv(ff->sock, &c, 1, MSG_DONTWAIT);

		if (n == 0 || (n < 0 && errno == ECONNRESET))
			return;
		if (n > 0)
			fail_msg("the back end answered instead of closing the connection");
		assert_int_equal(errno, EAGAIN);
		ff_pump(ff, deadline);
	}
}

bool ff_is_quiet(struct ff *ff)
{
	uint64_t deadline = ff_deadline();
	int i;
	char c;

	for (i = 0; i < QUIET_PUMPS; i++)
		ff_pump(ff, deadline);
	return recv(ff->sock, &c, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
}

/*
 * The life of a VM.
 */

static void queue_new(struct ff *ff, struct ff_queue *queue)
{
	queue->kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(queue->kick >= 0);
	queue->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert_true(queue->err >= 0);
	queue->call = -1;
	ff_driver_new(ff, queue);
}

static void queue_free(struct ff_queue *queue)
{
	close(queue->kick);
	close(queue->err);
	if (queue->call >= 0)
		close(queue->call);
}

struct ff *ff_new(int sock, int (*pump)(void *data), void *data)
{
	struct ff *ff = calloc(1, sizeof(*ff));
	unsigned int i;

	assert_non_null(ff);
	ff->sock = sock;
	ff->pump = pump;
	ff->data = data;
	ff->features_mask = ~0ULL;
	ff->protocol_mask = ~0ULL;
	ff->num_queues = 2;
	ff->backend = -1;
	ram_new(ff);
	for (i = 0; i < FF_MAX_QUEUES; i++)
		queue_new(ff, &ff->queues[i]);
	return ff;
}

/* Nothing may ever be said on the back-end channel. */
static void check_backend(struct ff *ff)
{
	char c;
	ssize_t n = recv(ff->backend, &c, 1, MSG_DONTWAIT);

	assert_true(n == 0 || (n < 0 && (errno == EAGAIN || errno == ECONNRESET)));
}

struct ff *ff_free(struct ff *ff)
{
	unsigned int i;

	if (!ff)
		return NULL;

	if (ff->backend >= 0) {
		check_backend(ff);
		close(ff->backend);
	}
	for (i = 0; i < FF_MAX_QUEUES; i++)
		queue_free(&ff->queues[i]);
	munmap(ff->ram, FF_RAM_SIZE);
	close(ff->ram_fd);
	if (ff->sock >= 0)
		close(ff->sock);
	free(ff);
	return NULL;
}

static void set_backend_channel(struct ff *ff)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	ff->backend = fds[0];
	must(ff, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, fds[1]);
	close(fds[1]);
}

/* A new descriptor each time, as from QEMU. */
static void set_call(struct ff *ff, unsigned int index)
{
	struct ff_queue *queue = &ff->queues[index];
	uint64_t value = index;
	int fds[2] = { -1, -1 };

	if (queue->call >= 0)
		close(queue->call);

	if (ff->use_call_pipe) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
		assert_int_equal(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
		queue->call = fds[0];
	} else {
		queue->call = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(queue->call >= 0);
	}

	must(ff, VHOST_USER_SET_VRING_CALL, &value, sizeof(value),
	     fds[1] >= 0 ? fds[1] : queue->call);
	if (fds[1] >= 0)
		close(fds[1]);
}

void ff_connect(struct ff *ff)
{
	uint64_t i;

	ff->features = ff_get_u64(ff, VHOST_USER_GET_FEATURES) & ff->features_mask;
	ff->protocol = ff_get_u64(ff, VHOST_USER_GET_PROTOCOL_FEATURES) & ff->protocol_mask;
	ff_message(ff, VHOST_USER_SET_PROTOCOL_FEATURES, 0, &ff->protocol, sizeof(ff->protocol),
		   NULL, 0);
	if (ff->protocol & VHOST_USER_PROTOCOL_F_MQ)
		assert_true(ff_get_u64(ff, VHOST_USER_GET_QUEUE_NUM) >= ff->num_queues);
	if (ff->protocol & VHOST_USER_PROTOCOL_F_MEM_SLOTS)
		assert_true(ff_get_u64(ff, VHOST_USER_GET_MAX_MEM_SLOTS) >= 2);
	if (ff->protocol & VHOST_USER_PROTOCOL_F_BACKEND_REQ)
		set_backend_channel(ff);
	ff_message(ff, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	ff_get_u64(ff, VHOST_USER_GET_FEATURES);

	for (i = 0; i < ff->num_queues; i++) {
		set_call(ff, i);
		must(ff, VHOST_USER_SET_VRING_ERR, &i, sizeof(i), ff->queues[i].err);
	}
	ff->connected = true;
}

void ff_regions(struct vhost_user_region regions[2])
{
	regions[0] = (struct vhost_user_region){ FF_LOW_GPA, FF_LOW_SIZE, FF_LOW_UVA, 0 };
	regions[1] =
		(struct vhost_user_region){ FF_HIGH_GPA, FF_HIGH_SIZE, FF_HIGH_UVA, FF_LOW_SIZE };
}

static void set_mem_table(struct ff *ff)
{
	struct vhost_user_mem_table table = { .num_regions = 2 };
	const int fds[2] = { ff->ram_fd, ff->ram_fd };
	uint32_t size = offsetof(struct vhost_user_mem_table, regions[2]);
	uint32_t flags = ff->protocol & VHOST_USER_PROTOCOL_F_REPLY_ACK ? VHOST_USER_NEED_REPLY : 0;
	uint64_t ack;

	ff_regions(table.regions);
	ff_message(ff, VHOST_USER_SET_MEM_TABLE, flags, &table, size, fds, 2);
	if (!flags)
		return;
	ff_reply(ff, VHOST_USER_SET_MEM_TABLE, &ack, sizeof(ack));
	assert_int_equal(ack, 0);
}

/* Region by region, and only once, where the back end knows how. */
static void set_memory(struct ff *ff)
{
	struct vhost_user_mem_reg reg = { .padding = 0 };
	struct vhost_user_region regions[2];
	unsigned int i;

	if (!(ff->protocol & VHOST_USER_PROTOCOL_F_MEM_SLOTS)) {
		set_mem_table(ff);
		return;
	}
	if (ff->memory_known)
		return;

	ff_regions(regions);
	for (i = 0; i < ARRAY_SIZE(regions); i++) {
		reg.region = regions[i];
		must(ff, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg), ff->ram_fd);
	}
	ff->memory_known = true;
}

static void set_vring(struct ff *ff, uint32_t request, uint32_t index, uint32_t num)
{
	const struct vhost_user_vring_state state = { index, num };

	ff_message(ff, request, 0, &state, sizeof(state), NULL, 0);
}

static void set_up_queue(struct ff *ff, unsigned int index)
{
	struct ff_queue *queue = &ff->queues[index];
	const struct vhost_user_vring_addr addr = {
		.index = index,
		.desc = ff_uva(queue->desc_gpa),
		.avail = ff_uva(queue->avail_gpa),
		.used = ff_uva(queue->used_gpa),
		.log = ~0ULL,
	};
	uint64_t value = index;

	set_vring(ff, VHOST_USER_SET_VRING_NUM, index, FF_QUEUE_SIZE);
	set_vring(ff, VHOST_USER_SET_VRING_BASE, index, queue->base);
	ff_message(ff, VHOST_USER_SET_VRING_ADDR, 0, &addr, sizeof(addr), NULL, 0);
	must(ff, VHOST_USER_SET_VRING_KICK, &value, sizeof(value), queue->kick);
	set_call(ff, index);
}

void ff_enable(struct ff *ff, unsigned int index, bool enable)
{
	const struct vhost_user_vring_state state = { index, enable };

	must(ff, VHOST_USER_SET_VRING_ENABLE, &state, sizeof(state), -1);
}

/* What QEMU says when the driver is ready, and again when a paused VM goes on. */
static void start(struct ff *ff)
{
	unsigned int i;

	ff_message(ff, VHOST_USER_SET_FEATURES, 0, &ff->features, sizeof(ff->features), NULL, 0);
	set_memory(ff);
	for (i = 0; i < ff->num_queues; i++)
		set_up_queue(ff, i);
	if (ff->features & VHOST_USER_F_PROTOCOL_FEATURES)
		for (i = 0; i < ff->num_queues; i++)
			ff_enable(ff, i, true);
	for (i = 0; i < ff->num_queues; i++)
		set_call(ff, i);
	ff->running = true;
}

void ff_start(struct ff *ff)
{
	unsigned int i;

	assert_false(ff->running);
	if (!ff->connected)
		ff_connect(ff);
	for (i = 0; i < ff->num_queues; i++)
		ff->queues[i].base = 0;
	start(ff);
}

void ff_stop(struct ff *ff)
{
	unsigned int i;

	assert_true(ff->running);
	if (ff->features & VHOST_USER_F_PROTOCOL_FEATURES)
		for (i = 0; i < ff->num_queues; i++)
			ff_enable(ff, i, false);

	for (i = 0; i < ff->num_queues; i++) {
		struct vhost_user_vring_state state = { i, 0 };

		set_vring(ff, VHOST_USER_GET_VRING_BASE, i, 0);
		ff_reply(ff, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
		assert_int_equal(state.index, i);
		ff->queues[i].base = state.num;
	}
	ff->running = false;
}

void ff_resume(struct ff *ff)
{
	assert_true(ff->connected);
	assert_false(ff->running);
	start(ff);
}

void ff_reset(struct ff *ff)
{
	unsigned int i;

	if (ff->running)
		ff_stop(ff);
	for (i = 0; i < FF_MAX_QUEUES; i++)
		ff_driver_reset(ff, &ff->queues[i]);
	ff_start(ff);
}

void ff_get_config(struct ff *ff, uint32_t offset, void *buf, uint32_t size)
{
	struct vhost_user_config config = { .offset = offset, .size = size };
	uint32_t msg_size = offsetof(struct vhost_user_config, bytes) + size;

	assert_in_range(size, 0, sizeof(config.bytes));
	ff_message(ff, VHOST_USER_GET_CONFIG, 0, &config, msg_size, NULL, 0);
	ff_reply(ff, VHOST_USER_GET_CONFIG, &config, msg_size);
	assert_int_equal(config.offset, offset);
	assert_int_equal(config.size, size);
	memcpy(buf, config.bytes, size);
}
