/* SPDX-License-Identifier: MIT */
/*
 * The verbs. Help, what is accepted, completion and the check of the manual page all come
 * from this table.
 */
#include "cli/cli.h"
#include "cli/hold.h"

#define OPTIONS(...) (const struct option_row[]){ __VA_ARGS__, { 0 } }

#define OPTION_DRY_RUN { 'n', "dry-run", NULL, "only say what would be done" }

const struct option_row global_options[] = {
	{ 'd', "device", "LABEL|PATH|N", "which device, if there are several", OPTION_GUEST,
	  COMPLETE_DEVICE },
	{ 'H', "host", "SOCKET", "talk to a daemon, at its consumer socket", OPTION_HOST,
	  COMPLETE_FILE },
	{ 'j', "json", "[STYLE]", "short, pretty, lines or off (-j: pretty on a terminal)", 0,
	  COMPLETE_WORDS, "short pretty lines off" },
	{ 'q', "quiet", NULL, "no messages but errors" },
	{ GLOBAL_COLOR, "color", "WHEN", "auto, always or never", 0, COMPLETE_WORDS,
	  "auto always never" },
	{ GLOBAL_NO_LEGEND, "no-legend", NULL, "no titles above columns" },
	{ 'V', "version", NULL, "print the version" },
	{ 'h', "help", NULL, "print help; also behind a verb" },
	{ 0 }
};

const struct verb verbs[] = {
	{ "devices", "", "list the devices of this machine, without opening them", NULL,
	  cmd_devices, NULL },

	{ "buffers", "", "list registered buffers",
	  OPTIONS({ 'a', "all", NULL, "fail, unless those of all programs are seen", OPTION_GUEST }),
	  cmd_buffers_guest, cmd_buffers_host },

	{ "show", "ID", "show one buffer with its properties", NULL,
	  cmd_show_guest, cmd_show_host, COMPLETE_BUFFER },

	{ "get", "ID [NAME...]", "print properties of a buffer", NULL,
	  cmd_get_guest, cmd_get_host, COMPLETE_BUFFER },

	{ "set", "ID [NAME=VALUE...]", "set properties of a buffer; in the guest of any program's, as root",
	  OPTIONS({ 'r', "remove", "NAME", "remove a property; repeatable" }, OPTION_DRY_RUN),
	  cmd_set_guest, cmd_set_host, COMPLETE_BUFFER },

	{ "reset", "", "take back the buffers of all programs; needs root",
	  OPTIONS(OPTION_DRY_RUN), cmd_reset, NULL },

	{ "share", "FILE|-", "share a file until a host program took it; a PNG or PPM as a picture",
	  OPTIONS(HOLD_OPTIONS("bufsharectl.share"),
		  { 'r', "raw", NULL, "plain bytes, also if it is a picture" }),
	  cmd_share, NULL, COMPLETE_FILE },

	{ "import", "FD|PID:FD|FILE", "share a dma-buf or a memfd in place, without a copy",
	  OPTIONS(HOLD_OPTIONS("bufsharectl.import"),
		  { 'u', "udmabuf", NULL, "make a dma-buf of a memfd first" }),
	  cmd_import, NULL, COMPLETE_FILE },

	{ "pattern", "WIDTHxHEIGHT[:FORMAT]", "share a moving picture that shows its frame number",
	  OPTIONS({ 'a', "application", "NAME", "for which programs (bufsharectl.pattern)" },
		  { 'f', "fps", "N", "frames a second (30)" },
		  { 'n', "frames", "N", "end after that many (0: when interrupted)" },
		  { 'b', "buffers", "N", "draw into that many in turn (2)" }),
	  cmd_pattern, NULL },

	{ "monitor", "", "print events as they come",
	  OPTIONS({ 'a', "application", "PATTERN", "of which buffers (*)", OPTION_HOST },
		  { 'F', "format", "FORMAT", "print that: %e event, %b buffer, %s seq, %{KEY} ..." },
		  { 'n', "count", "N", "end after that many" },
		  { 'i', "idle-timeout", "SECONDS", "end when nothing came for that long" },
		  { 's', "seconds", "N", "look at the buffers so often (0.1)", OPTION_GUEST }),
	  cmd_monitor, cmd_monitor },

	{ "top", "", "show how often buffers are updated, as it goes on", OPTIONS(RATES_OPTIONS),
	  cmd_top_guest, cmd_top_host },

	{ "capture", "ID|FD FILE.png|FILE.raw|-", "write what a buffer holds to a file",
	  OPTIONS({ 'x', "next", NULL, "wait for its next update first", OPTION_HOST },
		  { 't', "timeout", "SECONDS", "give up after that long (10)", OPTION_HOST },
		  { 'p', "property", "NAME=VALUE", "how a picture lies in the memory; repeatable",
		    OPTION_GUEST }),
	  cmd_capture_guest, cmd_capture_host, COMPLETE_BUFFER_FILE },

	{ "record", "FILE|-", "write all that happens to a file, for replay",
	  OPTIONS({ 'a', "application", "PATTERN", "of which buffers (*)" },
		  { 'n', "updates", "N", "end after that many updates" },
		  { 'i', "idle-timeout", "SECONDS", "end when nothing came for that long" }),
	  NULL, cmd_record, COMPLETE_FILE },

	{ "replay", "FILE|-", "share again what was recorded, at the same pace",
	  OPTIONS({ 's', "speed", "N", "that many times as fast (1)" },
		  { 'w', "wait", NULL, "begin when a program sees the first buffer", OPTION_HOST },
		  { 'k', "hold", NULL, "stay after the end, until interrupted", OPTION_HOST }),
	  cmd_replay_guest, cmd_replay_host, COMPLETE_FILE },

	{ "release", "ID", "take updates of a buffer and give them back",
	  OPTIONS({ 'n', "count", "N", "end after that many (1)" },
		  { 'w', "hold", "SECONDS", "keep each for that long" },
		  { 't', "timeout", "SECONDS", "give up when none came for that long (10)" }),
	  NULL, cmd_release, COMPLETE_BUFFER },

	{ "load", "", "load the driver", OPTIONS(OPTION_DRY_RUN), cmd_load, NULL },
	{ "unload", "", "unload the driver", OPTIONS(OPTION_DRY_RUN), cmd_unload, NULL },

	{ "module", "[info]", "describe the driver that is installed or loaded", NULL,
	  cmd_module, NULL, COMPLETE_WORDS, "info" },

	{ "doctor", "", "check all there is, from the driver to the host and back",
	  OPTIONS({ 't', "timeout", "SECONDS", "for the release of an update (5)", OPTION_GUEST }),
	  cmd_doctor_guest, cmd_doctor_host },

	{ "bench", "", "measure what sharing costs, against copying",
	  OPTIONS({ 'b', "buffers", "N", "how many small ones are updated in turn (32)" },
		  { 'n', "turns", "N", "how often everything is measured (11)" }),
	  cmd_bench, NULL },

	{ "qemu-args", "", "print how a VM gets the device",
	  OPTIONS({ 's', "socket", "PATH", "of the daemon; repeatable (/tmp/bufshare)", 0,
		    COMPLETE_FILE },
		  { 'm', "memory", "SIZE", "of the VM (1G)" },
		  { 'c', "cloud-hypervisor", "[VERSION]",
		    "for Cloud Hypervisor (53) instead of QEMU" }),
	  cmd_qemu_args, cmd_qemu_args },

	{ "completion", "SHELL", "print what bash, zsh or fish needs to complete command lines",
	  NULL, cmd_completion, cmd_completion, COMPLETE_WORDS, "bash zsh fish" },
	{ "help", "[VERB]", "explain a verb", NULL, cmd_help, cmd_help, COMPLETE_VERB },
	{ 0 }
};
