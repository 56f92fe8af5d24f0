package rseqcs

import (
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/vcpu"
)

// The operations, for all architectures. slab stands for base + id<<slabShift
// with the id read inside the section, and header for the header of the class
// in it. Every one returns as for "nothing there" when the thread has no id, or
// none below the number of ids, or was aborted maxRestarts times, those of push with
// unserved; alloc and free go the slow way at once when they were aborted.
//
//	pop(base, class):
//	    object := slab[header.current - 8]
//	    if object == nil { return nil }              // below the oldest object lies nil
//	    header.current -= 8                          // COMMIT
//	    return object
//
//	push(base, class, object):
//	    if header.current == 0 { return unserved }   // in the code behind the next test
//	    if header.current >= header.end { return full }
//	    if slab[header.current - 8] == object { return duplicate }
//	    slab[header.current] = object
//	    header.current += 8                          // COMMIT
//	    return pushed
//
//	popBatch(base, class, into, count | begin<<32):  // begin: where the slots of the class are
//	    if header.current < begin { return 0 }       // no header
//	    n := min(count, (header.current - begin) / 8)
//	    into[:n] = slab[header.current - 8*n : header.current], the other way round
//	    header.current -= 8*n                        // COMMIT
//	    return n
//
//	pushBatch(base, class, from, count):
//	    if header.current == 0 { return unserved }
//	    room := header.end - header.current
//	    if room < 0 { room = 0 }                     // Shrink has put end below current
//	    n := min(count, room / 8)
//	    slab[header.current : header.current + 8*n] = from[:n]
//	    header.current += 8*n                        // COMMIT
//	    return n
//
//	setHeader(base, class, _, value):                // as popBatch has its arguments
//	    if header != 0 { return kept }
//	    header = value                               // COMMIT
//	    return stored
//
//	add(cells, delta):
//	    cells[id] += delta                           // COMMIT
//	    return stored
//
//	alloc(blocks, n):                                // allocZeroed clears the block behind the commit
//	    header, size := blocks.fine[(n + 7) / 8]     // above FineUpTo: by blocks.classes; above MaxSmall: slow
//	    object := slab[header.current - 8]
//	    if object == nil { return blocks.slowAlloc(blocks, n) }
//	    if slab.countdown + n > 2^64 - 1 { return blocks.carriedAlloc(blocks, n) }
//	    slab.countdown += n
//	    header.current -= 8                          // COMMIT
//	    return slice of object, n, size
//
//	free(blocks, block):
//	    header, _ := blocks.fine[(cap(block) + 7) / 8]   // likewise
//	    page := (block - blocks.origin) >> PageShift
//	    if page >= blocks.pages { return blocks.slowFree(blocks, block) }
//	    test := blocks.starts[header / 8]
//	    if (block & 0xffff * test.factor + blocks.checks[page]) >> SlackBits != test.want ||
//	        header.current >= header.end || slab[header.current - 8] == block {
//	        return blocks.slowFree(blocks, block)
//	    }
//	    slab[header.current] = block
//	    header.current += 8                          // COMMIT
//
//	get(single):                                     // header is that of class 0
//	    object := slab[header.current - 8]
//	    if object == nil { return single.slowGet(single) }
//	    header.current -= 8                          // COMMIT
//	    return object, nil
//
//	put(single, object):                             // as free, with the test of single
//
// Every register is the callee's in a Go call, and the caller has to store what
// it needs afterwards. pop and push touch few of them, so they return their
// other arguments as they are, the last one only for this (blocks.go, in parts).
type operations struct {
	pop       popFunc
	push      pushFunc
	popBatch  func(base unsafe.Pointer, class uintptr, into unsafe.Pointer, count uintptr) uintptr
	pushBatch func(base unsafe.Pointer, class uintptr, from unsafe.Pointer, count uintptr) uintptr
	setHeader func(base unsafe.Pointer, class uintptr, _ unsafe.Pointer, value uint64) uintptr
	add       func(cells unsafe.Pointer, delta int64) uintptr

	alloc, allocZeroed allocFunc
	free               freeFunc
	get                getFunc
	put                putFunc
}

type (
	popFunc  = func(base unsafe.Pointer, class, carried uintptr) (object unsafe.Pointer, _, _ uintptr)
	pushFunc = func(base unsafe.Pointer, class uintptr, object, carried unsafe.Pointer) (outcome, _ uintptr, _, _ unsafe.Pointer)
)

// run is the operations of this process's mode on the slabs of that mode, and
// pinned those on the slabs of the Ps. Both are in place before any Stack or
// Counter has slabs: prepare chooses them.
var run, pinned operations

// sections tells that run holds sections on the slabs of the vCPUs.
var sections bool

// prepare probes the kernel, once, and selects the operations.
var prepare = sync.OnceValue(func() vcpu.Features {
	features := vcpu.Probe()
	pinned = pinnedOperations()
	run = pinned
	if features.Mode != vcpu.Assigned {
		run, sections = sectionOperations(features), true
	}
	return features
})
