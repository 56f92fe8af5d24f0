// A C program around the Go library of ../library. Its threads call into Go
// while goroutines run there, and they come and go: each takes a few turns,
// starts its successor and ends.
//
// With LIBRARY, the library's path, it is loaded at run time; otherwise it is
// linked.
#include <dlfcn.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

enum { threads = 8, turns_of_a_thread = 5 };

#ifdef LIBRARY
static int (*Report)(void), (*Turn)(void);

static void *symbol(void *library, const char *name)
{
	void *found = library ? dlsym(library, name) : NULL;
	if (!found) {
		fprintf(stderr, "host: %s\n", dlerror());
		exit(125);
	}
	return found;
}

static void load(void)
{
	void *library = dlopen(LIBRARY, RTLD_NOW);
	Report = (int (*)(void))symbol(library, "Report");
	Turn = (int (*)(void))symbol(library, "Turn");
}
#else
extern int Report(void), Turn(void);

static void load(void) {}
#endif

static sem_t ended; // posted by each last thread of a row

static void start(void);

static void *take_turns(void *unused)
{
	for (int i = 0; i < turns_of_a_thread; i++) {
		if (!Turn()) {
			sem_post(&ended);
			return unused;
		}
	}
	start();
	return unused;
}

static void start(void)
{
	pthread_t thread;
	int error = pthread_create(&thread, NULL, take_turns, NULL);
	if (error) {
		fprintf(stderr, "host: pthread_create: error %d\n", error);
		exit(125);
	}
	pthread_detach(thread);
}

int main(void)
{
	load();
	sem_init(&ended, 0, 0);
	for (int i = 0; i < threads; i++)
		start();
	int status = Report();
	for (int i = 0; i < threads; i++)
		sem_wait(&ended);
	return status;
}
