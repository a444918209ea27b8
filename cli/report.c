/* SPDX-License-Identifier: MIT */
/*
 * What doctor finds, on either side: a line for each check, with the fix if it failed.
 */
#include <stdarg.h>
#include <stdio.h>

#include "cli/cli.h"
#include "common/cleanup.h"

static const char *const words[] = {
	[FINDING_GOOD] = "ok",
	[FINDING_SKIPPED] = "skipped",
	[FINDING_WARNING] = "warning",
	[FINDING_BAD] = "failed",
};

static const int styles[] = {
	[FINDING_GOOD] = STYLE_GOOD,
	[FINDING_SKIPPED] = STYLE_NONE,
	[FINDING_WARNING] = STYLE_WARN,
	[FINDING_BAD] = STYLE_BAD,
};

void report_begin(struct report *report, struct ctl *ctl)
{
	*report = (struct report){ .ctl = ctl, .list = json_object_new_array() };
}

void report_add(struct report *report, const char *check, int finding, const char *fix,
		const char *format, ...)
{
	_cleanup_(cleanup_json) struct json_object *o = json_new();
	_cleanup_free_ char *text = NULL;
	struct ctl *ctl = report->ctl;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vasprintf(&text, format, ap);
	va_end(ap);
	if (n < 0)
		text = NULL;
	report->bad += finding == FINDING_BAD;
	json_add_string(o, "check", check);
	json_add_string(o, "result", words[finding]);
	json_add_string(o, "detail", text ?: "");
	if (fix)
		json_add_string(o, "fix", fix);
	if (ctl->json == JSON_LINES) {
		json_print(ctl, o);
	} else if (ctl->json != JSON_OFF) {
		json_object_object_del(o, "schema");
		json_object_array_add(report->list, steal_ptr(&o));
	} else {
		printf("%s%-8s%s%-12s ", style(ctl, styles[finding]), words[finding],
		       style(ctl, STYLE_NONE), check);
		print_clean(text ?: "");
		if (fix)
			printf(" (%s)", fix);
		putchar('\n');
		flush_output();
	}
}

int report_end(struct report *report)
{
	struct ctl *ctl = report->ctl;

	if (ctl->json == JSON_SHORT || ctl->json == JSON_PRETTY)
		print_list(ctl, "checks", report->list, NULL);
	json_object_put(report->list);
	return report->bad ? EXIT_FAILED : EXIT_OK;
}
