/* SPDX-License-Identifier: MIT */
/*
 * qemu-args: what to tell the VMM.
 */
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"
#include "common/cleanup.h"

#define MAX_SOCKETS 16

/* The option of Cloud Hypervisor that says what device it is has another name since this one. */
#define CLOUD_RENAMED 53

/* Users may create the vhost-user device that takes any virtio id since this one. */
#define QEMU_MAJOR 10
#define QEMU_MINOR 2

/* Better to say it here than to leave it to "not a valid device model name". */
static void check_qemu(const struct ctl *ctl)
{
	FILE *f = popen("qemu-system-x86_64 --version 2>/dev/null", "re");
	unsigned int major, minor;
	char line[128];
	bool said;

	if (!f)
		return;
	said = fgets(line, sizeof(line), f) &&
	       sscanf(line, "QEMU emulator version %u.%u", &major, &minor) == 2;
	pclose(f);
	if (said && (major < QEMU_MAJOR || (major == QEMU_MAJOR && minor < QEMU_MINOR)))
		note(ctl, "the qemu-system-x86_64 here is %u.%u, and the device needs %d.%d or newer: "
		     "take a newer one, such as from your distribution's backports",
		     major, minor, QEMU_MAJOR, QEMU_MINOR);
}

struct vmm {
	const char *sockets[MAX_SOCKETS];
	size_t num_sockets;
	const char *memory;
	uint64_t cloud; /* version of Cloud Hypervisor; 0: QEMU */
};

/* What both VMMs take: a number and a unit. */
static bool is_size(const char *s)
{
	size_t n = strspn(s, "0123456789");

	return n && *s != '0' && s[n] && strchr("KMGT", s[n]) && !s[n + 1];
}

static int parse(struct ctl *ctl, int argc, char **argv, struct vmm *v)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 's':
			if (v->num_sockets == MAX_SOCKETS)
				return usage(ctl, "at most %d sockets", MAX_SOCKETS);
			if (!*optarg)
				return usage(ctl, "--socket: a path has characters");
			v->sockets[v->num_sockets++] = optarg;
			break;
		case 'm':
			if (!is_size(optarg))
				return usage(ctl, "--memory %s: not a size, like 512M or 4G", optarg);
			v->memory = optarg;
			break;
		case 'c':
			v->cloud = CLOUD_RENAMED;
			if (optarg && (!parse_u64(optarg, 10000, &v->cloud) || !v->cloud))
				return usage(ctl, "--cloud-hypervisor=%s: not a version, like 52",
					     optarg);
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (!v->num_sockets)
		v->sockets[v->num_sockets++] = "/tmp/bufshare";
	return no_argument_left(ctl, argc) ? EXIT_OK : EXIT_USAGE;
}

/* An option and its value: two words of the command line. */
__attribute__((format(printf, 3, 4))) static void add(struct json_object *words, const char *option,
						      const char *format, ...)
{
	_cleanup_free_ char *value = NULL;
	va_list ap;

	va_start(ap, format);
	if (vasprintf(&value, format, ap) < 0)
		value = NULL;
	va_end(ap);
	json_object_array_add(words, json_object_new_string(option));
	json_object_array_add(words, json_object_new_string(value ?: ""));
}

/* QEMU takes a comma for the end of a value, and two for one. */
static char *double_commas(const char *path)
{
	char *doubled = malloc(2 * strlen(path) + 1), *to = doubled;

	for (; doubled && *path; path++) {
		*to++ = *path;
		if (*path == ',')
			*to++ = ',';
	}
	if (doubled)
		*to = '\0';
	return doubled;
}

static void add_qemu(struct json_object *words, const struct vmm *v)
{
	size_t i;

	add(words, "-m", "%s", v->memory);
	add(words, "-object", "memory-backend-memfd,id=mem,size=%s,share=on", v->memory);
	add(words, "-machine", "q35,memory-backend=mem");
	for (i = 0; i < v->num_sockets; i++) {
		_cleanup_free_ char *path = double_commas(v->sockets[i]);

		add(words, "-chardev", "socket,id=bufshare%zu,path=%s", i, path ?: "");
		add(words, "-device", "vhost-user-test-device-pci,chardev=bufshare%zu,virtio-id=37,"
				      "num_vqs=2,vq_size=256,config_size=256", i);
	}
}

static void add_cloud(struct json_object *words, const struct vmm *v)
{
	size_t i;

	add(words, "--memory", "size=%s,shared=on", v->memory);
	for (i = 0; i < v->num_sockets; i++)
		add(words, "--generic-vhost-user", "socket=%s,%s=37,queue_sizes=[256,256]",
		    v->sockets[i], v->cloud < CLOUD_RENAMED ? "virtio_id" : "device_type");
}

/*
 * As a shell takes it. What is plain stays as it is, also for $(bufsharectl qemu-args),
 * where a shell looks for no quotes.
 */
static void print_word(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789-_./,:=+@%[]";

	if (!word[strspn(word, plain)]) {
		fputs(word, stdout);
		return;
	}
	putchar('\'');
	for (; *word; word++) {
		if (*word == '\'')
			fputs("'\\''", stdout);
		else
			putchar(*word);
	}
	putchar('\'');
}

static void print_words(struct ctl *ctl, struct json_object *words)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	size_t i;

	if (ctl->json != JSON_OFF) {
		json_object_object_add(o, "arguments", json_object_get(words));
		json_print(ctl, o);
		return;
	}
	for (i = 0; i < json_object_array_length(words); i++) {
		print_word(json_object_get_string(json_object_array_get_idx(words, i)));
		putchar(i % 2 ? '\n' : ' ');
	}
}

int cmd_qemu_args(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_json) struct json_object *words = json_object_new_array();
	struct vmm v = { .memory = "1G" };
	int status;

	status = parse(ctl, argc, argv, &v);
	if (status != EXIT_OK)
		return status;
	if (v.cloud)
		add_cloud(words, &v);
	else
		add_qemu(words, &v);
	print_words(ctl, words);
	if (v.cloud >= CLOUD_RENAMED)
		note(ctl, "for Cloud Hypervisor %d and later; for 52: --cloud-hypervisor=52",
		     CLOUD_RENAMED);
	if (!v.cloud)
		check_qemu(ctl);
	return EXIT_OK;
}
