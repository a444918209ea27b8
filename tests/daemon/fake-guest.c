/* SPDX-License-Identifier: MIT */
/*
 * A VMM with a guest as a program of its own, for tests of other programs:
 *
 *	fake-guest SOCKET < SCRIPT
 *
 * connects to a daemon and does what the lines of its standard input say, each when it
 * comes, and answers each with "ok" and the line, or ends with 1. Numbers are decimal.
 *
 *	register ID SIZE APPLICATION [NAME=VALUE]...
 *	picture ID WIDTHxHEIGHT APPLICATION [NAME=VALUE]...	an XR24 framebuffer
 *	fill ID BYTE
 *	load ID FILE			what the file has, from the first pixel or byte
 *	draw ID N			frame N of the test picture
 *	set ID NAME=VALUE|NAME		the latter removes
 *	update ID SEQ [X Y WIDTH HEIGHT]...
 *	released ID SEQ			waits; the answer ends with the flags
 *	play ID FIRST LAST FPS		draw, update and wait, for each of the numbers
 *	host ID NAME			waits until the host has set this property
 *	consumers ID N			waits until so many see it
 *	unregister ID
 *	pause, resume, reset		the VM, the VM, the driver
 *
 * When the input ends, so does the VMM.
 */
#include "config.h"

#include <endian.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <linux/virtio_bufshare.h>

#include "common/cleanup.h"
#include "common/pattern.h"
#include "daemon/fake-frontend.h"

#define PAGE 4096ULL
#define EVENTS VIRTIO_BUFSHARE_QUEUE_EVENT
#define NUM_EVENTS 16
#define MAX_BUFFERS 16
#define MAX_WORDS 40
#define XR24 0x34325258u

struct buffer {
	uint64_t id;		/* 0: this place is free */
	uint64_t size;
	uint64_t gpa[2];	/* two pieces in the wrong order, so that nobody can mix them up */
	uint64_t piece[2];	/* bytes */
	struct bufshare_framebuffer fb;
	uint8_t *shadow;	/* the contents in one piece */
	uint64_t seq;
	uint64_t released;
	uint32_t flags;		/* of the newest RELEASED */
	uint64_t consumers;
	uint8_t *request;	/* its REGISTER */
	size_t request_size;
};

struct guest {
	struct ff *ff;
	uint64_t epoch;
	bool restarted;		/* to be registered again */
	struct buffer buffers[MAX_BUFFERS];
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "fake-guest: %s: %s\n", what, why);
	exit(1);
}

/* The back end is another process: let it run. */
static int pump(void *data)
{
	const struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
	return 0;
}

static uint64_t number(const char *s)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(s, &end, 10);
	if (errno || end == s || *end)
		die(s, "not a number");
	return value;
}

static struct buffer *find(struct guest *g, uint64_t id)
{
	size_t i;

	for (i = 0; i < MAX_BUFFERS; i++)
		if (g->buffers[i].id == id)
			return &g->buffers[i];
	return NULL;
}

static struct buffer *need(struct guest *g, const char *id)
{
	struct buffer *b = number(id) ? find(g, number(id)) : NULL;

	if (!b)
		die(id, "no such buffer");
	return b;
}

/* ---- commands ---- */

static struct virtio_bufshare_request header(struct guest *g, uint32_t type)
{
	return (struct virtio_bufshare_request){
		.type = htole32(type),
		.epoch = htole64(g->epoch),
	};
}

/* The answer begins with a status, which must be OK. */
static void command(struct guest *g, const void *request, size_t size, void *answer, size_t room)
{
	struct virtio_bufshare_response *resp = answer;

	if (ff_command(g->ff, request, size, answer, room) < sizeof(*resp))
		die("command", "no answer");
	if (le32toh(resp->status) != VIRTIO_BUFSHARE_STATUS_OK) {
		fprintf(stderr, "fake-guest: status %u, detail %u\n", le32toh(resp->status),
			le32toh(resp->detail));
		exit(1);
	}
}

static void init(struct guest *g)
{
	struct virtio_bufshare_init req = {
		.hdr = header(g, VIRTIO_BUFSHARE_CMD_INIT),
		.version = htole32(VIRTIO_BUFSHARE_VERSION),
	};
	struct virtio_bufshare_init_response resp;
	struct virtio_bufshare_config config;

	ff_get_config(g->ff, 0, &config, sizeof(config));
	req.caps = config.caps & htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES |
					 VIRTIO_BUFSHARE_CAP_ZERO_COPY);

	command(g, &req, sizeof(req), &resp, sizeof(resp));
	g->epoch = le64toh(resp.epoch);
}

static void send_register(struct guest *g, struct buffer *b, uint32_t flags)
{
	struct virtio_bufshare_register *req = (void *)b->request;
	struct virtio_bufshare_register_response resp;

	req->hdr = header(g, VIRTIO_BUFSHARE_CMD_REGISTER);
	req->hdr.flags = htole32(flags);
	req->seq = htole64(flags & VIRTIO_BUFSHARE_REGISTER_AGAIN ? b->seq : 0);
	command(g, b->request, b->request_size, &resp, sizeof(resp));
	b->consumers = le32toh(resp.consumers);
}

static void put_range(FILE *f, uint64_t gpa, uint64_t size)
{
	const struct virtio_bufshare_range range = { htole64(gpa), htole64(size) };

	if (size)
		fwrite(&range, sizeof(range), 1, f);
}

/* The request with its ranges and properties, to be sent now and after a restart. */
static void make_request(struct buffer *b, const char *application, char *properties, size_t size)
{
	struct virtio_bufshare_register req = {
		.buffer = htole64(b->id),
		.size = htole64(b->size),
		.num_ranges = htole32(b->piece[1] ? 2 : 1),
		.properties_size = htole32((uint32_t)size),
	};
	FILE *f = open_memstream((char **)&b->request, &b->request_size);

	if (!f || strlen(application) >= sizeof(req.application))
		die(application, "too long");
	memcpy(req.application, application, strlen(application));
	fwrite(&req, sizeof(req), 1, f);
	put_range(f, b->gpa[0], b->piece[0]);
	put_range(f, b->gpa[1], b->piece[1]);
	fwrite(properties, 1, size, f);
	fclose(f);
}

static void new_buffer(struct guest *g, char **words, int n, uint64_t size, FILE *properties,
		       char **block, size_t *block_size)
{
	struct buffer *b = find(g, 0);
	int i;

	if (!b || !size || size % PAGE)
		die(words[1], "no room for it, or no size");
	b->id = number(words[1]);
	b->size = size;
	b->seq = b->released = 0;
	b->piece[1] = size / PAGE / 2 * PAGE;
	b->piece[0] = size - b->piece[1];
	b->gpa[1] = b->piece[1] ? ff_alloc(g->ff, b->piece[1]) : 0;
	ff_alloc(g->ff, PAGE);
	b->gpa[0] = ff_alloc(g->ff, b->piece[0]);
	b->shadow = calloc(1, size);
	for (i = 4; i < n; i++)
		fwrite(words[i], 1, strlen(words[i]) + 1, properties);
	fclose(properties);
	make_request(b, words[3], *block, *block_size);
	free(*block);
	send_register(g, b, 0);
}

static void do_register(struct guest *g, char **words, int n)
{
	char *block;
	size_t size;

	new_buffer(g, words, n, number(words[2]), open_memstream(&block, &size), &block, &size);
}

static void do_picture(struct guest *g, char **words, int n)
{
	struct bufshare_framebuffer fb = { .format = XR24 };
	uint64_t bytes;
	char *block;
	size_t size;
	FILE *f;

	if (sscanf(words[2], "%ux%u", &fb.width, &fb.height) != 2)
		die(words[2], "not WIDTHxHEIGHT");
	fb.stride = fb.width * 4;
	bytes = ((uint64_t)fb.stride * fb.height + PAGE - 1) / PAGE * PAGE;
	f = open_memstream(&block, &size);
	fprintf(f, "width=%u%cheight=%u%cstride=%u%cformat=XR24%c", fb.width, 0, fb.height, 0,
		fb.stride, 0, 0);
	new_buffer(g, words, n, bytes, f, &block, &size);
	need(g, words[1])->fb = fb;
}

static void do_unregister(struct guest *g, char **words, int n)
{
	struct buffer *b = need(g, words[1]);
	const struct virtio_bufshare_unregister req = {
		.hdr = header(g, VIRTIO_BUFSHARE_CMD_UNREGISTER),
		.buffer = htole64(b->id),
	};
	struct virtio_bufshare_unregister_response resp;

	command(g, &req, sizeof(req), &resp, sizeof(resp));
	free(b->shadow);
	free(b->request);
	memset(b, 0, sizeof(*b));
}

static void do_set(struct guest *g, char **words, int n)
{
	struct {
		struct virtio_bufshare_set_properties hdr;
		char block[1100];
	} req = {
		.hdr.hdr = header(g, VIRTIO_BUFSHARE_CMD_SET_PROPERTIES),
		.hdr.buffer = htole64(need(g, words[1])->id),
		.hdr.properties_size = htole32((uint32_t)strlen(words[2]) + 1),
	};
	struct virtio_bufshare_response resp;

	if (strlen(words[2]) >= sizeof(req.block))
		die(words[2], "too long");
	strcpy(req.block, words[2]);
	command(g, &req, sizeof(req.hdr) + strlen(words[2]) + 1, &resp, sizeof(resp));
}

/* ---- contents ---- */

static void put_contents(struct guest *g, const struct buffer *b)
{
	memcpy(ff_ptr(g->ff, b->gpa[0], b->piece[0]), b->shadow, b->piece[0]);
	if (b->piece[1])
		memcpy(ff_ptr(g->ff, b->gpa[1], b->piece[1]), b->shadow + b->piece[0], b->piece[1]);
}

static void do_fill(struct guest *g, char **words, int n)
{
	struct buffer *b = need(g, words[1]);

	memset(b->shadow, (int)number(words[2]), b->size);
	put_contents(g, b);
}

static void do_load(struct guest *g, char **words, int n)
{
	struct buffer *b = need(g, words[1]);
	FILE *f = fopen(words[2], "re");

	if (!f)
		die(words[2], strerror(errno));
	if (fread(b->shadow, 1, b->size, f) == 0)
		die(words[2], "nothing in it");
	fclose(f);
	put_contents(g, b);
}

static void draw(struct guest *g, struct buffer *b, uint64_t frame)
{
	if (pattern_draw(&b->fb, b->shadow, (uint32_t)frame) < 0)
		die("draw", "not such a picture");
	put_contents(g, b);
}

static void do_draw(struct guest *g, char **words, int n)
{
	draw(g, need(g, words[1]), number(words[2]));
}

/* ---- updates ---- */

static void take_event(struct guest *g, const struct virtio_bufshare_event *ev)
{
	struct buffer *b = ev->buffer ? find(g, le64toh(ev->buffer)) : NULL;

	if (le32toh(ev->type) == VIRTIO_BUFSHARE_EVENT_RESTARTED)
		g->restarted = true;
	if (!b || le64toh(ev->epoch) != g->epoch)
		return;
	if (le32toh(ev->type) == VIRTIO_BUFSHARE_EVENT_CONSUMERS)
		b->consumers = le64toh(ev->value);
	if (le32toh(ev->type) == VIRTIO_BUFSHARE_EVENT_RELEASED) {
		b->released = le64toh(ev->seq);
		b->flags = le32toh(ev->flags);
	}
}

/* As the driver does: the same epoch, the same buffers; updates in flight are over. */
static void recover(struct guest *g)
{
	size_t i;

	g->restarted = false;
	init(g);
	for (i = 0; i < MAX_BUFFERS; i++) {
		if (!g->buffers[i].id)
			continue;
		send_register(g, &g->buffers[i], VIRTIO_BUFSHARE_REGISTER_AGAIN);
		g->buffers[i].released = g->buffers[i].seq;
	}
}

static void take_events(struct guest *g)
{
	struct virtio_bufshare_event ev;

	while (ff_poll_event(g->ff, EVENTS, &ev, sizeof(ev)))
		take_event(g, &ev);
	if (g->restarted)
		recover(g);
}

static void update(struct guest *g, struct buffer *b, uint64_t seq, char **rects, int n)
{
	struct {
		struct virtio_bufshare_update hdr;
		struct virtio_bufshare_rect damage[VIRTIO_BUFSHARE_MAX_DAMAGE];
	} req = {
		.hdr.hdr = header(g, VIRTIO_BUFSHARE_CMD_UPDATE),
		.hdr.buffer = htole64(b->id),
		.hdr.seq = htole64(seq),
		.hdr.num_damage = htole32((uint32_t)n / 4),
	};
	struct virtio_bufshare_response resp;
	struct timespec ts;
	int i;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	req.hdr.time_ns = htole64((uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec);
	for (i = 0; i < n / 4 && i < VIRTIO_BUFSHARE_MAX_DAMAGE; i++)
		req.damage[i] = (struct virtio_bufshare_rect){
			htole32((uint32_t)number(rects[4 * i])),
			htole32((uint32_t)number(rects[4 * i + 1])),
			htole32((uint32_t)number(rects[4 * i + 2])),
			htole32((uint32_t)number(rects[4 * i + 3])),
		};
	b->seq = seq;
	command(g, &req, sizeof(req.hdr) + (size_t)i * sizeof(req.damage[0]), &resp, sizeof(resp));
}

static void wait_released(struct guest *g, struct buffer *b, uint64_t seq)
{
	int i;

	for (i = 0; b->released < seq; i++) {
		if (i == FF_TIMEOUT_MS)
			die("released", "waited too long");
		take_events(g);
		pump(g);
	}
}

static void do_update(struct guest *g, char **words, int n)
{
	update(g, need(g, words[1]), number(words[2]), words + 3, n - 3);
}

static void do_released(struct guest *g, char **words, int n)
{
	struct buffer *b = need(g, words[1]);

	wait_released(g, b, number(words[2]));
	printf("flags %u ", b->flags);
}

static void do_play(struct guest *g, char **words, int n)
{
	struct buffer *b = need(g, words[1]);
	const uint64_t last = number(words[3]), fps = number(words[4]);
	const struct timespec pause = { .tv_nsec = fps > 1 ? (long)(1000000000 / fps) : 999999999 };
	uint64_t i;

	for (i = number(words[2]); i <= last; i++) {
		draw(g, b, i);
		update(g, b, i, NULL, 0);
		wait_released(g, b, i);
		nanosleep(&pause, NULL);
	}
}

static bool host_has(struct guest *g, const struct buffer *b, const char *name)
{
	const struct virtio_bufshare_named req = {
		.hdr = header(g, VIRTIO_BUFSHARE_CMD_GET_PROPERTIES),
		.buffer = htole64(b->id),
	};
	struct {
		struct virtio_bufshare_get_properties_response hdr;
		char block[VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE + 1];
	} resp = { 0 };
	const size_t length = strlen(name);
	const char *p = resp.block;

	command(g, &req, sizeof(req), &resp, sizeof(resp) - 1);
	for (; p < resp.block + le32toh(resp.hdr.properties_size); p += strlen(p) + 1)
		if (strncmp(p, name, length) == 0 && p[length] == '=')
			return true;
	return false;
}

static void do_host(struct guest *g, char **words, int n)
{
	int i;

	for (i = 0; !host_has(g, need(g, words[1]), words[2]); i++) {
		if (i == FF_TIMEOUT_MS / 10)
			die(words[2], "the host does not set it");
		usleep(10000);
	}
}

static void do_consumers(struct guest *g, char **words, int n)
{
	struct buffer *b = need(g, words[1]);
	int i;

	for (i = 0; b->consumers != number(words[2]); i++) {
		if (i == FF_TIMEOUT_MS)
			die(words[2], "waited too long for consumers");
		take_events(g);
		pump(g);
	}
}

/* ---- life ---- */

static void do_pause(struct guest *g, char **words, int n)
{
	ff_stop(g->ff);
}

static void do_resume(struct guest *g, char **words, int n)
{
	ff_resume(g->ff);
}

static void do_reset(struct guest *g, char **words, int n)
{
	size_t i;

	ff_reset(g->ff);
	ff_add_event_buffers(g->ff, EVENTS, NUM_EVENTS, sizeof(struct virtio_bufshare_event));
	g->epoch = 0;
	init(g);
	for (i = 0; i < MAX_BUFFERS; i++) {
		free(g->buffers[i].shadow);
		free(g->buffers[i].request);
	}
	memset(g->buffers, 0, sizeof(g->buffers));
}

static const struct {
	const char *name;
	int min_words;
	void (*run)(struct guest *g, char **words, int n);
} lines[] = {
	{ "register", 4, do_register }, { "picture", 4, do_picture }, { "fill", 3, do_fill },
	{ "load", 3, do_load },		{ "draw", 3, do_draw },	      { "set", 3, do_set },
	{ "update", 3, do_update },	{ "released", 3, do_released }, { "play", 5, do_play },
	{ "host", 3, do_host },		{ "consumers", 3, do_consumers },
	{ "unregister", 2, do_unregister },
	{ "pause", 1, do_pause },	{ "resume", 1, do_resume },   { "reset", 1, do_reset },
};

static void run_line(struct guest *g, char *line)
{
	_cleanup_free_ char *whole = strdup(line);
	char *words[MAX_WORDS], *rest = line;
	int n = 0;
	size_t i;

	while (n < MAX_WORDS && (words[n] = strsep(&rest, " ")))
		n++;
	for (i = 0; i < ARRAY_SIZE(lines); i++)
		if (strcmp(lines[i].name, words[0]) == 0 && n >= lines[i].min_words)
			break;
	if (i == ARRAY_SIZE(lines))
		die(whole, "no such line");
	take_events(g);
	lines[i].run(g, words, n);
	printf("ok %s\n", whole);
	fflush(stdout);
}

/* Reads a line a byte at a time, so that poll() tells whether there is more. */
static bool read_line(struct guest *g, char *line, size_t room)
{
	struct pollfd p[2] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .fd = g->ff->queues[EVENTS].call, .events = POLLIN },
	};
	size_t n = 0;

	while (n < room - 1) {
		if (poll(p, 2, -1) < 0)
			return false;
		if (p[1].revents) {
			ff_calls(g->ff, EVENTS);
			take_events(g);
		}
		if (!p[0].revents)
			continue;
		if (read(STDIN_FILENO, line + n, 1) != 1)
			return false;
		if (line[n] == '\n')
			break;
		n++;
	}
	line[n] = '\0';
	return true;
}

static int connect_to(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die(path, "too long");
	strcpy(addr.sun_path, path);
	if (sock < 0 || connect(sock, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		die(path, strerror(errno));
	return sock;
}

int main(int argc, char **argv)
{
	struct guest g = { 0 };
	char line[2048];

	if (argc != 2)
		die("usage", "fake-guest SOCKET");
	g.ff = ff_new(connect_to(argv[1]), pump, &g);
	ff_start(g.ff);
	ff_add_event_buffers(g.ff, EVENTS, NUM_EVENTS, sizeof(struct virtio_bufshare_event));
	init(&g);
	while (read_line(&g, line, sizeof(line)))
		run_line(&g, line);
	ff_free(g.ff);
	return 0;
}
