/*
 * How a thread stops, fences and empties the magazines of others. ../drain.md
 * tells the protocol, what is left out here, and the rows that check.sh checks.
 * A row chooses some of:
 *
 *   FALLBACK       thread 1 cannot run sections, and works on the slab of its P
 *   NO_MEMBARRIER  the kernel has no fence, so the world is stopped
 *   SHUT           the slabs are emptied for good
 *   LOSSY          the kernel can lose the abort of one call of the fence, once in
 *                  each run of a section; so the drainer calls it twice
 *
 * Every other name in an #ifdef breaks one step on purpose.
 */

#define PLAYERS  2          /* threads that push and pop: 0 and 1 */
#define DRAINER  2          /* the thread that drains */
#define THREADS  3
#define VCPUS    2
#define P        2          /* the slab of a P, behind those of the vCPUs */
#ifdef FALLBACK
#define SLABS    3
#else
#define SLABS    2
#endif
#define SLOTS    1          /* in a magazine; a slab has one class */
#define NOBODY   9
#ifndef OBJECTS
#define OBJECTS  2
#endif

/* Who has an object: a thread, or one of these. */
#define MAGAZINE 7
#define CACHE    8          /* the transfer cache */

#define COUNT          0    /* control word of the vCPUs' row: 1, or 0 while stopped */
#define COUNT_OF_PS    1
#define FALLBACKS      2
#define CURRENT(slab)  (3 + (slab) * 2)        /* in objects */
#define SLOT(slab)     (4 + (slab) * 2)
#define WORDS          9

byte memory[WORDS];
byte owner[3];              /* of objects 1 and 2; not in the program, but what must hold */

/* Stores that no other processor sees yet, oldest first. */
#define PENDING 2
byte pending[THREADS];
byte pending_at[THREADS * PENDING];
byte pending_value[THREADS * PENDING];

/* What the kernel knows. */
byte vcpu[PLAYERS];         /* of a thread that runs, else NOBODY */
byte on[VCPUS];             /* the thread that runs there, else NOBODY */
bool inside[PLAYERS];       /* its program counter is between START and COMMIT */
bool aborted[PLAYERS];      /* it will resume at ABORT */
#ifdef LOSSY
bool lost[PLAYERS];         /* an abort, since START */
#endif

/* What Go's scheduler knows. */
bool unstoppable[PLAYERS];  /* in assembly */
bool world_stops;

byte done;                  /* players at their end */
bool drained;               /* for the last time */

inline write_back(t) {      /* the oldest store is seen by all */
	memory[pending_at[(t) * PENDING]] = pending_value[(t) * PENDING];
	pending_at[(t) * PENDING] = pending_at[(t) * PENDING + 1];
	pending_value[(t) * PENDING] = pending_value[(t) * PENDING + 1];
	pending_at[(t) * PENDING + 1] = 0;
	pending_value[(t) * PENDING + 1] = 0;
	pending[t]--
}

inline barrier(t) {         /* in the kernel, on the processor of t */
	if :: pending[t] > 0 -> write_back(t) :: else fi;
	if :: pending[t] > 0 -> write_back(t) :: else fi
}

inline store(t, at, value) {
	pending_at[(t) * PENDING + pending[t]] = at;
	pending_value[(t) * PENDING + pending[t]] = value;
	pending[t]++
}

inline load(t, at, result) { /* its own pending stores first, the newest of them */
	result = memory[at];
	if :: pending[t] > 0 && pending_at[(t) * PENDING] == (at) -> result = pending_value[(t) * PENDING] :: else fi;
	if :: pending[t] > 1 && pending_at[(t) * PENDING + 1] == (at) -> result = pending_value[(t) * PENDING + 1] :: else fi
}

inline take(object, who) {
	assert(owner[object] == MAGAZINE);  /* else it is doubled */
	owner[object] = who
}

#ifdef FALLBACK
#define ON_P(t) ((t) == 1)
#define STOPPABLE
#else
#define ON_P(t) false
#endif
#ifdef NO_MEMBARRIER
#define STOPPABLE
#endif

/* What a thread has in registers; an abort makes it worthless. */
byte slab[PLAYERS], count[PLAYERS], current[PLAYERS], found[PLAYERS];
bool early[PLAYERS];        /* current was loaded, the count not yet */

inline forget(t) { slab[t] = 0; count[t] = 0; current[t] = 0; found[t] = 0; early[t] = false }

inline abort(t) {           /* the kernel does this when it returns to the thread */
	if :: inside[t] -> aborted[t] = true; forget(t) :: else fi
}

/* A step begins when its thread runs; one that was interrupted inside goes to ABORT. */
#define RUNS ((ON_P(me) || vcpu[me] != NOBODY) && pending[me] < PENDING)
#define STEP RUNS -> if :: aborted[me] -> aborted[me] = false; goto restart :: else fi

proctype player(byte me) {
	byte object;
again:
	if
	:: atomic { object == 0 && owner[1] == CACHE -> object = 1; owner[1] = me; goto again }
	:: atomic { object == 0 && owner[2] == CACHE && owner[1] != CACHE -> object = 2; owner[2] = me; goto again }
	:: atomic { object != 0 -> owner[object] = CACHE; object = 0; goto again }
	:: atomic { drained -> done++; goto out }
#ifdef FALLBACK
	:: atomic { ON_P(me) && RUNS ->
#ifndef COUNTED_LATE
		store(me, FALLBACKS, 1)
#endif
		}
	:: atomic { !ON_P(me) && RUNS -> goto restart }
#else
	:: atomic { RUNS -> goto restart }
#endif
	fi;
restart:
#ifdef COUNTED_DOWN_EARLY
	if
	:: atomic { ON_P(me) && RUNS -> store(me, FALLBACKS, 0) }
	:: atomic { !ON_P(me) }
	fi;
#endif
#ifdef STOPPABLE
	atomic { (!world_stops || unstoppable[me]) && RUNS -> unstoppable[me] = true; inside[me] = false };
#endif
#ifdef ID_BEFORE_START
	atomic { STEP; slab[me] = vcpu[me] };
#endif
#ifdef COUNT_BEFORE_START
	atomic { STEP; load(me, COUNT, count[me]) };
#endif
	atomic { RUNS ->
#ifndef NO_START
		inside[me] = !ON_P(me);                              /* START */
#ifdef LOSSY
		lost[me] = false;
#endif
#endif
#ifndef ID_BEFORE_START
		slab[me] = (ON_P(me) -> P : vcpu[me])
#endif
	};
#ifdef EARLY_LOADS
	if
	:: atomic { STEP; load(me, CURRENT(slab[me]), current[me]); early[me] = true }
	:: true
	fi;
#endif
#ifndef COUNT_BEFORE_START
	atomic { STEP; load(me, (ON_P(me) -> COUNT_OF_PS : COUNT), count[me]) };
#endif
	atomic { STEP;
		if :: count[me] == 0 -> goto leave :: else fi;
		if :: !early[me] -> load(me, CURRENT(slab[me]), current[me]) :: else fi;
		load(me, SLOT(slab[me]), found[me]);
		if :: current[me] == (object == 0 -> 0 : SLOTS) -> goto leave :: else fi;
		count[me] = 0; early[me] = false
	};
	if
	:: atomic { object == 0 && STEP;
		store(me, CURRENT(slab[me]), 0);                     /* COMMIT of pop */
		take(found[me], me); object = found[me];
		goto leave
		}
	:: atomic { object != 0 && STEP; found[me] = 0; store(me, SLOT(slab[me]), object) }
	fi;
	atomic { STEP;
		store(me, CURRENT(slab[me]), 1);                     /* COMMIT of push */
		owner[object] = MAGAZINE; object = 0
	leave:
		inside[me] = false; forget(me);
#ifdef LOSSY
		lost[me] = false;
#endif
#ifdef STOPPABLE
		unstoppable[me] = false;
#endif
#ifdef COUNTED_LATE
		if :: ON_P(me) -> store(me, FALLBACKS, 1) :: else fi;
#endif
#if !defined(FALLBACK) || defined(COUNTED_LATE)
		goto again
#endif
	};
#if defined(FALLBACK) && !defined(COUNTED_LATE)
	if
	:: atomic { ON_P(me) && RUNS -> store(me, FALLBACKS, 0); goto again }
	:: atomic { !ON_P(me) -> goto again }
	fi;
#endif
out:
}

/* One membarrier(PRIVATE_EXPEDITED_RSEQ): all processors that run one of our threads. */
inline fence() {
#ifndef NO_BARRIER_OF_CALLER
	atomic { true -> barrier(DRAINER) };
#endif
	runs0 = on[0] != NOBODY;
	runs1 = on[1] != NOBODY;
	interrupt(runs0, on[0]);
	interrupt(runs1, on[1]);
#ifdef FALLBACK
	atomic { true -> barrier(1); early[1] = false };
#endif
	runs0 = false; runs1 = false
}

inline interrupt(runs, thread) {
	atomic {
		if
		:: runs && thread != NOBODY ->
			who = thread;
#ifndef NO_BARRIER_OF_OTHERS
			barrier(who); early[who] = false;    /* what was loaded early is loaded again */
#endif
#ifndef NO_ABORT
#ifdef LOSSY
			if
#ifdef LOSES_BOTH
			:: inside[who] -> lost[who] = true
#else
			:: inside[who] && !lost[who] -> lost[who] = true
#endif
			:: abort(who)
			fi;
#else
			abort(who);
#endif
#endif
			who = 0
		:: else
		fi
	}
}

/* It returns when no goroutine was in assembly for one moment. */
inline stop_the_world() {
	world_stops = true;
	atomic { !unstoppable[0] && !unstoppable[1] -> barrier(0); barrier(1); barrier(DRAINER); world_stops = false }
}

/* No section that began before is under way when this is done (Stack.stop). */
inline settle() {
#ifdef NO_MEMBARRIER
	stop_the_world();
#else
#ifdef FALLBACKS_FIRST
	atomic { load(DRAINER, FALLBACKS, some) };
#endif
#ifndef NO_FENCE
	fence();
#if defined(LOSSY) && !defined(ONE_CALL) && !defined(SECOND_CALL_LATE)
	fence();    /* of a kernel that loses nothing it would change nothing */
#endif
#endif
#ifndef FALLBACKS_FIRST
	atomic { load(DRAINER, FALLBACKS, some) };
#endif
#ifndef FALLBACKS_IGNORED
	if :: some != 0 -> stop_the_world() :: else fi;
#endif
	some = 0
#endif
}

#define ROOM (pending[DRAINER] < PENDING)

proctype drainer() {
	byte at, left, object, some, who;
	bool runs0, runs1;
again:
	if :: true :: drained = true; goto out fi;
	atomic { ROOM -> store(DRAINER, COUNT, 0) };
#ifdef FALLBACK
	atomic { ROOM -> store(DRAINER, COUNT_OF_PS, 0) };
#endif
	settle();
#ifdef COUNT_BACK_BEFORE_EMPTY
	atomic { ROOM -> store(DRAINER, COUNT, 1) };
#endif
	do
	:: atomic { at < SLABS && ROOM ->
		load(DRAINER, CURRENT(at), left);
		if
		:: left > 0 ->
			load(DRAINER, SLOT(at), object);
			store(DRAINER, CURRENT(at), left - 1);
			take(object, CACHE); object = 0; left = 0
		:: else -> at++
		fi
		}
	:: atomic { at == SLABS -> at = 0; break }
	od;
#ifdef SECOND_CALL_LATE
	fence();
#endif
#ifdef SHUT
	drained = true; goto out;
#endif
	atomic { ROOM -> store(DRAINER, COUNT, 1) };
#ifdef FALLBACK
	atomic { ROOM -> store(DRAINER, COUNT_OF_PS, 1) };
#endif
	goto again;
out:
}

inline deschedule(t) {
	barrier(t); early[t] = false;
	on[vcpu[t]] = NOBODY;
	vcpu[t] = NOBODY;
#ifndef NO_ABORT_OF_PREEMPTED
	abort(t)
#endif
}

/* The kernel's scheduler, and processors whose stores become visible. */
active proctype machine() {
	byte t;
end:
	do
	:: atomic { vcpu[0] != NOBODY -> deschedule(0) }
#ifndef FALLBACK                    /* to that thread a switch is no more than a barrier */
	:: atomic { vcpu[1] != NOBODY -> deschedule(1) }
	:: atomic { vcpu[1] == NOBODY && on[0] == NOBODY -> vcpu[1] = 0; on[0] = 1 }
	:: atomic { vcpu[1] == NOBODY && on[1] == NOBODY -> vcpu[1] = 1; on[1] = 1 }
#endif
	:: atomic { vcpu[0] == NOBODY && on[0] == NOBODY -> vcpu[0] = 0; on[0] = 0 }
	:: atomic { vcpu[0] == NOBODY && on[1] == NOBODY -> vcpu[0] = 1; on[1] = 0 }
	:: atomic { pending[0] > 0 -> write_back(0) }
	:: atomic { pending[1] > 0 -> write_back(1) }
	:: atomic { pending[DRAINER] > 0 -> write_back(DRAINER) }
	od
}

#define IN(slab, object) (memory[CURRENT(slab)] == 1 && memory[SLOT(slab)] == object)
#define PLACES(object)   (IN(0, object) + IN(1, object) + IN(P, object) + (owner[object] != MAGAZINE))

init {
	atomic {
		memory[COUNT] = 1; memory[COUNT_OF_PS] = 1;
		owner[1] = CACHE; owner[2] = (OBJECTS == 2 -> CACHE : NOBODY);
		vcpu[0] = NOBODY; vcpu[1] = NOBODY; on[0] = NOBODY; on[1] = NOBODY;
		run player(0); run player(1); run drainer()
	};
	atomic {
		done == PLAYERS && pending[0] + pending[1] + pending[DRAINER] == 0 ->
		assert(PLACES(1) == 1 && PLACES(2) == 1)             /* else one is lost, or doubled */
	}
}
