/* Sockets inside the sandbox: unix ones, and TCP and UDP on the loopback. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "kinds.h"

/* Expects text to be waiting at one end, and sends it again from the other. */
static const char *waits(int at, int from, const char *text)
{
	char buf[64] = "";
	if (recv(at, buf, sizeof buf - 1, MSG_DONTWAIT) != (ssize_t)strlen(text) || strcmp(buf, text))
		return "what waited to be read changed";
	MUST(send(from, text, strlen(text), 0));
	return NULL;
}

static int stream[2], packets[2];

static void unix_setup(void)
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets));
	MUST(send(stream[0], "stream", 6, 0));
	MUST(send(packets[0], "packet", 6, 0));
}

static void unix_perturb(void)
{
	char buf[64];
	MUST(recv(stream[1], buf, sizeof buf, 0));
	MUST(send(stream[0], "other", 5, 0));
	MUST(shutdown(packets[0], SHUT_RDWR));
	close(packets[0]);
}

static const char *unix_check(void)
{
	const char *what = waits(stream[1], stream[0], "stream");
	return what ? what : waits(packets[1], packets[0], "packet");
}

/* A descriptor on its way from one socket to another. */
static int carrier[2], carried[2];

static void send_carried(void)
{
	char control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = {"c", 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);
	c->cmsg_level = SOL_SOCKET, c->cmsg_type = SCM_RIGHTS, c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &carried[0], sizeof(int));
	MUST(sendmsg(carrier[0], &m, 0));
}

static int receive_carried(void)
{
	char control[CMSG_SPACE(sizeof(int))], byte;
	struct iovec iov = {&byte, 1};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	int fd = -1;
	if (recvmsg(carrier[1], &m, MSG_DONTWAIT) == 1 && CMSG_FIRSTHDR(&m))
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
	return fd;
}

static void carried_setup(void)
{
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, carrier));
	MUST(pipe(carried));
	put(carried[1], "z", 1);
	send_carried();
}

static void carried_perturb(void)
{
	close(receive_carried());
}

static const char *carried_check(void)
{
	char c = 0;
	int fd = receive_carried();
	WRONG(fd < 0, "it never arrived");
	WRONG(read(fd, &c, 1) != 1 || c != 'z', "it is another one");
	close(fd);
	put(carried[1], "z", 1);
	send_carried();
	return NULL;
}

static int listener, near_end, far_end;
static struct sockaddr_in address;

static int dial(void)
{
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	MUST(fd);
	MUST(connect(fd, (struct sockaddr *)&address, sizeof address));
	return fd;
}

static void tcp_setup(void)
{
	socklen_t n = sizeof address;
	address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	MUST(listener = socket(AF_INET, SOCK_STREAM, 0));
	MUST(bind(listener, (struct sockaddr *)&address, sizeof address));
	MUST(listen(listener, 4));
	MUST(getsockname(listener, (struct sockaddr *)&address, &n));
	near_end = dial();
	MUST(far_end = accept(listener, NULL, NULL));
	MUST(setsockopt(near_end, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)));
	MUST(send(near_end, "segment", 7, 0));
}

static void tcp_perturb(void)
{
	char buf[64];
	MUST(recv(far_end, buf, sizeof buf, 0));
	MUST(send(near_end, "other", 5, 0));
	MUST(send(far_end, "answer", 6, 0));
	MUST(shutdown(far_end, SHUT_RDWR));
	close(near_end), close(far_end), close(listener);
}

static const char *tcp_check(void)
{
	int on = 0;
	socklen_t n = sizeof on;
	char buf[8];
	WRONG(getsockopt(near_end, IPPROTO_TCP, TCP_NODELAY, &on, &n) < 0 || !on, "an option changed");
	WRONG(recv(near_end, buf, sizeof buf, MSG_DONTWAIT) >= 0, "the connection was answered or shut");
	/* TCP may take a moment to deliver: a blocking read decides. */
	memset(buf, 0, sizeof buf);
	WRONG(recv(far_end, buf, 7, 0) != 7 || strcmp(buf, "segment"), "what waited to be read changed");
	int again = dial(), accepted = accept(listener, NULL, NULL);
	WRONG(accepted < 0, "nothing listens any more");
	close(again), close(accepted);
	MUST(send(near_end, "segment", 7, 0));
	return NULL;
}

static int udp;
static struct sockaddr_in udp_address;

static void udp_setup(void)
{
	socklen_t n = sizeof udp_address;
	udp_address = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	MUST(udp = socket(AF_INET, SOCK_DGRAM, 0));
	MUST(bind(udp, (struct sockaddr *)&udp_address, sizeof udp_address));
	MUST(getsockname(udp, (struct sockaddr *)&udp_address, &n));
	MUST(connect(udp, (struct sockaddr *)&udp_address, sizeof udp_address));
	MUST(send(udp, "datagram", 8, 0));
}

static void udp_perturb(void)
{
	char buf[16];
	MUST(recv(udp, buf, sizeof buf, 0));
	MUST(send(udp, "other", 5, 0));
}

static const char *udp_check(void)
{
	char buf[16] = "";
	WRONG(recv(udp, buf, sizeof buf, 0) != 8 || strcmp(buf, "datagram"), "what waited to be read changed");
	MUST(send(udp, "datagram", 8, 0));
	return NULL;
}

const struct kind socket_kinds[] = {
	{"unix sockets", unix_setup, unix_perturb, unix_check},
	{"a descriptor in flight", carried_setup, carried_perturb, carried_check},
	{"TCP on loopback", tcp_setup, tcp_perturb, tcp_check},
	{"UDP on loopback", udp_setup, udp_perturb, udp_check},
	{0},
};
