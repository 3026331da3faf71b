/*
 * recover.h - what a C program uses to be rolled back and told.
 *
 * Under runsc-recover a program that fails is restored from a checkpoint
 * before the failure, and the failure interrupt, a signal, runs the handler
 * that the program registered before anything else runs. Anywhere else the
 * program is not protected, and everything here goes on working: see each
 * function.
 *
 * Which handler runs: the one of the highest registered level that is not
 * above the level asked for. When there is none, nothing runs, and the copy
 * simply tries again.
 *
 * Functions return -1 and set errno on errors, unless they say otherwise. Only
 * those marked "async-signal-safe" may be called in a signal handler.
 */
#ifndef RECOVER_H
#define RECOVER_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define RECOVER_SYSCALL 1900
#define RECOVER_ABI_VERSION 1
#define RECOVER_SIGNAL 42 /* the failure interrupt when the program names none: SIGRTMIN+8 */
#define RECOVER_LEVELS 16 /* handlers can be registered for the levels 1 to 16 */

#define RECOVER_MESSAGE_MAX 4096
#define RECOVER_DATA_MAX 65536

enum recover_op {
	RECOVER_VERSION = 0,
	RECOVER_ATTACH = 1,
	RECOVER_FAIL = 2,
	RECOVER_INFO = 3,
	RECOVER_DATA = 4,
	RECOVER_CHECKPOINT = 5,
	RECOVER_RESOLVED = 6,
	RECOVER_HEARTBEAT = 7
};

enum recover_kind {
	RECOVER_REPORTED = 1,
	RECOVER_SIGNALLED = 2,
	RECOVER_EXITED = 3,
	RECOVER_HUNG = 4,
	RECOVER_OUT_OF_MEMORY = 5,
	RECOVER_PROBED = 6,
	RECOVER_OPERATOR = 7
};

/* Flags of recover_attach. */
#define RECOVER_TO_THREAD 1u         /* the interrupt goes to the calling thread, not to any of the process */
#define RECOVER_DEFER 0x80000000u    /* handlers run in recover_run alone, never in a signal handler */

/* The structures of the system call. */
struct recover_attach {
	uint32_t size, signo, flags, max_level;
};

struct recover_failure {
	uint32_t size;
	int32_t code;
	uint64_t key;
	uint64_t message, message_len;
	uint64_t data, data_len;
};

struct recover_info {
	uint32_t size;
	uint32_t level;              /* recovery level asked for, 1 = mildest */
	uint32_t attempt;            /* 1 for the first copy of this episode */
	uint32_t kind;               /* enum recover_kind */
	int32_t code;                /* reported code, or exit status */
	int32_t signo;               /* fatal signal, or 0 */
	int32_t pid, tid;            /* who failed */
	uint64_t fault_addr, fault_ip;
	uint64_t key;                /* failure identity */
	uint64_t checkpoint_seq;
	uint64_t checkpoint_time_ns; /* CLOCK_REALTIME */
	uint64_t failure_time_ns;    /* CLOCK_REALTIME; no two failures share it */
	uint64_t failure_after_ns;   /* run time from the checkpoint to the failure */
	uint32_t message_len, data_len;
	uint8_t message[224];        /* the first bytes of the message, not terminated */
};

struct recover_buffer {
	uint32_t size, flags;
	uint64_t offset, addr, len;
};

struct recover_heartbeat {
	uint32_t size, flags;
	uint64_t timeout_ns; /* 0 disarms */
};

/*
 * A handler gets the error state of the copy that failed and the arg that it
 * was registered with. Without RECOVER_DEFER it runs in a signal handler and
 * is bound by what is safe there. It must not call recover_checkpoint or
 * recover_settle, which wait for handlers. It may leave by siglongjmp in a
 * program with one thread that doesn't call recover_settle.
 */
typedef void recover_handler(const struct recover_info *info, void *arg);

/*
 * recover_on registers the handler of a level, or removes it when fn is NULL.
 * Register before recover_attach. EINVAL: level isn't in 1..RECOVER_LEVELS.
 */
int recover_on(unsigned level, recover_handler *fn, void *arg);

/*
 * recover_attach asks for the failure interrupt: signal signo, or
 * RECOVER_SIGNAL for 0. It installs the signal's handler (SA_RESTART, and
 * SA_ONSTACK) and unblocks the signal in the calling thread. max_level is the
 * highest level that the program's handlers know, 0 for no limit. It returns
 * 1 when the program is protected and 0, with the signal left alone, when it
 * is not.
 */
int recover_attach(int signo, unsigned flags, unsigned max_level);

/* recover_protected says whether a failure would be rolled back. Async-signal-safe. */
int recover_protected(void);

/*
 * recover_fail reports a failure. When the program is rolled back it doesn't
 * return. It returns -1 with errno ENOSYS when the program isn't protected and
 * ENOTRECOVERABLE when it can't be rolled back; the program then fails as it
 * would have without it. message may be NULL and is cut to
 * RECOVER_MESSAGE_MAX bytes; EMSGSIZE: data is longer than RECOVER_DATA_MAX.
 * key 0: the failure is known by its code and message. Async-signal-safe.
 */
int recover_fail(int code, const char *message, const void *data, size_t len, uint64_t key);

/*
 * recover_info tells of the failure that this copy was restored for. ENODATA:
 * there was none; ENOSYS: not protected. Async-signal-safe.
 */
int recover_info(struct recover_info *info);

/*
 * recover_data copies up to len bytes of that failure's data, from offset on,
 * and returns how many. Errors as recover_info. Async-signal-safe.
 */
long recover_data(void *buf, size_t len, size_t offset);

/*
 * recover_checkpoint takes a checkpoint and returns 0. In a copy restored from
 * it, it returns again, with the number of the attempt, 1 or more, after the
 * handler has run (or, with RECOVER_DEFER, when recover_run will run it). Not
 * protected, or with recovery off: does nothing and returns 0. EAGAIN: no
 * checkpoint could be taken now.
 */
long recover_checkpoint(void);

/*
 * recover_settle returns once the handler of the newest failure has run, in
 * whichever thread. A thread that is about to do again what failed calls it so
 * as not to overtake a handler that runs in another thread.
 */
void recover_settle(void);

/*
 * recover_run runs the handler that RECOVER_DEFER put off, if there is one,
 * and returns the level that was asked for, or 0.
 */
unsigned recover_run(void);

/*
 * recover_resolved says that the program is past the failure. Not protected:
 * does nothing and returns 0.
 */
int recover_resolved(void);

/*
 * recover_heartbeat says that the program is alive, and that it has hanged
 * when no other heartbeat follows within timeout_ns; 0 disarms. Not protected:
 * does nothing and returns 0.
 */
int recover_heartbeat(uint64_t timeout_ns);

#ifdef __cplusplus
}
#endif

#endif
