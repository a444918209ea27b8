/* SPDX-License-Identifier: MIT */
/*
 * What only a host with /dev/udmabuf can show, with QEMU, the daemon and the library:
 *
 *   test-udmabuf QTEST-SOCKET CONSUMER-SOCKET QEMU-PID refused|copied|unsealed
 *
 * The last word says what becomes of a buffer that udmabuf does not take: the daemon was
 * started with --export=udmabuf, or auto. Or QEMU's memory is not sealed: no buffer is taken.
 */
#include <dirent.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <bufshare-host.h>
#include <xf86drm.h>

#include "common/cleanup.h"
#include "udmabuf/qtest-guest.h"

#define PAGE VIRTIO_BUFSHARE_PAGE_SIZE
#define RAM 0x1000000ull /* from here on it is the buffers' */

/* The kernel's defaults. */
#define LIST_LIMIT 1024
#define SIZE_LIMIT (64ull << 20)

struct proof {
	struct guest guest;
	struct bufshare_host *host;
	pid_t qemu;
	const char *consumers; /* where they connect */
	bool refused; /* what becomes of a buffer beyond the limits */
	uint64_t next_id;
};

static void passed(const char *what)
{
	printf("ok - %s\n", what);
	fflush(stdout);
}

/* Page i of a buffer is neither beside its neighbours nor in their order. */
static void scatter(struct virtio_bufshare_range *ranges, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++) {
		ranges[i].addr = htole64(RAM + 2ull * PAGE * (n - i));
		ranges[i].size = htole64(PAGE);
	}
}

static uint64_t must_register(struct proof *p, const struct virtio_bufshare_range *ranges,
			      uint32_t n, uint32_t expected)
{
	uint32_t detail, path = 0;

	must(guest_register(&p->guest, ++p->next_id, ranges, n, &detail, &path) ==
	     VIRTIO_BUFSHARE_STATUS_OK);
	must(path == expected);
	return p->next_id;
}

/* ---- the program on the host ---- */

/* Reads events until there is one of that type; false: the connection ended first. */
static bool wait_event(struct proof *p, uint32_t type, struct bufshare_event *ev)
{
	struct pollfd pfd = { .fd = bufshare_host_get_fd(p->host), .events = POLLIN };
	int r;

	for (;;) {
		r = bufshare_host_read_event(p->host, ev);
		if (r == 0 && ev->type == type)
			return true;
		if (r == -EAGAIN)
			must(poll(&pfd, 1, 60000) == 1);
		else if (r < 0)
			return false;
	}
}

static struct bufshare_host_buffer *wait_buffer(struct proof *p, uint64_t id)
{
	struct bufshare_host_buffer *buf;
	struct bufshare_event ev;

	do
		must(wait_event(p, BUFSHARE_EVENT_ADDED, &ev));
	while (ev.buffer_id != id);
	must(bufshare_host_get_buffer(p->host, id, &buf) == 0);
	return buf;
}

/* The program takes notice of what goes; only then is the guest's UNREGISTER answered. */
static void read_events(void *data)
{
	struct proof *p = data;
	struct bufshare_event ev;

	while (bufshare_host_read_event(p->host, &ev) == 0)
		;
}

static void unregister(struct proof *p, uint64_t id)
{
	p->guest.pump = read_events;
	p->guest.data = p;
	guest_unregister(&p->guest, id);
	p->guest.pump = NULL;
}

static bool is_udmabuf(int fd)
{
	char path[64], line[128];
	bool found = false;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	f = fopen(path, "re");
	must(f);
	while (fgets(line, sizeof(line), f))
		found |= strstr(line, "exp_name:\tudmabuf") != NULL;
	fclose(f);
	return found;
}

/* ---- what is shown ---- */

static void shows_pages(struct proof *p, struct bufshare_host_buffer *buf,
			const struct virtio_bufshare_range *ranges, uint32_t n)
{
	const volatile uint32_t *map;
	uint32_t i, value;
	const void *addr;
	void *writable;

	must(bufshare_host_buffer_map(buf, &addr) == 0);
	map = addr;

	/* No update, no copy: what the guest writes is there. */
	for (i = 0; i < n; i++) {
		value = htole32(0x1000 + i);
		guest_write(&p->guest, le64toh(ranges[i].addr), &value, sizeof(value));
	}
	for (i = 0; i < n; i++)
		must(le32toh(map[i * PAGE / sizeof(*map)]) == 0x1000 + i);
	passed("the guest's writes are seen without an update, page by page in order");

	must(bufshare_host_buffer_map_writable(buf, &writable) == 0);
	must(writable == addr);
	must(bufshare_host_buffer_begin_write(buf) == 0);
	for (i = 0; i < n; i++)
		((volatile uint32_t *)writable)[i * PAGE / sizeof(*map) + 1] = htole32(0xb0f5 + i);
	must(bufshare_host_buffer_end_write(buf) == 0);
	for (i = 0; i < n; i++) {
		guest_read(&p->guest, le64toh(ranges[i].addr) + 4, &value, sizeof(value));
		must(le32toh(value) == 0xb0f5 + i);
	}
	passed("the host's writes are seen by the guest, page by page in order");
}

static int open_vgem(char path[64])
{
	int i, fd;

	for (i = 0; i < 16; i++) {
		drmVersionPtr version;
		bool found;

		snprintf(path, 64, "/dev/dri/card%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		found = version && strcmp(version->name, "vgem") == 0;
		drmFreeVersion(version);
		if (found)
			return fd;
		close(fd);
	}
	return -1;
}

/* Another driver takes the dma-buf, and gives the same pages out again. */
static void is_imported(int fd, uint32_t expected)
{
	char path[64];
	_cleanup_close_ int vgem = open_vgem(path), again = -1;
	const uint32_t *map;
	uint32_t handle;

	must(vgem >= 0);
	must(drmPrimeFDToHandle(vgem, fd, &handle) == 0);
	must(drmPrimeHandleToFD(vgem, handle, DRM_CLOEXEC, &again) == 0);
	map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, again, 0);
	must(map != MAP_FAILED);
	must(le32toh(*map) == expected);
	munmap((void *)map, PAGE);
	must(drmCloseBufferHandle(vgem, handle) == 0);
	passed("vgem imports it");
}

/* As a program does it that is a consumer too. */
static void example_imports(const struct proof *p, uint64_t id, uint64_t size)
{
	char path[64], line[256] = "", expected[128];
	_cleanup_close_ int vgem = open_vgem(path);
	FILE *f;

	must(vgem >= 0);
	snprintf(line, sizeof(line), "host-import %s proof %s", p->consumers, path);
	f = popen(line, "re");
	must(f && fgets(line, sizeof(line), f));
	must(pclose(f) == 0);
	snprintf(expected, sizeof(expected),
		 "buffer %" PRIu64 ", %" PRIu64 " bytes, is handle 1 of the device\n", id, size);
	must(strcmp(line, expected) == 0);
	passed("the example host-import imports it");
}

static void within_limits(struct proof *p, const char *what,
			  const struct virtio_bufshare_range *ranges, uint32_t n)
{
	struct bufshare_host_buffer *buf;
	uint64_t id = must_register(p, ranges, n, VIRTIO_BUFSHARE_PATH_UDMABUF);

	buf = wait_buffer(p, id);
	must(is_udmabuf(bufshare_host_buffer_get_dmabuf(buf)));
	bufshare_host_buffer_unref(buf);
	unregister(p, id);
	passed(what);
}

static void beyond_limits(struct proof *p, const char *what,
			  const struct virtio_bufshare_range *ranges, uint32_t n, uint32_t limit)
{
	uint32_t status, detail, path;

	status = guest_register(&p->guest, ++p->next_id, ranges, n, &detail, &path);
	if (p->refused) {
		must(status == VIRTIO_BUFSHARE_STATUS_LIMIT);
		must(detail == limit);
	} else {
		must(status == VIRTIO_BUFSHARE_STATUS_OK);
		must(path == VIRTIO_BUFSHARE_PATH_COPY);
		unregister(p, p->next_id);
	}
	passed(what);
}

static void limits(struct proof *p)
{
	struct virtio_bufshare_range *ranges = calloc(LIST_LIMIT + 1, sizeof(*ranges));
	struct virtio_bufshare_range whole = { htole64(RAM), htole64(SIZE_LIMIT) };

	must(ranges);
	scatter(ranges, LIST_LIMIT);
	within_limits(p, "1024 ranges are taken", ranges, LIST_LIMIT);
	scatter(ranges, LIST_LIMIT + 1);
	beyond_limits(p, p->refused ? "1025 ranges are refused" : "1025 ranges are copied", ranges,
		      LIST_LIMIT + 1, VIRTIO_BUFSHARE_LIMIT_RANGES);
	free(ranges);

	within_limits(p, "64 MiB are taken", &whole, 1);
	whole.size = htole64(SIZE_LIMIT + PAGE);
	beyond_limits(p, p->refused ? "64 MiB and a page are refused" : "64 MiB and a page are copied",
		      &whole, 1, VIRTIO_BUFSHARE_LIMIT_BUFFER_SIZE);
}

/* The virtual machine ends; what the program has stays. */
static void outlives(struct proof *p, struct bufshare_host_buffer *buf, uint32_t expected)
{
	const volatile uint32_t *map;
	struct bufshare_event ev;
	const void *addr;

	must(kill(p->qemu, SIGKILL) == 0);
	do
		must(wait_event(p, BUFSHARE_EVENT_STATE, &ev));
	while (ev.value != BUFSHARE_GUEST_GONE);
	while (kill(p->qemu, 0) == 0)
		usleep(10000);
	must(bufshare_host_buffer_map(buf, &addr) == 0);
	map = addr;
	must(le32toh(map[0]) == expected);
	must(le32toh(map[PAGE / sizeof(*map)]) == expected + 1);
	passed("the pages outlive QEMU");
}

static void updates(struct proof *p, struct bufshare_host_buffer *buf, uint64_t id)
{
	struct bufshare_event ev;

	guest_update(&p->guest, id);
	must(wait_event(p, BUFSHARE_EVENT_UPDATED, &ev));
	must(ev.buffer_id == id && ev.seq == p->guest.seq);
	must(bufshare_host_buffer_release(buf, ev.seq) == 0);
	passed("an update comes and is released");
}

static void sealed(struct proof *p)
{
	struct virtio_bufshare_range ranges[16];
	struct bufshare_host_buffer *buf;
	uint64_t id;
	int fd;

	scatter(ranges, ARRAY_SIZE(ranges));
	id = must_register(p, ranges, ARRAY_SIZE(ranges), VIRTIO_BUFSHARE_PATH_UDMABUF);
	buf = wait_buffer(p, id);
	must(bufshare_host_buffer_get_path(buf) == BUFSHARE_PATH_UDMABUF);
	fd = bufshare_host_buffer_get_dmabuf(buf);
	must(fd >= 0 && is_udmabuf(fd));
	passed("the buffer of 16 scattered pages is a dma-buf");

	shows_pages(p, buf, ranges, ARRAY_SIZE(ranges));
	is_imported(fd, 0x1000);
	example_imports(p, id, ARRAY_SIZE(ranges) * PAGE);
	updates(p, buf, id);
	limits(p);
	outlives(p, buf, 0x1000);
	bufshare_host_buffer_unref(buf);
}

static void unsealed(struct proof *p)
{
	struct virtio_bufshare_range ranges[2];

	scatter(ranges, ARRAY_SIZE(ranges));
	must_register(p, ranges, ARRAY_SIZE(ranges), VIRTIO_BUFSHARE_PATH_COPY);
	passed("a buffer in memory without seals is copied");
	must(kill(p->qemu, SIGKILL) == 0);
}

int main(int argc, char **argv)
{
	struct proof p = { 0 };

	if (argc != 5) {
		fprintf(stderr, "usage: test-udmabuf QTEST-SOCKET CONSUMER-SOCKET QEMU-PID "
			"refused|copied|unsealed\n");
		return 2;
	}
	p.qemu = (pid_t)strtol(argv[3], NULL, 10);
	p.refused = strcmp(argv[4], "refused") == 0;
	must(p.qemu > 1);
	p.consumers = argv[2];
	guest_start(&p.guest, argv[1]);
	must(bufshare_host_connect(argv[2], "proof", &p.host) == 0);

	if (strcmp(argv[4], "unsealed") == 0)
		unsealed(&p);
	else
		sealed(&p);
	bufshare_host_unref(p.host);
	guest_end(&p.guest);
	return 0;
}
