/* A program with memory that changes at a known rate.
 *
 *     churn RESIDENT CHANGED [SPREAD [CHECKPOINTS]]
 *
 * It fills RESIDENT MiB, says "ready", and then changes CHANGED MiB every
 * 100 ms, one page in SPREAD (1 by default) from a place that moves on. With
 * CHECKPOINTS it asks for a checkpoint after each change, so often, and ends. */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>

#include "recover.h"

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: churn RESIDENT CHANGED [SPREAD [CHECKPOINTS]]\n");
		return 2;
	}
	size_t pages = strtoul(argv[1], NULL, 0) * 256, changed = strtoul(argv[2], NULL, 0) * 256;
	size_t spread = argc > 3 ? strtoul(argv[3], NULL, 0) : 1;
	char *mem = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	for (size_t i = 0; i < pages * PAGE; i += 64)
		*(unsigned long *)(mem + i) = i * 0x9e3779b97f4a7c15u;
	long checkpoints = argc > 4 ? strtol(argv[4], NULL, 0) : -1;
	puts("ready");
	fflush(stdout);
	size_t next = 0;
	for (long turn = 1; checkpoints < 0 || turn <= checkpoints; turn++) {
		for (size_t i = 0; i < changed; i++) {
			*(unsigned long *)(mem + next * PAGE) = turn * 1000003 + i;
			next = (next + spread) % pages;
		}
		if (checkpoints > 0 && recover_checkpoint() < 0) {
			perror("checkpoint");
			return 1;
		}
		nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
	}
	return 0;
}
