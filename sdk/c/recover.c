/*
 * The library keeps its state in static variables: a signal handler has no
 * other way to reach it. Every access outside recover_attach is atomic.
 *
 * A failure is known by its time. A thread runs the handler of a failure only
 * after it has claimed it, so that it runs once, whether the interrupt or
 * recover_settle comes first. A checkpoint can hold a handler half done, and
 * the copy restored from it runs the next failure's handler on top: hence
 * a count of the handlers that run, and not a flag.
 */
#define _GNU_SOURCE
#include "recover.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ASSERT_LAYOUT(name, cond) typedef char layout_##name[(cond) ? 1 : -1]

ASSERT_LAYOUT(attach, sizeof(struct recover_attach) == 16);
ASSERT_LAYOUT(failure, sizeof(struct recover_failure) == 48);
ASSERT_LAYOUT(failure_data_len, offsetof(struct recover_failure, data_len) == 40);
ASSERT_LAYOUT(info, sizeof(struct recover_info) == 320);
ASSERT_LAYOUT(info_fault_addr, offsetof(struct recover_info, fault_addr) == 32);
ASSERT_LAYOUT(info_message_len, offsetof(struct recover_info, message_len) == 88);
ASSERT_LAYOUT(info_message, offsetof(struct recover_info, message) == 96);
ASSERT_LAYOUT(buffer, sizeof(struct recover_buffer) == 32);
ASSERT_LAYOUT(heartbeat, sizeof(struct recover_heartbeat) == 16);

struct entry {
	recover_handler *fn;
	void *arg;
};

static struct entry handlers[RECOVER_LEVELS + 1];
static uint64_t claimed; /* failure_time_ns of the newest failure seen to */
static int running;      /* handlers that run now; a futex */
static int deferred;     /* RECOVER_DEFER is set */
static int pending;      /* a deferred handler waits for recover_run */

static long call(enum recover_op op, void *arg, size_t size)
{
	return syscall(RECOVER_SYSCALL, (unsigned)op, arg, size);
}

/* without_protection makes an unprotected program's call succeed with 0. */
static long without_protection(long result)
{
	return result == -1 && errno == ENOSYS ? 0 : result;
}

int recover_on(unsigned level, recover_handler *fn, void *arg)
{
	if (level < 1 || level > RECOVER_LEVELS) {
		errno = EINVAL;
		return -1;
	}
	handlers[level].arg = arg;
	__atomic_store_n(&handlers[level].fn, fn, __ATOMIC_RELEASE);
	return 0;
}

static void run_handler(const struct recover_info *info)
{
	unsigned level = info->level < RECOVER_LEVELS ? info->level : RECOVER_LEVELS;

	for (; level >= 1; level--) {
		recover_handler *fn = __atomic_load_n(&handlers[level].fn, __ATOMIC_ACQUIRE);
		if (fn != NULL) {
			fn(info, handlers[level].arg);
			return;
		}
	}
}

static int claim(const struct recover_info *info)
{
	uint64_t last = __atomic_load_n(&claimed, __ATOMIC_SEQ_CST);

	return last != info->failure_time_ns &&
	       __atomic_compare_exchange_n(&claimed, &last, info->failure_time_ns, 0,
					   __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

/* see_to runs, or puts off, the handler of the newest failure unless that was done. */
static void see_to(void)
{
	struct recover_info info;

	if (recover_info(&info) == -1)
		return;
	/* Counted before it is claimed: whoever finds it claimed must wait. */
	__atomic_add_fetch(&running, 1, __ATOMIC_SEQ_CST);
	if (claim(&info)) {
		if (__atomic_load_n(&deferred, __ATOMIC_SEQ_CST))
			__atomic_store_n(&pending, 1, __ATOMIC_SEQ_CST);
		else
			run_handler(&info);
	}
	if (__atomic_sub_fetch(&running, 1, __ATOMIC_SEQ_CST) == 0)
		syscall(SYS_futex, &running, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
}

static void on_interrupt(int signo, siginfo_t *si, void *context)
{
	int saved = errno;

	(void)signo, (void)si, (void)context;
	see_to();
	errno = saved;
}

void recover_settle(void)
{
	int saved = errno, count;

	see_to();
	while ((count = __atomic_load_n(&running, __ATOMIC_SEQ_CST)) != 0)
		syscall(SYS_futex, &running, FUTEX_WAIT_PRIVATE, count, NULL, NULL, 0);
	errno = saved;
}

unsigned recover_run(void)
{
	struct recover_info info;

	if (!__atomic_exchange_n(&pending, 0, __ATOMIC_SEQ_CST) || recover_info(&info) == -1)
		return 0;
	run_handler(&info);
	return info.level;
}

static int install(int signo, struct sigaction *old)
{
	struct sigaction action;
	sigset_t set;

	memset(&action, 0, sizeof action);
	action.sa_sigaction = on_interrupt;
	action.sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK;
	sigemptyset(&action.sa_mask);
	if (sigaction(signo, &action, old) == -1)
		return -1;
	sigemptyset(&set);
	sigaddset(&set, signo);
	return sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int recover_attach(int signo, unsigned flags, unsigned max_level)
{
	struct recover_attach arg;
	struct sigaction old;
	int saved;

	if (!recover_protected())
		return 0;
	if (signo == 0)
		signo = RECOVER_SIGNAL;
	__atomic_store_n(&deferred, (flags & RECOVER_DEFER) != 0, __ATOMIC_SEQ_CST);
	if (install(signo, &old) == -1)
		return -1;
	arg.size = sizeof arg;
	arg.signo = (uint32_t)signo;
	arg.flags = flags & ~RECOVER_DEFER;
	arg.max_level = max_level;
	if (call(RECOVER_ATTACH, &arg, sizeof arg) == 0)
		return 1;
	saved = errno;
	sigaction(signo, &old, NULL);
	errno = saved;
	return -1;
}

int recover_protected(void)
{
	int saved = errno;
	long version = call(RECOVER_VERSION, NULL, 0);

	errno = saved;
	return version >= RECOVER_ABI_VERSION;
}

/* message_length cuts a message at the limit, between two UTF-8 characters. */
static size_t message_length(const char *message)
{
	size_t n = 0;

	while (n <= RECOVER_MESSAGE_MAX && message[n] != '\0')
		n++;
	if (n <= RECOVER_MESSAGE_MAX)
		return n;
	for (n = RECOVER_MESSAGE_MAX; n > 0 && (message[n] & 0xC0) == 0x80; n--)
		;
	return n;
}

int recover_fail(int code, const char *message, const void *data, size_t len, uint64_t key)
{
	struct recover_failure arg;

	if (len > RECOVER_DATA_MAX) {
		errno = EMSGSIZE;
		return -1;
	}
	arg.size = sizeof arg;
	arg.code = code;
	arg.key = key;
	arg.message = (uintptr_t)message;
	arg.message_len = message == NULL ? 0 : message_length(message);
	arg.data = (uintptr_t)data;
	arg.data_len = len;
	call(RECOVER_FAIL, &arg, sizeof arg);
	return -1;
}

int recover_info(struct recover_info *info)
{
	info->size = sizeof *info;
	return (int)call(RECOVER_INFO, info, sizeof *info);
}

long recover_data(void *buf, size_t len, size_t offset)
{
	struct recover_buffer arg;

	arg.size = sizeof arg;
	arg.flags = 0;
	arg.offset = offset;
	arg.addr = (uintptr_t)buf;
	arg.len = len;
	return call(RECOVER_DATA, &arg, sizeof arg);
}

long recover_checkpoint(void)
{
	long attempt;

	do
		attempt = without_protection(call(RECOVER_CHECKPOINT, NULL, 0));
	while (attempt == -1 && errno == EINTR);
	if (attempt == -1 && errno == ENOTRECOVERABLE)
		return 0;
	if (attempt > 0)
		recover_settle();
	return attempt;
}

int recover_resolved(void)
{
	return (int)without_protection(call(RECOVER_RESOLVED, NULL, 0));
}

int recover_heartbeat(uint64_t timeout_ns)
{
	struct recover_heartbeat arg;

	arg.size = sizeof arg;
	arg.flags = 0;
	arg.timeout_ns = timeout_ns;
	return (int)without_protection(call(RECOVER_HEARTBEAT, &arg, sizeof arg));
}
