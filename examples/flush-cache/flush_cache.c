/*
 * A service answers requests from a cache, one entry of which is corrupt: its
 * offset has a bit flipped, as a torn write or bad memory does. The process
 * dies whenever that entry is looked up, hours after it went bad.
 *
 * Level 1 empties the cache, so that the entries are computed again. Level 2
 * does without one. The handlers change what lookups walk through, so they are
 * put off to the head of a request.
 *
 * With an argument it answers without a cache, which gives the right digest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "recover.h"

enum { KEYS = 32, VALUE_MAX = 64, REQUESTS = 200, BAD_KEY = 13 };

struct entry {
	size_t offset, length; /* length 0: not cached */
};

static struct {
	int off;
	struct entry entries[KEYS];
	char values[KEYS * VALUE_MAX];
	size_t used;
} cache;

/* compute is what the cache saves us: the longest Collatz run below a limit. */
static size_t compute(unsigned key, char *value)
{
	uint64_t best = 0, best_start = 0, start;

	for (start = 1; start < 2000 + 100 * key; start++) {
		uint64_t n = start, steps = 0;

		for (; n != 1; steps++)
			n = n % 2 ? 3 * n + 1 : n / 2;
		if (steps > best)
			best = steps, best_start = start;
	}
	return (size_t)snprintf(value, VALUE_MAX, "%u: %" PRIu64 " steps from %" PRIu64, key, best, best_start);
}

static size_t answer(unsigned key, char *value)
{
	struct entry *e = &cache.entries[key];
	size_t length;

	if (!cache.off && e->length != 0) {
		memcpy(value, cache.values + e->offset, e->length);
		return e->length;
	}
	length = compute(key, value);
	if (!cache.off) {
		e->offset = cache.used;
		e->length = length;
		memcpy(cache.values + cache.used, value, length);
		cache.used += length;
	}
	return length;
}

static void flush_cache(const struct recover_info *info, void *arg)
{
	(void)arg;
	printf("signal %d ahead, attempt %u: emptying the cache\n", info->signo, info->attempt);
	memset(&cache, 0, sizeof cache);
}

static void do_without(const struct recover_info *info, void *arg)
{
	(void)arg;
	printf("signal %d ahead, attempt %u: doing without a cache\n", info->signo, info->attempt);
	cache.off = 1;
}

static void warm_up(void)
{
	char value[VALUE_MAX];
	unsigned key;

	for (key = 0; key < KEYS; key++)
		answer(key, value);
	cache.entries[BAD_KEY].offset ^= (size_t)1 << 62;
}

static uint32_t digest(uint32_t sum, const char *value, size_t length)
{
	size_t i;

	for (i = 0; i < length; i++)
		sum = (sum ^ (unsigned char)value[i]) * 16777619u; /* FNV-1a */
	return sum;
}

int main(int argc, char **argv)
{
	uint32_t sum = 2166136261u;
	char value[VALUE_MAX];
	unsigned request;

	(void)argv;
	cache.off = argc > 1;
	setvbuf(stdout, NULL, _IOLBF, 0);
	recover_on(1, flush_cache, NULL);
	recover_on(2, do_without, NULL);
	if (recover_attach(0, RECOVER_DEFER, 2) != 1)
		puts("not protected");
	warm_up();
	for (request = 0; request < REQUESTS; request++) {
		if (request % 10 == 0 && recover_checkpoint() == -1)
			perror("checkpoint");
		recover_run();
		sum = digest(sum, value, answer(request * 7 % KEYS, value));
	}
	recover_resolved();
	printf("RESULT requests=%u digest=%08" PRIx32 "\n", request, sum);
	return 0;
}
