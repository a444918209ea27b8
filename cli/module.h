/* SPDX-License-Identifier: MIT */
/*
 * The driver as a kernel module.
 */
#ifndef CLI_MODULE_H
#define CLI_MODULE_H

#define MODULE_INSTALL_HINT "build and install it: make module && make module-install"

enum module_state {
	MODULE_ABSENT, /* not installed for this kernel */
	MODULE_THERE, /* could be loaded */
	MODULE_LOADED,
	MODULE_BUILTIN,
};

int module_state(void);

#endif /* CLI_MODULE_H */
