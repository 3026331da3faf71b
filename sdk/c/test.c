/*
 * Tests of librecover against a kernel of their own: the linker puts
 * __wrap_syscall behind every syscall(2) of the library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "recover.h"

long __real_syscall(long number, ...);

#define CHECK(cond)                                                              \
	do {                                                                     \
		if (!(cond)) {                                                   \
			fprintf(stderr, "%s:%d: %s: %s is false\n", __FILE__, __LINE__, \
				__func__, #cond);                                \
			exit(1);                                                 \
		}                                                                \
	} while (0)

/* What the kernel of the tests knows. */
static struct {
	int protected;
	int failed; /* info and data are there */
	struct recover_info info;
	char data[64];
	long checkpoint; /* what RECOVER_CHECKPOINT returns */
	int interruptions; /* EINTR to be given first */
	int attach_error;
	struct recover_attach attached;
	char message[RECOVER_MESSAGE_MAX + 1];
	struct recover_failure reported;
} kernel;

static long refuse(int error)
{
	errno = error;
	return -1;
}

static long take_checkpoint(void)
{
	if (kernel.interruptions > 0) {
		kernel.interruptions--;
		return refuse(EINTR);
	}
	if (kernel.checkpoint > 0 && kernel.attached.signo != 0)
		raise((int)kernel.attached.signo);
	return kernel.checkpoint;
}

static long copy_data(const struct recover_buffer *b)
{
	size_t n = kernel.info.data_len - b->offset;

	if (n > b->len)
		n = b->len;
	memcpy((void *)(uintptr_t)b->addr, kernel.data + b->offset, n);
	return (long)n;
}

static long take_report(const struct recover_failure *f)
{
	kernel.reported = *f;
	memcpy(kernel.message, (const void *)(uintptr_t)f->message, f->message_len);
	return refuse(ENOTRECOVERABLE);
}

static long serve(unsigned op, void *arg)
{
	if (!kernel.protected)
		return refuse(ENOSYS);
	switch (op) {
	case RECOVER_VERSION:
		return RECOVER_ABI_VERSION;
	case RECOVER_ATTACH:
		if (kernel.attach_error)
			return refuse(kernel.attach_error);
		kernel.attached = *(struct recover_attach *)arg;
		return 0;
	case RECOVER_FAIL:
		return take_report(arg);
	case RECOVER_INFO:
		if (!kernel.failed)
			return refuse(ENODATA);
		*(struct recover_info *)arg = kernel.info;
		return 0;
	case RECOVER_DATA:
		return copy_data(arg);
	case RECOVER_CHECKPOINT:
		return take_checkpoint();
	default:
		return 0;
	}
}

static int waiting[2]; /* gets a byte for each thread that is about to wait */

long __wrap_syscall(long number, ...)
{
	va_list list;
	long a[6];
	int i;

	va_start(list, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == RECOVER_SYSCALL)
		return serve((unsigned)a[0], (void *)a[1]);
	if (number == SYS_futex && a[1] == FUTEX_WAIT_PRIVATE)
		CHECK(write(waiting[1], "", 1) == 1);
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static uint64_t next_time = 1;

/* fail_at makes the kernel one of a copy whose original failed. */
static void fail_at(unsigned level)
{
	kernel.failed = 1;
	memset(&kernel.info, 0, sizeof kernel.info);
	kernel.info.size = sizeof kernel.info;
	kernel.info.level = level;
	kernel.info.failure_time_ns = next_time++;
}

/* Which handler ran last, and how often any did. */
static volatile unsigned ran_level;
static volatile int runs;
static void *volatile seen_arg;

static void ran(const struct recover_info *info, void *arg)
{
	ran_level = info->level;
	seen_arg = arg;
	__atomic_add_fetch(&runs, 1, __ATOMIC_SEQ_CST);
}

static void reset(void)
{
	unsigned level;

	for (level = 1; level <= RECOVER_LEVELS; level++)
		recover_on(level, NULL, NULL);
	memset(&kernel, 0, sizeof kernel);
	kernel.protected = 1;
	ran_level = 0, runs = 0, seen_arg = NULL;
}

static void test_unprotected(void)
{
	struct recover_info info;
	struct sigaction action;
	char buf[1];

	kernel.protected = 0;
	recover_on(1, ran, NULL);
	CHECK(recover_protected() == 0);
	CHECK(recover_attach(0, 0, 0) == 0);
	CHECK(sigaction(RECOVER_SIGNAL, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
	CHECK(recover_checkpoint() == 0);
	CHECK(recover_resolved() == 0);
	CHECK(recover_heartbeat(1000) == 0);
	CHECK(recover_fail(1, "m", NULL, 0, 0) == -1 && errno == ENOSYS);
	CHECK(recover_info(&info) == -1 && errno == ENOSYS);
	CHECK(recover_data(buf, 1, 0) == -1 && errno == ENOSYS);
	CHECK(recover_run() == 0);
	recover_settle();
	CHECK(runs == 0);
}

static void test_host_kernel(void)
{
	errno = 0;
	CHECK(__real_syscall(RECOVER_SYSCALL, RECOVER_VERSION, NULL, 0) == -1 && errno == ENOSYS);
}

static void test_attach(void)
{
	struct sigaction action;

	kernel.attach_error = EPERM;
	CHECK(recover_attach(0, 0, 0) == -1 && errno == EPERM);
	CHECK(sigaction(RECOVER_SIGNAL, NULL, &action) == 0 && action.sa_handler == SIG_DFL);
	kernel.attach_error = 0;
	CHECK(recover_attach(0, RECOVER_TO_THREAD | RECOVER_DEFER, 3) == 1);
	CHECK(kernel.attached.signo == RECOVER_SIGNAL && kernel.attached.max_level == 3);
	CHECK(kernel.attached.flags == RECOVER_TO_THREAD);
	CHECK(recover_attach(SIGUSR2, 0, 0) == 1);
	CHECK(kernel.attached.signo == SIGUSR2);
	CHECK(recover_on(0, ran, NULL) == -1 && errno == EINVAL);
	CHECK(recover_on(RECOVER_LEVELS + 1, ran, NULL) == -1 && errno == EINVAL);
}

static void test_selection(void)
{
	/* Handlers at 2 and 4; the levels asked for and what must run. */
	static const struct { unsigned asked, want; } cases[] = {
		{1, 0}, {2, 2}, {3, 2}, {4, 4}, {5, 4}, {1000, 4}, {0, 0},
	};
	static unsigned at[] = {2, 4};
	size_t i;

	recover_on(2, ran, &at[0]);
	recover_on(4, ran, &at[1]);
	CHECK(recover_attach(0, 0, 0) == 1);
	for (i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		seen_arg = NULL;
		fail_at(cases[i].asked);
		raise(RECOVER_SIGNAL);
		CHECK((seen_arg ? *(unsigned *)seen_arg : 0) == cases[i].want);
	}
}

static void test_once(void)
{
	recover_on(1, ran, NULL);
	CHECK(recover_attach(0, 0, 0) == 1);
	raise(RECOVER_SIGNAL);
	CHECK(runs == 0); /* nothing failed: somebody else's signal */
	fail_at(1);
	errno = ERANGE;
	raise(RECOVER_SIGNAL);
	CHECK(errno == ERANGE);
	raise(RECOVER_SIGNAL);
	recover_settle();
	CHECK(runs == 1);
	fail_at(1);
	recover_settle(); /* before the interrupt arrives */
	raise(RECOVER_SIGNAL);
	CHECK(runs == 2);
}

static void test_checkpoint(void)
{
	recover_on(1, ran, NULL);
	CHECK(recover_attach(0, 0, 0) == 1);
	kernel.interruptions = 2;
	CHECK(recover_checkpoint() == 0 && runs == 0);
	fail_at(1);
	kernel.checkpoint = 3;
	CHECK(recover_checkpoint() == 3 && runs == 1);
	kernel.checkpoint = refuse(ENOTRECOVERABLE);
	CHECK(recover_checkpoint() == 0 && runs == 1);
	kernel.checkpoint = refuse(EAGAIN);
	CHECK(recover_checkpoint() == -1);
}

static void test_deferred(void)
{
	recover_on(1, ran, NULL);
	CHECK(recover_attach(0, RECOVER_DEFER, 0) == 1);
	fail_at(2);
	kernel.checkpoint = 1;
	CHECK(recover_checkpoint() == 1 && runs == 0);
	CHECK(recover_run() == 2 && runs == 1 && ran_level == 2);
	CHECK(recover_run() == 0 && runs == 1);
}

static int gate[2];

/* slow lets the test go on, and waits for a byte before it counts as run. */
static void slow(const struct recover_info *info, void *arg)
{
	char byte = 0;

	CHECK(write(*(int *)arg, &byte, 1) == 1);
	CHECK(read(gate[0], &byte, 1) == 1);
	ran(info, NULL);
}

static void *raise_here(void *arg)
{
	(void)arg;
	raise(RECOVER_SIGNAL);
	return NULL;
}

static void *settle_then_count(void *arg)
{
	recover_settle();
	*(int *)arg = __atomic_load_n(&runs, __ATOMIC_SEQ_CST);
	return NULL;
}

static void test_settle_waits_for_other_threads(void)
{
	pthread_t handler, waiter;
	int started[2], after = -1;
	char byte = 0;

	CHECK(pipe(gate) == 0 && pipe(started) == 0 && pipe(waiting) == 0);
	recover_on(1, slow, &started[1]);
	CHECK(recover_attach(0, 0, 0) == 1);
	fail_at(1);
	CHECK(pthread_create(&handler, NULL, raise_here, NULL) == 0);
	CHECK(read(started[0], &byte, 1) == 1);
	CHECK(pthread_create(&waiter, NULL, settle_then_count, &after) == 0);
	CHECK(read(waiting[0], &byte, 1) == 1);
	CHECK(write(gate[1], &byte, 1) == 1);
	CHECK(pthread_join(handler, NULL) == 0 && pthread_join(waiter, NULL) == 0);
	CHECK(after == 1 && runs == 1);
}

static void test_fail(void)
{
	static char text[RECOVER_MESSAGE_MAX + 2];

	CHECK(recover_fail(-7, "broken", "abc", 3, 99) == -1 && errno == ENOTRECOVERABLE);
	CHECK(kernel.reported.size == 48 && kernel.reported.code == -7 && kernel.reported.key == 99);
	CHECK(kernel.reported.data_len == 3 && strcmp(kernel.message, "broken") == 0);
	CHECK(recover_fail(1, NULL, NULL, RECOVER_DATA_MAX + 1, 0) == -1 && errno == EMSGSIZE);

	memset(text, 'x', sizeof text - 1);
	recover_fail(1, text, NULL, 0, 0);
	CHECK(kernel.reported.message_len == RECOVER_MESSAGE_MAX);
	memcpy(text + RECOVER_MESSAGE_MAX - 1, "\xC3\xA9", 2);
	recover_fail(1, text, NULL, 0, 0);
	CHECK(kernel.reported.message_len == RECOVER_MESSAGE_MAX - 1);
	text[RECOVER_MESSAGE_MAX - 1] = '\0';
	recover_fail(1, text, NULL, 0, 0);
	CHECK(kernel.reported.message_len == RECOVER_MESSAGE_MAX - 1);
}

static void test_data(void)
{
	char buf[8] = "";

	fail_at(1);
	memcpy(kernel.data, "account 17", 10);
	kernel.info.data_len = 10;
	CHECK(recover_data(buf, sizeof buf, 8) == 2 && memcmp(buf, "17", 2) == 0);
}

int main(void)
{
	static void (*const tests[])(void) = {
		test_host_kernel, test_unprotected, test_attach, test_selection,
		test_once, test_checkpoint, test_deferred,
		test_settle_waits_for_other_threads, test_fail, test_data,
	};
	size_t i;

	for (i = 0; i < sizeof tests / sizeof tests[0]; i++) {
		reset();
		tests[i]();
	}
	printf("%zu tests passed\n", i);
	return 0;
}
