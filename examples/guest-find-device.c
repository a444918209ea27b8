/* SPDX-License-Identifier: MIT */
/*
 * Tell the devices of this machine apart without opening one.
 *
 * cc -o guest-find-device guest-find-device.c $(pkg-config --cflags --libs libbufshare)
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include <bufshare.h>

/* Made from the label, or random: see vhost-user-bufshare(1). */
static void print_uuid(const struct bufshare_device *dev)
{
	uint8_t uuid[BUFSHARE_UUID_SIZE];
	size_t i;

	if (bufshare_device_get_uuid(dev, uuid) < 0)
		return;
	for (i = 0; i < sizeof(uuid); i++)
		printf("%02x", uuid[i]);
	printf("\n");
}

int main(void)
{
	struct bufshare_device **devs;
	uint16_t vendor, device;
	uint64_t largest;
	size_t n, i;
	int r;

	r = bufshare_device_enumerate(&devs, &n);
	if (r < 0) {
		fprintf(stderr, "cannot look for devices: %s\n", strerror(-r));
		return 1;
	}
	for (i = 0; i < n; i++) {
		bufshare_device_get_subsystem(devs[i], &vendor, &device);
		r = bufshare_device_get_limit(devs[i], BUFSHARE_LIMIT_BUFFER_SIZE, &largest);
		printf("%s: label \"%s\", application \"%s\", subsystem %04x:%04x, buffers up to %" PRIu64
		       " bytes, uuid ", bufshare_device_get_path(devs[i]),
		       bufshare_device_get_label(devs[i]), bufshare_device_get_application(devs[i]),
		       vendor, device, r < 0 ? 0 : largest);
		print_uuid(devs[i]);
	}
	bufshare_device_list_free(devs, n);
	return n == 0;
}
