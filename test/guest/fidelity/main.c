/* Holds every kind of state across a rollback and checks it in the copy.
 *
 *   fidelity [-d] [-n ROUNDS] [-k KIND]
 *
 * Each round takes a checkpoint, changes everything, fails, and is rolled
 * back. A line is printed for every check that fails and one for every round;
 * the status is 0 when nothing was wrong, 1 when something was, 99 when the
 * test itself could not be done. With -d there is neither change nor rollback:
 * what is wrong then is the test, or the kernel it runs on. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "../recover.h"
#include "kinds.h"

static const struct kind *const groups[] = {
	/* Signals first, so that every thread has them blocked. */
	signal_kinds, memory_kinds, process_kinds, ipc_kinds, socket_kinds, time_kinds, file_kinds,
};

static volatile sig_atomic_t told;
static const char *only;
static int rounds = 1, dry, wrong;

/* What the failing copy tells the next one. */
struct last_words {
	unsigned long long monotonic, realtime, boottime;
	unsigned long long random;
};

void broken(const char *what)
{
	perror(what);
	_exit(99);
}

void put(int fd, const void *from, size_t size)
{
	if (write(fd, from, size) != (ssize_t)size)
		broken("write");
}

void get(int fd, void *to, size_t size)
{
	for (ssize_t n; size > 0; size -= n, to = (char *)to + n)
		if ((n = read(fd, to, size)) <= 0)
			broken("read");
}

static void interrupted(int signo, siginfo_t *si, void *context)
{
	(void)signo, (void)context;
	told = si->si_value.sival_int;
}

static unsigned long long clock_ns(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static unsigned long long random64(void)
{
	unsigned long long r = 0;
	if (syscall(SYS_getrandom, &r, sizeof r, 0) != sizeof r)
		broken("getrandom");
	return r;
}

static void result(const char *name, const char *what)
{
	if (!what)
		return;
	wrong = 1;
	printf("not ok - %s: %s\n", name, what);
}

static void check(const struct kind *k)
{
	result(k->name, k->check());
}

static void check_interrupt(int round)
{
	struct last_words last;
	struct recover_info info;
	result("interrupt", told == 1 ? NULL : "the handler did not run first");
	result("info", recover_info(&info) == 0 && info.code == round && info.attempt == 1 ? NULL : "it is another failure's");
	if (recover_data(&last, 0, sizeof last) != sizeof last)
		broken("recover_data");
	result("monotonic clock", clock_ns(CLOCK_MONOTONIC) >= last.monotonic ? NULL : "it ran backwards");
	result("boot clock", clock_ns(CLOCK_BOOTTIME) >= last.boottime ? NULL : "it ran backwards");
	result("wall clock", clock_ns(CLOCK_REALTIME) >= last.realtime ? NULL : "it ran backwards");
	result("getrandom", random64() != last.random ? NULL : "it repeats itself");
}

static void each(void (*of)(const struct kind *))
{
	for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
		for (const struct kind *k = groups[g]; k->name; k++)
			if (!only || !strcmp(only, k->name))
				of(k);
}

static void setup(const struct kind *k) { k->setup(); }
static void perturb(const struct kind *k) { k->perturb(); }

static void fail(int round)
{
	each(perturb);
	struct last_words last = {
		clock_ns(CLOCK_MONOTONIC), clock_ns(CLOCK_REALTIME), clock_ns(CLOCK_BOOTTIME), random64(),
	};
	long r = recover_fail(round, "round is over", &last, sizeof last);
	fprintf(stderr, "recover_fail: %s\n", strerror(-r));
	_exit(99);
}

static void options(int argc, char **argv)
{
	for (int c; (c = getopt(argc, argv, "dn:k:")) != -1;)
		switch (c) {
		case 'd': dry = 1; break;
		case 'n': rounds = atoi(optarg); break;
		case 'k': only = optarg; break;
		default: exit(99);
		}
}

/* One checkpoint and one rollback to it. */
static void round_trip(int round)
{
	told = 0;
	long attempt = recover_checkpoint();
	if (attempt < 0) {
		printf("checkpoint: %s\n", strerror(-attempt));
		_exit(99);
	}
	if (attempt == 0)
		fail(round);
	check_interrupt(round);
	each(check);
	recover_resolved();
}

int main(int argc, char **argv)
{
	options(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	struct sigaction sa = {.sa_sigaction = interrupted, .sa_flags = SA_SIGINFO | SA_RESTART};
	MUST(sigaction(RECOVER_SIGNAL, &sa, NULL));
	if (!dry && recover_attach(0, 0, 0) != 0)
		broken("recover_attach");
	each(setup);
	for (int round = 1; round <= rounds; round++) {
		if (dry)
			each(check);
		else
			round_trip(round);
		printf("round %d\n", round);
	}
	puts(wrong ? "something was wrong" : "all as at the checkpoint");
	return wrong;
}
