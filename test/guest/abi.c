/* Calls every operation of the recovery system call with good and bad
 * arguments, and prints a line for each (TAP). It ends with the number of
 * wrong answers. Then it throws random arguments at the call from several
 * threads: whatever they are, the sentry must live. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "recover.h"

static int count, wrong;
static char *page;      /* the last page before one that can't be touched */
static char *forbidden; /* that one */
static char *readonly;
static char text[1 << 17];

static void is(const char *what, long got, long want)
{
	count++;
	if (got != want)
		wrong++;
	printf("%s %d - %s: %ld%s", got == want ? "ok" : "not ok", count, what, got, got == want ? "\n" : "");
	if (got != want)
		printf(", want %ld\n", want);
}

#define KERNEL ((void *)0xffff800000000000ul)
#define NOWHERE ((void *)0x1000)

static void bad_calls(void)
{
	is("version", recover(RECOVER_VERSION, NULL, 0), 1);
	is("unknown op", recover(8, NULL, 0), -EINVAL);
	is("largest op", recover(~0u, NULL, 0), -EINVAL);
	is("checkpoint with an argument", recover(RECOVER_CHECKPOINT, text, 16), -EINVAL);
	is("resolved with an argument", recover(RECOVER_RESOLVED, text, 16), -EINVAL);
}

/* Every operation with a structure, its size at all the edges. */
static void bad_structures(void)
{
	static const struct {
		const char *name;
		unsigned op;
		size_t size;
	} ops[] = {
		{"attach", RECOVER_ATTACH, sizeof(struct recover_attach)},
		{"fail", RECOVER_FAIL, sizeof(struct recover_failure)},
		{"info", RECOVER_INFO, sizeof(struct recover_info)},
		{"data", RECOVER_DATA, sizeof(struct recover_buffer)},
		{"heartbeat", RECOVER_HEARTBEAT, sizeof(struct recover_heartbeat)},
	};
	char what[64];
	for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
		size_t n = ops[i].size;
#define CASE(which, got, want) (snprintf(what, sizeof what, "%s: %s", ops[i].name, which), is(what, got, want))
		CASE("no structure", recover(ops[i].op, NULL, n), -EFAULT);
		CASE("unmapped", recover(ops[i].op, NOWHERE, n), -EFAULT);
		CASE("kernel address", recover(ops[i].op, KERNEL, n), -EFAULT);
		CASE("protected", recover(ops[i].op, forbidden, n), -EFAULT);
		CASE("half of it protected", recover(ops[i].op, forbidden - n / 2, n), -EFAULT);
		CASE("end of the address space", recover(ops[i].op, (void *)-8l, n), -EFAULT);
		memset(page, 0, 4096);
		CASE("size 0", recover(ops[i].op, page, 0), -EINVAL);
		CASE("size 3", recover(ops[i].op, page, 3), -EINVAL);
		CASE("too small", recover(ops[i].op, page, n - 1), -EINVAL);
		*(uint32_t *)page = n + 8;
		CASE("sizes differ", recover(ops[i].op, page, n), -EINVAL);
		*(uint32_t *)page = n + 8;
		page[n] = 1;
		CASE("unknown tail in use", recover(ops[i].op, page, n + 8), -E2BIG);
		*(uint32_t *)page = 0xffffffff;
		CASE("4 GiB", recover(ops[i].op, page, 0xffffffff), -E2BIG);
		CASE("all the memory there is", recover(ops[i].op, page, ~0ul), -E2BIG);
#undef CASE
	}
}

static long attach(uint32_t signo, uint32_t flags, uint32_t tail)
{
	struct {
		struct recover_attach a;
		uint32_t tail;
	} x = {{sizeof x, signo, flags, 0}, tail};
	return recover(RECOVER_ATTACH, &x, sizeof x);
}

static void attaching(void)
{
	is("attach, default signal", attach(0, 0, 0), 0);
	is("attach again, another signal", attach(43, 0, 0), 0);
	is("attach to the thread", attach(42, 1, 0), 0);
	is("attach, an unknown flag", attach(42, 2, 0), -EINVAL);
	is("attach, all flags", attach(42, ~0u, 0), -EINVAL);
	is("attach, signal 65", attach(65, 0, 0), -EINVAL);
	is("attach, signal -1", attach(-1u, 0, 0), -EINVAL);
	is("attach, SIGKILL", attach(9, 0, 0), -EINVAL);
	is("attach, SIGSTOP", attach(19, 0, 0), -EINVAL);
	is("attach, a tail in use", attach(42, 0, 1), -E2BIG);
	is("attach, misaligned", ({
		struct recover_attach a = {sizeof a, 42, 0, 0};
		memcpy(page + 1, &a, sizeof a);
		recover(RECOVER_ATTACH, page + 1, sizeof a);
	}), 0);
}

static void never_rolled_back(void)
{
	struct recover_info info;
	is("info before any rollback", recover_info(&info), -ENODATA);
	is("data before any rollback", recover_data(text, 0, 16), -ENODATA);
	is("resolved outside an episode", recover_resolved(), 0);
}

static long heartbeat(uint32_t flags, uint64_t timeout)
{
	struct recover_heartbeat h = {sizeof h, flags, timeout};
	return recover(RECOVER_HEARTBEAT, &h, sizeof h);
}

static void heartbeats(void)
{
	is("heartbeat", heartbeat(0, 3600000000000ull), 0);
	is("heartbeat, the longest", heartbeat(0, ~0ull), 0);
	is("heartbeat, disarmed", heartbeat(0, 0), 0);
	is("heartbeat, an unknown flag", heartbeat(1, 1), -EINVAL);
}

static long failing(const void *message, uint64_t message_len, const void *data, uint64_t data_len)
{
	struct recover_failure f = {
		.size = sizeof f,
		.message = (uintptr_t)message, .message_len = message_len,
		.data = (uintptr_t)data, .data_len = data_len,
	};
	return recover(RECOVER_FAIL, &f, sizeof f);
}

/* Failures that must be refused before anything is stopped. */
static void bad_failures(void)
{
	is("fail, message nowhere", failing(NOWHERE, 10, NULL, 0), -EFAULT);
	is("fail, message half protected", failing(forbidden - 5, 10, NULL, 0), -EFAULT);
	is("fail, message in the kernel", failing(KERNEL, 10, NULL, 0), -EFAULT);
	is("fail, no message of 10 bytes", failing(NULL, 10, NULL, 0), -EFAULT);
	is("fail, message too long", failing(text, 4097, NULL, 0), -EINVAL);
	is("fail, message of all memory", failing(text, ~0ull, NULL, 0), -EINVAL);
	is("fail, data nowhere", failing(NULL, 0, NOWHERE, 10), -EFAULT);
	is("fail, data half protected", failing(NULL, 0, forbidden - 5, 10), -EFAULT);
	is("fail, data too long", failing(NULL, 0, text, 65537), -EINVAL);
	is("fail, data of all memory", failing(NULL, 0, text, ~0ull), -EINVAL);
}

static void *throw(void *arg)
{
	unsigned short seed[3] = {(uintptr_t)arg, 1, 2};
	static const unsigned ops[] = {RECOVER_VERSION, RECOVER_ATTACH, RECOVER_FAIL, RECOVER_INFO, RECOVER_DATA, RECOVER_HEARTBEAT, 99};
	char *local = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int i = 0; i < 20000; i++) {
		unsigned op = ops[nrand48(seed) % (sizeof ops / sizeof *ops)];
		size_t size = nrand48(seed) % 400;
		for (int j = 0; j < 64; j++)
			((uint64_t *)local)[j] = ((uint64_t)mrand48() << 32 | (uint32_t)mrand48()) >> (mrand48() & 63);
		if (nrand48(seed) % 4)
			*(uint32_t *)local = size;
		void *targets[] = {local, local + 4096 - size / 2, forbidden - size / 2, readonly, KERNEL, (void *)(uintptr_t)mrand48()};
		/* A valid failure would be a failure: its size is always wrong. */
		if (op == RECOVER_FAIL && size >= sizeof(struct recover_failure))
			size = sizeof(struct recover_failure) - 1;
		if (op == RECOVER_HEARTBEAT)
			((uint64_t *)local)[1] = 0;
		recover(op, targets[nrand48(seed) % 6], size);
	}
	return NULL;
}

static void fuzz(void)
{
	pthread_t threads[8];
	for (long i = 0; i < 8; i++)
		pthread_create(&threads[i], NULL, throw, (void *)i);
	for (int i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
	is("version after random calls", recover(RECOVER_VERSION, NULL, 0), 1);
}

/* A failure with the longest message and data, and reading them back. */
static void rolled_back(void)
{
	static char back[65536];
	struct recover_info info;
	/* The random calls may have attached with a signal that nobody handles. */
	signal(42, SIG_IGN);
	is("attach, ignored signal", attach(42, 0, 0), 0);
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = 'a' + i % 26;
	if (recover_checkpoint() == 0) {
		is("fail, everything at its longest", failing(text, 4096, text, 65536), 0);
		exit(99);
	}
	is("info", recover_info(&info), 0);
	is("message_len", info.message_len, 4096);
	is("data_len", info.data_len, 65536);
	is("message", memcmp(info.message, text, sizeof info.message), 0);
	is("data, all", recover_data(back, 0, sizeof back), sizeof back);
	is("data, equal", memcmp(back, text, sizeof back), 0);
	is("data, a part", recover_data(back, 65530, 100), 6);
	is("data, that part", memcmp(back, text + 65530, 6), 0);
	is("data, past the end", recover_data(back, 65536, 10), 0);
	is("data, offset of all memory", recover_data(back, ~0ull, 10), 0);
	is("data, to nowhere", recover_data(NOWHERE, 0, 10), -EFAULT);
	is("data, to a read-only page", recover_data(readonly, 0, 10), -EFAULT);
	is("data, to the kernel", recover_data(KERNEL, 0, 10), -EFAULT);
	is("data, nothing", recover_data(NULL, 0, 0), 0);
	is("info, to a read-only page", ({
		memcpy(&info, &(struct recover_info){.size = sizeof info}, sizeof info);
		mprotect(readonly, 4096, PROT_READ | PROT_WRITE);
		*(uint32_t *)readonly = sizeof info;
		mprotect(readonly, 4096, PROT_READ);
		recover(RECOVER_INFO, readonly, sizeof info);
	}), -EFAULT);
	is("resolved", recover_resolved(), 0);
}

int main(void)
{
	page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	forbidden = page + 4096;
	mprotect(forbidden, 4096, PROT_NONE);
	readonly = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	setvbuf(stdout, NULL, _IOLBF, 0);
	bad_calls();
	bad_structures();
	attaching();
	never_rolled_back();
	heartbeats();
	bad_failures();
	fuzz();
	rolled_back();
	printf("1..%d\n", count);
	return wrong > 98 ? 98 : wrong;
}
