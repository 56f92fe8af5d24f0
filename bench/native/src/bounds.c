// The shapes about memory that comes back and limits that hold; see shapes_bounds.go.
#include "bench.h"
#include <pthread.h>
#include <sys/resource.h>

static struct {
	unsigned char **slots;
	int *sizes;
	long volume, used, room;
	double first, wait; // seconds before the first and the second look
	rnd random;
} frag;

static long start; // bytes resident

static double shortened(const scene *s, double wait) { return s->time < s->own ? wait * s->time / s->own : wait; }

static void look(const char *name) {
	long now, peak;
	resident_bytes(&now, &peak);
	add_figure(name, now - start);
}

static long fragment_step(worker *w) {
	(void)w;
	for (long bytes = 0; bytes < frag.volume && frag.used < frag.room; frag.used++) {
		int size = rnd_between(&frag.random, 16, 2048);
		frag.slots[frag.used] = block_alloc(size);
		frag.sizes[frag.used] = size;
		memset(frag.slots[frag.used], 0, size);
		bytes += size;
	}
	double live = 0;
	for (long i = 0; i < frag.used; i++) {
		if (rnd_below(&frag.random, 10) != 0) {
			block_free(frag.slots[i]);
			frag.slots[i] = NULL;
		} else {
			live += frag.sizes[i];
		}
	}
	add_figure("live_bytes", live);
	look("after_free_bytes");
	return frag.used;
}

static void wait_then_pairs(double wait, const char *before) {
	pause_for(wait);
	if (before)
		look(before);
	for (int i = 0; i < 1000; i++) {
		unsigned char *b = block_alloc(64);
		b[0] = 1;
		block_free(b);
	}
}

static void fragment_figures(void) {
	wait_then_pairs(frag.first, "after_wait_bytes");
	look("after_pairs_bytes");
	for (long i = 0; i < frag.used; i++)
		if (frag.slots[i])
			block_free(frag.slots[i]);
	wait_then_pairs(frag.wait, NULL);
	look("all_freed_bytes");
}

static plan fragmentation(scene *s) {
	long peak;
	frag.volume = portion(s, 1 << 30, s->time);
	frag.first = shortened(s, 3);
	frag.wait = shortened(s, 2);
	frag.room = frag.volume / ((16 + 2048) / 2) * 9 / 8 + 64;
	frag.slots = own_memory(frag.room * sizeof *frag.slots);
	frag.sizes = own_memory(frag.room * sizeof *frag.sizes);
	// As resident as they will be, so that they are not in the figures.
	memset(frag.slots, 1, frag.room * sizeof *frag.slots);
	memset(frag.sizes, 1, frag.room * sizeof *frag.sizes);
	frag.random = rnd_new(s->seed, 0);
	resident_bytes(&start, &peak);
	plan p = plan_of(1, fragment_step);
	p.workers->quota = 1;
	p.fixed = p.cold = 1;
	p.figures = fragment_figures;
	return p;
}

enum { BURST_THREADS = 1000 };

static struct {
	uint64_t seed;
	long staying, each;
	double wait;
	void **stay;
	long stay_count;
	long operations[BURST_THREADS];
	pthread_barrier_t filled, looked;
} burst_of;

// take fills slots of the harness's own with bytes of blocks.
static long take(void ***slots, long bytes, int stream) {
	rnd random = rnd_new(burst_of.seed, stream);
	long room = bytes / ((16 + 2048) / 2) * 5 / 4 + 16, count = 0;
	*slots = own_memory(room * sizeof **slots);
	for (; bytes > 0 && count < room; count++) {
		int size = rnd_between(&random, 16, 2048);
		(*slots)[count] = block_alloc(size);
		memset((*slots)[count], 0, size);
		bytes -= size;
	}
	return count;
}

static void *burst_thread(void *number) {
	long i = (long)number;
	void **slots;
	burst_of.operations[i] = take(&slots, burst_of.each, (int)i + 1);
	pthread_barrier_wait(&burst_of.filled);
	pthread_barrier_wait(&burst_of.looked);
	for (long j = 0; j < burst_of.operations[i]; j++)
		block_free(slots[j]);
	return NULL;
}

static void burst_prepare(worker *w) {
	(void)w;
	burst_of.stay_count = take(&burst_of.stay, burst_of.staying, 0);
}

static long burst_step(worker *w) {
	(void)w;
	static pthread_t threads[BURST_THREADS];
	pthread_attr_t small;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 64 << 10);
	look("before_burst_bytes");
	for (long i = 0; i < BURST_THREADS; i++)
		if (pthread_create(&threads[i], &small, burst_thread, (void *)i))
			fail("cannot start so many threads");
	pthread_barrier_wait(&burst_of.filled);
	look("in_burst_bytes");
	pthread_barrier_wait(&burst_of.looked);
	long sum = 0;
	for (int i = 0; i < BURST_THREADS; i++) {
		pthread_join(threads[i], NULL);
		sum += burst_of.operations[i];
	}
	return sum;
}

static void burst_figures(void) {
	pause_for(burst_of.wait);
	look("after_burst_bytes");
}

static void burst_finish(worker *w) {
	(void)w;
	for (long i = 0; i < burst_of.stay_count; i++)
		block_free(burst_of.stay[i]);
}

static plan burst(scene *s) {
	long peak;
	burst_of.seed = s->seed;
	burst_of.staying = portion(s, 48 << 20, s->time);
	burst_of.each = portion(s, 128 << 10, s->time);
	burst_of.wait = shortened(s, 5);
	pthread_barrier_init(&burst_of.filled, NULL, BURST_THREADS + 1);
	pthread_barrier_init(&burst_of.looked, NULL, BURST_THREADS + 1);
	resident_bytes(&start, &peak);
	plan p = plan_of(1, burst_step);
	p.workers->quota = 1;
	p.workers->prepare = burst_prepare;
	p.workers->finish = burst_finish;
	p.fixed = p.cold = 1;
	p.figures = burst_figures;
	return p;
}

enum { GLUTTONS = 64, GLUTTON_SLOTS = 1 << 14, GLUTTON_WANTS = 16 << 20 };

typedef struct {
	unsigned char *slots[GLUTTON_SLOTS];
	int sizes[GLUTTON_SLOTS];
	unsigned head, count;
	long held, refused;
	rnd random;
} glutton;

static plan *gluttons_plan;
static long glutton_limit;

static void forgo(glutton *g, unsigned blocks) {
	for (; blocks > 0; blocks--) {
		unsigned at = (g->head - g->count) % GLUTTON_SLOTS;
		g->held -= g->sizes[at];
		block_free(g->slots[at]);
		g->count--;
	}
}

static long feast(worker *w) {
	glutton *g = w->own;
	long served = 0;
	for (int i = 0; i < STRIDE; i++) {
		int size = 16 + rnd_below(&g->random, 16 << rnd_below(&g->random, 12));
		unsigned char *b = block_alloc(size);
		if (!b) {
			g->refused++;
			forgo(g, (g->count + 1) / 2);
			continue;
		}
		memset(b, 0, size);
		served++;
		unsigned at = g->head++ % GLUTTON_SLOTS;
		g->slots[at] = b;
		g->sizes[at] = size;
		g->count++;
		for (g->held += size; g->held > GLUTTON_WANTS || g->count == GLUTTON_SLOTS;)
			forgo(g, 1);
	}
	return served;
}

// feast_prepare lets the allocator set up what it has for each thread before the limit
// is in force: jemalloc ends the process where it cannot.
static void feast_prepare(worker *w) {
	(void)w;
	block_free(block_alloc(64));
}

static void feast_finish(worker *w) { forgo(w->own, ((glutton *)w->own)->count); }

// bound sets the limit that a process in C can have: of its writable memory
// (RLIMIT_DATA), from what it has now, with the threads' stacks, on.
static void bound(void) {
#ifdef EMPTY
	return; // it has memory of the harness's only
#endif
	if (!glutton_limit)
		return;
	long now = data_bytes();
	struct rlimit limit = {now + glutton_limit, now + glutton_limit};
	if (setrlimit(RLIMIT_DATA, &limit))
		fail("cannot set RLIMIT_DATA");
}

static void count_refused(void) {
	double sum = 0;
	for (int i = 0; i < gluttons_plan->count; i++)
		sum += ((glutton *)gluttons_plan->workers[i].own)->refused;
	add_figure("refused_count", sum);
}

// gluttons' parameter is the limit in MiB, 0 for none.
static plan gluttons(scene *s) {
	static plan p;
	p = plan_of(GLUTTONS, feast);
	for (int i = 0; i < GLUTTONS; i++) {
		glutton *g = own_memory(sizeof *g);
		g->random = rnd_new(s->seed, i);
		p.workers[i].own = g;
		p.workers[i].prepare = feast_prepare;
		p.workers[i].finish = feast_finish;
	}
	glutton_limit = (long)s->parameter << 20;
	gluttons_plan = &p;
	p.ready = bound;
	p.figures = count_refused;
	return p;
}

const shape shapes_bounds[] = {
	{"fragmentation", fragmentation, 0, 0}, {"burst", burst, 0, 0},
	{"unlimited", gluttons, 0, 0}, {"limited", gluttons, 256, 0},
	{NULL, NULL, 0, 0},
};
