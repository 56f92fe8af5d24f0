// Command stepper interrupts every instruction of every section, one at a time,
// and checks what became of it.
//
//	go run ./internal/stepper
//	go run ./internal/stepper -highest -by=preemption
//
// It runs itself a second time as the traced program, in mode mm_cid and then in
// cpu_id, or only in the highest that runs here, and traces one thread of it, the
// victim, with ptrace(2). The traced program may use one CPU only, so its threads
// pass one id from hand to hand.
//
// # What is done at each instruction
//
// Each section has scenarios (scenarios_linux.go): operations that take all the
// ways through its code. A scenario is first walked through step by step. This
// gives the instructions, from the function's first to the one behind COMMIT, or
// to its last one where it refuses a call before START, and in loops each pass. At
// each of them the runtime is asked, in the way of a debugger, whether a function
// may be called from there, and must refuse. Then, for each of them, the victim
// runs up to it and is interrupted there in three ways, or in one of them:
//
//	signal      a signal is delivered there; and once more when a section that
//	            starts again comes there
//	intrusion   while the victim stands there another thread runs on the CPU and
//	            works on the same arena
//	preemption  the instruction is replaced by a jump to itself, so that the
//	            victim runs there until the kernel gives its CPU to another
//	            thread; then comes the intruder (first passes of loops only)
//
// Between START and COMMIT the victim must come to the abort label, as often as
// it was interrupted, with nothing of its own in effect, neither there nor where
// it was interrupted; then it acts on what the intruder has left. Elsewhere it
// must not be aborted, and behind COMMIT its effect must be there. In all cases
// both operations take effect once: what they return and leave must be what the
// scenario says.
//
// # How it is known that this happened
//
// An abort is seen by a trap at the abort label, and must be among those that
// rseqcs counts. That a signal caused it is seen in the frame of the signal's
// handler, which goes back to the abort label and not to the instruction. The
// intruder has worked on the victim's arena if the ids in its area and in the
// victim's are the same. A victim that was preempted has spun at the instruction
// if it has used several times as much CPU time as the whole operation takes, and
// the kernel says that it took the CPU away. If there are more aborts than there
// should be, something else has interrupted the victim, and it is sent again.
//
// # How a thread stands in a section without having been stopped
//
// A stop is a preemption. So a thread that was stopped in a section and is to
// go on in it needs help: while the kernel's field for the descriptor is empty it
// sees no section and aborts none. The walk uses this, and so does the way to the
// later passes of a loop; before the interruption the descriptor is put back. To
// a first pass in the section the victim comes without a stop.
//
// # What it does not show
//
// Migration to another CPU: the kernel handles it in the same place as
// preemption. Sections that change their id between two reads: there is one id.
// Without a Go tool, as in a guest, instructions are shown as bytes, and on
// amd64 nothing tells whether the scenarios have come to all of them.
package main
