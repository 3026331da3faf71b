/* Timers that are armed across a rollback. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdint.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "kinds.h"

/* Far enough ahead that no test sees it fire. */
#define FAR 100000
/* What may pass of it while a test runs. */
#define SOME 1000

static int still_far(time_t left)
{
	return left > FAR - SOME && left <= FAR;
}

static int far_timer, ticker;

static void timerfd_setup(void)
{
	MUST(far_timer = timerfd_create(CLOCK_MONOTONIC, 0));
	MUST(ticker = timerfd_create(CLOCK_MONOTONIC, 0));
	MUST(timerfd_settime(far_timer, 0, &(struct itimerspec){{0, 0}, {FAR, 0}}, NULL));
	MUST(timerfd_settime(ticker, 0, &(struct itimerspec){{0, 10000000}, {0, 10000000}}, NULL));
}

static void timerfd_perturb(void)
{
	struct itimerspec none = {{0, 0}, {0, 0}};
	MUST(timerfd_settime(far_timer, 0, &none, NULL));
	MUST(timerfd_settime(ticker, 0, &none, NULL));
}

static const char *timerfd_check(void)
{
	struct itimerspec left;
	uint64_t ticks;
	MUST(timerfd_gettime(far_timer, &left));
	WRONG(!still_far(left.it_value.tv_sec), "what was left of it changed");
	get(ticker, &ticks, sizeof ticks);
	get(ticker, &ticks, sizeof ticks);
	return NULL;
}

static void itimer_setup(void)
{
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{7, 0}, {FAR, 0}}, NULL));
}

static void itimer_perturb(void)
{
	MUST(setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL));
}

static const char *itimer_check(void)
{
	struct itimerval left;
	MUST(getitimer(ITIMER_REAL, &left));
	WRONG(left.it_interval.tv_sec != 7 || !still_far(left.it_value.tv_sec), "what was left of it changed");
	return NULL;
}

static timer_t timer;

static void posix_setup(void)
{
	struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3};
	MUST(timer_create(CLOCK_MONOTONIC, &ev, &timer));
	MUST(timer_settime(timer, 0, &(struct itimerspec){{9, 0}, {FAR, 0}}, NULL));
}

static void posix_perturb(void)
{
	MUST(timer_delete(timer));
}

static const char *posix_check(void)
{
	struct itimerspec left;
	WRONG(timer_gettime(timer, &left) < 0, "it is gone");
	WRONG(left.it_interval.tv_sec != 9 || !still_far(left.it_value.tv_sec), "what was left of it changed");
	return NULL;
}

const struct kind time_kinds[] = {
	{"timerfd", timerfd_setup, timerfd_perturb, timerfd_check},
	{"interval timer", itimer_setup, itimer_perturb, itimer_check},
	{"POSIX timer", posix_setup, posix_perturb, posix_check},
	{0},
};
