/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "cli/player.h"
#include "cli/recording.h"
#include "common/cleanup.h"

/* How long a host program may keep what the next record overwrites. */
#define RELEASE_NS 10000000000ull

/* Some thirty years. */
#define NEVER_NS 1e18

static int wrong(struct player *p, const char *what)
{
	p->wrong = what;
	return -EBADMSG;
}

static struct player_buffer *find(struct player *p, uint64_t id)
{
	size_t i;

	for (i = 0; i < PLAYER_MAX_BUFFERS; i++)
		if (p->buffers[i].id == id)
			return &p->buffers[i];
	return NULL;
}

static int wait_released(struct player *p, struct player_buffer *b)
{
	const uint64_t deadline = now_ns() + RELEASE_NS;
	int r;

	while ((r = p->ops->busy(p->data, b)) == 1) {
		r = p->ops->wait(p->data, deadline);
		if (r == 0)
			r = -ETIMEDOUT;
		if (r < 0)
			return r;
	}
	return r;
}

static uint64_t scaled(const struct player *p, struct json_object *record)
{
	uint64_t at = 0;
	double ns;

	recording_number(record, "at_ns", &at);
	ns = (double)at / p->speed;
	return ns < NEVER_NS ? (uint64_t)ns : (uint64_t)NEVER_NS;
}

static int wait_turn(struct player *p, struct json_object *record)
{
	const uint64_t deadline = p->start + scaled(p, record);
	int r = 1;

	while (r > 0 && now_ns() < deadline)
		r = p->ops->wait(p->data, deadline);
	return r < 0 ? r : 0;
}

/* All properties of the guest that the record has. */
static int read_properties(struct json_object *record, struct props *props)
{
	struct json_object *all;
	int r = 0;

	if (!json_object_object_get_ex(record, "properties", &all) ||
	    !json_object_is_type(all, json_type_object))
		return -EBADMSG;
	json_object_object_foreach(all, name, value) {
		const char *text = recording_text(all, name);

		if (r == 0)
			r = value && text && !props_is_host(name) ? props_set(props, name, text) :
								    -EBADMSG;
	}
	return r == -EINVAL || r == -ENOSPC ? -EBADMSG : r;
}

/* Blocks of what goes and of what comes or changes, from one set to the other. */
struct difference {
	char removed[PROPS_BLOCK_MAX], set[PROPS_BLOCK_MAX];
	size_t removed_size, set_size;
};

static void compare(const struct props *from, const struct props *to, struct difference *d)
{
	const struct prop *it = NULL;

	while ((it = props_next(from, it ? it->name : NULL)))
		if (!props_get(to, it->name))
			d->removed_size += (size_t)sprintf(d->removed + d->removed_size, "%s",
							   it->name) + 1;
	while ((it = props_next(to, it ? it->name : NULL))) {
		const char *old = props_get(from, it->name);

		if (!old || strcmp(old, it->value) != 0)
			d->set_size += (size_t)sprintf(d->set + d->set_size, "%s=%s", it->name,
						       it->value) + 1;
	}
}

/* At once, if it fits into a block. */
static int change(struct player *p, struct player_buffer *b, struct difference *d)
{
	int r = 0;

	if (d->removed_size + d->set_size <= sizeof(d->set)) {
		memmove(d->set + d->removed_size, d->set, d->set_size);
		memcpy(d->set, d->removed, d->removed_size);
		d->set_size += d->removed_size;
		d->removed_size = 0;
	}
	if (d->removed_size)
		r = p->ops->set(p->data, b, d->removed, d->removed_size);
	if (r == 0 && d->set_size)
		r = p->ops->set(p->data, b, d->set, d->set_size);
	return r;
}

static int play_properties(struct player *p, struct player_buffer *b, struct json_object *record)
{
	_cleanup_(props_clear) struct props props = { 0 };
	struct difference d = { .set_size = 0 };
	int r;

	r = read_properties(record, &props);
	if (r < 0)
		return r;
	compare(&b->props, &props, &d);
	r = change(p, b, &d);
	return r == 0 ? props_copy(&b->props, &props) : r;
}

/* Rectangles that no update can have are left out; without any, all of it changed. */
static size_t get_damage(struct json_object *record, struct bufshare_rect *rects)
{
	struct json_object *all;
	size_t n = 0, i;

	if (!json_object_object_get_ex(record, "damage", &all) ||
	    !json_object_is_type(all, json_type_array))
		return 0;
	for (i = 0; i < json_object_array_length(all) && n < BUFSHARE_MAX_DAMAGE; i++) {
		struct json_object *rect = json_object_array_get_idx(all, i);
		uint32_t v[4] = { 0 };
		size_t k;

		for (k = 0; json_object_is_type(rect, json_type_array) && k < 4; k++)
			v[k] = (uint32_t)json_object_get_int64(json_object_array_get_idx(rect, k));
		if (v[2] && v[3])
			rects[n++] = (struct bufshare_rect){ v[0], v[1], v[2], v[3] };
	}
	return n;
}

static int play_update(struct player *p, struct player_buffer *b, struct json_object *record,
		       const uint8_t *bytes, uint64_t n)
{
	struct bufshare_rect rects[BUFSHARE_MAX_DAMAGE];
	int r;

	if (n > b->size)
		return -EBADMSG;
	r = wait_released(p, b);
	if (r != 0)
		return r;
	if (n)
		memcpy(b->map, bytes, n);
	r = p->ops->update(p->data, b, rects, get_damage(record, rects));
	p->updates += r == 0;
	return r;
}

/* Time does not go on while nobody sees the first buffer. */
static int begin(struct player *p, struct player_buffer *b, struct json_object *record)
{
	int r = 0;

	if (!p->begun && p->ops->wait_seen) {
		r = p->ops->wait_seen(p->data, b);
		p->start = now_ns() - scaled(p, record);
	}
	p->begun = true;
	return r;
}

static int play_added(struct player *p, uint64_t id, struct json_object *record,
		      const uint8_t *bytes, uint64_t n)
{
	struct player_buffer *b = find(p, 0), new = { .id = id };
	int r;

	new.application = recording_text(record, "application");
	if (!new.application || find(p, id) || !b || !recording_number(record, "size", &new.size) ||
	    !new.size || new.size > PLAYER_MAX_BYTES || n > new.size)
		return -EBADMSG;
	r = read_properties(record, &new.props);
	if (r == 0)
		r = p->ops->add(p->data, &new);
	if (r != 0) {
		props_clear(&new.props);
		return r;
	}
	*b = new;
	b->application = NULL;
	r = begin(p, b, record);
	return r == 0 && n ? play_update(p, b, record, bytes, n) : r;
}

static void drop(struct player *p, struct player_buffer *b, const char *reason)
{
	p->ops->remove(p->data, b, reason);
	props_clear(&b->props);
	*b = (struct player_buffer){ 0 };
}

static int play_removed(struct player *p, struct player_buffer *b, struct json_object *record)
{
	int r = wait_released(p, b);

	drop(p, b, recording_text(record, "reason"));
	return r;
}

static int play(struct player *p, struct json_object *record, const uint8_t *bytes, uint64_t n)
{
	const char *what = recording_text(record, RECORDING_RECORD);
	struct player_buffer *b;
	uint64_t id;
	int r;

	if (!what || !recording_number(record, "buffer", &id) || !id)
		return wrong(p, "names no buffer");
	r = wait_turn(p, record);
	if (r < 0)
		return r;
	if (strcmp(what, "added") == 0)
		return play_added(p, id, record, bytes, n);
	b = find(p, id);
	if (!b)
		return wrong(p, "is of a buffer that was not added");
	if (strcmp(what, "updated") == 0)
		return play_update(p, b, record, bytes, n);
	if (strcmp(what, "properties") == 0)
		return play_properties(p, b, record);
	if (strcmp(what, "removed") == 0)
		return play_removed(p, b, record);
	return 0; /* of a later version */
}

static int check_head(struct player *p, struct json_object *record)
{
	uint64_t version;
	int r = 0;

	if (!recording_number(record, RECORDING_KEY, &version))
		return wrong(p, "does not begin a recording");
	if (version != RECORDING_VERSION)
		return wrong(p, "is of another version");
	if (p->ops->begin)
		r = p->ops->begin(p->data, recording_text(record, "label"));
	p->start = now_ns();
	return r;
}

/* The first line decides what is played, so nothing goes on beside that. */
static int read_record(struct player *p, FILE *f, struct json_object **record, uint8_t **bytes,
		       uint64_t *n)
{
	int r = 0;

	if (p->input >= 0 && p->line > 1)
		r = p->ops->wait_input(p->data, p->input);
	if (r < 0)
		return r;
	signals_kill(true); /* standard input may never say more */
	r = recording_read(f, PLAYER_MAX_BYTES, record, bytes, n);
	signals_kill(false);
	return r;
}

int player_run(struct player *p, FILE *f)
{
	int r = 0;

	for (p->line = 1; r == 0; p->line++) {
		_cleanup_(cleanup_json) struct json_object *record = NULL;
		_cleanup_free_ uint8_t *bytes = NULL;
		uint64_t n = 0;

		p->wrong = "is malformed";
		r = read_record(p, f, &record, &bytes, &n);
		if (r == -ENODATA && p->line > 1)
			return 0;
		if (r == -ENODATA)
			r = wrong(p, "is not there");
		else if (r == 0)
			r = p->line == 1 ? check_head(p, record) : play(p, record, bytes, n);
	}
	p->line--;
	return r;
}

int player_wait_all(struct player *p)
{
	int r = 0;
	size_t i;

	for (i = 0; i < PLAYER_MAX_BUFFERS && r == 0; i++)
		if (p->buffers[i].id)
			r = wait_released(p, &p->buffers[i]);
	return r;
}

void player_clear(struct player *p)
{
	size_t i;

	for (i = 0; i < PLAYER_MAX_BUFFERS; i++)
		if (p->buffers[i].id)
			drop(p, &p->buffers[i], NULL);
}
