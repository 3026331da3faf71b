/* A program for the end-to-end tests that behaves, and misbehaves, as its
 * first argument says. What it prints is what the tests check; a run that goes
 * wrong in a way that a test can't expect ends with status 99. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>

#include "recover.h"

#define CODE 7
#define MESSAGE "the frobnicator is on fire"
#define DATA "entry 4711"

static volatile sig_atomic_t told; /* level of the last interrupt, 0 for none */
static struct recover_info seen;   /* what RECOVER_INFO said in the handler */

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static void die(const char *why)
{
	say(why);
	_exit(99);
}

static void interrupted(int signo, siginfo_t *si, void *context)
{
	(void)signo, (void)context;
	recover_info(&seen);
	told = si->si_code == SI_QUEUE ? si->si_value.sival_int : -1;
}

static void handle(int signo)
{
	struct sigaction sa = {.sa_sigaction = interrupted, .sa_flags = SA_SIGINFO | SA_RESTART};
	if (sigaction(signo, &sa, NULL) < 0)
		die("sigaction");
}

static void attach(void)
{
	handle(RECOVER_SIGNAL);
	if (recover_attach(0, 0, 0) != 0)
		die("attach");
}

static long checkpoint(void)
{
	long r = recover_checkpoint();
	if (r < 0) {
		printf("checkpoint: %s\n", strerror(-r));
		die("checkpoint refused");
	}
	return r;
}

static void crash(void)
{
	*(volatile int *)0x1000 = 1;
}

static uint64_t now(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ull + ts.tv_nsec;
}

static void sleep_ms(int ms)
{
	uint64_t until = now() + ms * 1000000ull;
	for (uint64_t at; (at = now()) < until;)
		poll(NULL, 0, (until - at) / 1000000 + 1);
}

/* Reports a failure; the copy checks every word of what it is told. */
static int report(int argc, char **argv)
{
	(void)argc, (void)argv;
	char data[64] = "";
	attach();
	long attempt = checkpoint();
	if (attempt == 0) {
		say("failing");
		recover_fail(CODE, MESSAGE, DATA, strlen(DATA));
		die("recover_fail returned");
	}
	if (told != 1)
		die("the handler didn't run first, or not with level 1");
	if (seen.kind != KIND_REPORTED || seen.code != CODE || seen.attempt != 1 || seen.level != 1)
		die("info is wrong");
	if (seen.message_len != strlen(MESSAGE) || memcmp(seen.message, MESSAGE, strlen(MESSAGE)))
		die("message is wrong");
	if (seen.data_len != strlen(DATA) || recover_data(data, 0, sizeof data) != (long)strlen(DATA) || strcmp(data, DATA))
		die("data is wrong");
	if (seen.pid != getpid() || seen.failure_time_ns <= seen.checkpoint_time_ns || seen.checkpoint_seq == 0)
		die("pid or times are wrong");
	if (recover_resolved() != 0)
		die("resolved");
	say("recovered");
	return 0;
}

/* Dies of a signal; its copy, told of it, doesn't. */
static int segv(int argc, char **argv)
{
	(void)argc, (void)argv;
	attach();
	if (checkpoint() == 0) {
		say("crashing");
		crash();
	}
	if (told != 1 || seen.kind != KIND_SIGNAL || seen.signo != SIGSEGV || seen.fault_addr != 0x1000 || seen.fault_ip == 0)
		die("info is wrong");
	say("recovered");
	recover_resolved();
	return 0;
}

/* Crashes after a while, without ever having asked for a checkpoint. */
static int interval(int argc, char **argv)
{
	attach();
	uint64_t until = now() + (argc > 0 ? atoi(argv[0]) : 2500) * 1000000ull;
	while (!told && now() < until)
		sleep_ms(5);
	if (!told) {
		say("crashing");
		crash();
	}
	say("recovered");
	return 0;
}

/* Crashes whatever it is told, and says at which level. */
static int always(int argc, char **argv)
{
	(void)argc, (void)argv;
	attach();
	long attempt = checkpoint();
	printf("attempt %ld level %d\n", attempt, (int)told);
	fflush(stdout);
	crash();
	return 99;
}

/* Takes several checkpoints and then crashes whatever it is told. */
static int ladder(int argc, char **argv)
{
	attach();
	for (int i = 0, n = argc > 0 ? atoi(argv[0]) : 6; i < n; i++) {
		long attempt = checkpoint();
		if (attempt > 0)
			printf("attempt %ld level %d seq %d\n", attempt, (int)told, (int)seen.checkpoint_seq);
		fflush(stdout);
	}
	crash();
	return 99;
}

/* Reports a failure and gets an error when it can't be rolled back. */
static int refused(int argc, char **argv)
{
	(void)argc, (void)argv;
	long r = recover_fail(CODE, MESSAGE, NULL, 0);
	printf("fail: %s\n", strerrorname_np(-r));
	return r == -ENOTRECOVERABLE ? 3 : 99;
}

/* Recovery is off. */
static int off(int argc, char **argv)
{
	(void)argc, (void)argv;
	long r = recover_checkpoint();
	printf("checkpoint: %s\n", strerrorname_np(-r));
	return r == -ENOTRECOVERABLE ? refused(0, NULL) : 99;
}

/* Knows nothing of interrupts: the copy is told nothing and runs on. */
static int nohandler(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct recover_info info;
	if (checkpoint() == 0)
		crash();
	if (recover_info(&info) != 0)
		die("no info");
	say("recovered");
	return 0;
}

/* Exits with the given status; its copy, told of it, with 0. */
static int exits(int argc, char **argv)
{
	attach();
	if (checkpoint() == 0)
		exit(argc > 0 ? atoi(argv[0]) : 3);
	say("recovered");
	return 0;
}

/* Fails in a new way in each new episode, for ever. */
static int restless(int argc, char **argv)
{
	(void)argc, (void)argv;
	char message[32];
	attach();
	for (int i = 0;; i++) {
		if (checkpoint() == 0) {
			snprintf(message, sizeof message, "number %d", i);
			recover_fail(i, message, NULL, 0);
			printf("refused at %d\n", i);
			return 3;
		}
		recover_resolved();
	}
}

static void append(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		die(path);
	close(fd);
}

/* Writes to the root file system and to a bind mount before it fails. */
static int files(int argc, char **argv)
{
	(void)argc, (void)argv;
	struct stat root, shared;
	attach();
	append("/before", "x");
	if (checkpoint() == 0) {
		append("/before", "yyy");
		append("/after", "y");
		append("/shared/after", "y");
		recover_fail(CODE, MESSAGE, NULL, 0);
	}
	if (stat("/before", &root) < 0 || root.st_size != 1)
		die("a change of a file was kept");
	if (access("/after", F_OK) == 0)
		die("a new file was kept");
	if (stat("/shared/after", &shared) < 0 || shared.st_size != 1)
		die("the bind mount forgot");
	say("recovered");
	recover_resolved();
	return 0;
}

/* Fails when SIGUSR1 comes and prints what it is told; SIGTERM ends it. */
static volatile sig_atomic_t wanted;
static void want(int signo)
{
	wanted = signo;
}

static int serve(int argc, char **argv)
{
	(void)argc, (void)argv;
	attach();
	signal(SIGUSR1, want);
	signal(SIGTERM, want);
	recover_checkpoint(); /* or the next interval's, where this one is refused */
	say("ready");
	for (;;) {
		if (told) {
			/* Before it is printed: a copy of that moment is told anew. */
			int level = told;
			told = 0;
			printf("told level %d kind %u code %d\n", level, seen.kind, seen.code);
			fflush(stdout);
		}
		if (wanted == SIGTERM) {
			say("bye");
			return 0;
		}
		if (wanted == SIGUSR1) {
			wanted = 0;
			say("failing");
			recover_fail(CODE, MESSAGE, NULL, 0);
		}
		sleep_ms(5);
	}
}

/* Touches so many MiB of new memory. */
static void take(size_t mib)
{
	size_t size = mib << 20;
	uint64_t *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		die("mmap");
	uint64_t x = 88172645463325252ull;
	for (size_t i = 0; i < size / sizeof *p; i++) {
		x ^= x << 13, x ^= x >> 7, x ^= x << 17;
		p[i] = x;
	}
}

/* Takes so many MiB and then serves: what a checkpoint must copy. */
static int hold(int argc, char **argv)
{
	take(argc > 0 ? atoi(argv[0]) : 1);
	return serve(0, NULL);
}

/* Takes the first number of MiB, when SIGUSR1 comes the second as fast as it
   can, and ends when SIGTERM comes. */
static int grow(int argc, char **argv)
{
	if (argc < 2)
		die("usage: grow MIB MIB");
	signal(SIGUSR1, want);
	signal(SIGTERM, want);
	take(atoi(argv[0]));
	say("ready");
	while (wanted != SIGTERM) {
		if (wanted == SIGUSR1) {
			wanted = 0;
			take(atoi(argv[1]));
			say("grown");
		}
		sleep_ms(5);
	}
	return 0;
}

/* How long from the failing call to the handler, in microseconds. */
static uint64_t failed_at;
static void timed(int signo, siginfo_t *si, void *context)
{
	uint64_t at;
	interrupted(signo, si, context);
	struct timespec ts;
	clock_gettime(CLOCK_REALTIME, &ts);
	at = ts.tv_sec * 1000000000ull + ts.tv_nsec;
	if (recover_data(&failed_at, 0, sizeof failed_at) == sizeof failed_at)
		failed_at = at - failed_at;
}

static int latency(int argc, char **argv)
{
	struct sigaction sa = {.sa_sigaction = timed, .sa_flags = SA_SIGINFO | SA_RESTART};
	sigaction(RECOVER_SIGNAL, &sa, NULL);
	if (recover_attach(0, 0, 0) != 0)
		die("attach");
	for (int i = 0, n = argc > 0 ? atoi(argv[0]) : 20; i < n; i++) {
		if (checkpoint() == 0) {
			struct timespec ts;
			clock_gettime(CLOCK_REALTIME, &ts);
			uint64_t at = ts.tv_sec * 1000000000ull + ts.tv_nsec;
			recover_fail(i, MESSAGE, &at, sizeof at);
		}
		printf("latency_us %llu\n", (unsigned long long)failed_at / 1000);
		fflush(stdout);
		recover_resolved();
	}
	return 0;
}

static const struct {
	const char *name;
	int (*run)(int argc, char **argv);
} behaviours[] = {
	{"report", report}, {"segv", segv}, {"interval", interval}, {"always", always},
	{"ladder", ladder}, {"refused", refused}, {"off", off}, {"nohandler", nohandler}, {"exit", exits},
	{"restless", restless}, {"files", files}, {"serve", serve}, {"hold", hold}, {"grow", grow},
	{"latency", latency},
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof behaviours / sizeof *behaviours; i++)
		if (!strcmp(argv[1], behaviours[i].name))
			return behaviours[i].run(argc - 2, argv + 2);
	die("unknown behaviour");
}
