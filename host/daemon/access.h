/* SPDX-License-Identifier: MIT */
/*
 * Which user may do what with the buffers of which application. A consumer is who its
 * socket says it is (SO_PEERCRED).
 */
#ifndef BUFSHARE_DAEMON_ACCESS_H
#define BUFSHARE_DAEMON_ACCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <linux/virtio_bufshare.h>

#define ACCESS_MAX_RULES 64

enum access_right {
	ACCESS_SEE = 1 << 0,
	ACCESS_PROPERTIES = 1 << 1, /* set those of the host */
	ACCESS_ZERO_COPY = 1 << 2, /* get the guest's pages, and so be able to write them */
	ACCESS_ALL = ACCESS_SEE | ACCESS_PROPERTIES | ACCESS_ZERO_COPY,
};

struct access_rule {
	bool group; /* id is of a group, else of a user */
	uint32_t id;
	unsigned int rights; /* ACCESS_SEE among them */
	char application[VIRTIO_BUFSHARE_APPLICATION_SIZE]; /* or a glob */
};

/* All zero: nobody but the daemon's own user and root, who may do everything. */
struct access_rules {
	struct access_rule v[ACCESS_MAX_RULES];
	size_t n;
};

/* A consumer. */
struct access_peer {
	pid_t pid; /* 0: not known */
	uid_t uid;
	bool full; /* no rule limits it */
	uint64_t rules; /* bits of the rules that are for it */
};

/*
 * Adds WHO[:RIGHT[,RIGHT]...[:APPLICATION]]. Static text of what is wrong with it, or NULL.
 * The right to see is in all others; without any it is the only one.
 */
const char *access_add_rule(struct access_rules *rules, const char *text, bool group);

/* Who is at the other end. -EACCES: nobody who may do anything. */
int access_peer_init(struct access_peer *peer, const struct access_rules *rules, int sock);

/* The same for a known user; groups are n of any kind. For tests. */
void access_peer_match(struct access_peer *peer, const struct access_rules *rules, uid_t uid,
		       const gid_t *groups, size_t n);

/* ACCESS_* for the buffers of an application; NULL: for those of any. */
unsigned int access_rights(const struct access_peer *peer, const struct access_rules *rules,
			   const char *application);

#endif /* BUFSHARE_DAEMON_ACCESS_H */
