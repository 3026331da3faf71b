/* Memory of every sort, and what the processor holds. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <unistd.h>
#include <xmmintrin.h>

#include "kinds.h"

#define SIZE (4 << 20)

static void fill(uint64_t *p, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / sizeof *p; i++)
		p[i] = seed = seed * 6364136223846793005u + 1442695040888963407u;
}

static int filled(const uint64_t *p, size_t size, uint64_t seed)
{
	for (size_t i = 0; i < size / sizeof *p; i++)
		if (p[i] != (seed = seed * 6364136223846793005u + 1442695040888963407u))
			return 0;
	return 1;
}

static uint64_t *heap;

static void heap_setup(void)
{
	heap = malloc(SIZE);
	fill(heap, SIZE, 1);
}

static void heap_perturb(void)
{
	fill(heap, SIZE, 2);
	free(heap);
	fill(malloc(2 * SIZE), 2 * SIZE, 3);
}

static const char *heap_check(void)
{
	WRONG(!filled(heap, SIZE, 1), "the heap changed");
	return NULL;
}

static uint64_t *mapped, *protected;

static void mapping_setup(void)
{
	mapped = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	protected = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mapped == MAP_FAILED || protected == MAP_FAILED)
		broken("mmap");
	fill(mapped, SIZE, 4);
	fill(protected, 4096, 5);
	MUST(mprotect(protected, 4096, PROT_READ));
}

static void mapping_perturb(void)
{
	MUST(munmap(mapped, SIZE));
	MUST(mprotect(protected, 4096, PROT_READ | PROT_WRITE));
	fill(protected, 4096, 6);
}

/* Read-only memory is tested with a system call, which fails with EFAULT. */
static const char *mapping_check(void)
{
	int p[2];
	WRONG(!filled(mapped, SIZE, 4), "an unmapped range didn't come back as it was");
	WRONG(!filled(protected, 4096, 5), "the read-only page changed");
	MUST(pipe(p));
	put(p[1], "x", 1);
	int writable = read(p[0], protected, 1) == 1;
	close(p[0]), close(p[1]);
	WRONG(writable, "the read-only page can be written");
	return NULL;
}

static int memfd;
static uint64_t *memfd_map;

static void memfd_setup(void)
{
	MUST(memfd = memfd_create("fidelity", MFD_ALLOW_SEALING));
	MUST(ftruncate(memfd, SIZE));
	memfd_map = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0);
	if (memfd_map == MAP_FAILED)
		broken("mmap");
	fill(memfd_map, SIZE, 7);
	MUST(fcntl(memfd, F_ADD_SEALS, F_SEAL_SHRINK));
	MUST(lseek(memfd, 1234, SEEK_SET));
}

static void memfd_perturb(void)
{
	MUST(fcntl(memfd, F_ADD_SEALS, F_SEAL_GROW));
	fill(memfd_map, SIZE, 8);
	MUST(lseek(memfd, 0, SEEK_SET));
	put(memfd, "changed", 7);
	munmap(memfd_map, SIZE);
	close(memfd);
}

static const char *memfd_check(void)
{
	WRONG(!filled(memfd_map, SIZE, 7), "its contents changed");
	WRONG(lseek(memfd, 0, SEEK_CUR) != 1234, "its offset changed");
	WRONG(fcntl(memfd, F_GET_SEALS) != F_SEAL_SHRINK, "its seals changed");
	return NULL;
}

static int shm_id;
static uint64_t *shm;

static void sysv_setup(void)
{
	MUST(shm_id = shmget(IPC_PRIVATE, 65536, IPC_CREAT | 0600));
	shm = shmat(shm_id, NULL, 0);
	if (shm == (void *)-1)
		broken("shmat");
	fill(shm, 65536, 9);
}

static void sysv_perturb(void)
{
	fill(shm, 65536, 10);
	MUST(shmdt(shm));
	MUST(shmctl(shm_id, IPC_RMID, NULL));
}

static const char *sysv_check(void)
{
	struct shmid_ds ds;
	WRONG(!filled(shm, 65536, 9), "its contents changed");
	WRONG(shmctl(shm_id, IPC_STAT, &ds) < 0 || ds.shm_nattch == 0, "the segment is gone or detached");
	return NULL;
}

static void registers_setup(void)
{
	_MM_SET_ROUNDING_MODE(_MM_ROUND_UP);
}

static void registers_perturb(void)
{
	_MM_SET_ROUNDING_MODE(_MM_ROUND_DOWN);
}

static const char *registers_check(void)
{
	WRONG(_MM_GET_ROUNDING_MODE() != _MM_ROUND_UP, "the rounding mode changed");
	return NULL;
}

const struct kind memory_kinds[] = {
	{"heap", heap_setup, heap_perturb, heap_check},
	{"mappings", mapping_setup, mapping_perturb, mapping_check},
	{"memfd", memfd_setup, memfd_perturb, memfd_check},
	{"System V shared memory", sysv_setup, sysv_perturb, sysv_check},
	{"floating-point mode", registers_setup, registers_perturb, registers_check},
	{0},
};
