// The native side of the bench: the shapes of ../../internal/workload in C, for
// any malloc that is linked or preloaded. A shape's comment stands there; here
// is only what differs.
#ifndef BENCH_H
#define BENCH_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum {
	STRIDE = 64, // operations between two looks at the stop flag
	LINE = 128,  // bytes: a pair of cache lines, which are fetched together
};

// The heap: malloc, or with -DEMPTY the same bytes over and over, which shows
// what the harness costs. The barrier keeps the compiler from seeing through.
#ifdef EMPTY
#define ROOM (64 * 10000 * 8)
extern _Thread_local char *empty_room;
char *empty_new_room(void);
static inline void *block_alloc(size_t n) {
	(void)n;
	char *room = empty_room;
	if (__builtin_expect(room == NULL, 0))
		room = empty_new_room();
	__asm__ volatile("" : "+r"(room) : : "memory");
	return room;
}
static inline void block_free(void *p) { __asm__ volatile("" : : "r"(p) : "memory"); }
static inline void *block_zalloc(size_t n) { return block_alloc(n); }
static inline void *block_realloc(void *p, size_t n) {
	(void)n;
	__asm__ volatile("" : "+r"(p) : : "memory");
	return p;
}
#else
static inline void *block_alloc(size_t n) { return malloc(n); }
static inline void block_free(void *p) { free(p); }
static inline void *block_zalloc(size_t n) { return calloc(1, n); }
static inline void *block_realloc(void *p, size_t n) { return realloc(p, n); }
#endif

// Random numbers: xorshift64, streams as in random.go.
typedef struct { uint64_t state; } rnd;

static inline rnd rnd_new(uint64_t seed, int stream) {
	uint64_t z = seed + (uint64_t)(stream + 1) * 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return (rnd){z ? z : 0x9e3779b97f4a7c15u};
}

static inline uint64_t rnd_next(rnd *r) {
	uint64_t x = r->state;
	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return r->state = x;
}

static inline int rnd_below(rnd *r, int n) { return (int)((rnd_next(r) >> 32) * (uint32_t)n >> 32); }
static inline int rnd_between(rnd *r, int low, int high) { return low + rnd_below(r, high - low + 1); }
static inline int rnd_chance(rnd *r, int percent) { return rnd_below(r, 100) < percent; }
static inline double rnd_uniform(rnd *r) { return (double)(rnd_next(r) >> 11) / (1ull << 53); }

// rnd_pick returns a number in [0, n), and one in [low, high], of one draw.
static inline int rnd_pick(rnd *r, int n, int low, int high, int *size) {
	uint64_t x = rnd_next(r);
	*size = low + (int)((uint64_t)(uint32_t)x * (uint32_t)(high - low + 1) >> 32);
	return (int)((x >> 32) * (uint32_t)n >> 32);
}

// write_indices writes every byte of a block with its index.
static inline void write_indices(unsigned char *b, size_t n) {
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t word = 0x0706050403020100u + (uint8_t)i * 0x0101010101010101u;
		memcpy(b + i, &word, 8);
	}
	for (; i < n; i++)
		b[i] = (unsigned char)i;
}

static inline uint64_t read_words(const unsigned char *b, size_t n) {
	uint64_t sum = 0;
	size_t i = 0;
	for (; i + 8 <= n; i += 8) {
		uint64_t word;
		memcpy(&word, b + i, 8);
		sum += word;
	}
	for (; i < n; i++)
		sum += b[i];
	return sum;
}

// A worker is one thread's part of a shape, see engine.go. Steps get the worker;
// own is what the shape keeps for it.
typedef struct worker worker;
struct worker {
	void (*prepare)(worker *);
	long (*step)(worker *);
	void (*finish)(worker *);
	long heirs, quota;
	void *own;
	int number;

	// Of the engine.
	int phase;
	long steps, operations;
} __attribute__((aligned(LINE)));

typedef struct {
	worker *workers;
	int count;
	void (*wake)(void);
	void (*ready)(void); // when all threads are there, before the warm-up
	int fixed, cold;
	void (*figures)(void);
} plan;

typedef struct {
	uint64_t seed;
	int cpus;
	double warm, time, own; // seconds; own is the shape's own time
	int parameter;          // of the shape's table
} scene;

typedef struct {
	const char *name;
	plan (*build)(scene *);
	int parameter;
	int parallel; // time per operation is that of one CPU
} shape;

extern const shape shapes_micro[], shapes_living[], shapes_bounds[], shapes_classic[];
extern atomic_bool stop;
extern atomic_long damage; // words found changed

static inline int stopping(void) { return atomic_load_explicit(&stop, memory_order_relaxed); }

// portion is the part of a quota that is done in so many seconds.
long portion(const scene *, double quota, double seconds);
// own_memory is zeroed memory of the harness's own: not of the allocator that is
// measured. It is never given back.
void *own_memory(size_t bytes);
plan plan_of(int workers, long (*step)(worker *));
void resident_bytes(long *now, long *peak);
long data_bytes(void); // writable memory, VmData
void pause_for(double seconds);
void add_figure(const char *name, double value);
void fail(const char *words);

#endif
