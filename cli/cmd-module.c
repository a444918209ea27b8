/* SPDX-License-Identifier: MIT */
/*
 * load, unload, module: the driver, through libkmod.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>
#include <sys/utsname.h>

#include <libkmod.h>

#include "cli/cli.h"
#include "cli/module.h"
#include "common/cleanup.h"

#define MODULE "virtio-bufshare"

static void cleanup_kmod(struct kmod_ctx **ctx)
{
	kmod_unref(*ctx);
}

static void cleanup_list(struct kmod_list **list)
{
	kmod_module_unref_list(*list);
}

static void cleanup_module(struct kmod_module **mod)
{
	kmod_module_unref(*mod);
}

static int dry_run_option(struct ctl *ctl, int argc, char **argv, bool *dry_run)
{
	int c;

	while ((c = next_option(ctl, argc, argv)) != -1) {
		if (c != 'n')
			return EXIT_USAGE;
		*dry_run = true;
	}
	return no_argument_left(ctl, argc) ? EXIT_OK : EXIT_USAGE;
}

static int load_failed(struct ctl *ctl, int r)
{
	const char *hint = NULL;

	if (r == -ENOENT)
		hint = "it is not installed for this kernel; " MODULE_INSTALL_HINT;
	else if (r == -EPERM || r == -EACCES)
		hint = "run it as root";
	else if (r == -ENOEXEC || r == -EINVAL)
		hint = "it was built for another kernel; dmesg says more";
	else if (r == -EKEYREJECTED)
		hint = "Secure Boot wants it signed";
	return fail(ctl, r, hint, "cannot load the driver");
}

/* ---- load, unload ---- */

/* What libkmod loads, the driver last; it gives its callback nothing to keep them in. */
static struct json_object *inserted;

static void add_module(struct json_object *list, struct kmod_module *mod)
{
	const char *file = kmod_module_get_path(mod);
	struct json_object *o = json_object_new_object();

	json_add_string(o, "name", kmod_module_get_name(mod));
	if (file)
		json_add_string(o, "file", file);
	json_object_array_add(list, o);
}

static void inserting(struct kmod_module *mod, bool install, const char *options)
{
	add_module(inserted, mod);
}

/* For programs the list; people are told what would be done, and not that it was. */
static void print_modules(struct ctl *ctl, struct json_object *list, bool dry_run, const char *verb)
{
	size_t i;

	if (ctl->json != JSON_OFF)
		print_list(ctl, "modules", list, NULL);
	for (i = 0; i < json_object_array_length(list) && dry_run && ctl->json == JSON_OFF; i++) {
		struct json_object *o = json_object_array_get_idx(list, i), *value;

		if (!json_object_object_get_ex(o, "file", &value))
			json_object_object_get_ex(o, "name", &value);
		note(ctl, "would %s %s", verb, json_object_get_string(value));
	}
}

int cmd_load(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_kmod) struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	_cleanup_(cleanup_list) struct kmod_list *list = NULL;
	_cleanup_(cleanup_json) struct json_object *modules = json_object_new_array();
	unsigned int flags = KMOD_PROBE_APPLY_BLACKLIST;
	struct kmod_list *item;
	bool dry_run = false;
	int r;

	if (dry_run_option(ctl, argc, argv, &dry_run))
		return EXIT_USAGE;
	if (!ctx)
		return fail(ctl, -ENOMEM, NULL, "cannot use libkmod");
	r = kmod_module_new_from_lookup(ctx, MODULE, &list);
	if (r < 0 || !list)
		return load_failed(ctl, r < 0 ? r : -ENOENT);
	flags |= dry_run ? KMOD_PROBE_DRY_RUN : 0;
	inserted = modules;
	kmod_list_foreach(item, list) {
		_cleanup_(cleanup_module) struct kmod_module *mod = kmod_module_get_module(item);

		r = kmod_module_probe_insert_module(mod, flags, NULL, NULL, NULL, inserting);
		if (r > 0)
			return fail(ctl, 0, "a file in /etc/modprobe.d forbids it",
				    "the driver is blacklisted");
		if (r < 0)
			return load_failed(ctl, r);
	}
	if (!json_object_array_length(modules))
		note(ctl, "the driver is loaded already");
	print_modules(ctl, modules, dry_run, "load");
	return EXIT_OK;
}

int cmd_unload(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_kmod) struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	_cleanup_(cleanup_module) struct kmod_module *mod = NULL;
	_cleanup_(cleanup_json) struct json_object *modules = json_object_new_array();
	const char *hint = NULL;
	bool dry_run = false;
	int r;

	if (dry_run_option(ctl, argc, argv, &dry_run))
		return EXIT_USAGE;
	if (!ctx)
		return fail(ctl, -ENOMEM, NULL, "cannot use libkmod");
	r = kmod_module_new_from_name(ctx, MODULE, &mod);
	if (r < 0)
		return fail(ctl, r, NULL, "cannot look for the driver");
	if (kmod_module_get_initstate(mod) < 0)
		return fail(ctl, 0, NULL, "the driver is not loaded"), EXIT_NOT_FOUND;
	if (!dry_run) {
		r = kmod_module_remove_module(mod, KMOD_REMOVE_NOWAIT);
		if (r == -EAGAIN || r == -EBUSY || r == -EWOULDBLOCK)
			hint = "programs still have a device open, or hold a dma-buf of it";
		else if (r == -EPERM)
			hint = "run it as root";
		if (r < 0)
			return fail(ctl, r, hint, "cannot unload the driver");
	}
	add_module(modules, mod);
	print_modules(ctl, modules, dry_run, "unload");
	return EXIT_OK;
}

/* ---- what there is ---- */

static void cleanup_info(struct kmod_list **list)
{
	kmod_module_info_free_list(*list);
}

/* The module by its name, whether loaded, installed or built in. NULL: none of that. */
static struct kmod_module *find_module(struct kmod_ctx *ctx)
{
	_cleanup_(cleanup_list) struct kmod_list *list = NULL;

	if (!ctx || kmod_module_new_from_lookup(ctx, MODULE, &list) < 0 || !list)
		return NULL;
	return kmod_module_get_module(list);
}

static int state_of(struct kmod_module *mod)
{
	switch (kmod_module_get_initstate(mod)) {
	case KMOD_MODULE_BUILTIN:
		return MODULE_BUILTIN;
	case KMOD_MODULE_LIVE:
	case KMOD_MODULE_COMING:
	case KMOD_MODULE_GOING:
		return MODULE_LOADED;
	default:
		return kmod_module_get_path(mod) ? MODULE_THERE : MODULE_ABSENT;
	}
}

int module_state(void)
{
	_cleanup_(cleanup_kmod) struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	_cleanup_(cleanup_module) struct kmod_module *mod = NULL;

	/* One that was loaded by its path is not installed. */
	mod = find_module(ctx);
	if (!mod && (!ctx || kmod_module_new_from_name(ctx, MODULE, &mod) < 0))
		return MODULE_ABSENT;
	return state_of(mod);
}

static void add_info(struct kmod_module *mod, struct json_object *o)
{
	static const char *const wanted[] = { "version", "srcversion", "license", "vermagic", NULL };
	_cleanup_(cleanup_info) struct kmod_list *list = NULL;
	struct json_object *parameters = json_object_new_array();
	const struct kmod_list *item;
	size_t i;

	kmod_module_get_info(mod, &list);
	kmod_list_foreach(item, list) {
		const char *key = kmod_module_info_get_key(item);
		const char *value = kmod_module_info_get_value(item);

		for (i = 0; wanted[i]; i++)
			if (strcmp(key, wanted[i]) == 0)
				json_add_string(o, key, value);
		if (strcmp(key, "parm") == 0)
			json_object_array_add(parameters, json_object_new_string(value));
	}
	json_object_object_add(o, "parameters", parameters);
}

int cmd_module(struct ctl *ctl, int argc, char **argv)
{
	static const char *const states[] = {
		[MODULE_ABSENT] = "absent",
		[MODULE_THERE] = "not loaded",
		[MODULE_LOADED] = "loaded",
		[MODULE_BUILTIN] = "built in",
	};
	_cleanup_(cleanup_kmod) struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	_cleanup_(cleanup_module) struct kmod_module *mod = NULL;
	_cleanup_(cleanup_json) struct json_object *o = NULL;
	struct utsname kernel;
	int state;

	if (next_option(ctl, argc, argv) != -1)
		return EXIT_USAGE;
	if (argc - optind > 1 || (optind < argc && strcmp(argv[optind], "info") != 0))
		return usage(ctl, "takes no argument but info");
	if (!ctx || uname(&kernel) < 0)
		return fail(ctl, -ENOMEM, NULL, "cannot use libkmod");
	mod = find_module(ctx);
	if (!mod && kmod_module_new_from_name(ctx, MODULE, &mod) < 0)
		return fail(ctl, -ENOMEM, NULL, "cannot use libkmod");
	state = state_of(mod);
	if (state == MODULE_ABSENT)
		return fail(ctl, 0, MODULE_INSTALL_HINT, "no driver is installed for the kernel %s",
			    kernel.release), EXIT_NOT_FOUND;
	o = json_new();
	json_add_string(o, "name", MODULE);
	json_add_string(o, "state", states[state]);
	json_add_string(o, "kernel", kernel.release);
	if (kmod_module_get_path(mod))
		json_add_string(o, "file", kmod_module_get_path(mod));
	if (state == MODULE_LOADED && kmod_module_get_refcnt(mod) >= 0)
		json_add_u64(o, "users", (uint64_t)kmod_module_get_refcnt(mod));
	add_info(mod, o);
	print_object(ctl, o);
	return EXIT_OK;
}
