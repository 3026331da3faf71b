/* What tools/bench runs in a sandbox and times. The first argument says what;
 * each prints lines of "word number…", and "ready" once what is to be measured
 * can begin. Times are CLOCK_REALTIME in nanoseconds, which inside and outside
 * of a sandbox is the same clock. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "recover.h"

#define GAP 500000ull      /* what counts as standing still */
#define TICK 20000000ull   /* how often a spinning guest shows that it runs */

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void die(const char *why)
{
	perror(why);
	exit(99);
}

static uint64_t number(int argc, char **argv, int i)
{
	if (i >= argc) {
		errno = EINVAL;
		die("arguments");
	}
	return strtoull(argv[i], NULL, 10);
}

static uint64_t mix(uint64_t x)
{
	x ^= x << 13, x ^= x >> 7, x ^= x << 17;
	return x;
}

/* So many MiB of memory, every page of it written and different. */
static uint64_t *fill(uint64_t mib)
{
	uint64_t *p = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	uint64_t x = 88172645463325252ull;
	for (uint64_t i = 0; i < (mib << 20) / sizeof *p; i++)
		p[i] = x = mix(x);
	return p;
}

/* gap MIB CHANGED: reads the clock without end, and goes on changing so many of
 * the MiB. "gap START LENGTH" whenever it stood still, "tick NOW" every now and
 * then. */
static int gap(int argc, char **argv)
{
	const uint64_t page = 4096 / sizeof(uint64_t);
	uint64_t *p = fill(number(argc, argv, 0));
	uint64_t changed = (number(argc, argv, 1) << 20) / sizeof *p;
	puts("ready");
	uint64_t last = now(), tick = last;
	for (uint64_t i = 0;; i += page) {
		uint64_t t = now();
		if (changed)
			p[i % changed] = t;
		if (t > last + GAP)
			printf("gap %llu %llu\n", (unsigned long long)last, (unsigned long long)(t - last));
		if (t > tick + TICK) {
			printf("tick %llu\n", (unsigned long long)t);
			tick = t;
		}
		last = t; /* it may stand still in a write, too */
	}
	return 0;
}

/* The handler prints "handler ROUND NANOSECONDS", the time since the failing
 * call; the copy goes on counting from there, past its failure. */
static struct stamp {
	uint64_t round, at;
} stamp;

static void handler(int signo)
{
	char line[64];
	struct stamp failed;
	uint64_t at = now();
	(void)signo;
	if (recover_data(&failed, 0, sizeof failed) != sizeof failed)
		_exit(98);
	stamp = failed;
	int n = snprintf(line, sizeof line, "handler %llu %llu\n",
		(unsigned long long)failed.round, (unsigned long long)(at - failed.at));
	if (write(1, line, n) != n)
		_exit(97);
	recover_resolved();
}

static void failing(uint64_t round)
{
	stamp = (struct stamp){round, now()};
	recover_fail(round, "bench", &stamp, sizeof stamp);
	_exit(96);
}

static void attach(void)
{
	signal(RECOVER_SIGNAL, handler);
	if (recover_attach(0, 0, 0) != 0)
		die("attach");
	puts("ready");
}

/* rollback TIMES MIB: fails so often, each time after a checkpoint. */
static int rollback(int argc, char **argv)
{
	uint64_t times = number(argc, argv, 0);
	fill(number(argc, argv, 1));
	attach();
	for (uint64_t i = 1; i <= times; i++) {
		long attempt = recover_checkpoint();
		if (attempt < 0) {
			errno = -attempt;
			die("checkpoint");
		}
		if (attempt == 0)
			failing(i);
	}
	puts("done");
	while (pause() < 0)
		;
	return 0;
}

static void wait_for_usr1(sigset_t *usr1)
{
	int signo;
	while (sigwait(usr1, &signo) != 0)
		;
}

static sigset_t block_usr1(void)
{
	sigset_t usr1;
	sigemptyset(&usr1);
	sigaddset(&usr1, SIGUSR1);
	sigprocmask(SIG_BLOCK, &usr1, NULL);
	return usr1;
}

/* fail MIB: fails each time that SIGUSR1 comes. */
static int fail(int argc, char **argv)
{
	fill(number(argc, argv, 0));
	sigset_t usr1 = block_usr1();
	attach();
	wait_for_usr1(&usr1);
	failing(stamp.round + 1);
	return 0;
}

/* compute PASSES MIB: each time that SIGUSR1 comes it goes over its memory so
 * often and changes all of it. "took NANOSECONDS". */
static int compute(int argc, char **argv)
{
	uint64_t passes = number(argc, argv, 0), mib = number(argc, argv, 1);
	uint64_t *p = fill(mib);
	sigset_t usr1 = block_usr1();
	puts("ready");
	for (;;) {
		wait_for_usr1(&usr1);
		uint64_t began = now();
		for (uint64_t i = 0; i < passes; i++)
			for (uint64_t j = 0; j < (mib << 20) / sizeof *p; j++)
				p[j] = mix(p[j] + i);
		printf("took %llu\n", (unsigned long long)(now() - began));
	}
	return 0;
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} measured[] = {{"gap", gap}, {"rollback", rollback}, {"fail", fail}, {"compute", compute}};
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (size_t i = 0; argc > 1 && i < sizeof measured / sizeof *measured; i++)
		if (!strcmp(argv[1], measured[i].name))
			return measured[i].run(argc - 2, argv + 2);
	fputs("usage: bench gap MIB CHANGED | rollback TIMES MIB | fail MIB | compute PASSES MIB\n", stderr);
	return 99;
}
