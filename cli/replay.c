/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/replay.h"
#include "common/cleanup.h"

static int parse(struct ctl *ctl, int argc, char **argv, struct replay *replay)
{
	uint64_t speed;
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		switch (c) {
		case 's':
			if (!parse_seconds(optarg, &speed))
				return usage(ctl, "--speed %s: not a number", optarg);
			replay->player.speed = (double)speed / 1e9;
			break;
		case 'k':
			replay->hold = true;
			break;
		case 'w':
			replay->wait = true;
			break;
		default:
			return EXIT_USAGE;
		}
	}
	if (optind + 1 != argc)
		return usage(ctl, "wants one file");
	replay->file = argv[optind];
	return EXIT_OK;
}

int replay_new(struct ctl *ctl, int argc, char **argv, struct replay **replay)
{
	_cleanup_free_ struct replay *new = calloc(1, sizeof(*new));
	int status;

	if (!new)
		return fail(ctl, -ENOMEM, NULL, "cannot replay");
	new->ctl = ctl;
	new->player.speed = 1;
	status = parse(ctl, argc, argv, new);
	if (status == EXIT_OK)
		*replay = steal_ptr(&new);
	return status;
}

static int finished(const struct replay *replay, int r)
{
	const struct player *p = &replay->player;

	if (r > 0) /* and said */
		return r;
	if (r == -EBADMSG) {
		fail(replay->ctl, 0, "is it a recording?", "record %" PRIu64 ": %s", p->line,
		     p->wrong);
		return EXIT_PROTOCOL;
	}
	if (r == -ETIMEDOUT)
		return fail(replay->ctl, r, NULL, "a host program keeps its update");
	if (r < 0 && r != -EINTR)
		return fail(replay->ctl, r, NULL, "cannot replay record %" PRIu64, p->line);
	note(replay->ctl, "%" PRIu64 " updates", p->updates);
	return EXIT_OK;
}

/* What comes in its own time is waited for, which nothing in a buffer would end. */
static int input_of(FILE *f)
{
	struct stat st;

	if (fstat(fileno(f), &st) == 0 && S_ISREG(st.st_mode))
		return -1;
	setvbuf(f, NULL, _IONBF, 0);
	return fileno(f);
}

static int play(struct replay *replay, FILE *f)
{
	struct player *p = &replay->player;
	int r;

	p->input = input_of(f);
	r = player_run(p, f);
	if (r == 0)
		r = player_wait_all(p);
	while (r >= 0 && replay->hold)
		r = p->ops->wait(p->data, 0);
	return r;
}

int replay_run(struct replay *replay)
{
	const bool is_stdin = strcmp(replay->file, "-") == 0;
	FILE *f = is_stdin ? stdin : fopen(replay->file, "re");
	int r;

	if (!f)
		return fail(replay->ctl, -errno, NULL, "cannot read %s", replay->file);
	r = play(replay, f);
	player_clear(&replay->player);
	if (!is_stdin)
		fclose(f);
	return finished(replay, r);
}
