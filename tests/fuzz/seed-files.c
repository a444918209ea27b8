/* SPDX-License-Identifier: MIT */
/*
 * Seeds of the fuzzers of files and texts.
 */
#include <string.h>

#include "fuzz/seed.h"
#include "fuzz/steps.h"

static void put_text(struct seed *s, const char *text)
{
	put(s, text, strlen(text));
}

void seed_png(struct seed *s)
{
	static const uint8_t png[] = {
		0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n',
		0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0, 2, 0, 0, 0, 2, 8, 6, 0, 0, 0,
		0x72, 0xb6, 0x0d, 0x24,
		0, 0, 0, 29, 'I', 'D', 'A', 'T', 0x78, 0x01, 0x01, 0x12, 0x00, 0xed, 0xff,
		0x00, 0x00, 0x00, 0x09, 0xc8, 0x3c, 0x00, 0x09, 0xc8,
		0x00, 0x00, 0x50, 0x09, 0xc8, 0x3c, 0x50, 0x09, 0xc8,
		0x1f, 0xd0, 0x04, 0x5d, 0x6b, 0xf8, 0x29, 0xf5,
		0, 0, 0, 0, 'I', 'E', 'N', 'D', 0xae, 0x42, 0x60, 0x82,
	};

	put(s, png, sizeof(png));
}

void seed_ppm(struct seed *s)
{
	put_text(s, "P6 # two pixels\n2 1\n200\n\1\2\3\4\5\6");
}

void seed_recording(struct seed *s)
{
	put_text(s, "{\"schema\":1,\"recording\":1}\n");
	put_text(s, "{\"record\":\"added\",\"buffer\":1,\"at_ns\":0,\"application\":\"" SEED_APPLICATION
		    "\",\"size\":4096,\"properties\":{\"width\":\"8\"},\"bytes\":3}\nabc\n");
	put_text(s, "{\"record\":\"properties\",\"buffer\":1,\"properties\":{\"title\":\"a\"}}\n");
	put_text(s, "{\"record\":\"updated\",\"buffer\":1,\"at_ns\":1000,\"damage\":[[0,0,8,8]],"
		    "\"bytes\":2}\nde\n");
	put_text(s, "{\"record\":\"removed\",\"buffer\":1}\n");
}

static void text_step(struct seed *s, uint8_t step, const char *text)
{
	put_u8(s, step);
	put_chunk(s, text, strlen(text));
}

void seed_text(struct seed *s)
{
	text_step(s, TEXT_STEP_IDS, "# ids\n0000  vendor\n\t0002  org.example  what it is\n");
	text_step(s, TEXT_STEP_USER, "1000:see,zero-copy:org.*");
	text_step(s, TEXT_STEP_GROUP, "1000:all");
	text_step(s, TEXT_STEP_FORMAT, "%a %{seq}%%\\t%s");
	text_step(s, TEXT_STEP_NUMBER, "0.25");
	text_step(s, TEXT_STEP_NUMBER, "XR24");
}
