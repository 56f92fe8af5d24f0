// The published benchmarks; see shapes_classic.go and loops_classic.go.
#include "bench.h"
#include <pthread.h>

enum { SIMPLE_MOST = 1600, SIMPLE_LAPS = 4 };

static unsigned char *simple_slots[SIMPLE_MOST];

static void simple_round(int count, int size) {
	for (int i = 0; i < count; i++) {
		unsigned char *b = block_alloc(size);
		write_indices(b, size);
		simple_slots[i] = b;
	}
	for (int i = 0; i < count / 2; i++)
		block_free(simple_slots[i]);
	for (int i = count - 1; i >= count / 2; i--)
		block_free(simple_slots[i]);
}

static void *simple_cycle(void *none) {
	static const int counts[] = {25, 100, 400, SIMPLE_MOST};
	for (int lap = 0; lap < SIMPLE_LAPS; lap++)
		for (int size = 16; size <= 64; size *= 2)
			for (int c = 0; c < 4; c++)
				for (int round = 0; round < SIMPLE_MOST / counts[c]; round++)
					simple_round(counts[c], size);
	return none;
}

static void on_fresh_thread(void *(*body)(void *), void *of) {
	pthread_t thread;
	if (pthread_create(&thread, NULL, body, of))
		fail("cannot start a thread");
	pthread_join(thread, NULL);
}

static long simple_step(worker *w) {
	static long steps;
	(void)w;
	if (++steps % 4 != 2)
		simple_cycle(NULL);
	else
		on_fresh_thread(simple_cycle, NULL);
	return SIMPLE_LAPS * 3 * 4 * SIMPLE_MOST;
}

static plan simple(scene *s) {
	(void)s;
	return plan_of(1, simple_step);
}

enum { G_SLOTS = 1024, G_SIZES = 8000, G_PLACES = 4096 };

static int g_sizes[G_SIZES];
static short g_places[G_PLACES];

typedef struct { unsigned char *slots[G_SLOTS]; int size, place; } walk;

static long cycle_step(worker *w) {
	walk *own = w->own;
	for (int i = 0; i < STRIDE; i++) {
		unsigned char **slot = &own->slots[g_places[own->place]];
		if (*slot)
			block_free(*slot);
		int size = g_sizes[own->size];
		unsigned char *b = block_alloc(size);
		write_indices(b, size);
		*slot = b;
		if (++own->place == G_PLACES)
			own->place = 0;
		if (++own->size == G_SIZES)
			own->size = 0;
	}
	return STRIDE;
}

static void cycle_finish(worker *w) {
	walk *own = w->own;
	for (int i = 0; i < G_SLOTS; i++)
		if (own->slots[i])
			block_free(own->slots[i]);
}

static plan glibc_thread(scene *s) {
	const double low = 4, high = 32 << 10;
	rnd random = rnd_new(s->seed, 0);
	for (int i = 0; i < G_SIZES; i++)
		g_sizes[i] = (int)(1 / ((1 / high - 1 / low) * rnd_uniform(&random) + 1 / low));
	for (int i = 0; i < G_PLACES; i++)
		g_places[i] = (short)rnd_below(&random, G_SLOTS);
	plan p = plan_of(s->cpus, cycle_step);
	for (int i = 0; i < p.count; i++) {
		walk *own = own_memory(sizeof *own);
		own->size = own->place = 1;
		p.workers[i].own = own;
		p.workers[i].finish = cycle_finish;
	}
	return p;
}

typedef struct {
	unsigned char **slots;
	long count, at, low, high, kept;
	int row;
	// The mailboxes that a thread of sh8 reads next.
	long box, box_end;
} hoard;

static hoard *hoard_of(long slots) {
	hoard *own = own_memory(sizeof *own);
	own->slots = own_memory(slots * sizeof(void *));
	own->count = own->low = own->high = slots;
	own->kept = slots / 5;
	return own;
}

static void sweep(hoard *own) {
	own->low = own->high >= own->count ? 0 : own->high;
	own->high = own->low + own->kept < own->count ? own->low + own->kept : own->count;
	for (long i = 0; i < own->low; i++) {
		block_free(own->slots[i]);
		own->slots[i] = NULL;
	}
	for (long i = own->count - 1; i >= own->high; i--) {
		block_free(own->slots[i]);
		own->slots[i] = NULL;
	}
	own->at = 0;
}

static void sh6_store(hoard *own, int size, int count) {
	while (count--) {
		unsigned char *b = block_alloc(size);
		b[0] = 1, b[size - 1] = 2;
		own->slots[own->at++] = b;
		if (own->at == own->low)
			own->at = own->high;
		if (own->at >= own->count)
			sweep(own);
	}
}

static long sh6_step(worker *w) {
	long blocks = 0;
	for (int base = 1; base < 1000; base = base * 3 / 2 + 1)
		for (int size = base; size > 0; size /= 2) {
			int count = size < 100 ? 250 : 50;
			sh6_store(w->own, size, count);
			blocks += count;
		}
	return blocks;
}

static void hoard_finish(worker *w) {
	hoard *own = w->own;
	for (long i = 0; i < own->count; i++)
		if (own->slots[i])
			block_free(own->slots[i]);
}

enum { SH_THREADS = 4, SH6_SLOTS = 2500 };

static plan sh6(scene *s) {
	(void)s;
	plan p = plan_of(SH_THREADS, sh6_step);
	p.fixed = 1;
	for (int i = 0; i < SH_THREADS; i++) {
		p.workers[i].own = hoard_of(SH6_SLOTS);
		p.workers[i].quota = SH6_SLOTS;
		p.workers[i].finish = hoard_finish;
	}
	return p;
}

enum { SH8_SLOTS = 1000000 / SH_THREADS, SH8_ITERATIONS = 700000 / SH_THREADS / 4, SH8_FOREIGN = 10000000 / 4 };

static const int sh8_rows[][2] = {{8, 1000}, {16, 5000}, {48, 1000}, {72, 100}, {148, 100}, {200, 100},
	{520, 10}, {1056, 5}, {4096, 3}, {9162, 1}, {34562, 1}, {168524, 1}};

static struct {
	_Atomic(uint64_t *) *boxes;
	long count, quarter;
	char padding[LINE];
	long posted;
} post;

static long collect(hoard *own) {
	long count = 0;
	while (own->box < post.count) {
		_Atomic(uint64_t *) *box = &post.boxes[own->box];
		uint64_t *b = atomic_load_explicit(box, memory_order_acquire);
		if (!b)
			break;
		atomic_store_explicit(box, NULL, memory_order_relaxed);
		block_free(b);
		count++;
		if (++own->box == own->box_end) {
			own->box += (SH_THREADS - 1) * post.quarter;
			own->box_end = own->box + post.quarter;
		}
	}
	return count;
}

static long sh8_step(worker *w) {
	hoard *own = w->own;
	long blocks = collect(own);
	own->row = (own->row + 1) % (int)(sizeof sh8_rows / sizeof *sh8_rows);
	int size = sh8_rows[own->row][0];
	for (int i = sh8_rows[own->row][1]; i; i--) {
		if (own->at == own->low)
			own->at = own->high;
		if (own->at >= own->count) {
			sweep(own);
			continue;
		}
		unsigned char *b = block_alloc(size);
		b[0] = 1, b[size - 1] = 2;
		own->slots[own->at++] = b;
		blocks++;
	}
	return blocks;
}

static long post_step(worker *w) {
	(void)w;
	for (int i = 0; i < STRIDE && post.posted < post.count; i++) {
		uint64_t *b = block_alloc(8);
		*b = post.posted;
		atomic_store_explicit(&post.boxes[post.posted++], b, memory_order_release);
	}
	return 0;
}

static void post_finish(worker *w) {
	(void)w;
	for (long i = 0; i < post.count; i++)
		if (post.boxes[i])
			block_free(post.boxes[i]);
}

static plan sh8(scene *s) {
	plan p = plan_of(SH_THREADS + 1, sh8_step);
	p.fixed = 1;
	post.count = (portion(s, SH8_FOREIGN, s->warm) + portion(s, SH8_FOREIGN, s->time)) / 16 * 16 + 16;
	post.quarter = post.count / SH_THREADS / SH_THREADS;
	post.boxes = own_memory(post.count * sizeof *post.boxes);
	for (int i = 0; i < SH_THREADS; i++) {
		hoard *own = hoard_of(SH8_SLOTS);
		own->box = i * post.quarter;
		own->box_end = own->box + post.quarter;
		p.workers[i].own = own;
		p.workers[i].quota = SH8_ITERATIONS;
		p.workers[i].finish = hoard_finish;
	}
	p.workers[SH_THREADS].step = post_step;
	p.workers[SH_THREADS].quota = SH8_FOREIGN / STRIDE;
	p.workers[SH_THREADS].finish = post_finish;
	return p;
}

enum { SCRATCH_WRITES = 2000000 };

static int scratch_threads;

static long scratch_step(worker *w) {
	if (w->own) {
		block_free(w->own);
		w->own = NULL;
	}
	volatile char *b = block_alloc(1);
	long sum = 0;
	for (int i = 0; i < SCRATCH_WRITES / scratch_threads; i++) {
		*b = (char)i;
		sum += *b;
	}
	__asm__ volatile("" : : "r"(sum));
	block_free((void *)b);
	return 1;
}

static plan thrash(scene *s) {
	scratch_threads = s->parameter;
	return plan_of(scratch_threads, scratch_step);
}

static void scratch_finish(worker *w) {
	if (w->own) // it had no step
		block_free(w->own);
}

static plan scratch(scene *s) {
	plan p = thrash(s);
	for (int i = 0; i < p.count; i++) {
		p.workers[i].own = block_alloc(1); // by main
		p.workers[i].finish = scratch_finish;
	}
	return p;
}

// pareto is alloc-test's choice of slots.
static struct {
	uint32_t limits[7];
	uint64_t starts[7], widths[7];
} pareto;

static void pareto_set(int slots) {
	static const double chances[] = {0.262144, 0.393216, 0.24576, 0.08192, 0.01536, 0.001536, 0.000064};
	static const double shares[] = {0.000064, 0.001536, 0.01536, 0.08192, 0.24576, 0.393216};
	double sum = 0;
	uint64_t start = 0;
	for (int i = 0; i < 7; i++) {
		sum += chances[i];
		pareto.limits[i] = i < 6 ? (uint32_t)(sum * UINT32_MAX) : UINT32_MAX;
		pareto.starts[i] = start;
		uint64_t width = i < 6 ? (uint64_t)(shares[i] * slots) : slots - start;
		start += pareto.widths[i] = width ? width : 1;
	}
}

static inline long pareto_index(uint64_t draw) {
	uint32_t high = draw >> 32;
	int i = 0;
	while (high > pareto.limits[i])
		i++;
	return pareto.starts[i] + ((draw & UINT32_MAX) * pareto.widths[i] >> 32);
}

static inline int geometric_size(uint64_t draw) {
	int i = __builtin_ctzll((draw & 127) + 1) + 2;
	return (1 << i) + 1 + (int)(draw >> 32 & ((1u << i) - 1));
}

typedef struct { unsigned char *block; int size; } sized;
typedef struct { rnd random; sized *slots; int count; uint64_t sum; } visitor;

static void visit_prepare(worker *w) {
	visitor *own = w->own;
	for (int i = 0; i < own->count; i++) {
		if (!(rnd_next(&own->random) & 1ull << 40))
			continue;
		sized *slot = &own->slots[i];
		slot->size = geometric_size(rnd_next(&own->random));
		slot->block = block_alloc(slot->size);
		write_indices(slot->block, slot->size);
	}
}

static long visit_step(worker *w) {
	visitor *own = w->own;
	for (int i = 0; i < 2 * STRIDE; i++) {
		sized *slot = &own->slots[pareto_index(rnd_next(&own->random))];
		if (slot->block) {
			own->sum += read_words(slot->block, slot->size);
			block_free(slot->block);
			slot->block = NULL;
			continue;
		}
		slot->size = geometric_size(rnd_next(&own->random));
		slot->block = block_alloc(slot->size);
		write_indices(slot->block, slot->size);
	}
	return STRIDE;
}

static void visit_finish(worker *w) {
	visitor *own = w->own;
	for (int i = 0; i < own->count; i++)
		if (own->slots[i].block)
			block_free(own->slots[i].block);
}

static plan alloc_test(scene *s) {
	int threads = s->parameter, slots = 262144 / threads;
	plan p = plan_of(threads, visit_step);
	pareto_set(slots);
	for (int i = 0; i < threads; i++) {
		visitor *own = own_memory(sizeof *own);
		*own = (visitor){rnd_new(s->seed, i), own_memory(slots * sizeof(sized)), slots, 0};
		p.workers[i].own = own;
		p.workers[i].prepare = visit_prepare;
		p.workers[i].finish = visit_finish;
	}
	return p;
}

#define COOKIE 0xbf58476d1ce4e5b9u
enum { TRANSFERS = 1000, STRESS_ALLOCS = 5000 };

static _Atomic(uint64_t *) transfers[TRANSFERS];

typedef struct {
	rnd random;
	uint64_t **data, **retained;
	int allocs;
	long items;
} stress_thread;

static uint64_t *stress_item(rnd *random, int exponents) {
	uint64_t words = 1ull << rnd_below(random, exponents);
	if (rnd_chance(random, 2))
		words *= rnd_chance(random, 2) ? 10000 : rnd_chance(random, 11) ? 1000 : 100;
	if (words == 40)
		words = 41;
	uint64_t *p = block_alloc(8 * words);
	for (uint64_t i = 0; i < words; i++)
		p[i] = (words - i) ^ COOKIE;
	return p;
}

static void stress_free(uint64_t *p) {
	if (!p)
		return;
	uint64_t words = p[0] ^ COOKIE;
	for (uint64_t i = 0; i < words; i++)
		if (p[i] != ((words - i) ^ COOKIE)) {
			atomic_fetch_add(&damage, 1);
			break;
		}
	block_free(p);
}

static void *stress_round(void *of) {
	stress_thread *t = of;
	rnd *random = &t->random;
	int allocs = t->allocs, retain = allocs / 2, data = 0, retained = 0;
	while (allocs > 0 || retain > 0) {
		if (retain == 0 || (allocs > 0 && rnd_chance(random, 51))) {
			allocs--;
			t->data[data++] = stress_item(random, 5);
		} else {
			retain--;
			t->retained[retained++] = stress_item(random, 7);
		}
		t->items++;
		if (data > 0 && rnd_chance(random, 67)) {
			int at = rnd_below(random, data);
			stress_free(t->data[at]);
			t->data[at] = NULL;
		}
		if (data > 0 && rnd_chance(random, 26)) {
			int at = rnd_below(random, data);
			t->data[at] = atomic_exchange(&transfers[rnd_below(random, TRANSFERS)], t->data[at]);
		}
	}
	for (int i = 0; i < retained; i++)
		stress_free(t->retained[i]);
	for (int i = 0; i < data; i++)
		stress_free(t->data[i]);
	return NULL;
}

static stress_thread stress_threads[2];
static rnd stress_between;

static long stress_step(worker *w) {
	(void)w;
	stress_threads[0].items = stress_threads[1].items = 0;
	pthread_t second;
	if (pthread_create(&second, NULL, stress_round, &stress_threads[1]))
		fail("cannot start a thread");
	stress_round(&stress_threads[0]);
	pthread_join(second, NULL);
	for (int i = 0; i < TRANSFERS; i++)
		if (rnd_chance(&stress_between, 50))
			stress_free(atomic_exchange(&transfers[i], NULL));
	return stress_threads[0].items + stress_threads[1].items;
}

static void stress_finish(worker *w) {
	(void)w;
	for (int i = 0; i < TRANSFERS; i++)
		stress_free(atomic_exchange(&transfers[i], NULL));
}

static plan mstress(scene *s) {
	for (int i = 0; i < 2; i++)
		stress_threads[i] = (stress_thread){rnd_new(s->seed, i), own_memory(16 * STRESS_ALLOCS * sizeof(void *)),
			own_memory(STRESS_ALLOCS * sizeof(void *)), (i + 1) * STRESS_ALLOCS, 0};
	stress_between = rnd_new(s->seed, 2);
	plan p = plan_of(1, stress_step);
	p.workers->finish = stress_finish;
	return p;
}

enum { RP_THREADS = 2, RP_SLOTS = 1000, RP_SIZES = 2000, RP_COUNTS = 100, RP_FREE = 11, RP_ALLOC = 7 };

typedef struct rp_list { struct rp_list *next; int count; void *blocks[RP_COUNTS]; } rp_list;

typedef struct rp_thread {
	unsigned char *slots[RP_SLOTS];
	int free_at, alloc_at, loop, size_at, count_at;
	rp_list *spare;
	struct rp_thread *partner;
	char padding[LINE];
	_Atomic(rp_list *) inbox;
} rp_thread;

static int rp_sizes[RP_SIZES], rp_counts[RP_COUNTS];

static int rp_count(rp_thread *t) { return rp_counts[t->count_at = (t->count_at + 1) % RP_COUNTS]; }

static unsigned char *rp_block(rp_thread *t) {
	uint32_t size = rp_sizes[t->size_at = (t->size_at + 1) % RP_SIZES];
	unsigned char *b = block_alloc(size);
	memcpy(b, &size, 4);
	for (uint32_t i = 4096; i < size; i += 4096)
		b[i] = 1;
	b[size - 1] = 2;
	return b;
}

static long rp_step(worker *w) {
	rp_thread *t = w->own;
	for (int i = rp_count(t) * 8 / 10; i > 0; i--) {
		unsigned char **slot = &t->slots[t->free_at];
		if (*slot)
			block_free(*slot);
		*slot = NULL;
		t->free_at = (t->free_at + RP_FREE) % RP_SLOTS;
	}
	for (rp_list *list = atomic_exchange(&t->inbox, NULL); list;) {
		rp_list *next = list->next;
		for (int i = 0; i < list->count; i++)
			block_free(list->blocks[i]);
		list->next = t->spare;
		t->spare = list;
		list = next;
	}
	int count = rp_count(t);
	for (int i = 0; i < count; i++) {
		unsigned char **slot = &t->slots[t->alloc_at];
		if (*slot)
			block_free(*slot);
		*slot = rp_block(t);
		t->alloc_at = (t->alloc_at + RP_ALLOC) % RP_SLOTS;
	}
	if (++t->loop % 2 == 1)
		return count;
	rp_list *list = t->spare;
	if (list)
		t->spare = list->next;
	else
		list = own_memory(sizeof *list);
	for (list->count = 0; list->count < count; list->count++)
		list->blocks[list->count] = rp_block(t);
	list->next = atomic_load(&t->partner->inbox);
	while (!atomic_compare_exchange_weak(&t->partner->inbox, &list->next, list))
		;
	return 2 * count;
}

static void rp_finish(worker *w) {
	rp_thread *t = w->own;
	for (int i = 0; i < RP_SLOTS; i++)
		if (t->slots[i])
			block_free(t->slots[i]);
	for (rp_list *list = t->inbox; list; list = list->next)
		for (int i = 0; i < list->count; i++)
			block_free(list->blocks[i]);
}

static plan rptest(scene *s) {
	const int low = 8, high = 16000;
	rnd random = rnd_new(s->seed, RP_THREADS);
	for (int i = 0; i < RP_SIZES; i++) {
		double w0 = 1 - rnd_uniform(&random), w1 = 1 - rnd_uniform(&random), w = w0 + w1 - 1;
		rp_sizes[i] = (int)(low + rnd_uniform(&random) * (w < 0 ? -w : w) * (high - low));
	}
	for (int i = 0; i < RP_COUNTS; i++)
		rp_counts[i] = rnd_between(&random, 33, 98);
	plan p = plan_of(RP_THREADS, rp_step);
	for (int i = 0; i < RP_THREADS; i++) {
		rp_thread *t = own_memory(sizeof *t);
		t->size_at = i * RP_SIZES / RP_THREADS;
		t->count_at = i * RP_COUNTS / RP_THREADS;
		p.workers[i].own = t;
		p.workers[i].finish = rp_finish;
	}
	for (int i = 0; i < RP_THREADS; i++)
		((rp_thread *)p.workers[i].own)->partner = p.workers[(i + 1) % RP_THREADS].own;
	return p;
}

const shape shapes_classic[] = {
	{"glibc-thread", glibc_thread, 0, 0}, {"glibc-simple", simple, 0, 0},
	{"sh6", sh6, 0, 0}, {"sh8", sh8, 0, 0},
	{"cache-scratch-1", scratch, 1, 1}, {"cache-scratch-2", scratch, 2, 1},
	{"cache-thrash-1", thrash, 1, 1}, {"cache-thrash-2", thrash, 2, 1},
	{"alloc-test-1", alloc_test, 1, 1}, {"alloc-test-2", alloc_test, 2, 1},
	{"mstress", mstress, 0, 0}, {"rptest", rptest, 0, 0},
	{NULL, NULL, 0, 0},
};
