/* SPDX-License-Identifier: MIT */
/*
 * What the verbs of bufsharectl have in common.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <json.h>

#include <bufshare.h>
#include <bufshare-host.h>

#define JSON_SCHEMA 1

/* What the tool says to the shell; part of bufsharectl(1). */
enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2, /* called in a wrong way; nothing was done */
	EXIT_NOT_FOUND = 3, /* no such device, buffer, property or daemon */
	EXIT_PERMISSION = 4,
	EXIT_TIMEOUT = 5,
	EXIT_PROTOCOL = 6, /* the other side is not what was expected */
};

enum json_style {
	JSON_OFF, /* columns for people */
	JSON_SHORT,
	JSON_PRETTY,
	JSON_LINES, /* an object a line, as things happen */
};

struct ctl {
	const char *device; /* label, path or number; NULL: the only one */
	const char *socket; /* of a daemon; NULL: this is the guest */
	int json; /* enum json_style */
	bool color; /* standard output takes colours */
	bool quiet;
	bool legend; /* columns have titles */
	const struct verb *verb; /* for messages, and for next_option() */
	int signals; /* signalfd of what interrupts */
};

/* What a shell completes an argument with. */
enum complete {
	COMPLETE_NOTHING,
	COMPLETE_FILE,
	COMPLETE_VERB,
	COMPLETE_WORDS, /* of the list beside it */
	COMPLETE_DEVICE, /* label */
	COMPLETE_BUFFER, /* id */
	COMPLETE_BUFFER_FILE, /* an id, then a file */
};

enum option_flags {
	OPTION_GUEST = 1 << 0, /* not with -H */
	OPTION_HOST = 1 << 1, /* only with -H */
};

/* An option. Its code is its letter, or for one without a letter a number from 256 on. */
struct option_row {
	int code;
	const char *name; /* the long form; NULL ends a list */
	const char *arg; /* NULL: takes none; "[...]": the long form may have one */
	const char *help;
	unsigned int flags; /* enum option_flags; 0: everywhere */
	int complete; /* enum complete: what arg is */
	const char *words;
};

/*
 * A verb. A verb that works anywhere has the same function twice. It gets its own
 * arguments, argv[0] is its name, and returns an exit status.
 */
struct verb {
	const char *name;
	const char *args; /* for the usage line */
	const char *help; /* one line, not a sentence */
	const struct option_row *options; /* NULL: none */
	int (*guest)(struct ctl *ctl, int argc, char **argv); /* NULL: needs -H */
	int (*host)(struct ctl *ctl, int argc, char **argv); /* NULL: not with -H */
	int complete; /* enum complete: what its arguments are */
	const char *words;
};

/* verbs.c: the one table, its end has no name, and the options before a verb. */
extern const struct verb verbs[];
extern const struct option_row global_options[];

enum global_option {
	GLOBAL_COLOR = 256,
	GLOBAL_NO_LEGEND,
};

int cmd_bench(struct ctl *ctl, int argc, char **argv);
int cmd_buffers_guest(struct ctl *ctl, int argc, char **argv);
int cmd_buffers_host(struct ctl *ctl, int argc, char **argv);
int cmd_capture_guest(struct ctl *ctl, int argc, char **argv);
int cmd_capture_host(struct ctl *ctl, int argc, char **argv);
int cmd_completion(struct ctl *ctl, int argc, char **argv);
int cmd_doctor_host(struct ctl *ctl, int argc, char **argv);
int cmd_devices(struct ctl *ctl, int argc, char **argv);
int cmd_doctor_guest(struct ctl *ctl, int argc, char **argv);
int cmd_get_guest(struct ctl *ctl, int argc, char **argv);
int cmd_get_host(struct ctl *ctl, int argc, char **argv);
int cmd_help(struct ctl *ctl, int argc, char **argv);
int cmd_import(struct ctl *ctl, int argc, char **argv);
int cmd_load(struct ctl *ctl, int argc, char **argv);
int cmd_module(struct ctl *ctl, int argc, char **argv);
int cmd_monitor(struct ctl *ctl, int argc, char **argv);
int cmd_pattern(struct ctl *ctl, int argc, char **argv);
int cmd_qemu_args(struct ctl *ctl, int argc, char **argv);
int cmd_replay_guest(struct ctl *ctl, int argc, char **argv);
int cmd_replay_host(struct ctl *ctl, int argc, char **argv);
int cmd_reset(struct ctl *ctl, int argc, char **argv);
int cmd_set_guest(struct ctl *ctl, int argc, char **argv);
int cmd_set_host(struct ctl *ctl, int argc, char **argv);
int cmd_share(struct ctl *ctl, int argc, char **argv);
int cmd_show_guest(struct ctl *ctl, int argc, char **argv);
int cmd_show_host(struct ctl *ctl, int argc, char **argv);
int cmd_record(struct ctl *ctl, int argc, char **argv);
int cmd_release(struct ctl *ctl, int argc, char **argv);
int cmd_top_host(struct ctl *ctl, int argc, char **argv);
int cmd_top_guest(struct ctl *ctl, int argc, char **argv);
int cmd_unload(struct ctl *ctl, int argc, char **argv);

/* ---- options.c ---- */

/*
 * getopt_long() with the options of ctl->verb: the code of the next one, its argument in
 * optarg; -1 when only arguments are left, from argv[optind] on; or OPTION_WRONG when it
 * has said what is wrong, after which the verb returns EXIT_USAGE.
 */
#define OPTION_WRONG '?'
int next_option(const struct ctl *ctl, int argc, char **argv);

/* Whether -h or --help is among the arguments of a verb; argv stays as it is. */
bool help_is_asked(const struct verb *verb, int argc, char **argv);

/*
 * The argument of the option that next_option() gave, from min (0 or more) to max, or in
 * seconds. false: it has said what is wrong, and the verb returns EXIT_USAGE.
 */
bool number_option(const struct ctl *ctl, int code, uint64_t min, uint64_t max, uint64_t *value);
bool seconds_option(const struct ctl *ctl, int code, uint64_t *ns);

/* The same for the options before the verb. */
int next_global_option(const struct ctl *ctl, int argc, char **argv);

/*
 * Behind the last option: whether nothing is left, or one id. The second is for a verb
 * without options. false: it has said what is wrong, and the verb returns EXIT_USAGE.
 */
bool no_argument_left(const struct ctl *ctl, int argc);
bool no_arguments(const struct ctl *ctl, int argc, char **argv);
bool id_argument(const struct ctl *ctl, int argc, char **argv, uint64_t *id);

/* ---- help.c ---- */

void help_all(void);
void help_verb(const struct verb *verb);

/* How many characters to change to get from one word to the other; 32 if one is longer. */
size_t word_distance(const char *a, const char *b);

/* Whether who wrote the name may have meant a word at that distance. */
bool near_enough(const char *name, size_t distance);

/* The verb of that name, or NULL after it has proposed the nearest. */
const struct verb *find_verb(const char *name);

/* ---- util.c ---- */

/*
 * Says what failed, why (error, negative errno; 0: the text says it all) and what to do
 * (hint or NULL), and returns the exit status that goes with it.
 */
int fail(const struct ctl *ctl, int error, const char *hint, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* A usage error; returns EXIT_USAGE. */
int usage(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What is not data: to standard error, unless --quiet. */
void note(const struct ctl *ctl, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Connects to the daemon; application NULL: all. EXIT_OK, or it has said why not. */
int connect_host(struct ctl *ctl, const char *application, struct bufshare_host **host);

/* Reads events until every buffer that is there has been told. EXIT_OK, or it has said why not. */
int sync_host(struct ctl *ctl, struct bufshare_host *host);

/* Connects, and finds a buffer. EXIT_OK, or it has said why not. */
int find_host_buffer(struct ctl *ctl, uint64_t id, struct bufshare_host **host,
		     struct bufshare_host_buffer **buf);

/*
 * Waits until fd is readable. 1: it is; 0: the deadline (CLOCK_MONOTONIC, 0: none) has
 * passed; -EINTR: somebody wants us to end.
 */
int wait_for(const struct ctl *ctl, int fd, uint64_t deadline_ns);

/* The same for two: which of them are readable. */
#define WAIT_FIRST 1
#define WAIT_SECOND 2
int wait_for_either(const struct ctl *ctl, int first, int second, uint64_t deadline_ns);

/*
 * While the program waits in a call that cannot be told to end, such as for what somebody
 * types, and nothing has to be put in order, what interrupts it may end it at once.
 */
void signals_kill(bool yes);
void interrupting_signals(sigset_t *set);

uint64_t now_ns(void);

/* For qsort() of numbers. */
int compare_u64(const void *a, const void *b);

/* A number without sign; *end: what follows it must be empty. */
bool parse_u64(const char *s, uint64_t max, uint64_t *value);

/* Seconds, with fraction, to nanoseconds. */
bool parse_seconds(const char *s, uint64_t *ns);

/* Four characters of a DRM format. */
bool parse_format(const char *s, uint32_t *format);

void cleanup_device(struct bufshare_device **dev);
void cleanup_buffer(struct bufshare_buffer **buf);
void cleanup_host(struct bufshare_host **host);
void cleanup_host_buffer(struct bufshare_host_buffer **buf);
void cleanup_json(struct json_object **o);

/* ---- device.c: each that is an int returns EXIT_OK, or has said why not ---- */

#define DENIED_HINT \
	"your user is not in the group of the node; as root: usermod -aG render USER, then log in again"

/* Whether the VM has a device, even though no driver runs it. */
bool device_on_the_bus(void);

/* Finds, and opens, the device that was asked for. */
int open_device(struct ctl *ctl, struct bufshare_device **dev);

/* Registers the buffer. */
int share_buffer(struct ctl *ctl, struct bufshare_buffer *buf, const char *application);

/* What to do when a property cannot be set, or NULL. */
const char *property_hint(int error);

/* Sets a property from "NAME=VALUE". */
int set_property(struct ctl *ctl, struct bufshare_buffer *buf, const char *assignment);

/* ---- cmd-property.c ---- */

/* A buffer's properties as an object. EXIT_OK, or it has said why not. */
int guest_properties(struct ctl *ctl, struct bufshare_device *dev, uint64_t id,
		     struct json_object **properties);
struct json_object *host_properties(const struct bufshare_host_buffer *buf);

/* ---- output.c ---- */

/* What was printed is on its way. Returns the first error there was since the beginning. */
int flush_output(void);

struct json_object *json_new(void); /* an object that begins with the schema */
void json_add_string(struct json_object *o, const char *key, const char *value);
void json_add_u64(struct json_object *o, const char *key, uint64_t value);
void json_add_uuid(struct json_object *o, const char *key, const uint8_t uuid[BUFSHARE_UUID_SIZE]);

/* What switches a terminal to a style, STYLE_NONE back; "" where no colours are wanted. */
enum style {
	STYLE_NONE,
	STYLE_TITLE,
	STYLE_GOOD,
	STYLE_WARN,
	STYLE_BAD,
};
const char *style(const struct ctl *ctl, int style);

/*
 * Prints text of the other side, which a terminal must not obey: control characters, and
 * what is not UTF-8, become "?".
 */
void write_clean(FILE *file, const char *text);
void print_clean(const char *text);

/* Prints a value as text: what an array holds with commas, or spaces if it holds arrays. */
void print_value(struct json_object *value);

/* Prints one object in the style asked for. */
void json_print(const struct ctl *ctl, struct json_object *o);

/*
 * Prints a list of objects: as JSON, an object with the list under name (or a line each),
 * else as columns with the keys given, a NULL-terminated list.
 */
void print_list(const struct ctl *ctl, const char *name, struct json_object *list,
		const char *const keys[]);

/* Prints an object as "key: value" lines, or JSON. */
void print_object(const struct ctl *ctl, struct json_object *o);

const char *path_name(int path);

/* Why a buffer is copied; NULL: it is not, or for a reason of the future. */
const char *copy_reason_name(int reason);

const char *reason_name(uint64_t reason);
const char *state_name(uint64_t state);

/* An event of either side, as an object. */
struct json_object *event_json(const struct bufshare_event *ev);

/* ---- format.c: bufsharectl(1) says what a format is ---- */

/* EXIT_OK, or it has said what is wrong with it. */
int format_check(const struct ctl *ctl, const char *format);

/* Prints an object by a format that was checked, and ends the line. */
void format_print(const char *format, struct json_object *o);

/* ---- report.c: what doctor finds ---- */

enum finding {
	FINDING_GOOD,
	FINDING_SKIPPED, /* because of an earlier one */
	FINDING_WARNING, /* works, but not as well as it could */
	FINDING_BAD,
};

struct report {
	struct ctl *ctl;
	struct json_object *list;
	unsigned int bad;
};

void report_begin(struct report *report, struct ctl *ctl);

/* One check: its name, enum finding, what to do about it (or NULL) and what was found. */
void report_add(struct report *report, const char *check, int finding, const char *fix,
		const char *format, ...) __attribute__((format(printf, 5, 6)));

/* EXIT_OK, or EXIT_FAILED if something is bad. */
int report_end(struct report *report);

/* ---- rates.c: top ---- */

struct rates {
	struct ctl *ctl;
	const char *const *counters; /* keys that get a rate beside them, "KEY/s" */
	const char *const *columns;
	int fd; /* with events that must be read meanwhile; -1: none */
	int (*drain)(void *data); /* reads them; EXIT_OK, or it has said why not */
	uint64_t interval_ns, count; /* count 0: until interrupted */
	bool batch; /* one list after the other */
	bool consumers; /* of host programs instead of buffers */
	const char *name; /* of the list; NULL: "buffers" */
};

/* The options of top: -b, -n COUNT, -s SECONDS. Fills in what they say. */
#define RATES_OPTIONS                                                  \
	{ 'c', "consumers", NULL, "of host programs instead of buffers", OPTION_HOST }, \
	{ 'b', "batch", NULL, "one list after the other, for a file" }, \
	{ 'n', "count", "N", "end after that many lists" },            \
	{ 's', "seconds", "N", "between two lists (1)" }
int rates_parse(struct ctl *ctl, int argc, char **argv, struct rates *rates);

/*
 * Shows lists until interrupted. look makes a list of objects with "id" and the counters,
 * and returns EXIT_OK, or has said why not.
 */
int rates_run(const struct rates *rates, int (*look)(void *data, struct json_object **list),
	      void *data);

#endif /* CLI_CLI_H */
