// The microbenchmarks; see shapes_local.go.
#include "bench.h"
#include <sched.h>
#include <unistd.h>

// A pair's size is copied from here by each worker: a constant would let the
// compiler of an inlined allocator look the class up for itself.
static int block_size;

static inline void pairs_of(size_t size, int count) {
	for (int i = 0; i < count; i++) {
		unsigned char *b = block_alloc(size);
		b[0] = (unsigned char)i;
		block_free(b);
	}
}

static long pair_step(worker *w) {
	(void)w;
	pairs_of(block_size, STRIDE);
	return STRIDE;
}

static plan pair(scene *s) {
	block_size = s->parameter;
	return plan_of(1, pair_step);
}

static plan pair_two(scene *s) {
	block_size = s->parameter;
	return plan_of(2, pair_step);
}

static long crowd_step(worker *w) {
	(void)w;
	enum { CROWD_PAIRS = 1024 };
	pairs_of(block_size, CROWD_PAIRS);
	sched_yield();
	return CROWD_PAIRS;
}

static plan crowd(scene *s) {
	block_size = 64;
	return plan_of(s->parameter, crowd_step);
}

static long zeroed_step(worker *w) {
	(void)w;
	for (int i = 0; i < STRIDE; i++) {
		unsigned char *b = block_zalloc(block_size);
		b[0] = (unsigned char)i;
		block_free(b);
	}
	return STRIDE;
}

static plan zeroed(scene *s) {
	block_size = s->parameter;
	return plan_of(1, zeroed_step);
}

static int whole;

static long growth_step(worker *w) {
	(void)w;
	unsigned char *b = block_alloc(16);
	for (size_t n = 32; n <= 1 << 20; n *= 2) {
		b = block_realloc(b, n);
		if (whole)
			memset(b + n / 2, 0, n / 2);
		b[n - 1] = 1;
	}
	block_free(b);
	return 1;
}

static plan growth(scene *s) {
	whole = s->parameter;
	return plan_of(1, growth_step);
}

enum { BATCH = 1000, CALLS = 960 };
static unsigned char *slots[BATCH];

static inline long fifo(int count) {
	for (int i = 0; i < count; i++) {
		unsigned char *b = block_alloc(64);
		b[0] = (unsigned char)i;
		slots[i] = b;
	}
	for (int i = 0; i < count; i++)
		block_free(slots[i]);
	return count;
}

static long fifo_step(worker *w) {
	return fifo((int)(intptr_t)w->own);
}

static long lifo_step(worker *w) {
	(void)w;
	for (int i = 0; i < BATCH; i++) {
		unsigned char *b = block_alloc(64);
		b[0] = (unsigned char)i;
		slots[i] = b;
	}
	for (int i = BATCH - 1; i >= 0; i--)
		block_free(slots[i]);
	return BATCH;
}

static plan batch_fifo(scene *s) {
	plan p = plan_of(1, fifo_step);
	p.workers->own = (void *)(intptr_t)s->parameter;
	return p;
}

static plan batch_lifo(scene *s) {
	(void)s;
	return plan_of(1, lifo_step);
}

const shape shapes_micro[] = {
	{"pair-16", pair, 16, 0}, {"pair-64", pair, 64, 0}, {"pair-1024", pair, 1024, 0},
	{"pair-4096", pair, 4096, 0}, {"pair-32768", pair, 32768, 0}, {"pair-262144", pair, 262144, 0},
	{"pair-16-two", pair_two, 16, 1}, {"pair-64-two", pair_two, 64, 1}, {"pair-1024-two", pair_two, 1024, 1},
	{"pair-4096-two", pair_two, 4096, 1}, {"pair-32768-two", pair_two, 32768, 1}, {"pair-262144-two", pair_two, 262144, 1},
	{"pair-64-x16", crowd, 16, 1}, {"pair-64-x256", crowd, 256, 1},
	{"zeroed-64", zeroed, 64, 0}, {"zeroed-4096", zeroed, 4096, 0}, {"zeroed-262144", zeroed, 262144, 0},
	{"realloc-touch", growth, 1, 0}, {"realloc-notouch", growth, 0, 0},
	{"batch-fifo", batch_fifo, BATCH, 0}, {"batch-lifo", batch_lifo, 0, 0},
	{"batch-calls", batch_fifo, CALLS, 0}, {"drop", batch_fifo, BATCH, 0},
	{NULL, NULL, 0, 0},
};
