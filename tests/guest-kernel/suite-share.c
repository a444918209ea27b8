/* SPDX-License-Identifier: MIT */
/*
 * Several programs: buffers that they share as dma-bufs, and crowds of them. The crowds are as
 * large as the environment's COUNT says, and for the long tests.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <xf86drm.h>

#include "suite.h"

#define SIZE 65536

/* ---- dma-bufs between processes ---- */

static void send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, byte = 0;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *header = CMSG_FIRSTHDR(&msg);

	header->cmsg_level = SOL_SOCKET;
	header->cmsg_type = SCM_RIGHTS;
	header->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(header), &fd, sizeof(fd));
	expect(sendmsg(sock, &msg, 0) == 1);
}

static int receive_fd(int sock)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = { &byte, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	expect(recvmsg(sock, &msg, MSG_CMSG_CLOEXEC) == 1);
	expect(CMSG_FIRSTHDR(&msg) && CMSG_FIRSTHDR(&msg)->cmsg_type == SCM_RIGHTS);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

static void update_and_wait(int fd, uint64_t id)
{
	struct drm_bufshare_update_entry entry = update_entry(id);

	expect_ok(update(fd, &entry, 1));
	expect(expect_event(fd, DRM_BUFSHARE_EVENT_RELEASED, id).seq == entry.seq);
}

/* Makes a buffer with a text in it, registers it, and gives it away. Then it waits. */
_Noreturn static void producer(int sock)
{
	int fd = open_node(node.render), buf;
	uint32_t handle = create(fd, SIZE);
	uint64_t id = register_handle(fd, handle);

	strcpy(map_handle(fd, handle, SIZE), "of the producer");
	expect(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0);
	send_fd(sock, buf);
	update_and_wait(fd, id);
	expect(write(sock, &id, sizeof(id)) == sizeof(id));
	for (;;)
		pause();
}

static pid_t start_producer(int *sock, int *buf, uint64_t *id)
{
	int socks[2];
	pid_t pid;

	expect(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) == 0);
	pid = fork();
	expect(pid >= 0);
	if (pid == 0)
		producer(socks[1]);
	close(socks[1]);
	*sock = socks[0];
	*buf = receive_fd(socks[0]);
	expect(read(socks[0], id, sizeof(*id)) == sizeof(*id));
	return pid;
}

static void kill_producer(pid_t pid)
{
	expect(kill(pid, SIGKILL) == 0);
	expect(waitpid(pid, NULL, 0) == pid);
}

/* The one who has it from another goes on with it when the other one is killed. */
static void producer_killed(void)
{
	int fd = open_node(node.render), sock, buf;
	uint64_t theirs, ours;
	pid_t pid = start_producer(&sock, &buf, &theirs);
	uint32_t handle;
	char *mem;

	expect(drmPrimeFDToHandle(fd, buf, &handle) == 0);
	close(buf);
	mem = map_handle(fd, handle, SIZE);
	expect(strcmp(mem, "of the producer") == 0);
	ours = register_handle(fd, handle);
	update_and_wait(fd, ours);
	expect(ours != theirs && is_listed(fd, theirs, DRM_BUFSHARE_LIST_ALL));

	kill_producer(pid);
	wait_unlisted(fd, theirs);
	expect(is_listed(fd, ours, 0));
	strcpy(mem, "of the other");
	update_and_wait(fd, ours);
	unregister(fd, ours);
	expect(strcmp(mem, "of the other") == 0);
}

/* The id of another program's registration is nothing that one can use. */
static void ids_are_private(void)
{
	int sock, buf, status;
	uint64_t theirs;
	pid_t pid = start_producer(&sock, &buf, &theirs), other = fork();

	expect(other >= 0);
	if (other == 0) {
		struct drm_bufshare_update_entry entry = update_entry(theirs);
		struct drm_bufshare_unregister args = { .id = theirs };
		struct drm_bufshare_info info = { .id = theirs };
		int fd = open_node(node.render);

		drop_privileges();
		expect_result(update(fd, &entry, 1), -ENOENT);
		expect_result(call(fd, DRM_IOCTL_BUFSHARE_UNREGISTER, &args), -ENOENT);
		expect_result(call(fd, DRM_IOCTL_BUFSHARE_INFO, &info), -ENOENT);
		_exit(0);
	}
	expect(waitpid(other, &status, 0) == other && WIFEXITED(status) && !WEXITSTATUS(status));
	expect(is_listed(open_node(node.render), theirs, DRM_BUFSHARE_LIST_ALL));
	kill_producer(pid);
}

/* Several take it, all of them are killed, and nothing of them is left. */
static void all_killed(void)
{
	int fd = open_node(node.render), sock, buf, pipes[2], i;
	uint64_t theirs, ids[4];
	pid_t pid = start_producer(&sock, &buf, &theirs), others[4];

	expect(pipe(pipes) == 0);
	for (i = 0; i < 4; i++) {
		others[i] = fork();
		expect(others[i] >= 0);
		if (others[i] == 0) {
			int own = open_node(node.render);
			uint32_t handle;

			expect(drmPrimeFDToHandle(own, buf, &handle) == 0);
			ids[i] = register_handle(own, handle);
			expect(write(pipes[1], &ids[i], sizeof(ids[i])) == sizeof(ids[i]));
			for (;;)
				update_and_wait(own, ids[i]);
		}
	}
	close(buf);
	for (i = 0; i < 4; i++)
		expect(read(pipes[0], &ids[i], sizeof(ids[i])) == sizeof(ids[i]));
	kill_producer(pid);
	for (i = 0; i < 4; i++)
		kill_producer(others[i]);
	wait_unlisted(fd, theirs);
	for (i = 0; i < 4; i++)
		wait_unlisted(fd, ids[i]);
}

const struct test share_tests[] = {
	{ "share: the producer is killed", producer_killed },
	{ "share: its ids are its own", ids_are_private },
	{ "share: all are killed", all_killed },
	{ NULL, NULL },
};

/* ---- crowds ---- */

/* Of the environment, because it is a question of patience. */
static uint64_t crowd(const char *name, uint64_t otherwise)
{
	const char *count = getenv(name);

	alarm(0);
	return count ? strtoull(count, NULL, 10) : otherwise;
}

static uint32_t count_all(int fd)
{
	struct drm_bufshare_list args = { .flags = DRM_BUFSHARE_LIST_ALL };

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_LIST, &args));
	return args.count;
}

/* Registers its part, updates all of it twice, and waits to be killed. */
_Noreturn static void member(int pipe_fd, uint64_t n)
{
	struct drm_bufshare_update_entry entries[DRM_BUFSHARE_MAX_UPDATES];
	int fd = open_node(node.render), round;
	uint64_t *ids = calloc(n, sizeof(*ids)), i, j;
	uint32_t handle;

	expect(ids);
	for (i = 0; i < n; i++) {
		handle = create(fd, 4096);
		ids[i] = register_handle(fd, handle);
		close_handle(fd, handle);
	}
	for (round = 0; round < 2; round++) {
		for (i = 0; i < n; i += j) {
			for (j = 0; j < DRM_BUFSHARE_MAX_UPDATES && i + j < n; j++)
				entries[j] = update_entry(ids[i + j]);
			expect_ok(update(fd, entries, (uint32_t)j));
		}
	}
	for (i = 0; i < n; i++)
		while (get_info(fd, ids[i]).released < 2)
			usleep(1000);
	for (i = 0; i < n; i += 2)
		unregister(fd, ids[i]);
	expect(write(pipe_fd, &n, sizeof(n)) == sizeof(n));
	for (;;)
		pause();
}

/* A lot of buffers of several programs, half of them given back, half of them killed with them. */
static void many_buffers(void)
{
	int fd = open_node(node.render), pipes[2], ends[4], i;
	uint64_t n = crowd("COUNT", 10000), part = n / 4, done;
	pid_t pids[4];

	if (get_param(fd, DRM_BUFSHARE_PARAM_MAX_BUFFERS) < n)
		skip("the device does not take that many buffers");
	for (i = 0; i < 4; i++) {
		expect(pipe(pipes) == 0);
		pids[i] = fork();
		expect(pids[i] >= 0);
		if (pids[i] == 0)
			member(pipes[1], part);
		/* It closes the other end when it fails, which nobody else has. */
		close(pipes[1]);
		ends[i] = pipes[0];
	}
	for (i = 0; i < 4; i++) {
		expect(read(ends[i], &done, sizeof(done)) == sizeof(done));
		close(ends[i]);
	}
	expect(count_all(fd) == 4 * (part / 2));
	for (i = 0; i < 4; i++)
		kill_producer(pids[i]);
	for (i = 0; i < 3000 && count_all(fd); i++)
		usleep(10000);
	expect(count_all(fd) == 0);
}

/* Programs that are killed as soon as they live, some of them while they share. */
static void many_killed(void)
{
	int fd = open_node(node.render), sock, buf;
	uint64_t n = crowd("KILLS", 500), i, theirs;
	uint32_t handle;
	pid_t pid;

	for (i = 0; i < n; i++) {
		if (i % 4 == 0) {
			pid = start_producer(&sock, &buf, &theirs);
			expect(drmPrimeFDToHandle(fd, buf, &handle) == 0);
			theirs = register_handle(fd, handle);
			kill_producer(pid);
			update_and_wait(fd, theirs);
			unregister(fd, theirs);
			close_handle(fd, handle);
			close(buf);
			close(sock);
			continue;
		}
		pid = fork();
		expect(pid >= 0);
		if (pid == 0) {
			int own = open_node(node.render);

			for (;;)
				update_and_wait(own, register_new(own, SIZE));
		}
		usleep((useconds_t)(i * 7919 % 20000));
		kill_producer(pid);
	}
	for (i = 0; i < 3000 && count_all(fd); i++)
		usleep(10000);
	expect(count_all(fd) == 0);
}

const struct test crowd_tests[] = {
	{ "crowd: many buffers", many_buffers },
	{ "crowd: many that are killed", many_killed },
	{ NULL, NULL },
};
