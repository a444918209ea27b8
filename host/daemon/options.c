/* SPDX-License-Identifier: MIT */
#include <endian.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "config.h"
#include "common/cleanup.h"
#include "common/siphash.h"
#include "host/daemon/activation.h"
#include "host/daemon/log.h"
#include "host/daemon/options.h"
#include "host/daemon/sandbox.h"

enum option_id {
	OPT_SOCKET = 256,
	OPT_FD,
	OPT_CAPABILITIES,
	OPT_CONSUMERS,
	OPT_LABEL,
	OPT_APPLICATION,
	OPT_UUID,
	OPT_SUBSYSTEM,
	OPT_EXPORT,
	OPT_MAX_BUFFERS,
	OPT_MAX_BUFFER_SIZE,
	OPT_MAX_TOTAL_SIZE,
	OPT_MAX_RANGES,
	OPT_MAX_PROPERTIES,
	OPT_MAX_PROPERTIES_SIZE,
	OPT_MAX_COMMANDS,
	OPT_MAX_CONSUMERS,
	OPT_MAX_PER_USER,
	OPT_MAX_MESSAGES,
	OPT_HELLO_TIMEOUT,
	OPT_CONSUMER_MODE,
	OPT_ALLOW_UID,
	OPT_ALLOW_GID,
	OPT_RELEASE_TIMEOUT,
	OPT_ONCE,
	OPT_LINGER,
	OPT_SANDBOX,
	OPT_LOG_LEVEL,
	OPT_TRACE,
	OPT_HELP,
	OPT_VERSION,
	OPT_WORKER, /* from the keeper alone */
};

static const struct option long_options[] = {
	{ "socket-path", required_argument, NULL, OPT_SOCKET },
	{ "fd", required_argument, NULL, OPT_FD },
	{ "print-capabilities", no_argument, NULL, OPT_CAPABILITIES },
	{ "consumer-socket", required_argument, NULL, OPT_CONSUMERS },
	{ "label", required_argument, NULL, OPT_LABEL },
	{ "application", required_argument, NULL, OPT_APPLICATION },
	{ "uuid", required_argument, NULL, OPT_UUID },
	{ "subsystem", required_argument, NULL, OPT_SUBSYSTEM },
	{ "export", required_argument, NULL, OPT_EXPORT },
	{ "max-buffers", required_argument, NULL, OPT_MAX_BUFFERS },
	{ "max-buffer-size", required_argument, NULL, OPT_MAX_BUFFER_SIZE },
	{ "max-total-size", required_argument, NULL, OPT_MAX_TOTAL_SIZE },
	{ "max-ranges", required_argument, NULL, OPT_MAX_RANGES },
	{ "max-properties", required_argument, NULL, OPT_MAX_PROPERTIES },
	{ "max-properties-size", required_argument, NULL, OPT_MAX_PROPERTIES_SIZE },
	{ "max-commands", required_argument, NULL, OPT_MAX_COMMANDS },
	{ "max-consumers", required_argument, NULL, OPT_MAX_CONSUMERS },
	{ "max-consumers-per-user", required_argument, NULL, OPT_MAX_PER_USER },
	{ "max-messages", required_argument, NULL, OPT_MAX_MESSAGES },
	{ "hello-timeout", required_argument, NULL, OPT_HELLO_TIMEOUT },
	{ "consumer-mode", required_argument, NULL, OPT_CONSUMER_MODE },
	{ "allow-uid", required_argument, NULL, OPT_ALLOW_UID },
	{ "allow-gid", required_argument, NULL, OPT_ALLOW_GID },
	{ "release-timeout", required_argument, NULL, OPT_RELEASE_TIMEOUT },
	{ "once", no_argument, NULL, OPT_ONCE },
	{ "linger", required_argument, NULL, OPT_LINGER },
	{ "sandbox", required_argument, NULL, OPT_SANDBOX },
	{ "log-level", required_argument, NULL, OPT_LOG_LEVEL },
	{ "trace", no_argument, NULL, OPT_TRACE },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "worker", required_argument, NULL, OPT_WORKER },
	{ 0 }
};

static void help(void)
{
	puts("usage: vhost-user-bufshare --socket-path=PATH [OPTION...]\n"
	     "\n"
	     "  --socket-path=PATH      listen there for the VMM\n"
	     "  --fd=FDNUM              use this listening or connected socket instead\n"
	     "  --print-capabilities    say in JSON what this program is, and exit\n"
	     "  --consumer-socket=PATH  listen there for consumers (socket path + \".consumers\")\n"
	     "  --label=NAME            tells this device from others of the guest\n"
	     "  --application=NAME      the application protocol this device is for\n"
	     "  --uuid=UUID             of the device (made from the label, or random)\n"
	     "  --subsystem=VVVV:DDDD   reserved ids, hexadecimal\n"
	     "  --export=HOW            auto (default), udmabuf, copy or memfd\n"
	     "  --max-buffers=N         registered at a time (1024)\n"
	     "  --max-buffer-size=SIZE  of one buffer (1G)\n"
	     "  --max-total-size=SIZE   of all buffers (4G)\n"
	     "  --max-ranges=N          of one buffer (262144)\n"
	     "  --max-properties=N      of one buffer (64)\n"
	     "  --max-properties-size=N bytes, of all of one buffer (3072)\n"
	     "  --max-commands=N        of the guest in a second, 0: without limit (200000)\n"
	     "  --max-consumers=N       connected at a time (16)\n"
	     "  --max-consumers-per-user=N\n"
	     "                          of these (if others are let in, three quarters)\n"
	     "  --max-messages=N        of a consumer in a second, 0: without limit (200000)\n"
	     "  --hello-timeout=TIME    a consumer can say nothing, 0: for ever (10s)\n"
	     "  --consumer-mode=MODE    of the consumers' socket, octal (0600)\n"
	     "  --allow-uid=USER[:RIGHTS[:APPLICATION]]\n"
	     "  --allow-gid=GROUP[:RIGHTS[:APPLICATION]]\n"
	     "                          let others in too; rights: see (default), properties,\n"
	     "                          zero-copy, all\n"
	     "  --release-timeout=TIME  a consumer can hold an update, 0: for ever (10s)\n"
	     "  --once                  end when the first VMM closes the device\n"
	     "  --linger=SECONDS        for which SIGTERM waits for the VMM to end first (5)\n"
	     "  --sandbox=auto|off      give up what the program has no need of (auto)\n"
	     "  --log-level=LEVEL       err, warn, info (default) or debug\n"
	     "  --trace                 log all that the VMM, the guest and consumers say, too\n"
	     "  --help, --version\n"
	     "\n"
	     "Start it before the VMM, and stop it after. See vhost-user-bufshare(1).");
}

static int usage(const char *option, const char *value, const char *want)
{
	log_err("--%s=%s: not %s (see --help)", option, value, want);
	return 2;
}

/* A nanosecond for each. */
#define MAX_RATE 1000000000

#define MAX_CONSUMERS 1024

static bool parse_number(const char *s, uint64_t max, uint64_t *value)
{
	uint64_t shift = 0;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*value = strtoull(s, &end, 0);
	switch (*end) {
	case 'K':
		shift = 10;
		break;
	case 'M':
		shift = 20;
		break;
	case 'G':
		shift = 30;
		break;
	}
	if (shift)
		end++;
	if (errno || *end || !*value || *value > max >> shift)
		return false;
	*value <<= shift;
	return true;
}

/* Seconds, or with "ms" milliseconds, up to an hour. */
static bool parse_duration(const char *s, uint64_t *ns)
{
	unsigned long long n;
	uint64_t unit = 1000000000;
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	n = strtoull(s, &end, 10);
	if (strcmp(end, "ms") == 0)
		unit = 1000000;
	else if (*end && strcmp(end, "s") != 0)
		return false;
	if (errno || n > 3600 * (1000000000 / unit))
		return false;
	*ns = n * unit;
	return true;
}

static bool parse_mode(const char *s, mode_t *mode)
{
	unsigned long n;
	char *end;

	if (*s < '0' || *s > '7')
		return false;
	errno = 0;
	n = strtoul(s, &end, 8);
	if (errno || *end || n > 0777)
		return false;
	*mode = (mode_t)n;
	return true;
}

static bool parse_uuid(const char *s, uint8_t uuid[16])
{
	unsigned int i, byte;

	if (strlen(s) != 36)
		return false;
	for (i = 0; i < 16; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			if (*s++ != '-')
				return false;
		if (!strchr("0123456789abcdefABCDEF", s[0]) ||
		    !strchr("0123456789abcdefABCDEF", s[1]) || sscanf(s, "%2x", &byte) != 1)
			return false;
		uuid[i] = (uint8_t)byte;
		s += 2;
	}
	return true;
}

/* The same label has the same UUID on every start and every host; no label: a new one. */
static void default_uuid(struct virtio_bufshare_config *device)
{
	static const uint8_t key[SIPHASH_KEY_SIZE] = "bufshare device";

	if (device->label[0]) {
		siphash_uuid(key, device->label, sizeof(device->label), device->uuid);
		return;
	}
	while (getrandom(device->uuid, sizeof(device->uuid), 0) != sizeof(device->uuid))
		;
	device->uuid[6] = (device->uuid[6] & 0x0f) | 0x40;
	device->uuid[8] = (device->uuid[8] & 0x3f) | 0x80;
}

static int find_word(const char *word, const char *const words[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (words[i] && strcmp(word, words[i]) == 0)
			return (int)i;
	return -1;
}

static const char *const export_modes[] = {
	[EXPORT_AUTO] = "auto",
	[EXPORT_UDMABUF] = "udmabuf",
	[EXPORT_COPY] = "copy",
	[EXPORT_MEMFD] = "memfd",
};

static const char *const sandbox_modes[] = {
	[SANDBOX_AUTO] = "auto",
	[SANDBOX_OFF] = "off",
};

static const char *const log_levels[] = {
	[LOG_LEVEL_ERR] = "err",
	[LOG_LEVEL_WARN] = "warn",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static bool parse_name(const char *s, uint8_t *field, size_t size)
{
	if (!props_label_valid(s))
		return false;
	memset(field, 0, size);
	memcpy(field, s, strlen(s));
	return true;
}

static bool parse_subsystem(const char *s, struct virtio_bufshare_config *device)
{
	unsigned int vendor, id;

	/* sscanf() alone would take signs, spaces and 0x. */
	if (strspn(s, "0123456789abcdefABCDEF:") != strlen(s) || strcspn(s, ":") > 4 ||
	    strlen(s + strcspn(s, ":")) > 5 || sscanf(s, "%x:%x", &vendor, &id) != 2)
		return false;
	device->subsystem_vendor = htole16((uint16_t)vendor);
	device->subsystem_device = htole16((uint16_t)id);
	return true;
}

/* As the options below; 0: without limit. */
static int parse_rate(const char *name, const char *arg, unsigned int *rate)
{
	uint64_t n = 0;

	if (strcmp(arg, "0") != 0 && !parse_number(arg, MAX_RATE, &n))
		return usage(name, arg, "a number up to 1000000000");
	*rate = (unsigned int)n;
	return -1;
}

/* What describes the device; -1: done, 0: not such an option, 2: a usage error. */
static int device_option(int id, const char *name, const char *arg, struct options *o)
{
	struct virtio_bufshare_config *device = &o->backend.device;
	unsigned int rate = le32toh(device->max_commands);
	uint64_t n;
	int r;

	switch (id) {
	case OPT_LABEL:
		return parse_name(arg, device->label, sizeof(device->label)) ? -1 :
			usage(name, arg, "a name of letters, digits, '.', '_' and '-', at most 63");
	case OPT_APPLICATION:
		return parse_name(arg, device->application, sizeof(device->application)) ? -1 :
			usage(name, arg, "a name of letters, digits, '.', '_' and '-', at most 63");
	case OPT_UUID:
		return parse_uuid(arg, device->uuid) ? -1 : usage(name, arg, "a UUID");
	case OPT_SUBSYSTEM:
		return parse_subsystem(arg, device) ? -1 : usage(name, arg, "two hexadecimal ids");
	case OPT_MAX_BUFFERS:
		if (!parse_number(arg, VIRTIO_BUFSHARE_MAX_BUFFERS, &n))
			return usage(name, arg, "a number up to 65536");
		device->max_buffers = htole32((uint32_t)n);
		return -1;
	case OPT_MAX_BUFFER_SIZE:
		if (!parse_number(arg, VIRTIO_BUFSHARE_MAX_BUFFER_SIZE, &n))
			return usage(name, arg, "a size up to 1G");
		device->max_buffer_size = htole64(n);
		return -1;
	case OPT_MAX_TOTAL_SIZE:
		if (!parse_number(arg, INT64_MAX, &n))
			return usage(name, arg, "a size");
		device->max_total_size = htole64(n);
		return -1;
	case OPT_MAX_RANGES:
		if (!parse_number(arg, VIRTIO_BUFSHARE_MAX_RANGES, &n))
			return usage(name, arg, "a number up to 262144");
		device->max_ranges = htole32((uint32_t)n);
		return -1;
	case OPT_MAX_PROPERTIES:
		if (!parse_number(arg, VIRTIO_BUFSHARE_MAX_PROPERTIES, &n))
			return usage(name, arg, "a number up to 64");
		device->max_properties = htole32((uint32_t)n);
		return -1;
	case OPT_MAX_PROPERTIES_SIZE:
		if (!parse_number(arg, VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE, &n))
			return usage(name, arg, "a size up to 3072");
		device->max_properties_size = htole32((uint32_t)n);
		return -1;
	case OPT_MAX_COMMANDS:
		r = parse_rate(name, arg, &rate);
		device->max_commands = htole32(rate);
		return r;
	default:
		return 0;
	}
}

/* Who may connect, and what for; as device_option(). */
static int consumer_option(int id, const char *name, const char *arg, struct options *o)
{
	const char *wrong;
	uint64_t n;

	switch (id) {
	case OPT_MAX_CONSUMERS:
		if (!parse_number(arg, MAX_CONSUMERS, &n))
			return usage(name, arg, "a number up to 1024");
		o->backend.max_consumers = (unsigned int)n;
		return -1;
	case OPT_MAX_PER_USER:
		if (!parse_number(arg, MAX_CONSUMERS, &n))
			return usage(name, arg, "a number up to 1024");
		o->backend.max_consumers_per_user = (unsigned int)n;
		return -1;
	case OPT_MAX_MESSAGES:
		return parse_rate(name, arg, &o->backend.max_messages);
	case OPT_HELLO_TIMEOUT:
		return parse_duration(arg, &o->backend.hello_timeout_ns) ? -1 :
			usage(name, arg, "a number of seconds up to 3600, or of milliseconds as 500ms");
	case OPT_CONSUMER_MODE:
		return parse_mode(arg, &o->consumer_mode) ? -1 :
			usage(name, arg, "an octal number up to 0777");
	case OPT_ALLOW_UID:
	case OPT_ALLOW_GID:
		wrong = access_add_rule(&o->backend.access, arg, id == OPT_ALLOW_GID);
		if (!wrong)
			return -1;
		log_err("--%s=%s: %s (see --help)", name, arg, wrong);
		return 2;
	case OPT_RELEASE_TIMEOUT:
		return parse_duration(arg, &o->backend.release_timeout_ns) ? -1 :
			usage(name, arg, "a number of seconds up to 3600, or of milliseconds as 500ms");
	default:
		return 0;
	}
}

/* What the protocol of VMMs asks for, and how far each limit can be set. */
static void print_capabilities(void)
{
	printf("{\"type\":\"bufshare\",\"features\":[\"copy\",\"udmabuf\",\"memfd\"],"
	       "\"limits\":{\"max-buffers\":%u,\"max-buffer-size\":%llu,\"max-total-size\":%llu,"
	       "\"max-ranges\":%u,\"max-properties\":%u,\"max-properties-size\":%u,"
	       "\"max-commands\":%u,\"max-consumers\":%u,\"max-messages\":%u}}\n",
	       VIRTIO_BUFSHARE_MAX_BUFFERS, VIRTIO_BUFSHARE_MAX_BUFFER_SIZE,
	       (unsigned long long)INT64_MAX, VIRTIO_BUFSHARE_MAX_RANGES,
	       VIRTIO_BUFSHARE_MAX_PROPERTIES, VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE, MAX_RATE,
	       MAX_CONSUMERS, MAX_RATE);
}

static int program_option(int id, const char *name, const char *arg, struct options *o)
{
	uint64_t n;
	int word;

	switch (id) {
	case OPT_SOCKET:
		o->socket_path = arg;
		return -1;
	case OPT_FD:
		if (strcmp(arg, "0") == 0)
			n = 0;
		else if (!parse_number(arg, 1 << 20, &n))
			return usage(name, arg, "a file descriptor");
		o->fd = (int)n;
		return -1;
	case OPT_CONSUMERS:
		free(o->consumer_path);
		o->consumer_path = strdup(arg);
		return o->consumer_path ? -1 : 1;
	case OPT_EXPORT:
		word = find_word(arg, export_modes, ARRAY_SIZE(export_modes));
		if (word < 0)
			return usage(name, arg, "auto, udmabuf, copy or memfd");
		o->backend.export_mode = word;
		return -1;
	case OPT_ONCE:
		o->once = true;
		return -1;
	case OPT_LINGER:
		if (strcmp(arg, "0") == 0)
			n = 0;
		else if (!parse_number(arg, 86400, &n))
			return usage(name, arg, "a number of seconds up to 86400");
		o->linger_s = (unsigned int)n;
		return -1;
	case OPT_SANDBOX:
		o->sandbox = find_word(arg, sandbox_modes, ARRAY_SIZE(sandbox_modes));
		return o->sandbox < 0 ? usage(name, arg, "auto or off") : -1;
	case OPT_WORKER:
		if (sscanf(arg, "%d,%d,%d", &o->worker.channel, &o->worker.state,
			   &o->worker.consumers) != 3)
			return usage(name, arg, "for you to use");
		return -1;
	case OPT_LOG_LEVEL:
		word = find_word(arg, log_levels, ARRAY_SIZE(log_levels));
		if (word < 0)
			return usage(name, arg, "err, warn, info or debug");
		o->log_level = word;
		log_set_level(word);
		return -1;
	case OPT_TRACE:
		o->log_level = LOG_LEVEL_TRACE;
		log_set_level(LOG_LEVEL_TRACE);
		return -1;
	case OPT_CAPABILITIES:
		print_capabilities();
		return 0;
	case OPT_HELP:
		help();
		return 0;
	case OPT_VERSION:
		puts("vhost-user-bufshare " PACKAGE_VERSION);
		return 0;
	default:
		return 2; /* getopt has said why */
	}
}

/* A rule for somebody who can not reach the socket is a mistake that is hard to find. */
static void check_reach(const struct options *o)
{
	const struct access_rules *rules = &o->backend.access;
	size_t i;

	for (i = 0; i < rules->n; i++)
		if ((rules->v[i].group || (rules->v[i].id && rules->v[i].id != geteuid())) &&
		    !(o->consumer_mode & 0022)) {
			log_warn("nobody but this user can reach the consumers' socket, whatever --allow-uid and --allow-gid say (see --consumer-mode)");
			return;
		}
}

/* No user takes all there are, unless there is but one. */
static void leave_some_for_others(struct backend_config *b)
{
	if (!b->max_consumers_per_user && b->access.n)
		b->max_consumers_per_user = b->max_consumers - b->max_consumers / 4;
}

static void defaults(struct options *o)
{
	struct virtio_bufshare_config *device = &o->backend.device;

	*o = (struct options){
		.fd = -1,
		.consumer_mode = 0600,
		.linger_s = 5,
		.log_level = LOG_LEVEL_INFO,
		.worker = { -1, -1, -1 },
		.backend.max_consumers = 16,
		.backend.max_messages = 200000,
		.backend.hello_timeout_ns = 10000000000,
		.backend.release_timeout_ns = 10000000000,
	};
	device->magic = htole32(VIRTIO_BUFSHARE_MAGIC);
	device->version = htole32(VIRTIO_BUFSHARE_VERSION);
	device->caps = htole64(VIRTIO_BUFSHARE_CAP_HOST_PROPERTIES | VIRTIO_BUFSHARE_CAP_RECOVERY |
			       VIRTIO_BUFSHARE_CAP_UNMAPPED);
	device->max_buffers = htole32(1024);
	device->max_buffer_size = htole64(VIRTIO_BUFSHARE_MAX_BUFFER_SIZE);
	device->max_total_size = htole64(4ULL << 30);
	device->max_ranges = htole32(VIRTIO_BUFSHARE_MAX_RANGES);
	device->max_properties = htole32(VIRTIO_BUFSHARE_MAX_PROPERTIES);
	device->max_properties_size = htole32(VIRTIO_BUFSHARE_MAX_PROPERTIES_SIZE);
	device->max_damage = htole32(VIRTIO_BUFSHARE_MAX_DAMAGE);
	device->max_commands = htole32(200000);
}

int options_parse(int argc, char **argv, struct options *o)
{
	static const uint8_t none[VIRTIO_BUFSHARE_UUID_SIZE];
	int id, index, r;

	defaults(o);
	for (index = 1; index < argc; index++) /* it ignores all others */
		if (strcmp(argv[index], "--print-capabilities") == 0)
			return program_option(OPT_CAPABILITIES, NULL, NULL, o);

	while ((id = getopt_long(argc, argv, "", long_options, &index)) != -1) {
		const char *name = id == '?' ? "" : long_options[index].name;

		r = device_option(id, name, optarg, o);
		if (r == 0)
			r = consumer_option(id, name, optarg, o);
		if (r == 0)
			r = program_option(id, name, optarg, o);
		if (r >= 0)
			return r;
	}
	if (optind < argc) {
		log_err("%s: not an option (see --help)", argv[optind]);
		return 2;
	}
	o->activated = o->worker.channel < 0 && activation_is_there();
	if (o->worker.channel < 0 && (o->socket_path != NULL) + (o->fd >= 0) + o->activated != 1) {
		log_err("give either --socket-path=PATH or --fd=FDNUM (see --help)");
		return 2;
	}
	if (!o->consumer_path && o->socket_path &&
	    asprintf(&o->consumer_path, "%s.consumers", o->socket_path) < 0)
		return 1;
	if (memcmp(o->backend.device.uuid, none, sizeof(none)) == 0)
		default_uuid(&o->backend.device);
	if (o->consumer_path && o->worker.channel < 0)
		check_reach(o);
	leave_some_for_others(&o->backend);
	return -1;
}
