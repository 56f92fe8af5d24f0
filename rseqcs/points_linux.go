//go:build vcpualloc_stalled && (amd64 || arm64)

package rseqcs

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"
	"unsafe"
)

// The injection points of the stalled build. Each section has numbered ones, the
// same on both architectures:
//
//	1      before START: an interruption there has no consequence
//	2      behind START, before the id is read
//	3      behind the id, before the slab is looked at
//	4 to 8 between the steps, up to the last instruction before COMMIT
//	9      behind COMMIT: an interruption there has no consequence
//
// A section can make no system call, so what happens at a point is made from
// outside: a test arms the point, the next thread that visits it waits there until
// the test lets it go, and others interrupt it meanwhile, in any way. If that aborts
// the section, the thread starts again and waits once more, so that it cannot have
// passed the point before it is let go. Then every visit spins, so that nearly
// every interruption falls inside of a section.
const (
	pointsPerSection = 10 // 0 stands for the code between the points
	pointShift       = 5
	pointSize        = 1 << pointShift
	pointsSize       = pointsPerSection * pointSize
)

// point is one injection point, or, at index 0, what lies between them. The
// sections read and write it without atomic instructions.
type point struct {
	spins  uint32  // turns of the delay of every visit
	turns  uint32  // that a thread waits at the most
	who    uintptr // the area of the thread that waits at its visits, 0 for none, or anybody
	waits  uint32  // how many of its visits have begun to wait, since arm
	_      uint32
	aborts uint64 // how often a thread was aborted at this point
}

// anybody is whoever comes next, in a point's field who.
const anybody = 1

// arm makes the next thread that visits the point wait there.
func (p *point) arm(turns uint32) {
	atomic.StoreUint32(&p.waits, 0)
	atomic.StoreUint32(&p.turns, turns)
	atomic.StoreUintptr(&p.who, anybody)
}

// letGo ends the wait, and the next ones.
func (p *point) letGo() { atomic.StoreUintptr(&p.who, 0) }

// The assembly steps from point to point by a shift.
const (
	_ uint = pointSize - uint(unsafe.Sizeof(point{}))
	_ uint = uint(unsafe.Sizeof(point{})) - pointSize
)

// points is the injection points of all sections, for the assembly as well.
var points [sectionCount][pointsPerSection]point

// spin takes as long as a delay of so many turns.
func spin(count uint32)

// stallVariable is the environment variable with the delay of every point, as a
// duration; empty for stallSpins. A machine that interrupts seldom, such as an
// emulated one, needs a longer one.
const stallVariable = "VCPUALLOC_STALL"

// stallSpins is the delay of every point, in turns: about 5 us on an idle
// machine, so that a section takes a good part of a time slice.
const stallSpins = 400

func init() {
	spins := uint32(stallSpins)
	if text := os.Getenv(stallVariable); text != "" {
		delay, err := time.ParseDuration(text)
		if err != nil {
			panic(fmt.Sprintf("rseqcs: %s=%q: %v", stallVariable, text, err))
		}
		spins = spinsFor(delay)
	}
	setSpins(spins)
}

// spinsFor returns how many turns take so long.
func spinsFor(delay time.Duration) uint32 {
	const sample = 100_000
	best := time.Duration(1 << 62)
	for range 5 { // the shortest one was not interrupted
		began := time.Now()
		spin(sample)
		best = min(best, time.Since(began))
	}
	return uint32(max(1, min(int64(delay)*sample/max(1, int64(best)), 1<<31)))
}

// setSpins sets the delay of all points.
func setSpins(spins uint32) {
	for section := range points {
		for number := range points[section] {
			points[section][number].spins = spins
		}
	}
}
