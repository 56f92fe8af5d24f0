//go:build amd64 || arm64

package procpin

import (
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
)

// Place is where assembly finds the index of its P: at *(g.m + M) + 0, in 32
// bits. An assembly function that calls nothing is pinned by nature, since Go
// preempts no assembly, so it needs no call of Pin.
type Place struct {
	M uintptr // offset of m.p in bytes
}

// FindPlace returns the place, and false if this Go release keeps its Ps
// another way. It is searched for once: a word of the running M that leads to a
// structure that has the index which Pin says, is marked as running, and leads
// back to the M. It must be at the same offset on several threads.
var FindPlace = sync.OnceValues(func() (Place, bool) {
	const rounds = 8
	candidates := onOtherThread(candidatesHere)
	for range rounds {
		here := onOtherThread(candidatesHere)
		candidates = slices.DeleteFunc(candidates, func(offset uintptr) bool { return !slices.Contains(here, offset) })
	}
	if len(candidates) == 0 {
		return Place{}, false
	}
	// m.oldp may hold the same P for long; m.p stands before it.
	return Place{M: candidates[0]}, true
})

// onOtherThread runs body on a thread other than the caller's.
func onOtherThread[T any](body func() T) (result T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	done := make(chan T)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		done <- body()
	}()
	return <-done
}

const (
	// searchedOfM is how much of runtime.m is searched, in bytes; it has about
	// 1,800, and m.p stands in its first fifth.
	searchedOfM = 512

	// searchedOfP is how much of runtime.p is searched for its M, in bytes.
	searchedOfP = 128

	// OffsetOfM is the offset of g.m in bytes, the same since Go 1.4: two words
	// of stack bounds, two stack guards, _panic and _defer come before. MOf tells
	// whether it is right.
	OffsetOfM = 48

	// running is the status of a P that runs a goroutine (runtime2.go).
	running = 1
)

// candidatesHere returns the offsets in this thread's M that may hold its P.
// Words of the M that only look like pointers can fault.
func candidatesHere() (offsets []uintptr) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	// A fault while pinned is fatal, so that what is read then must be an M. The
	// thread, and with it the M, is this goroutine's own (onOtherThread).
	m, ok := MOf(thisG())
	if !ok {
		return nil
	}
	for range 100 {
		var words [searchedOfM / 8]uintptr
		index := Pin()
		copyWords(&words[0], m, uintptr(len(words)))
		Unpin()
		offsets = offsets[:0]
		for i, word := range words {
			if mayBePointer(word) && isP(word, index, m) {
				offsets = append(offsets, uintptr(i)*8)
			}
		}
		after := Pin()
		Unpin()
		if after == index && len(offsets) > 0 {
			return offsets
		}
	}
	return nil
}

func mayBePointer(word uintptr) bool {
	return word%8 == 0 && word > 1<<16 && word < 1<<47
}

// isP reports whether a runtime.p with the given index and M lies at address.
// The address stays an integer: the collector must not see one that it did not
// give out.
func isP(address uintptr, index int, m uintptr) (is bool) {
	defer func() {
		if recover() != nil {
			is = false // a fault: no memory there
		}
	}()
	var words [searchedOfP / 8]uintptr
	copyWords(&words[0], address, uintptr(len(words)))
	id, status := uint32(words[0]), uint32(words[0]>>32)
	return id == uint32(index) && status == running && slices.Contains(words[1:], m)
}

// MOf returns g.m of the g at the given address, and false if no M is there: an
// M leads by its first word, g0, back to itself. Any address may be read on the
// way, so that a fault means no, too. The goroutine must stay on its thread.
func MOf(g uintptr) (m uintptr, ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			m, ok = 0, false
		}
	}()
	m = load(g + OffsetOfM)
	return m, load(load(m)+OffsetOfM) == m
}

// load reads a word from any address, and faults where there is none.
func load(address uintptr) (word uintptr) {
	copyWords(&word, address, 1)
	return word
}

// thisG returns the address of the running goroutine's g.
func thisG() uintptr

// copyWords copies count words from any address, and faults where there is none.
//
//go:noescape
func copyWords(to *uintptr, from, count uintptr)
