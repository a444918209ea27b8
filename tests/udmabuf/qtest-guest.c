/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "udmabuf/qtest-guest.h"

#define MMIO_BASE 0xfeb00000
#define MMIO_SIZE 0x200
#define MMIO_NUM 24

#define QUEUE_SIZE 16
#define QUEUE_ADDR(i) (0x100000 + 0x10000 * (uint64_t)(i))
#define AVAIL 0x1000
#define USED 0x2000
#define REQUEST_ADDR 0x200000
#define RESPONSE_ADDR 0x240000
#define MAX_REQUEST 0x40000

#define ANSWER_SECONDS 60 /* emulation inside emulation is slow */

_Noreturn void fail(const char *file, int line, const char *what)
{
	printf("not ok - %s:%d: %s\n", file, line, what);
	exit(1);
}

/* ---- the test socket: a line there, a line back ---- */

/* Sends a line; returns what is behind the "OK" of the answer, to be freed. */
static char *ask(struct guest *g)
{
	char *line = NULL;
	size_t size = 0;

	must(fflush(g->out) == 0);
	must(getline(&line, &size, g->in) > 0);
	must(strncmp(line, "OK", 2) == 0);
	return line;
}

static uint64_t read_u32(struct guest *g, uint64_t addr)
{
	uint64_t value;
	char *line;

	fprintf(g->out, "readl 0x%" PRIx64 "\n", addr);
	line = ask(g);
	value = strtoull(line + 3, NULL, 16);
	free(line);
	return value;
}

static void write_u32(struct guest *g, uint64_t addr, uint32_t value)
{
	fprintf(g->out, "writel 0x%" PRIx64 " 0x%" PRIx32 "\n", addr, value);
	free(ask(g));
}

void guest_write(struct guest *g, uint64_t addr, const void *bytes, size_t size)
{
	const uint8_t *p = bytes;
	size_t i;

	fprintf(g->out, "write 0x%" PRIx64 " 0x%zx 0x", addr, size);
	for (i = 0; i < size; i++)
		fprintf(g->out, "%02x", p[i]);
	fputc('\n', g->out);
	free(ask(g));
}

void guest_read(struct guest *g, uint64_t addr, void *bytes, size_t size)
{
	uint8_t *p = bytes;
	char *line;
	size_t i;

	fprintf(g->out, "read 0x%" PRIx64 " 0x%zx\n", addr, size);
	line = ask(g);
	must(strlen(line) >= 5 + 2 * size);
	for (i = 0; i < size; i++) {
		const char digits[] = { line[5 + 2 * i], line[6 + 2 * i], '\0' };

		p[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	free(line);
}

/* ---- the device's registers ---- */

static uint32_t get(struct guest *g, unsigned int offset)
{
	return (uint32_t)read_u32(g, g->device + offset);
}

static void set(struct guest *g, unsigned int offset, uint32_t value)
{
	write_u32(g, g->device + offset, value);
}

static void find_device(struct guest *g)
{
	unsigned int i;

	for (i = 0; i < MMIO_NUM; i++) {
		g->device = MMIO_BASE + i * MMIO_SIZE;
		if (get(g, VIRTIO_MMIO_DEVICE_ID) == VIRTIO_BUFSHARE_ID)
			return;
	}
	fail(__FILE__, __LINE__, "there is no device");
}

static void set_address(struct guest *g, unsigned int low, uint64_t addr)
{
	set(g, low, (uint32_t)addr);
	set(g, low + 4, (uint32_t)(addr >> 32));
}

static void start_queue(struct guest *g, unsigned int i)
{
	static const uint8_t zeros[0x100];

	guest_write(g, QUEUE_ADDR(i) + AVAIL, zeros, sizeof(zeros));
	guest_write(g, QUEUE_ADDR(i) + USED, zeros, sizeof(zeros));
	set(g, VIRTIO_MMIO_QUEUE_SEL, i);
	must(get(g, VIRTIO_MMIO_QUEUE_NUM_MAX) >= QUEUE_SIZE);
	set(g, VIRTIO_MMIO_QUEUE_NUM, QUEUE_SIZE);
	set_address(g, VIRTIO_MMIO_QUEUE_DESC_LOW, QUEUE_ADDR(i));
	set_address(g, VIRTIO_MMIO_QUEUE_AVAIL_LOW, QUEUE_ADDR(i) + AVAIL);
	set_address(g, VIRTIO_MMIO_QUEUE_USED_LOW, QUEUE_ADDR(i) + USED);
	set(g, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void start_device(struct guest *g)
{
	const uint32_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;

	set(g, VIRTIO_MMIO_STATUS, 0);
	set(g, VIRTIO_MMIO_STATUS, status);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES, 0);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
	set(g, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VIRTIO_F_VERSION_1 */
	set(g, VIRTIO_MMIO_STATUS, status | VIRTIO_CONFIG_S_FEATURES_OK);
	must(get(g, VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_FEATURES_OK);
	start_queue(g, VIRTIO_BUFSHARE_QUEUE_CONTROL);
	start_queue(g, VIRTIO_BUFSHARE_QUEUE_EVENT);
	set(g, VIRTIO_MMIO_STATUS,
	    status | VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK);
}

/* ---- commands ---- */

static void command(struct guest *g, const void *request, size_t size, void *response,
		    size_t response_size)
{
	const uint64_t queue = QUEUE_ADDR(VIRTIO_BUFSHARE_QUEUE_CONTROL);
	const struct vring_desc desc[2] = {
		{ htole64(REQUEST_ADDR), htole32((uint32_t)size), htole16(VRING_DESC_F_NEXT),
		  htole16(1) },
		{ htole64(RESPONSE_ADDR), htole32((uint32_t)response_size),
		  htole16(VRING_DESC_F_WRITE), 0 },
	};
	const uint16_t avail = htole16(++g->avail);
	uint16_t used;
	int i;

	must(size <= MAX_REQUEST);
	guest_write(g, REQUEST_ADDR, request, size);
	guest_write(g, queue, desc, sizeof(desc));
	/* Always the chain that begins with descriptor 0, as the zeros in the ring say. */
	guest_write(g, queue + AVAIL + 2, &avail, sizeof(avail));
	set(g, VIRTIO_MMIO_QUEUE_NOTIFY, VIRTIO_BUFSHARE_QUEUE_CONTROL);
	for (i = 0; i < ANSWER_SECONDS * 100; i++) {
		guest_read(g, queue + USED + 2, &used, sizeof(used));
		if (le16toh(used) == g->avail) {
			guest_read(g, RESPONSE_ADDR, response, response_size);
			return;
		}
		if (g->pump)
			g->pump(g->data);
		usleep(10000);
	}
	fail(__FILE__, __LINE__, "the device does not answer");
}

static void init(struct guest *g)
{
	const struct virtio_bufshare_init m = {
		.hdr = { .type = htole32(VIRTIO_BUFSHARE_CMD_INIT) },
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
		.caps = htole64(VIRTIO_BUFSHARE_CAP_ZERO_COPY),
	};
	struct virtio_bufshare_init_response r;

	command(g, &m, sizeof(m), &r, sizeof(r));
	must(le32toh(r.hdr.status) == VIRTIO_BUFSHARE_STATUS_OK);
	g->epoch = le64toh(r.epoch);
}

uint32_t guest_register(struct guest *g, uint64_t id, const struct virtio_bufshare_range *ranges,
			uint32_t n, uint32_t *detail, uint32_t *path)
{
	size_t size = sizeof(struct virtio_bufshare_register) + n * sizeof(*ranges);
	struct virtio_bufshare_register *m = calloc(1, size);
	struct virtio_bufshare_register_response r;
	uint64_t total = 0;
	uint32_t i;

	must(m);
	for (i = 0; i < n; i++)
		total += le64toh(ranges[i].size);
	m->hdr.type = htole32(VIRTIO_BUFSHARE_CMD_REGISTER);
	m->hdr.epoch = htole64(g->epoch);
	m->buffer = htole64(id);
	m->size = htole64(total);
	m->num_ranges = htole32(n);
	memcpy(m->application, "proof", sizeof("proof"));
	memcpy(m + 1, ranges, n * sizeof(*ranges));
	command(g, m, size, &r, sizeof(r));
	free(m);
	*detail = le32toh(r.hdr.detail);
	*path = le32toh(r.path);
	return le32toh(r.hdr.status);
}

void guest_unregister(struct guest *g, uint64_t id)
{
	const struct virtio_bufshare_unregister m = {
		.hdr = { htole32(VIRTIO_BUFSHARE_CMD_UNREGISTER), 0, htole64(g->epoch) },
		.buffer = htole64(id),
	};
	struct virtio_bufshare_unregister_response r;

	command(g, &m, sizeof(m), &r, sizeof(r));
	must(le32toh(r.hdr.status) == VIRTIO_BUFSHARE_STATUS_OK);
	must(r.flags == 0);
}

void guest_update(struct guest *g, uint64_t id)
{
	const struct virtio_bufshare_update m = {
		.hdr = { htole32(VIRTIO_BUFSHARE_CMD_UPDATE), 0, htole64(g->epoch) },
		.buffer = htole64(id),
		.seq = htole64(++g->seq),
	};
	struct virtio_bufshare_response r;

	command(g, &m, sizeof(m), &r, sizeof(r));
	must(le32toh(r.status) == VIRTIO_BUFSHARE_STATUS_OK);
}

void guest_start(struct guest *g, const char *socket_path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*g = (struct guest){ 0 };
	must(sock >= 0 && strlen(socket_path) < sizeof(addr.sun_path));
	strcpy(addr.sun_path, socket_path);
	must(connect(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0);
	g->in = fdopen(sock, "r");
	g->out = fdopen(dup(sock), "w");
	must(g->in && g->out);
	find_device(g);
	start_device(g);
	init(g);
}

void guest_end(struct guest *g)
{
	fclose(g->in);
	fclose(g->out);
}
