#ifndef ENGINE_H
#define ENGINE_H

#include "bench.h"

// outcome is what the measured time came to.
typedef struct {
	double elapsed; // seconds
	long operations;
	double cpu;     // seconds of all threads
	long minor_faults, major_faults;
} outcome;

void perform(plan *, const scene *, outcome *);
void meter_start(outcome *);
void meter_stop(outcome *);

#endif
