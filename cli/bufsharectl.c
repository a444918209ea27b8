/* SPDX-License-Identifier: MIT */
/*
 * bufsharectl: the table of verbs, global options, help.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "config.h"
#include "cli/cli.h"

const struct verb verbs[] = {
	{ "devices", "", "list the devices of this machine, without opening them", NULL,
	  VERB_GUEST, cmd_devices },
	{ "buffers", "[-a]", "list registered buffers",
	  "  -a, --all                 of all programs (guest, needs root)\n", VERB_GUEST | VERB_HOST,
	  cmd_buffers },
	{ "show", "ID", "show one buffer with its properties", NULL, VERB_GUEST | VERB_HOST,
	  cmd_show },
	{ "share", "FILE|-", "share a file until a host program took it; a PNG as a picture",
	  "  -a, --application NAME    for which programs (bufsharectl.share)\n"
	  "  -p, --property NAME=VALUE set a property; repeatable\n"
	  "  -t, --timeout SECONDS     give up after that long\n"
	  "  -k, --hold                keep it shared until interrupted\n", VERB_GUEST, cmd_share },
	{ "pattern", "WIDTHxHEIGHT[:FORMAT]", "share a moving picture that shows its frame number",
	  "  -a, --application NAME    for which programs (bufsharectl.pattern)\n"
	  "  -f, --fps N               frames a second (30)\n"
	  "  -n, --frames N            end after that many (0: when interrupted)\n"
	  "  -b, --buffers N           draw into that many in turn (2)\n", VERB_GUEST, cmd_pattern },
	{ "monitor", "", "print events as they come",
	  "  -a, --application PATTERN of which buffers (host; *)\n"
	  "  -n, --count N             end after that many\n"
	  "  -i, --idle-timeout SECONDS end when nothing came for that long\n", VERB_GUEST | VERB_HOST,
	  cmd_monitor },
	{ "capture", "ID FILE.png|FILE.raw|-", "write what a buffer holds to a file",
	  "  -x, --next                wait for its next update first\n"
	  "  -t, --timeout SECONDS     give up after that long (10)\n", VERB_HOST, cmd_capture },
	{ "load", "", "load the driver",
	  "  -n, --dry-run             only say what would be done\n", VERB_GUEST, cmd_load },
	{ "unload", "", "unload the driver",
	  "  -n, --dry-run             only say what would be done\n", VERB_GUEST, cmd_unload },
	{ "qemu-args", "", "print how a VM gets the device",
	  "  -s, --socket PATH         of the daemon; repeatable (/tmp/bufshare)\n"
	  "  -m, --memory SIZE         of the VM (1G)\n"
	  "  -c, --cloud-hypervisor    for Cloud Hypervisor instead of QEMU\n", 0, cmd_qemu_args },
	{ "help", "[VERB]", "explain a verb", NULL, 0, cmd_help },
	{ 0 }
};

static const char global_help[] =
	"  -d, --device LABEL|PATH|N  which device, if there are several (guest)\n"
	"  -H, --host SOCKET          talk to a daemon, at its consumer socket (host)\n"
	"  -j, --json[=STYLE]         short, pretty, lines or off (-j: pretty on a terminal)\n"
	"  -q, --quiet                no messages but errors\n"
	"  -V, --version\n"
	"  -h, --help                 also behind a verb\n";

static void help_all(void)
{
	const struct verb *v;

	printf("usage: bufsharectl [OPTION...] VERB [ARGUMENT...]\n\nVerbs:\n");
	for (v = verbs; v->name; v++)
		printf("  %-10s %-24s %s\n", v->name, v->args, v->help);
	printf("\nOptions:\n%s\nSee bufsharectl(1).\n", global_help);
}

static void help_verb(const struct verb *v)
{
	printf("usage: bufsharectl [OPTION...] %s%s %s\n\n%s%s.\n", v->name,
	       v->options ? " [OPTION...]" : "", v->args, v->help,
	       v->flags == VERB_HOST ? " (with -H)" : v->flags == VERB_GUEST ? " (in the guest)" : "");
	if (v->options)
		printf("\n%s", v->options);
}

/* How many characters to change to get from one word to the other; both short. */
static size_t distance(const char *a, const char *b)
{
	size_t row[32], i, j, n = strlen(b);

	if (n >= 32 || strlen(a) >= 32)
		return 32;
	for (j = 0; j <= n; j++)
		row[j] = j;
	for (i = 1; a[i - 1]; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (j = 1; j <= n; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			diagonal = row[j];
			if (row[j] + 1 < best)
				best = row[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
		}
	}
	return row[n];
}

static const struct verb *find_verb(const char *name)
{
	const struct verb *v, *near = verbs;

	for (v = verbs; v->name; v++) {
		if (strcmp(v->name, name) == 0)
			return v;
		if (distance(name, v->name) < distance(name, near->name))
			near = v;
	}
	fprintf(stderr, "bufsharectl: no verb \"%s\"; did you mean \"%s\"? See: bufsharectl help\n",
		name, near->name);
	return NULL;
}

int cmd_help(struct ctl *ctl, int argc, char **argv)
{
	const struct verb *v;

	if (argc > 2)
		return usage(ctl, "one verb at a time");
	if (argc < 2) {
		help_all();
		return EXIT_OK;
	}
	v = find_verb(argv[1]);
	if (!v)
		return EXIT_USAGE;
	help_verb(v);
	return EXIT_OK;
}

static bool parse_json(const char *arg, struct ctl *ctl)
{
	if (!arg)
		ctl->json = isatty(STDOUT_FILENO) ? JSON_PRETTY : JSON_SHORT;
	else if (strcmp(arg, "short") == 0)
		ctl->json = JSON_SHORT;
	else if (strcmp(arg, "pretty") == 0)
		ctl->json = JSON_PRETTY;
	else if (strcmp(arg, "lines") == 0)
		ctl->json = JSON_LINES;
	else if (strcmp(arg, "off") == 0)
		ctl->json = JSON_OFF;
	else
		return false;
	return true;
}

/* -1: go on, else the exit status. */
static int globals(struct ctl *ctl, int argc, char **argv)
{
	static const struct option options[] = {
		{ "device", required_argument, NULL, 'd' },
		{ "host", required_argument, NULL, 'H' },
		{ "json", optional_argument, NULL, 'j' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "+d:H:jqVh", options, NULL)) != -1) {
		switch (c) {
		case 'd':
			ctl->device = optarg;
			break;
		case 'H':
			ctl->socket = optarg;
			break;
		case 'j':
			if (!parse_json(optarg, ctl))
				return usage(ctl, "--json=%s: not short, pretty, lines or off", optarg);
			break;
		case 'q':
			ctl->quiet = true;
			break;
		case 'V':
			puts("bufsharectl " PACKAGE_VERSION);
			return EXIT_OK;
		case 'h':
			help_all();
			return EXIT_OK;
		default:
			return EXIT_USAGE;
		}
	}
	return -1;
}

/* What interrupts becomes readable, so that everything is put back in order first. */
static int catch_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	signal(SIGPIPE, SIG_IGN);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -1;
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	const struct verb *v;

	v = find_verb(argv[0]);
	if (!v)
		return EXIT_USAGE;
	ctl->verb = v;
	if (argc > 1 && (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0)) {
		help_verb(v);
		return EXIT_OK;
	}
	if (v->flags == VERB_GUEST && ctl->socket)
		return usage(ctl, "works in the guest, without -H");
	if (v->flags == VERB_HOST && !ctl->socket)
		return usage(ctl, "works on the host: give the consumer socket with -H");
	optind = 0; /* getopt begins anew */
	return v->run(ctl, argc, argv);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .signals = -1 };
	int status;

	status = globals(&ctl, argc, argv);
	if (status >= 0)
		return status;
	if (optind == argc) {
		help_all();
		return EXIT_USAGE;
	}
	ctl.signals = catch_signals();
	if (ctl.signals < 0)
		return fail(&ctl, -errno, NULL, "cannot wait for signals");
	status = run(&ctl, argc - optind, argv + optind);
	close(ctl.signals);
	if (fflush(stdout) != 0 || ferror(stdout)) {
		int r = -errno;

		return fail(&ctl, r, r == -ENOSPC ? "the disk is full" : NULL, "cannot write output");
	}
	return status;
}
