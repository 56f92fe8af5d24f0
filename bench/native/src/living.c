// The shapes that keep blocks, and hand them over; see shapes_local.go and
// shapes_handed.go.
#include "bench.h"
#include <pthread.h>
#include <sched.h>

enum { RING = 1024, SPINS = 200 };

static struct {
	_Atomic(unsigned char *) slots[RING];
	char padding_head[LINE];
	unsigned long head;
	char padding_tail[LINE];
	unsigned long tail;
} ring;

static inline void pause_or_yield(int spins) {
	if (spins % SPINS == SPINS - 1)
		sched_yield();
#if defined(__x86_64__)
	else
		__builtin_ia32_pause();
#endif
}

static long produce_step(worker *w) {
	(void)w;
	for (int i = 0; i < STRIDE; i++) {
		_Atomic(unsigned char *) *slot = &ring.slots[ring.head % RING];
		for (int spins = 0; atomic_load_explicit(slot, memory_order_acquire); spins++) {
			if (stopping())
				return 0;
			pause_or_yield(spins);
		}
		unsigned char *b = block_alloc(64);
		b[0] = 1;
		atomic_store_explicit(slot, b, memory_order_release);
		ring.head++;
	}
	return 0;
}

static long consume_step(worker *w) {
	(void)w;
	for (int i = 0; i < STRIDE; i++) {
		_Atomic(unsigned char *) *slot = &ring.slots[ring.tail % RING];
		unsigned char *b;
		for (int spins = 0; !(b = atomic_load_explicit(slot, memory_order_acquire)); spins++) {
			if (stopping())
				return i;
			pause_or_yield(spins);
		}
		atomic_store_explicit(slot, NULL, memory_order_release);
		block_free(b);
		ring.tail++;
	}
	return STRIDE;
}

static void ring_finish(worker *w) {
	(void)w;
	for (int i = 0; i < RING; i++)
		if (ring.slots[i])
			block_free(ring.slots[i]);
}

static plan ringed(scene *s) {
	(void)s;
	plan p = plan_of(2, produce_step);
	p.workers[1].step = consume_step;
	p.workers[1].finish = ring_finish;
	return p;
}

// slotted is the state of a worker that has slots of random blocks.
typedef struct {
	rnd random;
	unsigned char **slots;
	int count, low, high;
	long sum;
} slotted;

static void fill(worker *w) {
	slotted *own = w->own;
	for (int i = 0; i < own->count; i++) {
		int size = rnd_between(&own->random, own->low, own->high);
		unsigned char *b = block_alloc(size);
		b[0] = 1, b[size - 1] = 2;
		own->slots[i] = b;
	}
}

static inline void replace(slotted *own, int count) {
	rnd random = own->random;
	for (int i = 0; i < count; i++) {
		int size, at = rnd_pick(&random, own->count, own->low, own->high, &size);
		block_free(own->slots[at]);
		unsigned char *b = block_alloc(size);
		b[0] = 1, b[size - 1] = 2;
		own->slots[at] = b;
	}
	own->random = random;
}

static long replace_step(worker *w) {
	replace(w->own, STRIDE);
	return STRIDE;
}

static void drain(worker *w) {
	slotted *own = w->own;
	for (int i = 0; i < own->count; i++)
		block_free(own->slots[i]);
}

static slotted *slots_of(uint64_t seed, int stream, int count, int low, int high) {
	slotted *own = own_memory(sizeof *own);
	*own = (slotted){rnd_new(seed, stream), own_memory(count * sizeof(void *)), count, low, high, 0};
	return own;
}

// live's parameter is goroutines * 10000 + blocks.
static plan live(scene *s) {
	int threads = s->parameter / 10000, blocks = s->parameter % 10000;
	plan p = plan_of(threads, replace_step);
	for (int i = 0; i < threads; i++) {
		p.workers[i].own = slots_of(s->seed, i, blocks, 16, 1024);
		p.workers[i].prepare = fill;
		p.workers[i].finish = drain;
	}
	return p;
}

static plan cfrac(scene *s) {
	plan p = plan_of(1, replace_step);
	p.workers->own = slots_of(s->seed, 0, 16, 8, 64);
	p.workers->prepare = fill;
	p.workers->finish = drain;
	return p;
}

// sum is the height of the stack here.
static long sway_step(worker *w) {
	slotted *own = w->own;
	rnd random = own->random;
	long height = own->sum;
	for (int i = 0; i < 2 * STRIDE; i++) {
		int size, up = rnd_pick(&random, 200, own->low, own->high, &size);
		if (height > 0 && (up >= 100 || height == own->count)) {
			block_free(own->slots[--height]);
			own->slots[height] = NULL;
			continue;
		}
		if (up == 0)
			size *= 30;
		unsigned char *b = block_alloc(size);
		b[0] = 1, b[size - 1] = 2;
		own->slots[height++] = b;
	}
	own->random = random;
	own->sum = height;
	return STRIDE;
}

static void sway_finish(worker *w) {
	slotted *own = w->own;
	for (long i = 0; i < own->sum; i++)
		block_free(own->slots[i]);
}

static plan espresso(scene *s) {
	plan p = plan_of(1, sway_step);
	p.workers->own = slots_of(s->seed, 0, 400, 8, 300);
	p.workers->finish = sway_finish;
	return p;
}

static long exchange_step(worker *w) {
	slotted *own = w->own;
	rnd random = own->random;
	for (int i = 0; i < STRIDE; i++) {
		int size, at = rnd_pick(&random, own->count, own->low, own->high, &size);
		block_free(own->slots[at]);
		volatile unsigned char *b = block_alloc(size);
		b[0] = 1, b[1] = 2;
		own->slots[at] = (unsigned char *)b;
		own->sum += b[0];
	}
	own->random = random;
	return STRIDE;
}

enum { LARSON_STREAMS = 2, LARSON_EACH = 5000, LARSON_CHURN = 40000, LARSON_ROUNDS = 500000 };

static plan larson(scene *s) {
	slotted *all = slots_of(s->seed, LARSON_STREAMS, LARSON_STREAMS * LARSON_EACH, 8, 999);
	worker of = {.own = all};
	fill(&of); // by main
	for (int i = all->count - 1; i > 0; i--) {
		int j = rnd_below(&all->random, i + 1);
		unsigned char *b = all->slots[i];
		all->slots[i] = all->slots[j], all->slots[j] = b;
	}
	replace(all, LARSON_CHURN);
	plan p = plan_of(LARSON_STREAMS, exchange_step);
	for (int i = 0; i < LARSON_STREAMS; i++) {
		slotted *own = own_memory(sizeof *own);
		*own = (slotted){rnd_new(s->seed, i), all->slots + i * LARSON_EACH, LARSON_EACH, 8, 999, 0};
		p.workers[i].own = own;
		p.workers[i].finish = drain;
		p.workers[i].heirs = LARSON_ROUNDS / STRIDE;
	}
	return p;
}

enum { X_BLOCKS = 4096, X_FULL = 100, X_TOUCHED = 128 };

// record is xmalloc's batch: one block that holds the pointers to the others.
typedef struct record { struct record *next; void *blocks[X_BLOCKS]; } record;

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t not_full, not_empty;
	record *first;
	int count;
} shelf = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL, 0};

static const int x_mixed[] = {8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048};
static const int x_one[] = {64};
static const int *x_sizes;
static int x_size_count;

#ifdef EMPTY
// Blocks would overwrite a record that comes from the same bytes.
static record *spare;

static record *record_new(void) {
	pthread_mutex_lock(&shelf.mutex);
	record *r = spare;
	if (r)
		spare = r->next;
	pthread_mutex_unlock(&shelf.mutex);
	return r ? r : own_memory(sizeof *r);
}

static void record_free(record *r) {
	pthread_mutex_lock(&shelf.mutex);
	r->next = spare;
	spare = r;
	pthread_mutex_unlock(&shelf.mutex);
}
#else
static record *record_new(void) { return block_alloc(sizeof(record)); }
static void record_free(record *r) { block_free(r); }
#endif

static void release(record *r) {
	for (int i = 0; i < X_BLOCKS; i++)
		block_free(r->blocks[i]);
	record_free(r);
}

static long x_produce(worker *w) {
	rnd *random = w->own;
	record *r = record_new();
	for (int i = 0; i < X_BLOCKS; i++) {
		int size = x_sizes[rnd_below(random, x_size_count)];
		r->blocks[i] = block_alloc(size);
		memset(r->blocks[i], 0, size < X_TOUCHED ? size : X_TOUCHED);
	}
	pthread_mutex_lock(&shelf.mutex);
	while (shelf.count >= X_FULL && !stopping())
		pthread_cond_wait(&shelf.not_full, &shelf.mutex);
	int full = shelf.count >= X_FULL;
	if (!full) {
		r->next = shelf.first;
		shelf.first = r;
		shelf.count++;
		pthread_cond_signal(&shelf.not_empty);
	}
	pthread_mutex_unlock(&shelf.mutex);
	if (full)
		release(r);
	return 0;
}

static record *take(void) {
	record *r = shelf.first;
	if (r) {
		shelf.first = r->next;
		shelf.count--;
		pthread_cond_signal(&shelf.not_full);
	}
	return r;
}

static long x_consume(worker *w) {
	(void)w;
	pthread_mutex_lock(&shelf.mutex);
	while (!shelf.count && !stopping())
		pthread_cond_wait(&shelf.not_empty, &shelf.mutex);
	record *r = take();
	pthread_mutex_unlock(&shelf.mutex);
	if (!r)
		return 0;
	release(r);
	return X_BLOCKS;
}

static void x_wake(void) {
	pthread_mutex_lock(&shelf.mutex);
	pthread_cond_broadcast(&shelf.not_full);
	pthread_cond_broadcast(&shelf.not_empty);
	pthread_mutex_unlock(&shelf.mutex);
}

static void x_finish(worker *w) {
	(void)w;
	for (record *r; (r = take());)
		release(r);
}

static plan xmalloc(scene *s) {
	x_sizes = s->parameter ? x_mixed : x_one;
	x_size_count = s->parameter ? sizeof x_mixed / sizeof *x_mixed : 1;
	plan p = plan_of(4, x_produce);
	for (int i = 0; i < 2; i++) {
		rnd *random = own_memory(sizeof *random);
		*random = rnd_new(s->seed, i);
		p.workers[2 * i].own = random;
		p.workers[2 * i + 1].step = x_consume;
	}
	p.workers[0].finish = x_finish;
	p.wake = x_wake;
	return p;
}

const shape shapes_living[] = {
	{"producer-consumer", ringed, 0, 0},
	{"live-64x1000", live, 64 * 10000 + 1000, 0}, {"live-1000x100", live, 1000 * 10000 + 100, 0},
	{"cfrac", cfrac, 0, 0}, {"espresso", espresso, 0, 0},
	{"larson", larson, 0, 0}, {"xmalloc-64", xmalloc, 0, 0}, {"xmalloc-mixed", xmalloc, 1, 0},
	{NULL, NULL, 0, 0},
};
