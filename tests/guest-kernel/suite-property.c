/* SPDX-License-Identifier: MIT */
#include <stdio.h>
#include <sys/ioctl.h>

#include "suite.h"

#define ROOM (2 * DRM_BUFSHARE_MAX_PROPERTIES_SIZE)

/* A block literal without the NUL that the compiler adds. */
#define BLOCK(literal) literal, sizeof(literal) - 1

static int set(int fd, uint64_t id, const char *block, uint32_t size)
{
	struct drm_bufshare_set_properties args = {
		.id = id, .properties = (uintptr_t)block, .properties_size = size,
	};

	return call(fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

static void expect_properties(int fd, uint64_t id, const char *block, uint32_t size)
{
	char buf[ROOM];
	struct drm_bufshare_get_properties args = {
		.id = id, .properties = (uintptr_t)buf, .properties_size = sizeof(buf),
	};

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args));
	expect(args.properties_size == size);
	expect(memcmp(buf, block, size) == 0);
}

static uint64_t register_with(int fd, const char *block, uint32_t size)
{
	struct drm_bufshare_register args = register_args(create(fd, 4096));

	args.properties = (uintptr_t)block;
	args.properties_size = size;
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_REGISTER, &args));
	return args.id;
}

static void initial(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("width=64\0height=32\0a.b_c-d=\xc3\xa4 = b\0"));

	expect_properties(fd, id, BLOCK("a.b_c-d=\xc3\xa4 = b\0height=32\0width=64\0"));
}

static void none(void)
{
	int fd = open_node(node.render);

	expect_properties(fd, register_new(fd, 4096), "", 0);
}

static void set_and_remove(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("b=1\0d=2\0"));

	expect_ok(set(fd, id, BLOCK("c=3\0b=one\0a=0\0")));
	expect_properties(fd, id, BLOCK("a=0\0b=one\0c=3\0d=2\0"));
	expect_ok(set(fd, id, BLOCK("c\0nothing\0d=\0")));
	expect_properties(fd, id, BLOCK("a=0\0b=one\0d=\0"));
	expect_ok(set(fd, id, BLOCK("a\0b\0d\0")));
	expect_properties(fd, id, "", 0);
}

/* Names that begin with one another sort by name, not by the whole string. */
static void order(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("a.b=1\0a=2\0a-b=3\0ab=4\0"));

	expect_properties(fd, id, BLOCK("a=2\0a-b=3\0a.b=1\0ab=4\0"));
	expect_ok(set(fd, id, BLOCK("a\0")));
	expect_properties(fd, id, BLOCK("a-b=3\0a.b=1\0ab=4\0"));
}

static void set_wrong_block(const char *block, uint32_t size, int error)
{
	int fd = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("a=1\0"));

	expect_result(set(fd, id, block, size), error);
	expect_properties(fd, id, BLOCK("a=1\0"));
}

static void set_unterminated(void)
{
	set_wrong_block("b=2\0c=3", 7, -EINVAL);
}

static void set_name_empty(void)
{
	set_wrong_block(BLOCK("b=2\0=3\0"), -EINVAL);
}

static void set_name_character(void)
{
	set_wrong_block(BLOCK("b=2\0c c=3\0"), -EINVAL);
}

static void set_name_upper_case(void)
{
	set_wrong_block(BLOCK("b=2\0C=3\0"), -EINVAL);
}

static void set_name_begin(void)
{
	set_wrong_block(BLOCK("b=2\0-c=3\0"), -EINVAL);
}

static void set_name_twice(void)
{
	set_wrong_block(BLOCK("b=2\0c=3\0b=4\0"), -EINVAL);
}

static void set_value_no_utf8(void)
{
	set_wrong_block(BLOCK("b=2\0c=\xc3\0"), -EINVAL);
	set_wrong_block(BLOCK("b=2\0c=\xed\xa0\x80\0"), -EINVAL);
	set_wrong_block(BLOCK("b=2\0c=\xc0\x80\0"), -EINVAL);
}

static void set_host(void)
{
	set_wrong_block(BLOCK("b=2\0host.c=3\0"), -EPERM);
	set_wrong_block(BLOCK("b=2\0host.c\0"), -EPERM);
}

static void set_name_length(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	char block[DRM_BUFSHARE_PROPERTY_NAME_SIZE + 3];

	memset(block, 'n', sizeof(block));
	memcpy(block + DRM_BUFSHARE_PROPERTY_NAME_SIZE, "=1", 3);
	expect_result(set(fd, id, block, sizeof(block)), -EINVAL);
	expect_ok(set(fd, id, block + 1, sizeof(block) - 1));
	expect_properties(fd, id, block + 1, sizeof(block) - 1);
}

static void set_value_length(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	char block[2 + DRM_BUFSHARE_PROPERTY_VALUE_SIZE + 1];

	memset(block, 'v', sizeof(block));
	memcpy(block, "n=", 2);
	block[sizeof(block) - 1] = '\0';
	expect_result(set(fd, id, block, sizeof(block)), -EINVAL);
	block[sizeof(block) - 2] = '\0';
	expect_ok(set(fd, id, block, sizeof(block) - 1));
	expect_properties(fd, id, block, sizeof(block) - 1);
}

static void set_too_many(void)
{
	int fd = open_node(node.render);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_PROPERTIES), i;
	uint64_t id = register_new(fd, 4096);
	char text[32];
	int size;

	for (i = 0; i < max; i++) {
		size = sprintf(text, "p%u=x", (unsigned int)i) + 1;
		expect_ok(set(fd, id, text, (uint32_t)size));
	}
	expect_result(set(fd, id, BLOCK("more=x\0")), -ENOSPC);
	/* one for another */
	expect_ok(set(fd, id, BLOCK("more=x\0p0\0")));
}

static void set_too_much(void)
{
	int fd = open_node(node.render);
	uint64_t max = get_param(fd, DRM_BUFSHARE_PARAM_MAX_PROPERTIES_SIZE), size = 0;
	uint64_t id = register_new(fd, 4096);
	char block[1024 + 1];
	unsigned int i;

	memset(block, 'v', sizeof(block));
	block[1024] = '\0';
	for (i = 0; size + 1025 <= max; i++, size += 1025) {
		memcpy(block, (char[]){ 'a' + (char)i, '=' }, 2);
		expect_ok(set(fd, id, block, sizeof(block)));
	}
	memcpy(block, "z=", 2);
	expect_result(set(fd, id, block, sizeof(block)), -ENOSPC);
	/* one for another */
	expect_ok(set(fd, id, BLOCK("a=\0")));
	expect_ok(set(fd, id, block, sizeof(block)));
}

static void set_wrong(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_new(fd, 4096);
	struct drm_bufshare_set_properties args = {
		.id = id, .properties = (uintptr_t)"a=1", .properties_size = 4, .flags = 2,
	};

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args), -EINVAL);
	expect_result(set(fd, id, (const char *)16, 4), -EFAULT);
	expect_result(set(fd, id + 1, BLOCK("a=1\0")), -ENOENT);
	expect_result(set(fd, id, "a=1", DRM_BUFSHARE_MAX_PROPERTIES_SIZE + 1), -ENOSPC);
	expect_properties(fd, id, "", 0);
}

static void get_little_room(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("a=1\0b=2\0"));
	char buf[8] = "untouch";
	struct drm_bufshare_get_properties args = {
		.id = id, .properties = (uintptr_t)buf, .properties_size = 7,
	};

	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args));
	expect(args.properties_size == 8);
	expect(strcmp(buf, "untouch") == 0);
	expect_ok(call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args));
	expect(memcmp(buf, "a=1\0b=2", 8) == 0);
}

static void get_wrong(void)
{
	int fd = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("a=1\0"));
	struct drm_bufshare_get_properties args = { .id = id, .flags = 1 };

	expect_result(call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args), -EINVAL);
	args = (struct drm_bufshare_get_properties){ .id = id + 1 };
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args), -ENOENT);
	args = (struct drm_bufshare_get_properties){
		.id = id, .properties = 16, .properties_size = 4,
	};
	expect_result(call(fd, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args), -EFAULT);
}

static void get_of_other_file(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("a=1\0"));
	struct drm_bufshare_get_properties args = { .id = id };

	expect_properties(other, id, BLOCK("a=1\0"));
	drop_privileges();
	expect_properties(fd, id, BLOCK("a=1\0"));
	expect_result(call(other, DRM_IOCTL_BUFSHARE_GET_PROPERTIES, &args), -ENOENT);
}

static int set_all(int fd, uint64_t id, const char *block, uint32_t size)
{
	struct drm_bufshare_set_properties args = {
		.id = id, .properties = (uintptr_t)block, .properties_size = size,
		.flags = DRM_BUFSHARE_SET_PROPERTIES_ALL,
	};

	return call(fd, DRM_IOCTL_BUFSHARE_SET_PROPERTIES, &args);
}

static void set_of_other_file(void)
{
	int fd = open_node(node.render), other = open_node(node.render);
	uint64_t id = register_with(fd, BLOCK("a=1\0b=2\0"));

	expect_result(set(other, id, BLOCK("a=3\0")), -ENOENT);
	expect_ok(set_all(other, id, BLOCK("a=3\0b\0c=\0")));
	expect_properties(fd, id, BLOCK("a=3\0c=\0"));
	expect_event(fd, DRM_BUFSHARE_EVENT_PROPERTIES, id);

	/* Who changes their own is not told, with the flag or without it. */
	expect_ok(set_all(fd, id, BLOCK("a=4\0")));
	expect_no_event(fd);

	expect_result(set_all(other, id, BLOCK("host.a=1\0")), -EPERM);
	expect_result(set_all(other, id + 1, BLOCK("a=1\0")), -ENOENT);
	drop_privileges();
	expect_result(set_all(other, id, BLOCK("a=5\0")), -EACCES);
	expect_properties(fd, id, BLOCK("a=4\0c=\0"));
}

const struct test property_tests[] = {
	{ "properties: given at the registration", initial },
	{ "properties: none", none },
	{ "properties: set, replaced and removed", set_and_remove },
	{ "properties: sorted by name", order },
	{ "set: not terminated", set_unterminated },
	{ "set: empty name", set_name_empty },
	{ "set: bad character in a name", set_name_character },
	{ "set: upper case in a name", set_name_upper_case },
	{ "set: bad beginning of a name", set_name_begin },
	{ "set: a name twice", set_name_twice },
	{ "set: value that is not UTF-8", set_value_no_utf8 },
	{ "set: names of the host", set_host },
	{ "set: the longest name, and a longer one", set_name_length },
	{ "set: the longest value, and a longer one", set_value_length },
	{ "set: too many", set_too_many },
	{ "set: too much", set_too_much },
	{ "set: wrong", set_wrong },
	{ "set: another file's, for the administrator only", set_of_other_file },
	{ "get: little room", get_little_room },
	{ "get: wrong", get_wrong },
	{ "get: another file's, for the administrator only", get_of_other_file },
	{ NULL, NULL },
};
