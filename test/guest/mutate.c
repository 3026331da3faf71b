/* A program that changes its memory in every way there is, at random, for
 * checkpoints to miss something of.
 *
 *     mutate SECONDS [SEED]
 *
 * It doesn't check anything itself: the checkpoints are compared with all of
 * memory where they are taken. Each turn does one thing; the processes and
 * threads that it makes do things of their own. It prints "turns N" at the
 * end, and with it how often each thing was done. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PAGE = 4096, AREAS = 24, AREA_PAGES = 1024, SHARED_PAGES = 512 };

static struct area {
	char *mem;
	size_t pages;
	int readonly, shared;
} areas[AREAS];

static char *shared; /* with all processes */
static uint64_t state;

static uint64_t rnd(void)
{
	state ^= state << 13, state ^= state >> 7, state ^= state << 17;
	return state;
}

static size_t below(size_t n) { return rnd() % n; }

static void check(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		_exit(1);
	}
}

static void scribble(char *mem, size_t pages)
{
	if (pages == 0)
		return;
	size_t first = below(pages), n = 1 + below(pages - first), step = 1 + below(1 + below(64));
	for (size_t p = first; p < first + n; p += step)
		*(uint64_t *)(mem + p * PAGE + below(PAGE / 8) * 8) = below(8) ? rnd() : 0;
}

static struct area *pick(void)
{
	struct area *a = &areas[below(AREAS)];
	return a->mem && !a->readonly ? a : NULL;
}

static void do_write(void)
{
	struct area *a = pick();
	if (a)
		scribble(a->mem, a->pages);
}

static void do_map(void)
{
	struct area *a = &areas[below(AREAS)];
	if (a->mem)
		check(munmap(a->mem, a->pages * PAGE) == 0, "munmap");
	a->pages = 1 + below(below(4) ? 64 : AREA_PAGES);
	a->readonly = 0;
	a->shared = below(3) == 0;
	a->mem = mmap(NULL, a->pages * PAGE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | (a->shared ? MAP_SHARED : MAP_PRIVATE), -1, 0);
	check(a->mem != MAP_FAILED, "mmap");
	if (below(3) == 0)
		madvise(a->mem, a->pages * PAGE, MADV_HUGEPAGE);
	if (below(2))
		scribble(a->mem, a->pages);
}

static void do_remap(void)
{
	struct area *a = pick();
	if (!a)
		return;
	/* There is nothing beyond the end of shared memory. */
	size_t pages = 1 + below(a->shared ? a->pages : AREA_PAGES);
	char *m = mremap(a->mem, a->pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
	check(m != MAP_FAILED, "mremap");
	a->mem = m;
	a->pages = pages;
}

static void do_unmap_part(void)
{
	struct area *a = pick();
	if (!a || a->pages < 2)
		return;
	size_t keep = 1 + below(a->pages - 1);
	check(munmap(a->mem + keep * PAGE, (a->pages - keep) * PAGE) == 0, "munmap");
	a->pages = keep;
}

static void do_protect(void)
{
	struct area *a = &areas[below(AREAS)];
	if (!a->mem)
		return;
	a->readonly = !a->readonly;
	check(mprotect(a->mem, a->pages * PAGE, PROT_READ | (a->readonly ? 0 : PROT_WRITE)) == 0, "mprotect");
}

static void do_advise(void)
{
	static const int advice[] = {MADV_DONTNEED, MADV_FREE, MADV_WILLNEED, MADV_COLD, MADV_DONTNEED};
	struct area *a = pick();
	if (!a)
		return;
	size_t first = below(a->pages), n = 1 + below(a->pages - first);
	madvise(a->mem + first * PAGE, n * PAGE, advice[below(5)]);
	if (below(2)) { /* pages of zeros that are read but never written */
		volatile char sum = 0;
		for (size_t p = first; p < first + n; p++)
			sum += a->mem[p * PAGE];
	}
}

/* The kernel writes: into memory that the program may never have touched. */
static void do_pipe(void)
{
	struct area *a = pick();
	int fds[2];
	char text[3000];
	if (!a)
		return;
	check(pipe(fds) == 0, "pipe");
	memset(text, (int)rnd(), sizeof text);
	check(write(fds[1], text, sizeof text) > 0, "write");
	size_t at = below(a->pages) * PAGE + below(1000);
	if (at + sizeof text > a->pages * PAGE)
		at = 0;
	check(read(fds[0], a->mem + at, sizeof text) > 0, "read");
	close(fds[0]), close(fds[1]);
}

static void do_socket(void)
{
	struct area *a = pick();
	int fds[2];
	char text[2000];
	if (!a)
		return;
	check(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0, "socketpair");
	memset(text, (int)rnd(), sizeof text);
	check(send(fds[1], text, sizeof text, 0) > 0, "send");
	struct iovec iov[2] = {{a->mem + below(a->pages) * PAGE, 500}, {a->mem + below(a->pages) * PAGE + 600, 1500}};
	struct msghdr msg = {.msg_iov = iov, .msg_iovlen = 2};
	check(recvmsg(fds[0], &msg, 0) > 0, "recvmsg");
	close(fds[0]), close(fds[1]);
}

static void file(const char *dir)
{
	char path[64], text[5000];
	struct area *a = pick();
	snprintf(path, sizeof path, "%s/mutate-%zu", dir, below(6));
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	check(fd >= 0, path);
	off_t at = (off_t)below(200) * 1000;
	switch (below(6)) {
	case 0:
		check(ftruncate(fd, at) == 0, "ftruncate");
		break;
	case 1:
		fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, (off_t)below(50) * 1000 + 1);
		break;
	case 2: {
		check(ftruncate(fd, at + 8 * PAGE) == 0, "ftruncate");
		char *m = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, below(2) ? MAP_SHARED : MAP_PRIVATE, fd, at / PAGE * PAGE);
		check(m != MAP_FAILED, "mmap a file");
		scribble(m, 4);
		munmap(m, 4 * PAGE);
		break;
	}
	case 3:
		if (a)
			(void)!pread(fd, a->mem + below(a->pages) * PAGE, below(PAGE), at);
		break;
	case 4:
		unlink(path);
		break;
	default:
		memset(text, (int)rnd(), sizeof text);
		check(pwrite(fd, text, 1 + below(sizeof text), at) > 0, "pwrite");
	}
	close(fd);
}

static void do_tmpfs(void) { file("/tmp"); }
static void do_overlay(void) { file(""); }

/* Half of memory is the parent's until someone writes. */
static void do_fork(void)
{
	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		state ^= (uint64_t)getpid() << 20;
		for (int i = 0; i < 20; i++) {
			do_write();
			scribble(shared, SHARED_PAGES);
		}
		usleep(below(20000));
		_exit(0);
	}
	do_write();
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
}

static void do_exec(void)
{
	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		execl("/proc/self/exe", "mutate", "0", NULL);
		_exit(1);
	}
	check(waitpid(pid, NULL, 0) == pid, "waitpid");
}

static void *deep(void *arg)
{
	volatile char stack[64 * 1024];
	for (size_t i = 0; i < sizeof stack; i += 512)
		stack[i] = (char)(uintptr_t)arg;
	usleep(1000);
	return NULL;
}

static void do_thread(void)
{
	pthread_t t[3];
	for (int i = 0; i < 3; i++)
		check(pthread_create(&t[i], NULL, deep, (void *)(uintptr_t)rnd()) == 0, "thread");
	for (int i = 0; i < 3; i++)
		pthread_join(t[i], NULL);
}

static void do_heap(void)
{
	static char *blocks[64];
	size_t i = below(64), n = 1 + below(100000);
	free(blocks[i]);
	blocks[i] = malloc(n);
	memset(blocks[i], (int)rnd(), n);
}

/* Reading it makes the sandbox look at which pages are there. */
static void do_meminfo(void)
{
	char text[4096];
	int fd = open("/proc/meminfo", O_RDONLY);
	if (fd >= 0) {
		(void)!read(fd, text, sizeof text);
		close(fd);
	}
}

static void do_share(void) { scribble(shared, SHARED_PAGES); }
static void do_rest(void) { usleep(below(3000)); }

static const struct { const char *name; void (*f)(void); int weight; } things[] = {
	{"write", do_write, 30}, {"map", do_map, 8}, {"remap", do_remap, 4}, {"unmap", do_unmap_part, 4},
	{"protect", do_protect, 4}, {"advise", do_advise, 12}, {"pipe", do_pipe, 8}, {"socket", do_socket, 8},
	{"tmpfs", do_tmpfs, 10}, {"overlay", do_overlay, 10}, {"fork", do_fork, 1}, {"exec", do_exec, 1},
	{"thread", do_thread, 2}, {"heap", do_heap, 8}, {"meminfo", do_meminfo, 3}, {"share", do_share, 5},
	{"rest", do_rest, 10},
};
enum { THINGS = sizeof things / sizeof *things };

static int turn(void)
{
	int total = 0, i = 0;
	for (i = 0; i < THINGS; i++)
		total += things[i].weight;
	int n = (int)below(total);
	for (i = 0; n >= things[i].weight; i++)
		n -= things[i].weight;
	things[i].f();
	return i;
}

/* A process of its own that goes on all the time. */
static pid_t companion(void)
{
	pid_t pid = fork();
	check(pid >= 0, "fork");
	if (pid == 0) {
		state ^= 0x9e3779b97f4a7c15u;
		for (;;)
			turn();
	}
	return pid;
}

int main(int argc, char **argv)
{
	long seconds = argc > 1 ? atol(argv[1]) : 10;
	state = argc > 2 ? strtoull(argv[2], NULL, 0) : 88172645463325252ull;
	if (seconds == 0) /* what do_exec runs */
		return 0;
	shared = mmap(NULL, SHARED_PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared != MAP_FAILED, "mmap");
	puts("ready");
	fflush(stdout);
	pid_t other = companion();
	unsigned long counts[THINGS] = {0}, turns = 0;
	time_t end = time(NULL) + seconds;
	for (; time(NULL) < end; turns++)
		counts[turn()]++;
	kill(other, SIGKILL);
	waitpid(other, NULL, 0);
	printf("turns %lu:", turns);
	for (int i = 0; i < THINGS; i++)
		printf(" %s %lu", things[i].name, counts[i]);
	puts("");
	return 0;
}
