/* SPDX-License-Identifier: MIT */
/*
 * The daemon as it runs, sandbox and all, while its thread is in the middle of a copy.
 */
#include "config.h"

#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "daemon/recovery-fixture.h"
#include "host/lib/internal.h"

static int setup(void **state)
{
	process_use("./tests/daemon/slow-daemon");
	assert_int_equal(setenv("BUFSHARE_TEST_DIR", process_dir(), 1), 0);
	assert_int_equal(mkfifo(process_path("begun"), 0600), 0);
	assert_int_equal(mkfifo(process_path("go"), 0600), 0);
	return recovery_setup(state);
}

/* No copy waits any more, but for one that stands there already. */
static void wait_no_more(void)
{
	unlink(process_path("begun"));
	unlink(process_path("go"));
}

static int teardown(void **state)
{
	wait_no_more();
	return recovery_teardown(state);
}

/* The thread stands at that pipe, and goes on. */
static void pass(const char *name)
{
	int fd, i;

	for (i = 0; i < PROCESS_TIMEOUT_MS; i++) {
		fd = open(process_path(name), O_WRONLY | O_NONBLOCK | O_CLOEXEC);
		if (fd >= 0)
			break;
		assert_int_equal(errno, ENXIO);
		process_sleep_ms(1);
	}
	assert_true(fd >= 0);
	close(fd);
}

/* Tells an update, and does not wait for its release. */
static void send_update(struct world *w)
{
	struct virtio_bufshare_update req = {
		.hdr.type = htole32(VIRTIO_BUFSHARE_CMD_UPDATE),
		.buffer = htole64(w->registered),
		.seq = htole64(++w->seq),
	};
	union answer answer;

	memset(ff_ptr(w->ff, w->gpa, SIZE), (int)w->seq, SIZE);
	command(w, &req, sizeof(req), &answer, sizeof(answer.hdr));
}

/* A consumer that sees the buffer, of which a copy is being made. */
static struct bufshare_host *begin(struct world *w, struct bufshare_host_buffer **buf)
{
	struct bufshare_host *host;

	ff_start(w->ff);
	add_event_buffers(w);
	init(w, 0);
	register_buffer(w, 7);
	host = see_buffer(w, buf);
	send_update(w);
	pass("begun");
	return host;
}

static struct bufshare_event expect_updated(struct bufshare_host *host)
{
	struct bufshare_event ev;
	int r;

	do {
		r = bufshare_host_read_event(host, &ev);
		if (r == -EAGAIN)
			process_sleep_ms(1);
		else
			assert_int_equal(r, 0);
	} while (r == -EAGAIN || ev.type != BUFSHARE_EVENT_UPDATED);
	return ev;
}

/* Keeper and worker answer the VMM, and the guest; killed there, the next one begins again. */
static void test_killed(void **state)
{
	struct virtio_bufshare_config config;
	struct bufshare_host_buffer *buf;
	struct world *w = *state;
	struct bufshare_host *host = begin(w, &buf);
	struct bufshare_event ev;
	const uint8_t *map;
	unsigned int i;

	ff_get_config(w->ff, 0, &config, sizeof(config));
	assert_int_equal(le32toh(config.magic), VIRTIO_BUFSHARE_MAGIC);
	query(w);
	ff_stop(w->ff);
	ff_resume(w->ff);
	query(w);
	wait_no_more();
	kill_worker(w);
	while (!w->recoveries)
		read_event(w);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	host = see_buffer(w, &buf);
	send_update(w);
	ev = expect_updated(host);
	assert_int_equal(ev.seq, w->seq);
	assert_int_equal(bufshare_host_buffer_map(buf, (const void **)&map), 0);
	for (i = 0; i < SIZE; i++)
		assert_int_equal(map[i], (uint8_t)w->seq);
	assert_int_equal(bufshare_host_buffer_release(buf, ev.seq), 0);
	while (w->released != w->seq)
		read_event(w);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	end(w);
}

/* Lines of /proc/PID/task/TID/status, of every thread of the worker. */
static void assert_all_threads(pid_t worker, const char *line, unsigned int threads)
{
	char path[64], text[128];
	unsigned int found = 0;
	struct dirent *entry;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", worker);
	dir = opendir(path);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		char *name;
		FILE *f;

		assert_true(asprintf(&name, "%s/%s/status", path, entry->d_name) > 0);
		f = entry->d_name[0] == '.' ? NULL : fopen(name, "re");
		free(name);
		while (f && fgets(text, sizeof(text), f))
			found += strcmp(text, line) == 0;
		if (f)
			fclose(f);
	}
	closedir(dir);
	assert_int_equal(found, threads);
}

/* Where guest memory is copied there are no more privileges than anywhere else. */
static void test_sandbox(void **state)
{
	struct bufshare_host_buffer *buf;
	struct world *w = *state;
	struct bufshare_host *host = begin(w, &buf);
	pid_t worker = worker_of(w->daemon.pid);

	assert_all_threads(worker, "NoNewPrivs:\t1\n", 2);
#ifdef HAVE_LIBCAP_NG
	assert_all_threads(worker, "CapEff:\t0000000000000000\n", 2);
	assert_all_threads(worker, "CapPrm:\t0000000000000000\n", 2);
#endif
#if defined(HAVE_LIBSECCOMP) && !defined(__SANITIZE_ADDRESS__)
	assert_all_threads(worker, "Seccomp:\t2\n", 2);
#endif
	pass("go");
	wait_no_more();
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	end(w);
}

/* The copy ends as if nobody had waited: in the consumer's hands. */
static void test_ends(void **state)
{
	struct bufshare_host_buffer *buf;
	struct world *w = *state;
	struct bufshare_host *host = begin(w, &buf);

	query(w);
	pass("go");
	wait_no_more();
	assert_int_equal(bufshare_host_buffer_release(buf, expect_updated(host).seq), 0);
	while (w->released != w->seq)
		read_event(w);
	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	end(w);
	assert_int_equal(w->kills, 0);
}

/* The VM ends meanwhile, and so does the daemon when the copy has. */
static void test_vmm_gone(void **state)
{
	struct bufshare_host_buffer *buf;
	struct world *w = *state;
	struct bufshare_host *host = begin(w, &buf);
	int status;

	bufshare_host_buffer_unref(buf);
	bufshare_host_unref(host);
	w->ff = ff_free(w->ff);
	pass("go");
	wait_no_more();
	status = process_kill(&w->daemon, SIGTERM);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_killed),
		TEST(test_sandbox),
		TEST(test_ends),
		TEST(test_vmm_gone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
