// Phases, threads and the time; see engine.go.
#include "bench.h"
#include <dirent.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

atomic_bool stop;
atomic_long damage;

#ifdef EMPTY
_Thread_local char *empty_room;
char *empty_new_room(void) { return empty_room = own_memory(ROOM); }
#endif

void fail(const char *words) {
	fprintf(stderr, "%s\n", words);
	exit(1);
}

void *own_memory(size_t bytes) {
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		fail("the harness gets no memory of its own");
	return p;
}

long portion(const scene *s, double quota, double seconds) {
	long part = (long)(quota * seconds / s->own);
	return part < 1 ? 1 : part;
}

plan plan_of(int workers, long (*step)(worker *)) {
	plan p = {.workers = own_memory(workers * sizeof(worker)), .count = workers};
	for (int i = 0; i < workers; i++) {
		p.workers[i].number = i;
		p.workers[i].step = step;
	}
	return p;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

enum { PREPARE, WARM, MEASURE, FINISH, PHASES };

static const scene *set;
static plan *playing;
static pthread_barrier_t gate;
static atomic_int waiting; // threads that are ready for the next phase
static pthread_attr_t attributes;

// begin_phase sets how many steps there are, -1 where the time decides.
static void begin_phase(worker *w) {
	w->operations = 0;
	w->steps = !playing->fixed ? -1 : portion(set, w->quota, w->phase == WARM ? set->warm : set->time);
	if (w->phase == WARM && playing->cold)
		w->steps = 0;
}

static void *live(void *);

// work makes the steps of a phase; it returns 0 if an heir goes on with them.
static int work(worker *w) {
	for (long done = 1; w->steps != 0 && !stopping(); done++) {
		w->operations += w->step(w);
		w->steps--;
		if (done == w->heirs) {
			pthread_t heir;
			if (pthread_create(&heir, &attributes, live, w))
				fail("cannot start a thread's heir");
			return 0;
		}
	}
	return 1;
}

static int phase(worker *w) {
	switch (w->phase) {
	case PREPARE:
		if (w->prepare)
			w->prepare(w);
		return 1;
	case FINISH:
		if (w->finish)
			w->finish(w);
		return 1;
	}
	return work(w);
}

// live is a worker's thread. It is the same one in all phases, so that what an
// allocator keeps for a thread is warm when the measured time begins.
static void *live(void *of) {
	worker *w = of;
	while (w->phase < PHASES) {
		if (!phase(w))
			return NULL;
		pthread_barrier_wait(&gate); // the phase is over; main reads what it came to
		atomic_fetch_add(&waiting, 1);
		pthread_barrier_wait(&gate); // the next one begins
		w->phase++;
		begin_phase(w);
	}
	return NULL;
}

void pause_for(double seconds) {
	struct timespec t = {(time_t)seconds, (long)((seconds - (time_t)seconds) * 1e9)};
	while (nanosleep(&t, &t))
		;
}

// await_threads waits until all are ready for the next phase, so that the time that
// they take to get there is not measured.
static void await_threads(void) {
	while (atomic_load(&waiting) < playing->count)
		pause_for(0.0001);
	atomic_store(&waiting, 0);
}

static void wait_for_threads(void) {
	for (int i = 0; i < 1000; i++) {
		int count = 0;
		DIR *tasks = opendir("/proc/self/task");
		for (struct dirent *e; tasks && (e = readdir(tasks));)
			count += e->d_name[0] != '.';
		if (tasks)
			closedir(tasks);
		if (count <= 1)
			return;
		pause_for(0.001);
	}
}

static long total(void) {
	long sum = 0;
	for (int i = 0; i < playing->count; i++)
		sum += playing->workers[i].operations;
	return sum;
}

// many lets each worker have a thread, and main keep the time.
static void many(outcome *o) {
	pthread_barrier_init(&gate, NULL, playing->count + 1);
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	if (playing->count > 100)
		pthread_attr_setstacksize(&attributes, 64 << 10);
	for (int i = 0; i < playing->count; i++) {
		pthread_t thread;
		if (pthread_create(&thread, &attributes, live, &playing->workers[i]))
			fail("cannot start so many threads");
	}
	double begin = now();
	for (int at = PREPARE; at < PHASES; at++) {
		int timed = at == WARM || at == MEASURE;
		if (timed && !playing->fixed) {
			pause_for(at == WARM ? set->warm : set->time);
			atomic_store(&stop, 1);
			if (playing->wake)
				playing->wake();
		}
		pthread_barrier_wait(&gate);
		if (at == MEASURE) {
			o->elapsed = now() - begin;
			o->operations = total();
			meter_stop(o);
			if (playing->figures)
				playing->figures();
		}
		await_threads();
		if (at == PREPARE && playing->ready)
			playing->ready();
		atomic_store(&stop, 0);
		if (at + 1 == MEASURE)
			meter_start(o);
		begin = now(); // behind the gate, threads that work may keep main from a CPU
		pthread_barrier_wait(&gate);
	}
	wait_for_threads();
}

static void on_alarm(int signal) {
	(void)signal;
	atomic_store(&stop, 1);
}

// alone runs the only worker in the main thread: an allocator may well know that
// a process has one thread.
static void alone(outcome *o) {
	struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
	sigaction(SIGALRM, &action, NULL);
	worker *w = playing->workers;
	for (w->phase = PREPARE; w->phase < PHASES; w->phase++) {
		begin_phase(w);
		if (w->phase == MEASURE)
			meter_start(o);
		double begin = now(), length = w->phase == WARM ? set->warm : set->time;
		if (w->phase == PREPARE || w->phase == FINISH || playing->fixed) {
			phase(w);
		} else {
			struct itimerval timer = {.it_value = {(time_t)length, (long)((length - (time_t)length) * 1e6) + 1}};
			setitimer(ITIMER_REAL, &timer, NULL);
			phase(w);
			atomic_store(&stop, 0);
		}
		if (w->phase == MEASURE) {
			o->elapsed = now() - begin;
			o->operations = w->operations;
			meter_stop(o);
			if (playing->figures)
				playing->figures();
		}
	}
}

void perform(plan *p, const scene *s, outcome *o) {
	playing = p;
	set = s;
	if (p->count == 1)
		alone(o);
	else
		many(o);
}
