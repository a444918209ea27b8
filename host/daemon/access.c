/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <fnmatch.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "host/daemon/access.h"

/* Groups of one process; the kernel's own limit. */
#define MAX_GROUPS 65536

/* ---- rules ---- */

static bool parse_id(const char *text, uint32_t *id)
{
	unsigned long long n;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	n = strtoull(text, &end, 10);
	if (errno || *end || n >= UINT32_MAX) /* the last one means nobody */
		return false;
	*id = (uint32_t)n;
	return true;
}

static bool parse_who(const char *text, bool group, uint32_t *id)
{
	const struct passwd *user;
	const struct group *gr;

	if (parse_id(text, id))
		return true;
	if (group) {
		gr = getgrnam(text);
		if (gr)
			*id = gr->gr_gid;
		return gr;
	}
	user = getpwnam(text);
	if (user)
		*id = user->pw_uid;
	return user;
}

static bool parse_rights(char *text, unsigned int *rights)
{
	static const struct {
		const char *name;
		unsigned int rights;
	} words[] = {
		{ "see", ACCESS_SEE },
		{ "properties", ACCESS_PROPERTIES },
		{ "zero-copy", ACCESS_ZERO_COPY },
		{ "all", ACCESS_ALL },
	};
	char *word;
	size_t i;

	while ((word = strsep(&text, ","))) {
		for (i = 0; i < ARRAY_SIZE(words) && strcmp(word, words[i].name) != 0; i++)
			;
		if (i == ARRAY_SIZE(words))
			return false;
		*rights |= words[i].rights;
	}
	return true;
}

const char *access_add_rule(struct access_rules *rules, const char *text, bool group)
{
	_cleanup_free_ char *copy = strdup(text);
	struct access_rule rule = { .group = group, .rights = ACCESS_SEE, .application = "*" };
	char *rest = copy, *who, *rights;

	if (!copy)
		return "there is no memory";
	if (rules->n == ARRAY_SIZE(rules->v))
		return "there are 64 such options already";
	who = strsep(&rest, ":");
	rights = strsep(&rest, ":");
	if (!parse_who(who, group, &rule.id))
		return group ? "there is no such group" : "there is no such user";
	if (rights && !parse_rights(rights, &rule.rights))
		return "the rights are see, properties, zero-copy and all";
	if (rest && (!*rest || strlen(rest) >= sizeof(rule.application)))
		return "an application has 1 to 63 characters";
	if (rest) {
		memset(rule.application, 0, sizeof(rule.application));
		memcpy(rule.application, rest, strlen(rest));
	}
	rules->v[rules->n++] = rule;
	return NULL;
}

/* ---- consumers ---- */

static bool is_in(gid_t id, const gid_t *groups, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (groups[i] == id)
			return true;
	return false;
}

void access_peer_match(struct access_peer *peer, const struct access_rules *rules, uid_t uid,
		       const gid_t *groups, size_t n)
{
	size_t i;

	peer->uid = uid;
	peer->full = uid == 0 || uid == geteuid();
	peer->rules = 0;
	for (i = 0; i < rules->n; i++) {
		const struct access_rule *rule = &rules->v[i];

		if (rule->group ? is_in(rule->id, groups, n) : rule->id == uid)
			peer->rules |= 1ULL << i;
		/* Whoever is named gets what is said, more or less than without it. */
		if (!rule->group && rule->id == uid)
			peer->full = false;
	}
}

/* The supplementary groups with room for one more; *n: how many. */
static gid_t *peer_groups(int sock, size_t *n)
{
	gid_t *groups, dummy;
	socklen_t size = 0;

	*n = 0;
	if (getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, &dummy, &size) < 0 &&
	    (errno != ERANGE || size > MAX_GROUPS * sizeof(*groups)))
		size = 0;
	groups = calloc(size / sizeof(*groups) + 1, sizeof(*groups));
	if (groups && size && getsockopt(sock, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		*n = size / sizeof(*groups);
	return groups;
}

int access_peer_init(struct access_peer *peer, const struct access_rules *rules, int sock)
{
	_cleanup_free_ gid_t *groups = NULL;
	struct ucred cred;
	socklen_t size = sizeof(cred);
	size_t n;

	if (getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &cred, &size) < 0)
		return -errno;
	groups = peer_groups(sock, &n);
	if (!groups)
		return -ENOMEM;
	groups[n++] = cred.gid;
	access_peer_match(peer, rules, cred.uid, groups, n);
	peer->pid = cred.pid;
	return access_rights(peer, rules, NULL) ? 0 : -EACCES;
}

unsigned int access_rights(const struct access_peer *peer, const struct access_rules *rules,
			   const char *application)
{
	unsigned int rights = peer->full ? ACCESS_ALL : 0;
	size_t i;

	for (i = 0; i < rules->n; i++)
		if ((peer->rules & (1ULL << i)) &&
		    (!application || fnmatch(rules->v[i].application, application, FNM_NOESCAPE) == 0))
			rights |= rules->v[i].rights;
	return rights;
}
