/* Descriptors that processes talk and wait through. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "kinds.h"

/* Reads what is there, expects it to be text, and puts it back. */
static const char *holds(int from, int to, const char *text)
{
	char buf[64] = "";
	if (read(from, buf, sizeof buf - 1) != (ssize_t)strlen(text) || strcmp(buf, text))
		return "what it held changed";
	put(to, text, strlen(text));
	return NULL;
}

static int pipes[2], dup_end;

static void pipe_setup(void)
{
	MUST(pipe2(pipes, O_NONBLOCK));
	MUST(dup_end = dup(pipes[0]));
	MUST(fcntl(pipes[1], F_SETPIPE_SZ, 65536 * 2));
	put(pipes[1], "held", 4);
}

static void pipe_perturb(void)
{
	char buf[64];
	MUST(read(pipes[0], buf, sizeof buf));
	put(pipes[1], "other", 5);
	MUST(fcntl(pipes[0], F_SETFL, 0));
	MUST(close(dup_end));
	MUST(close(pipes[0]));
}

static const char *pipe_check(void)
{
	WRONG(!(fcntl(pipes[0], F_GETFL) & O_NONBLOCK), "its flags changed");
	WRONG(fcntl(pipes[1], F_GETPIPE_SZ) != 65536 * 2, "its size changed");
	return holds(dup_end, pipes[1], "held");
}

static int counter;

static void eventfd_setup(void)
{
	MUST(counter = eventfd(41, EFD_NONBLOCK));
	put(counter, &(uint64_t){1}, 8);
}

static void eventfd_perturb(void)
{
	uint64_t v;
	get(counter, &v, 8);
	put(counter, &(uint64_t){5}, 8);
}

static const char *eventfd_check(void)
{
	uint64_t v = 0;
	WRONG(read(counter, &v, 8) != 8 || v != 42, "its count changed");
	put(counter, &v, 8);
	return NULL;
}

/* One descriptor that is ready and one that isn't, edge-triggered. */
static int poller, quiet[2], ready[2];

static void epoll_setup(void)
{
	MUST(poller = epoll_create1(0));
	MUST(pipe(quiet));
	MUST(pipe(ready));
	MUST(epoll_ctl(poller, EPOLL_CTL_ADD, quiet[0], &(struct epoll_event){EPOLLIN, {.u64 = 1}}));
	MUST(epoll_ctl(poller, EPOLL_CTL_ADD, ready[0], &(struct epoll_event){EPOLLIN, {.u64 = 2}}));
	put(ready[1], "r", 1);
}

static void epoll_perturb(void)
{
	char c;
	put(quiet[1], "q", 1);
	get(ready[0], &c, 1);
	MUST(epoll_ctl(poller, EPOLL_CTL_DEL, ready[0], NULL));
}

static const char *epoll_check(void)
{
	struct epoll_event events[4];
	char c;
	WRONG(epoll_wait(poller, events, 4, 0) != 1 || events[0].data.u64 != 2, "what is ready changed");
	put(quiet[1], "q", 1);
	WRONG(epoll_wait(poller, events, 4, 1000) != 2, "a descriptor no longer wakes it");
	get(quiet[0], &c, 1);
	return NULL;
}

static int notify;

static void inotify_setup(void)
{
	int fd;
	MUST(notify = inotify_init1(IN_NONBLOCK));
	MUST(inotify_add_watch(notify, "/tmp", IN_CREATE));
	MUST(fd = open("/tmp/fidelity.seen", O_CREAT | O_RDWR, 0600));
	close(fd);
}

static void inotify_perturb(void)
{
	char buf[4096];
	MUST(read(notify, buf, sizeof buf));
	MUST(inotify_rm_watch(notify, 1));
}

static const char *inotify_check(void)
{
	char buf[4096] = "";
	struct inotify_event *e = (void *)buf;
	WRONG(read(notify, buf, sizeof buf) <= 0 || strcmp(e->name, "fidelity.seen"), "the event is gone");
	MUST(unlink("/tmp/fidelity.seen"));
	int fd = open("/tmp/fidelity.seen", O_CREAT | O_RDWR, 0600);
	MUST(fd);
	close(fd);
	WRONG(poll(&(struct pollfd){notify, POLLIN, 0}, 1, 1000) != 1, "the watch is gone");
	return NULL;
}

static int master, slave;

static void pty_setup(void)
{
	struct termios tio;
	MUST(master = posix_openpt(O_RDWR | O_NOCTTY));
	MUST(grantpt(master));
	MUST(unlockpt(master));
	MUST(slave = open(ptsname(master), O_RDWR | O_NOCTTY));
	MUST(tcgetattr(slave, &tio));
	cfmakeraw(&tio);
	tio.c_cc[VMIN] = 0;
	MUST(tcsetattr(slave, TCSANOW, &tio));
	MUST(ioctl(slave, TIOCSWINSZ, &(struct winsize){11, 22, 0, 0}));
	put(master, "typed", 5);
}

static void pty_perturb(void)
{
	struct termios tio;
	char buf[64];
	MUST(read(slave, buf, sizeof buf));
	MUST(tcgetattr(slave, &tio));
	tio.c_lflag |= ECHO | ICANON;
	MUST(tcsetattr(slave, TCSANOW, &tio));
	MUST(ioctl(slave, TIOCSWINSZ, &(struct winsize){1, 2, 0, 0}));
}

static const char *pty_check(void)
{
	struct termios tio;
	struct winsize size;
	MUST(tcgetattr(slave, &tio));
	MUST(ioctl(master, TIOCGWINSZ, &size));
	WRONG(tio.c_lflag & (ECHO | ICANON), "its mode changed");
	WRONG(size.ws_row != 11 || size.ws_col != 22, "its size changed");
	return holds(slave, master, "typed");
}

const struct kind ipc_kinds[] = {
	{"pipe", pipe_setup, pipe_perturb, pipe_check},
	{"eventfd", eventfd_setup, eventfd_perturb, eventfd_check},
	{"epoll", epoll_setup, epoll_perturb, epoll_check},
	{"inotify", inotify_setup, inotify_perturb, inotify_check},
	{"pty", pty_setup, pty_perturb, pty_check},
	{0},
};
