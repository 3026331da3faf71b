/*
 * Lines are counted by a fast path that reads eight bytes at a time and rounds
 * the length up. It works for years, as long as what lies behind a record can
 * be read. Here the records end where a guard page begins, as some allocators
 * place them, and one of them isn't a multiple of eight bytes long.
 *
 * The handler switches to the plain path, byte by byte. It only sets a flag,
 * so it runs right in the signal handler. The program asks for no checkpoints:
 * it runs for some seconds and relies on those taken at intervals.
 *
 * With an argument it counts on the plain path from the start.
 */
#define _DEFAULT_SOURCE
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "recover.h"

enum { RECORDS = 400, ODD_RECORD = 300, RECORD_MS = 10 };

static volatile sig_atomic_t safe_mode;

static void enter_safe_mode(const struct recover_info *info, void *arg)
{
	(void)info, (void)arg;
	safe_mode = 1;
}

static unsigned count_plain(const char *p, size_t length)
{
	unsigned lines = 0;
	size_t i;

	for (i = 0; i < length; i++)
		lines += p[i] == '\n';
	return lines;
}

/* newlines counts the bytes of a word that are '\n'. */
static unsigned newlines(uint64_t word)
{
	const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
	uint64_t x = word ^ 0x0a0a0a0a0a0a0a0au; /* zero where there is a newline */

	x = ~(((x & low) + low) | x | low);
	return (unsigned)__builtin_popcountll(x);
}

static unsigned count_fast(const char *p, size_t length)
{
	unsigned lines = 0;
	size_t i;

	for (i = 0; i < length; i += 8) {
		uint64_t word;

		memcpy(&word, p + i, sizeof word); /* past the end in the last round */
		lines += newlines(word);
	}
	return lines;
}

/* guarded_page returns the end of a page behind which nothing can be read. */
static char *guarded_page(size_t page)
{
	char *p = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + page, page, PROT_NONE) == -1) {
		perror("map a guarded page");
		exit(1);
	}
	return p + page;
}

/* fill_record writes record number n so that it ends at end. */
static size_t fill_record(char *end, unsigned n)
{
	size_t length = 64 + 8 * (n % 50) + (n == ODD_RECORD ? 5 : 0), i;
	char *p = end - length;

	for (i = 0; i < length; i++)
		p[i] = (i + n) % 11 == 0 ? '\n' : (char)('a' + (i * n) % 26);
	return length;
}

int main(int argc, char **argv)
{
	const struct timespec pace = {0, RECORD_MS * 1000000L};
	char *end = guarded_page((size_t)sysconf(_SC_PAGESIZE));
	unsigned n, lines = 0;

	(void)argv;
	safe_mode = argc > 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	recover_on(1, enter_safe_mode, NULL);
	if (recover_attach(0, RECOVER_TO_THREAD, 1) != 1)
		puts("not protected");
	for (n = 1; n <= RECORDS; n++) {
		size_t length = fill_record(end, n);

		lines += (safe_mode ? count_plain : count_fast)(end - length, length);
		if (n % 100 == 0)
			printf("%u records, %s path\n", n, safe_mode ? "plain" : "fast");
		nanosleep(&pace, NULL);
	}
	recover_resolved();
	printf("RESULT records=%d lines=%u\n", RECORDS, lines);
	return 0;
}
