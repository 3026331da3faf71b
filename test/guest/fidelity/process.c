/* Processes and threads, what they wait for, and what a process is. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kinds.h"

/* A worker, be it a process or a thread, answers a command on its socket. */
enum command { ASK, CHANGE, END };

struct worker {
	int id, value, ours, theirs;
	pid_t pid;
	pthread_t thread;
};

static void serve(struct worker *w)
{
	for (;;) {
		char command;
		if (read(w->theirs, &command, 1) != 1 || command == END)
			return;
		if (command == CHANGE)
			w->value = -1;
		put(w->theirs, &w->value, sizeof w->value);
	}
}

/* Forks a child that doesn't outlive the test, whatever becomes of it. */
static pid_t child(void)
{
	pid_t pid = fork();
	MUST(pid);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static void channel(struct worker *w, int id)
{
	int pair[2];
	MUST(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	w->id = id, w->value = id * 1000 + 1, w->ours = pair[0], w->theirs = pair[1];
}

static int tell(struct worker *w, char command)
{
	int value = -1;
	put(w->ours, &command, 1);
	if (command != END)
		get(w->ours, &value, sizeof value);
	return value;
}

#define PROCESSES 4
static struct worker children[PROCESSES];

static void processes_setup(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		channel(&children[i], i);
		children[i].pid = child();
		if (children[i].pid == 0) {
			serve(&children[i]);
			_exit(0);
		}
		close(children[i].theirs);
	}
}

/* One changes, one ends by itself, one is killed, one is left alone. */
static void processes_perturb(void)
{
	tell(&children[0], CHANGE);
	tell(&children[1], END);
	MUST(waitpid(children[1].pid, NULL, 0));
	MUST(kill(children[2].pid, SIGKILL));
	MUST(waitpid(children[2].pid, NULL, 0));
}

static const char *processes_check(void)
{
	for (int i = 0; i < PROCESSES; i++) {
		WRONG(kill(children[i].pid, 0) < 0, "a child is gone");
		WRONG(waitpid(children[i].pid, NULL, WNOHANG) != 0, "a child ended");
		WRONG(tell(&children[i], ASK) != i * 1000 + 1, "a child's memory changed");
	}
	return NULL;
}

#define THREADS 16
static struct worker threads[THREADS];
static __thread int local;

static void *thread(void *arg)
{
	struct worker *w = arg;
	local = w->value;
	for (;;) {
		char command;
		if (read(w->theirs, &command, 1) != 1 || command == END)
			return NULL;
		if (command == CHANGE)
			local = -1;
		put(w->theirs, &local, sizeof local);
	}
}

static void threads_setup(void)
{
	for (int i = 0; i < THREADS; i++) {
		channel(&threads[i], i);
		if (pthread_create(&threads[i].thread, NULL, thread, &threads[i]))
			broken("pthread_create");
	}
}

static void threads_perturb(void)
{
	for (int i = 0; i < THREADS; i++)
		tell(&threads[i], i % 2 ? CHANGE : END);
	for (int i = 0; i < THREADS; i += 2)
		pthread_join(threads[i].thread, NULL);
}

static const char *threads_check(void)
{
	for (int i = 0; i < THREADS; i++)
		WRONG(tell(&threads[i], ASK) != i * 1000 + 1, "a thread's own memory changed");
	return NULL;
}

/* A mutex that the main thread holds and others wait for, in memory that is
 * shared with another process. */
static struct {
	pthread_mutex_t mutex;
	int waiting, passed;
} *lock;
static pthread_t waiter;
static pid_t waiting_child;

static void *wait_for_lock(void *arg)
{
	(void)arg;
	__atomic_add_fetch(&lock->waiting, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_lock(&lock->mutex);
	__atomic_add_fetch(&lock->passed, 1, __ATOMIC_SEQ_CST);
	pthread_mutex_unlock(&lock->mutex);
	return NULL;
}

static void start_waiters(void)
{
	pthread_mutex_lock(&lock->mutex);
	lock->waiting = lock->passed = 0;
	if (pthread_create(&waiter, NULL, wait_for_lock, NULL))
		broken("pthread_create");
	waiting_child = child();
	if (waiting_child == 0) {
		wait_for_lock(NULL);
		_exit(0);
	}
	while (__atomic_load_n(&lock->waiting, __ATOMIC_SEQ_CST) != 2)
		usleep(1000);
}

static void let_waiters_pass(void)
{
	pthread_mutex_unlock(&lock->mutex);
	pthread_join(waiter, NULL);
	MUST(waitpid(waiting_child, NULL, 0));
}

static void futex_setup(void)
{
	pthread_mutexattr_t attr;
	lock = mmap(NULL, sizeof *lock, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
	pthread_mutex_init(&lock->mutex, &attr);
	start_waiters();
}

static const char *futex_check(void)
{
	WRONG(lock->passed != 0, "a waiter passed a held lock");
	let_waiters_pass();
	WRONG(lock->passed != 2, "a waiter never got the lock");
	start_waiters();
	return NULL;
}

/* What the kernel knows of the process itself. */
static void self_setup(void)
{
	struct rlimit limit = {100, 200};
	MUST(mkdir("/tmp/fidelity.cwd", 0700));
	MUST(chdir("/tmp/fidelity.cwd"));
	umask(027);
	MUST(setrlimit(RLIMIT_NOFILE, &(struct rlimit){1000, 1000}));
	MUST(setrlimit(RLIMIT_CORE, &limit));
	MUST(prctl(PR_SET_NAME, "faithful"));
	MUST(setpriority(PRIO_PROCESS, 0, 5));
	setenv("FIDELITY", "yes", 1);
}

static void self_perturb(void)
{
	MUST(chdir("/"));
	MUST(rmdir("/tmp/fidelity.cwd"));
	umask(0);
	MUST(setrlimit(RLIMIT_CORE, &(struct rlimit){1, 2}));
	MUST(prctl(PR_SET_NAME, "faithless"));
	MUST(setpriority(PRIO_PROCESS, 0, 6));
	setenv("FIDELITY", "no", 1);
}

static const char *self_check(void)
{
	char name[16], cwd[64];
	struct rlimit limit;
	mode_t mask = umask(027);
	MUST(getrlimit(RLIMIT_CORE, &limit));
	MUST(prctl(PR_GET_NAME, name));
	WRONG(!getcwd(cwd, sizeof cwd) || strcmp(cwd, "/tmp/fidelity.cwd"), "its directory changed");
	WRONG(mask != 027, "its umask changed");
	WRONG(limit.rlim_cur != 100 || limit.rlim_max != 200, "its limits changed");
	WRONG(strcmp(name, "faithful"), "its name changed");
	WRONG(getpriority(PRIO_PROCESS, 0) != 5, "its priority changed");
	WRONG(strcmp(getenv("FIDELITY"), "yes"), "its environment changed");
	return NULL;
}

/* Credentials belong to a child, as the main process needs its own. */
static struct worker citizen;

static void citizen_serve(void)
{
	for (char command; read(citizen.theirs, &command, 1) == 1;) {
		uid_t r, e, s;
		if (command == CHANGE)
			MUST(setresuid(-1, 3, -1));
		getresuid(&r, &e, &s);
		int value = r == 1 && e == 2 && s == 3 && getgid() == 4;
		put(citizen.theirs, &value, sizeof value);
	}
	_exit(0);
}

static void credentials_setup(void)
{
	channel(&citizen, 0);
	citizen.pid = child();
	if (citizen.pid == 0) {
		MUST(setresgid(4, 4, 4));
		MUST(setresuid(1, 2, 3));
		citizen_serve();
	}
}

static void credentials_perturb(void)
{
	if (tell(&citizen, CHANGE) != 0)
		broken("setresuid changed nothing");
}

static const char *credentials_check(void)
{
	WRONG(tell(&citizen, ASK) != 1, "they changed");
	return NULL;
}

const struct kind process_kinds[] = {
	{"processes", processes_setup, processes_perturb, processes_check},
	{"threads", threads_setup, threads_perturb, threads_check},
	{"futexes", futex_setup, let_waiters_pass, futex_check},
	{"directory, umask, limits, name", self_setup, self_perturb, self_check},
	{"credentials", credentials_setup, credentials_perturb, credentials_check},
	{0},
};
