/* SPDX-License-Identifier: MIT */
/*
 * Who may do what: the rules, how they add up, and who is at the other end of a socket.
 */
#include <errno.h>
#include <grp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <cmocka.h>

#include "common/cleanup.h"
#include "common/fd-leak.h"
#include "host/daemon/access.h"

#define SOMEBODY 4242
#define OTHER 4243

static void add(struct access_rules *rules, const char *text, bool group)
{
	assert_null(access_add_rule(rules, text, group));
}

static unsigned int rights_of(const struct access_rules *rules, uid_t uid, const gid_t *groups,
			      size_t n, const char *application)
{
	struct access_peer peer = { 0 };

	access_peer_match(&peer, rules, uid, groups, n);
	assert_int_equal(peer.uid, uid);
	return access_rights(&peer, rules, application);
}

static unsigned int user_rights(const struct access_rules *rules, uid_t uid, const char *application)
{
	return rights_of(rules, uid, NULL, 0, application);
}

static void test_no_rules(void **state)
{
	static const struct access_rules none;
	const gid_t group = getegid();

	assert_int_equal(user_rights(&none, geteuid(), "app"), ACCESS_ALL);
	assert_int_equal(user_rights(&none, 0, "app"), ACCESS_ALL);
	assert_int_equal(user_rights(&none, SOMEBODY, "app"), 0);
	assert_int_equal(user_rights(&none, SOMEBODY, NULL), 0);
	assert_int_equal(rights_of(&none, SOMEBODY, &group, 1, "app"), 0);
}

static void test_user(void **state)
{
	struct access_rules rules = { 0 };

	add(&rules, "4242", false);
	assert_int_equal(user_rights(&rules, SOMEBODY, "app"), ACCESS_SEE);
	assert_int_equal(user_rights(&rules, OTHER, "app"), 0);
	assert_int_equal(user_rights(&rules, geteuid(), "app"), ACCESS_ALL);
	assert_int_equal(user_rights(&rules, 0, "app"), ACCESS_ALL);
}

static void test_rights(void **state)
{
	static const struct {
		const char *text;
		unsigned int rights;
	} cases[] = {
		{ "4242:see", ACCESS_SEE },
		{ "4242:properties", ACCESS_SEE | ACCESS_PROPERTIES },
		{ "4242:zero-copy", ACCESS_SEE | ACCESS_ZERO_COPY },
		{ "4242:zero-copy,see", ACCESS_SEE | ACCESS_ZERO_COPY },
		{ "4242:properties,zero-copy", ACCESS_ALL },
		{ "4242:all", ACCESS_ALL },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct access_rules rules = { 0 };

		add(&rules, cases[i].text, false);
		assert_int_equal(user_rights(&rules, SOMEBODY, "app"), cases[i].rights);
		assert_int_equal(user_rights(&rules, SOMEBODY, NULL), cases[i].rights);
		assert_int_equal(user_rights(&rules, OTHER, "app"), 0);
	}
}

static void test_applications(void **state)
{
	struct access_rules rules = { 0 };

	add(&rules, "4242:see:view", false);
	add(&rules, "4242:zero-copy:view.*", false);
	add(&rules, "4242:properties:*", false);
	assert_int_equal(user_rights(&rules, SOMEBODY, "view"), ACCESS_SEE | ACCESS_PROPERTIES);
	assert_int_equal(user_rights(&rules, SOMEBODY, "view.2"), ACCESS_ALL);
	assert_int_equal(user_rights(&rules, SOMEBODY, "other"), ACCESS_SEE | ACCESS_PROPERTIES);
	assert_int_equal(user_rights(&rules, SOMEBODY, NULL), ACCESS_ALL); /* somewhere */

	rules.n = 2;
	assert_int_equal(user_rights(&rules, SOMEBODY, "other"), 0);
	assert_int_equal(user_rights(&rules, SOMEBODY, "views"), 0);
	assert_int_equal(user_rights(&rules, SOMEBODY, ""), 0);
}

static void test_groups(void **state)
{
	static const gid_t groups[] = { 100, 200, 300 };
	struct access_rules rules = { 0 };

	add(&rules, "200:zero-copy", true);
	add(&rules, "300:properties:app", true);
	assert_int_equal(rights_of(&rules, SOMEBODY, groups, 3, "app"), ACCESS_ALL);
	assert_int_equal(rights_of(&rules, SOMEBODY, groups, 3, "b"), ACCESS_SEE | ACCESS_ZERO_COPY);
	assert_int_equal(rights_of(&rules, SOMEBODY, groups, 2, "app"), ACCESS_SEE | ACCESS_ZERO_COPY);
	assert_int_equal(rights_of(&rules, SOMEBODY, groups, 1, "app"), 0);
	assert_int_equal(rights_of(&rules, 200, NULL, 0, "app"), 0); /* the number of a group */

	rules.n = 0;
	add(&rules, "200", false);
	assert_int_equal(rights_of(&rules, SOMEBODY, groups, 3, "app"), 0); /* and of a user */
}

/* A rule for the daemon's own user, or root, takes the place of what they could do. */
static void test_owner_is_limited(void **state)
{
	const gid_t group = 100;
	struct access_rules rules = { 0 };
	char text[32];

	snprintf(text, sizeof(text), "%u:see:view", (unsigned int)geteuid());
	add(&rules, text, false);
	assert_int_equal(user_rights(&rules, geteuid(), "view"), ACCESS_SEE);
	assert_int_equal(user_rights(&rules, geteuid(), "other"), 0);
	assert_int_equal(user_rights(&rules, geteuid(), NULL), ACCESS_SEE);

	/* One for a group they are in does not. */
	rules.n = 0;
	add(&rules, "100:see", true);
	assert_int_equal(rights_of(&rules, geteuid(), &group, 1, "other"), ACCESS_ALL);
	rules.n = 0;
	add(&rules, "0:see", false);
	assert_int_equal(user_rights(&rules, 0, "other"), ACCESS_SEE);
}

static void test_names(void **state)
{
	struct access_rules rules = { 0 };

	add(&rules, "root:see", false);
	assert_int_equal(rules.v[0].id, 0);
	assert_false(rules.v[0].group);
	add(&rules, "root:all:app", true);
	assert_int_equal(rules.v[1].id, 0);
	assert_true(rules.v[1].group);
	assert_string_equal(rules.v[1].application, "app");
}

static void test_wrong(void **state)
{
	static const char *const wrong[] = {
		"", ":", "nobody.of.this.name", "-1", "+1", "1x", " 1", "4294967295",
		"99999999999999999999", "1:", "1:,", "1:see,", "1:seen", "1:see;all", "1:see:", "1::a",
		"1:see:a123456789b123456789c123456789d123456789e123456789f123456789g123",
	};
	struct access_rules rules = { 0 };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_non_null(access_add_rule(&rules, wrong[i], false));
		assert_int_equal(rules.n, 0);
	}
	for (i = 0; i < ACCESS_MAX_RULES; i++)
		add(&rules, "1", false);
	assert_non_null(access_add_rule(&rules, "1", false));
	assert_int_equal(rules.n, ACCESS_MAX_RULES);
}

/* ---- real sockets ---- */

static void test_own_socket(void **state)
{
	static const struct access_rules none;
	struct access_rules limited = { 0 };
	struct access_peer peer;
	char text[32];
	int sockets[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets), 0);
	assert_int_equal(access_peer_init(&peer, &none, sockets[0]), 0);
	assert_int_equal(peer.uid, geteuid());
	assert_int_equal(peer.pid, getpid());
	assert_true(peer.full);

	snprintf(text, sizeof(text), "%u", (unsigned int)getegid());
	add(&limited, text, true);
	assert_int_equal(access_peer_init(&peer, &limited, sockets[0]), 0);
	assert_int_equal(peer.rules, 1);
	close(sockets[0]);
	close(sockets[1]);
	assert_int_equal(access_peer_init(&peer, &none, sockets[0]), -EBADF);
}

static int listener(struct sockaddr_un *addr)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(*addr);

	/* A name that the kernel chooses, without a file that permissions would hide. */
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof(sa_family_t)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &size), 0);
	assert_int_equal(listen(fd, 1), 0);
	return fd;
}

/* A process of another user connects; its result with these rules. */
static int connect_as(const struct access_rules *rules, struct access_peer *peer)
{
	static const gid_t groups[] = { 700, 701 };
	struct sockaddr_un addr;
	_cleanup_close_ int fd = listener(&addr), sock = -1;
	pid_t pid = fork();
	int r, status;
	char byte;

	if (pid == 0) {
		int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

		if (setgroups(2, groups) < 0 || setgid(702) < 0 || setuid(SOMEBODY) < 0 ||
		    connect(s, (struct sockaddr *)&addr, sizeof(sa_family_t) + 6) < 0)
			_exit(1);
		_exit(read(s, &byte, 1) < 0); /* until the other side is done */
	}
	assert_true(pid > 0);
	sock = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
	assert_true(sock >= 0);
	r = access_peer_init(peer, rules, sock);
	if (r == 0)
		assert_int_equal(peer->pid, pid);
	close(sock);
	sock = -1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return r;
}

static void test_other_user(void **state)
{
	struct access_rules rules = { 0 };
	struct access_peer peer;

	if (geteuid() != 0) {
		print_message("# SKIPPED: only root becomes another user\n");
		return;
	}
	assert_int_equal(connect_as(&rules, &peer), -EACCES);
	add(&rules, "4243:all", false);
	add(&rules, "4242:all", true);
	assert_int_equal(connect_as(&rules, &peer), -EACCES);
	add(&rules, "4242:see:view", false);
	assert_int_equal(connect_as(&rules, &peer), 0);
	assert_int_equal(peer.uid, SOMEBODY);
	assert_false(peer.full);
	assert_int_equal(access_rights(&peer, &rules, "view"), ACCESS_SEE);
	assert_int_equal(access_rights(&peer, &rules, "other"), 0);

	/* By its own group, and by one of the others. */
	add(&rules, "702:properties", true);
	add(&rules, "701:zero-copy", true);
	add(&rules, "703:all", true);
	assert_int_equal(connect_as(&rules, &peer), 0);
	assert_int_equal(peer.rules, 4 | 8 | 16);
	assert_int_equal(access_rights(&peer, &rules, "other"), ACCESS_ALL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fd_leak_setup, fd_leak_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_no_rules),
		TEST(test_user),
		TEST(test_rights),
		TEST(test_applications),
		TEST(test_groups),
		TEST(test_owner_is_limited),
		TEST(test_names),
		TEST(test_wrong),
		TEST(test_own_socket),
		TEST(test_other_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
