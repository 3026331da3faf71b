/* The recovery system call as a program without any library sees it. The
 * tests use this instead of the SDKs, so that a fault in one can't hide a
 * fault in the other. */
#ifndef GUEST_RECOVER_H
#define GUEST_RECOVER_H

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_recover 1900
#define RECOVER_SIGNAL 42 /* SIGRTMIN+8, counted by the kernel */

enum {
	RECOVER_VERSION,
	RECOVER_ATTACH,
	RECOVER_FAIL,
	RECOVER_INFO,
	RECOVER_DATA,
	RECOVER_CHECKPOINT,
	RECOVER_RESOLVED,
	RECOVER_HEARTBEAT,
};

enum { KIND_REPORTED = 1, KIND_SIGNAL, KIND_EXIT, KIND_HANG, KIND_OOM, KIND_PROBE, KIND_OPERATOR };

struct recover_attach {
	uint32_t size, signo, flags, max_level;
};

struct recover_failure {
	uint32_t size;
	int32_t code;
	uint64_t key, message, message_len, data, data_len;
};

struct recover_info {
	uint32_t size, level, attempt, kind;
	int32_t code, signo, pid, tid;
	uint64_t fault_addr, fault_ip, key, checkpoint_seq;
	uint64_t checkpoint_time_ns, failure_time_ns, failure_after_ns;
	uint32_t message_len, data_len;
	uint8_t message[224];
};

struct recover_buffer {
	uint32_t size, flags;
	uint64_t offset, addr, len;
};

struct recover_heartbeat {
	uint32_t size, flags;
	uint64_t timeout_ns;
};

_Static_assert(sizeof(struct recover_attach) == 16, "abi");
_Static_assert(sizeof(struct recover_failure) == 48, "abi");
_Static_assert(sizeof(struct recover_info) == 320, "abi");
_Static_assert(sizeof(struct recover_buffer) == 32, "abi");
_Static_assert(sizeof(struct recover_heartbeat) == 16, "abi");

/* Returns the result, or the negated error number. */
static inline long recover(unsigned op, void *arg, unsigned long size)
{
	long r = syscall(SYS_recover, op, arg, size);
	return r < 0 ? -errno : r;
}

static inline long recover_attach(uint32_t signo, uint32_t flags, uint32_t max_level)
{
	struct recover_attach a = {sizeof a, signo, flags, max_level};
	return recover(RECOVER_ATTACH, &a, sizeof a);
}

static inline long recover_checkpoint(void)
{
	return recover(RECOVER_CHECKPOINT, NULL, 0);
}

static inline long recover_resolved(void)
{
	return recover(RECOVER_RESOLVED, NULL, 0);
}

static inline long recover_info(struct recover_info *info)
{
	memset(info, 0, sizeof *info);
	info->size = sizeof *info;
	return recover(RECOVER_INFO, info, sizeof *info);
}

static inline long recover_data(void *to, uint64_t offset, uint64_t len)
{
	struct recover_buffer b = {sizeof b, 0, offset, (uintptr_t)to, len};
	return recover(RECOVER_DATA, &b, sizeof b);
}

static inline long recover_fail(int code, const char *message, const void *data, size_t len)
{
	struct recover_failure f = {
		.size = sizeof f, .code = code,
		.message = (uintptr_t)message, .message_len = message ? strlen(message) : 0,
		.data = (uintptr_t)data, .data_len = len,
	};
	return recover(RECOVER_FAIL, &f, sizeof f);
}

#endif
