/* Signals pending, blocked, handled and read. */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "kinds.h"

static sigset_t only_of(int signo)
{
	sigset_t set;
	sigemptyset(&set);
	sigaddset(&set, signo);
	return set;
}

static int pending(int signo)
{
	sigset_t set;
	sigpending(&set);
	return sigismember(&set, signo);
}

static int blocked(int signo)
{
	sigset_t set;
	pthread_sigmask(SIG_SETMASK, NULL, &set);
	return sigismember(&set, signo);
}

#define QUEUED (SIGRTMIN + 2)

/* One ordinary signal and three queued ones with values wait, blocked. */
static void pending_setup(void)
{
	sigset_t one = only_of(SIGUSR1), queue = only_of(QUEUED);
	MUST(sigprocmask(SIG_BLOCK, &one, NULL));
	MUST(sigprocmask(SIG_BLOCK, &queue, NULL));
	MUST(kill(getpid(), SIGUSR1));
	for (int i = 1; i <= 3; i++)
		MUST(sigqueue(getpid(), QUEUED, (union sigval){.sival_int = i}));
}

static void pending_perturb(void)
{
	sigset_t one = only_of(SIGUSR1), queue = only_of(QUEUED);
	siginfo_t si;
	MUST(sigwaitinfo(&one, &si));
	for (int i = 1; i <= 3; i++)
		MUST(sigwaitinfo(&queue, &si));
	MUST(sigprocmask(SIG_UNBLOCK, &one, NULL));
}

static const char *pending_check(void)
{
	sigset_t queue = only_of(QUEUED);
	struct timespec now = {0, 0};
	WRONG(!blocked(SIGUSR1) || !blocked(QUEUED), "the mask changed");
	WRONG(!pending(SIGUSR1), "a pending signal is gone");
	for (int i = 1; i <= 3; i++) {
		siginfo_t si;
		WRONG(sigtimedwait(&queue, &si, &now) != QUEUED, "a queued signal is gone");
		WRONG(si.si_value.sival_int != i || si.si_pid != getpid(), "a queued signal's value changed");
	}
	WRONG(sigtimedwait(&queue, NULL, &now) > 0, "a signal was queued twice");
	for (int i = 1; i <= 3; i++)
		MUST(sigqueue(getpid(), QUEUED, (union sigval){.sival_int = i}));
	return NULL;
}

static volatile sig_atomic_t handled;

static void handler(int signo)
{
	handled = signo;
}

static char alternate[65536];

static void handlers_setup(void)
{
	struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_ONSTACK | SA_NODEFER};
	MUST(sigaltstack(&(stack_t){.ss_sp = alternate, .ss_size = sizeof alternate}, NULL));
	MUST(sigaction(SIGUSR2, &sa, NULL));
	signal(SIGHUP, SIG_IGN);
}

static void handlers_perturb(void)
{
	signal(SIGUSR2, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	MUST(sigaltstack(&(stack_t){.ss_flags = SS_DISABLE}, NULL));
}

static const char *handlers_check(void)
{
	struct sigaction sa;
	stack_t stack;
	MUST(sigaction(SIGUSR2, NULL, &sa));
	MUST(sigaltstack(NULL, &stack));
	WRONG(sa.sa_handler != handler || (sa.sa_flags & (SA_ONSTACK | SA_NODEFER)) != (SA_ONSTACK | SA_NODEFER), "a handler changed");
	WRONG(stack.ss_sp != alternate, "the alternate stack changed");
	MUST(sigaction(SIGHUP, NULL, &sa));
	WRONG(sa.sa_handler != SIG_IGN, "an ignored signal isn't any more");
	handled = 0;
	MUST(raise(SIGUSR2));
	WRONG(handled != SIGUSR2, "a handler no longer runs");
	return NULL;
}

static int fd;

static void signalfd_setup(void)
{
	sigset_t set = only_of(SIGWINCH);
	MUST(sigprocmask(SIG_BLOCK, &set, NULL));
	MUST(fd = signalfd(-1, &set, SFD_NONBLOCK));
	MUST(kill(getpid(), SIGWINCH));
}

static void signalfd_perturb(void)
{
	struct signalfd_siginfo si;
	get(fd, &si, sizeof si);
	close(fd);
}

static const char *signalfd_check(void)
{
	struct signalfd_siginfo si;
	WRONG(read(fd, &si, sizeof si) != sizeof si || si.ssi_signo != SIGWINCH, "its signal is gone");
	MUST(kill(getpid(), SIGWINCH));
	return NULL;
}

const struct kind signal_kinds[] = {
	{"pending signals", pending_setup, pending_perturb, pending_check},
	{"signal handlers", handlers_setup, handlers_perturb, handlers_check},
	{"signalfd", signalfd_setup, signalfd_perturb, signalfd_check},
	{0},
};
