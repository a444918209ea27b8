/* SPDX-License-Identifier: MIT */
/*
 * load, unload: the driver, through libkmod.
 */
#include <errno.h>
#include <getopt.h>
#include <string.h>

#include <libkmod.h>

#include "cli/cli.h"
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
	return optind < argc ? usage(ctl, "takes no argument") : EXIT_OK;
}

static int load_failed(struct ctl *ctl, int r)
{
	const char *hint = NULL;

	if (r == -ENOENT)
		hint = "it is not installed for this kernel: make module && make module-install";
	else if (r == -EPERM || r == -EACCES)
		hint = "run it as root";
	else if (r == -ENOEXEC || r == -EINVAL)
		hint = "it was built for another kernel; dmesg says more";
	else if (r == -EKEYREJECTED)
		hint = "Secure Boot wants it signed";
	return fail(ctl, r, hint, "cannot load the driver");
}

int cmd_load(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_kmod) struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	_cleanup_(cleanup_list) struct kmod_list *list = NULL;
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
	kmod_list_foreach(item, list) {
		_cleanup_(cleanup_module) struct kmod_module *mod = kmod_module_get_module(item);

		if (dry_run) {
			note(ctl, "would load %s", kmod_module_get_path(mod));
			continue;
		}
		r = kmod_module_probe_insert_module(mod, KMOD_PROBE_APPLY_BLACKLIST, NULL, NULL, NULL,
						    NULL);
		if (r != 0)
			return load_failed(ctl, r < 0 ? r : -EPERM);
	}
	return EXIT_OK;
}

int cmd_unload(struct ctl *ctl, int argc, char **argv)
{
	_cleanup_(cleanup_kmod) struct kmod_ctx *ctx = kmod_new(NULL, NULL);
	_cleanup_(cleanup_module) struct kmod_module *mod = NULL;
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
	if (dry_run) {
		note(ctl, "would unload %s", MODULE);
		return EXIT_OK;
	}
	r = kmod_module_remove_module(mod, KMOD_REMOVE_NOWAIT);
	if (r == -EAGAIN || r == -EBUSY || r == -EWOULDBLOCK)
		hint = "programs still have a device open, or hold a dma-buf of it";
	else if (r == -EPERM)
		hint = "run it as root";
	return r < 0 ? fail(ctl, r, hint, "cannot unload the driver") : EXIT_OK;
}
