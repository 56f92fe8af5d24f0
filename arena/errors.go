package arena

import (
	"fmt"
	"sync"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// Errors that come into being under a page heap's lock are small values. They are
// formatted, and their causes looked for in files, when the lock is free again: either
// takes Go memory, and where the system is short of it the runtime may stop for good.

// noMemory is an error that is ErrNoMemory, too.
type noMemory struct{ cause error }

func (e noMemory) Error() string        { return ErrNoMemory.Error() + ": " + e.cause.Error() }
func (e noMemory) Is(target error) bool { return target == ErrNoMemory }
func (e noMemory) Unwrap() error        { return e.cause }

// rangeUsed says that a reserved range of so many bytes has no pages left.
type rangeUsed uintptr

func (e rangeUsed) Error() string {
	return "the reserved range of " + humanize.IBytes(uint64(e)) + " is used up"
}

// runTooLong says that no heap has so many pages.
type runTooLong struct{ pages, align uint32 }

func (e runTooLong) Error() string {
	return fmt.Sprintf("a run of %d pages with an alignment of %d", e.pages, e.align)
}

// explanations bounds the time in which a heap looks for the causes of errors, since
// callers that try again may get thousands in a second.
type explanations struct {
	mu   sync.Mutex
	next time.Time // none before
}

// explainShare is the part of the time that may go into it.
const explainShare = 100

// Explain adds to an error of h what caused it, unless that was done just now: the error
// then has the system call, its size and the error number. The caller holds no lock, and
// passes the error on to those who called it.
func (h *Heap) Explain(err error) error {
	e := &h.explanations
	if _, ok := err.(noMemory); !ok || !e.mu.TryLock() {
		return err
	}
	defer e.mu.Unlock()
	if begin := time.Now(); !begin.Before(e.next) {
		osmem.Explain(err)
		end := time.Now()
		e.next = end.Add(explainShare * end.Sub(begin))
	}
	return err
}
