/* SPDX-License-Identifier: MIT */
/* The steps of each fuzzer, which fuzz-seeds.c writes too. */
#ifndef TESTS_FUZZ_STEPS_H
#define TESTS_FUZZ_STEPS_H

/* fuzz-virtqueue.c */
enum vq_step {
	VQ_STEP_WRITE, /* offset, chunk: the driver writes */
	VQ_STEP_POP,
	VQ_STEP_PUSH, /* which, size: an answer */
	VQ_STEP_READ, /* which, offset, size */
	VQ_STEP_NOTIFY,
	VQ_STEP_STOP,
	VQ_STEP_START, /* features and whether it is resumed */
	VQ_STEP_SIZE, /* as a number */
	VQ_STEP_BASE,
	VQ_STEP_ADDRESSES, /* three offsets */
	VQ_STEP_REMAP, /* whether the second region is there */
	NUM_VQ_STEPS,
};

/* fuzz-vhost-user.c */
/* Below these, a step's byte is the request of a message: flags, descriptors, payload. */
enum vu_step {
	VU_STEP_RAW = 252, /* chunk: bytes as they are */
	VU_STEP_WRITE = 253, /* offset, chunk: the guest writes */
	VU_STEP_KICK = 254,
	VU_STEP_MEMORY = 255, /* SET_MEM_TABLE of all of it, as it should be */
};

/* fuzz-device.c */
enum dev_step {
	DEV_STEP_COMMAND, /* chunk: as it is */
	DEV_STEP_COMMAND_IN_EPOCH, /* chunk, whose epoch is the one in force */
	DEV_STEP_EVENT, /* the driver takes one */
	DEV_STEP_TICK,
	DEV_STEP_WATCH, /* consumer, whether it maps pages: from now on it sees every buffer */
	DEV_STEP_RELEASE, /* consumer, how: all that it holds */
	DEV_STEP_FULL, /* consumer, whether its socket is */
	DEV_STEP_DETACH, /* consumer, whether it is gone */
	DEV_STEP_LOSE, /* the memory behind the first buffer */
	DEV_STEP_HOST_PROPERTIES, /* chunk */
	DEV_STEP_CLEAR,
	DEV_STEP_REFUSE, /* whether buffers can be exported */
	DEV_STEP_SLOW, /* whether exports and copies take longer */
	DEV_STEP_EXPORTED, /* how: the first buffer that is being made */
	DEV_STEP_COPIED, /* how: the first buffer that is being copied */
	NUM_DEV_STEPS,
};

/* fuzz-consumers.c */
enum con_step {
	CON_STEP_MESSAGE, /* consumer, type, chunk behind the header */
	CON_STEP_RECORD, /* consumer, chunk: a whole record */
	CON_STEP_WITH_FD, /* consumer, type, chunk */
	CON_STEP_READ, /* consumer: what the daemon said */
	CON_STEP_CONNECT, /* consumer, anew */
	CON_STEP_REGISTER, /* buffer */
	CON_STEP_UPDATE, /* buffer */
	CON_STEP_UNREGISTER, /* buffer */
	CON_STEP_RESET,
	CON_STEP_TICK,
	CON_STEP_STATE, /* value */
	CON_STEP_SLOW, /* whether copies take longer */
	CON_STEP_COPIED, /* they are done */
	NUM_CON_STEPS,
};

/* fuzz-host-library.c */
enum host_step {
	HOST_STEP_MESSAGE, /* kind of file, type, chunk behind the header */
	HOST_STEP_RECORD, /* chunk: a whole record */
	HOST_STEP_FILE, /* chunk: what the files of KIND_FILE contain from now on */
	HOST_STEP_KEEP, /* buffer: the program keeps a reference, or drops it */
	HOST_STEP_RELEASE, /* seq: of every buffer that is kept */
	HOST_STEP_SUBSCRIBE,
	HOST_STEP_UNSUBSCRIBE,
	HOST_STEP_STATS,
	HOST_STEP_SET_PROPERTY,
	HOST_STEP_DRAIN, /* the daemon reads */
	NUM_HOST_STEPS,
};

/* fuzz-worker.c */
enum worker_step {
	WORKER_STEP_STATE, /* half the offset, chunk: what is left of another worker */
	WORKER_STEP_WRITE, /* half the offset, chunk: what the guest wrote */
	WORKER_STEP_RECORD, /* kind, value, chunk */
	WORKER_STEP_MESSAGE, /* whether it is replayed, request, descriptors, payload */
	WORKER_STEP_MEMORY, /* SET_MEM_TABLE of all of it, replayed */
	WORKER_STEP_RAW, /* chunk: not a record */
	NUM_WORKER_STEPS,
};

/* fuzz-keeper.c, behind whether it serves one VMM, and whether it waits for its end */
enum keeper_step {
	KEEPER_STEP_READY, /* the worker is */
	KEEPER_STEP_ANSWER, /* the worker does: what to keep, reply */
	KEEPER_STEP_RECORD, /* the worker says: kind, error, note, whether with a descriptor, chunk */
	KEEPER_STEP_RAW, /* chunk: not a record */
	KEEPER_STEP_DIE, /* the worker does, and so many cannot be started */
	KEEPER_STEP_CONNECT, /* a VMM */
	KEEPER_STEP_HANG_UP,
	KEEPER_STEP_MESSAGE, /* the VMM says: request, descriptors, payload */
	KEEPER_STEP_BYTES, /* chunk: as they are */
	KEEPER_STEP_LEVEL,
	KEEPER_STEP_END, /* somebody wants it to */
	NUM_KEEPER_STEPS,
};

/* fuzz-text.c: each has a chunk */
enum text_step {
	TEXT_STEP_IDS, /* a file */
	TEXT_STEP_USER, /* a rule */
	TEXT_STEP_GROUP,
	TEXT_STEP_FORMAT,
	TEXT_STEP_NUMBER,
	NUM_TEXT_STEPS,
};

/* What comes with a message. */
enum host_kind {
	KIND_NONE,
	KIND_MEMFD, /* sealed, MEMORY_SIZE bytes */
	KIND_FILE, /* sealed, of contents that the input chose */
	KIND_UNSEALED,
	KIND_EVENT, /* not a file at all */
	NUM_KINDS,
};

#endif /* TESTS_FUZZ_STEPS_H */
