/* SPDX-License-Identifier: MIT */
/*
 * bufsharectl: from the command line to the verb.
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

/* https://no-color.org: set and not empty means none, unless it is asked for. */
static bool parse_color(const char *arg, struct ctl *ctl)
{
	const char *no = getenv("NO_COLOR"), *term = getenv("TERM");

	if (strcmp(arg, "always") == 0)
		ctl->color = true;
	else if (strcmp(arg, "never") == 0)
		ctl->color = false;
	else if (strcmp(arg, "auto") == 0)
		ctl->color = isatty(STDOUT_FILENO) && !(no && *no) && term &&
			     strcmp(term, "dumb") != 0;
	else
		return false;
	return true;
}

/* -1: go on, else the exit status. */
static int globals(struct ctl *ctl, int argc, char **argv)
{
	int c;

	while ((c = next_global_option(ctl, argc, argv)) != -1) {
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
		case GLOBAL_COLOR:
			if (!parse_color(optarg, ctl))
				return usage(ctl, "--color %s: not auto, always or never", optarg);
			break;
		case GLOBAL_NO_LEGEND:
			ctl->legend = false;
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
	if (ctl->device && ctl->socket)
		return usage(ctl, "-d is for the guest, -H for the host: one of them");
	return -1;
}

/* What interrupts becomes readable, so that everything is put back in order first. */
static int catch_signals(void)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	signals_kill(false);
	interrupting_signals(&set);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static int run(struct ctl *ctl, int argc, char **argv)
{
	const struct verb *v;

	v = find_verb(argv[0]);
	if (!v)
		return EXIT_USAGE;
	ctl->verb = v;
	if (help_is_asked(v, argc, argv)) {
		help_verb(v);
		return EXIT_OK;
	}
	if (!v->host && ctl->socket)
		return usage(ctl, "works in the guest, without -H");
	if (!v->guest && !ctl->socket)
		return usage(ctl, "works on the host: give the consumer socket with -H");
	optind = 0; /* getopt begins anew */
	return ctl->socket ? v->host(ctl, argc, argv) : v->guest(ctl, argc, argv);
}

/* Whether all that was printed has arrived. */
static int finish_output(const struct ctl *ctl, int status)
{
	int r = flush_output();

	if (r == 0)
		return status;
	/* Who reads has seen enough, as head does: nothing that anybody wants to hear of. */
	if (r == -EPIPE)
		return EXIT_FAILED;
	return fail(ctl, r, r == -ENOSPC ? "the disk is full" : NULL, "cannot write output");
}

static int begin(struct ctl *ctl, int argc, char **argv)
{
	int status = globals(ctl, argc, argv);

	if (status >= 0)
		return status;
	if (optind == argc) {
		help_all();
		return EXIT_USAGE;
	}
	return run(ctl, argc - optind, argv + optind);
}

int main(int argc, char **argv)
{
	struct ctl ctl = { .signals = -1, .legend = true };
	int status;

	parse_color("auto", &ctl);
	ctl.signals = catch_signals();
	if (ctl.signals < 0)
		return fail(&ctl, -errno, NULL, "cannot wait for signals");
	status = finish_output(&ctl, begin(&ctl, argc, argv));
	close(ctl.signals);
	return status;
}
