/* SPDX-License-Identifier: MIT */
/*
 * A kernel module for those who look at one from outside; no kernel would load it.
 */
const char info[] __attribute__((section(".modinfo"), aligned(1))) =
	"license=Dual MIT/GPL\0"
	"version=1.2.3\0"
	"srcversion=0123456789ABCDEF0123456\0"
	"vermagic=6.12.0 SMP mod_unload\0"
	"parm=timeout_ms:how long a program waits (uint)";
