/* SPDX-License-Identifier: MIT */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ids.h"
#include "common/cleanup.h"

/* Reservations of this machine's owner come first. */
static const char *const files[] = {
	SYSCONFDIR "/virtio-bufshare/applications.ids",
	PKGDATADIR "/applications.ids",
};

/* Four hexadecimal digits and two spaces. NULL: it is something else. */
static const char *parse_id(const char *line, uint16_t *id)
{
	unsigned int value;
	int n = 0;

	if (strspn(line, "0123456789abcdef") != 4 || sscanf(line, "%4x  %n", &value, &n) != 1 ||
	    strncmp(line + 4, "  ", 2) != 0)
		return NULL;
	*id = (uint16_t)value;
	return line + n;
}

char *ids_find(FILE *file, uint16_t vendor, uint16_t device)
{
	_cleanup_free_ char *line = NULL;
	bool inside = false;
	size_t room = 0;
	uint16_t id;

	while (getline(&line, &room, file) >= 0) {
		const char *text, *what;

		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\t') {
			text = parse_id(line, &id);
			if (text)
				inside = id == vendor;
			continue;
		}
		text = inside ? parse_id(line + 1, &id) : NULL;
		if (!text || id != device)
			continue;
		/* Behind the application, which the device has of its own. */
		what = strstr(text, "  ");
		return strdup(what ? what + 2 : text);
	}
	return NULL;
}

char *ids_lookup(uint16_t vendor, uint16_t device)
{
	const char *only = getenv("BUFSHARE_IDS");
	char *what = NULL;
	size_t i;

	if (!vendor && !device)
		return NULL;
	for (i = 0; !what && i < (only ? 1 : ARRAY_SIZE(files)); i++) {
		FILE *file = fopen(only ?: files[i], "re");

		if (!file)
			continue;
		what = ids_find(file, vendor, device);
		fclose(file);
	}
	return what;
}
