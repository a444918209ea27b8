/* SPDX-License-Identifier: MIT */
/*
 * The parts of the vhost-user back end: vhost-user.c has its state and says when the
 * device runs, vhost-user-msg.c does what a message asks for, vhost-user-io.c has
 * messages in and out.
 */
#ifndef BUFSHARE_DAEMON_VHOST_USER_INTERNAL_H
#define BUFSHARE_DAEMON_VHOST_USER_INTERNAL_H

#include "host/daemon/vhost-user.h"
#include "host/daemon/vhost-user-proto.h"

/* A payload that is longer than this is no message, whatever the request. */
#define VU_MAX_PAYLOAD 4096

/* A message while it arrives, and then as a whole. */
struct vu_message {
	struct vhost_user_header hdr;
	union {
		uint64_t u64;
		struct vhost_user_vring_state state;
		struct vhost_user_vring_addr addr;
		struct vhost_user_mem_table table;
		struct vhost_user_mem_reg reg;
		struct vhost_user_config config;
		uint8_t bytes[VU_MAX_PAYLOAD];
	} payload;
	size_t received; /* bytes of header and payload */
	int fds[VHOST_USER_MAX_FDS];
	size_t num_fds; /* a handler that keeps them makes it 0 */
};

/* A reply while it leaves. No message is read meanwhile, so there is never a second one. */
struct vu_reply {
	struct {
		struct vhost_user_header hdr;
		uint8_t payload[sizeof(struct vhost_user_config)];
	} frame;
	size_t sent; /* bytes of the frame */
	bool pending;
};

struct vu_queue {
	struct vu *vu;
	unsigned int index;
	struct vq *vq;
	int kick_fd; /* -1: not set up, or stopped by GET_VRING_BASE */
	struct loop_source *kick; /* while the device is started */
	bool enabled;
};

/*
 * Keys of messages that are kept: in their order they bring a back end to where it was.
 * The low bits are the queue or region.
 */
enum vu_key {
	VU_KEY_PROTOCOL_FEATURES	= 1 << 16,
	VU_KEY_FEATURES			= 2 << 16,
	VU_KEY_BACKEND_FD		= 3 << 16,
	VU_KEY_MEM_TABLE		= 4 << 16,
	VU_KEY_REM_MEM_REG		= 5 << 16, /* from that table */
	VU_KEY_ADD_MEM_REG		= 6 << 16,
	VU_KEY_VRING_NUM		= 7 << 16,
	VU_KEY_VRING_ADDR		= 8 << 16,
	VU_KEY_VRING_CALL		= 9 << 16,
	VU_KEY_VRING_ERR		= 10 << 16,
	VU_KEY_VRING_KICK		= 11 << 16,
	VU_KEY_VRING_ENABLE		= 12 << 16,
	VU_KEY_END			= 13 << 16,
};

struct vu {
	struct loop *loop;
	int sock; /* -1: closed */
	struct loop_source *source;
	struct vu_config config;
	struct vu_message in;
	struct vu_reply out;
	struct vu_note note; /* of the message that is being handled */

	uint64_t features; /* accepted */
	uint64_t protocol_features; /* accepted */
	int backend_fd; /* the back-end channel, on which nothing is sent; -1: none */
	struct memory *memory;
	struct vu_queue queues[VU_MAX_QUEUES];
	bool started;
	struct vu_state *state; /* of the caller, or own */
	struct vu_state own;
};

/* vhost-user.c */

/* Offered to the front end. */
uint64_t vu_offered_features(const struct vu *vu);

/*
 * To be asked before a queue gets (has_kick) or loses its kick descriptor, or is enabled or
 * disabled: an error if it would be ready then but could not start.
 */
int vu_check_queue(struct vu_queue *queue, bool has_kick, bool enabled);

/* Gives a queue another kick descriptor, which becomes its own on success; -1: none. */
int vu_set_kick(struct vu_queue *queue, int fd);

/* Stops the device if one of its queues can not run any more. */
void vu_stop_if_needed(struct vu *vu);

/* Says why the connection is closed. */
void vu_log_close(const struct vu *vu, int error);

/* Tells queues and device that regions came or went. */
void vu_memory_changed(struct vu *vu);

/* vhost-user-io.c */

/*
 * Reads what is there of the next message, nothing behind it. 1: it is whole; 0: not yet;
 * -ENOTCONN: the front end is gone; -EPROTO: not a message; -EMFILE: no room for its
 * descriptors.
 */
int vu_receive(struct vu *vu);

/* Closes the descriptors of the message that nobody kept, and makes room for the next one. */
void vu_message_done(struct vu_message *msg);

/* Replies to a request, at once as far as the socket has room. */
int vu_reply(struct vu *vu, uint32_t request, const void *payload, size_t size);

/* Sends on. 1: the reply is out; 0: the socket is full again. */
int vu_send_on(struct vu *vu);

/* vhost-user-msg.c */

/* What the protocol allows for this request, which may be unknown. */
int vu_check_header(const struct vhost_user_header *hdr);

/* Does what the message asks for and replies; an error ends the connection. */
int vu_handle(struct vu *vu, struct vu_message *msg);

#endif /* BUFSHARE_DAEMON_VHOST_USER_INTERNAL_H */
