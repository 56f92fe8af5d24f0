//go:build amd64 || arm64

package rseq

import (
	"fmt"
	"runtime"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/fault"
	"github.com/vcpualloc/vcpualloc/internal/procpin"
	"github.com/vcpualloc/vcpualloc/internal/regcall"
)

// OffsetOfM is the offset of g.m; the guard of Find verifies it.
const OffsetOfM = procpin.OffsetOfM

// alreadyRegistered is register's answer for a thread that has an area.
const alreadyRegistered = 1 << 16

func isCgo() bool
func threadWord() uintptr
func threadG() (stored uintptr, register unsafe.Pointer)
func threadPointer() uintptr
func fieldPair(offset, libcOffset uintptr, libc bool) uint64
func value(offset, size, libcOffset uintptr, libc bool) (value, registered uintptr)
func readFieldEntry() unsafe.Pointer
func register(area unsafe.Pointer, length uintptr, owner unsafe.Pointer) (errno uintptr)
func rawRseq(area, length uintptr) (errno uintptr)

// threadM returns the M that runs this goroutine; meaningful while the
// goroutine is locked to its thread.
func threadM() unsafe.Pointer {
	_, g := threadG()
	return *(*unsafe.Pointer)(unsafe.Add(g, OffsetOfM))
}

// slot is one area and the thread that has it.
type slot struct {
	area unsafe.Pointer // the kernel's part, 64-byte aligned, never unmapped
	tid  int32          // 0 while free or being registered

	// owner keeps the M from being collected for as long as the area names it,
	// so that no later M can have the address that the area says is its owner.
	owner unsafe.Pointer
}

// areas holds every slot ever made. A slot is free, or belongs to one thread
// until the kernel knows that thread no more: the runtime has no hook for the
// end of an M, and the kernel may write the area until then.
//
//	len(slots) == len(free) + slots of threads
//	len(slots) <= threads alive at once + 2*growSlots
//
// The second holds although the kernel gives the id of a dead thread to a new
// one, for which tgkill then answers: byTID has one slot for each id, so that
// every slot in use has a live thread of this process to show for it, until the
// new thread registers, or dies. Only a thread that has lost the word with its
// area's address, and is refused another, has two (settle).
type areas struct {
	mu            sync.Mutex
	length        int // registered length in bytes
	align         int // what the kernel wants in bytes, a power of two; areaAlign if less
	slots         []slot
	free          []int32         // indices of free slots
	byTID         map[int32]int32 // index of the slot of a thread
	registrations uint64
	refused       uint64
	lastErrno     syscall.Errno // of the newest refusal
}

var threads areas

// areaAlign is the alignment that every kernel so far takes, in bytes.
const areaAlign = 64

// growSlots is how many slots each growth makes.
const growSlots = 64

// take returns the index of a slot for the calling thread, which must be
// locked to its goroutine and whose M is owner.
func (a *areas) take(owner unsafe.Pointer) (int32, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.free) == 0 {
		a.reclaim()
		// Grow when the scan gave little, or every birth would scan again.
		if len(a.free) < growSlots/2 {
			if err := a.grow(); err != nil && len(a.free) == 0 {
				return 0, err
			}
		}
	}
	index := a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	s := &a.slots[index]
	s.owner = owner
	clear(unsafe.Slice((*byte)(s.area), a.length))
	for _, offset := range []uintptr{OffsetCPUID, OffsetNodeID, OffsetMMCID} {
		*(*uint32)(unsafe.Add(s.area, offset)) = NoID
	}
	return index, nil
}

// settle records which thread has the slot. An older slot under the same thread
// id belonged to a thread that is gone, if the kernel has registered this one: where
// it refuses, it may have the older area for this very thread, and go on writing it.
// That slot is free when the thread is gone.
func (a *areas) settle(index int32, errno uintptr) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := &a.slots[index]
	if errno == alreadyRegistered {
		a.release(index)
		return
	}
	s.tid = *(*int32)(unsafe.Add(s.area, offsetTID))
	if older, ok := a.byTID[s.tid]; ok && errno == 0 {
		a.release(older)
	}
	a.byTID[s.tid] = index
	if errno == 0 {
		a.registrations++
	} else {
		a.refused++
		a.lastErrno = syscall.Errno(errno)
	}
}

// release makes a slot free. Its thread is gone, or never used it.
func (a *areas) release(index int32) {
	s := &a.slots[index]
	*(*uintptr)(unsafe.Add(s.area, OffsetOwner)) = 0
	if a.byTID[s.tid] == index {
		delete(a.byTID, s.tid)
	}
	s.tid, s.owner = 0, nil
	a.free = append(a.free, index)
}

// reclaim frees the slots of threads that the kernel does not know any more.
func (a *areas) reclaim() {
	pid := uintptr(syscall.Getpid())
	for index := range a.slots {
		tid := a.slots[index].tid
		if tid == 0 {
			continue
		}
		_, _, errno := syscall.RawSyscall(sysTgkill, pid, uintptr(tid), 0)
		if errno == syscall.ESRCH {
			a.release(int32(index))
		}
	}
}

// grow makes growSlots more.
func (a *areas) grow() error {
	const count = growSlots
	// Our words stand right before the area, so they cost one alignment.
	align := max(areaAlign, a.align)
	before := max(ownSize, align)
	stride := before + (a.length+align-1)&^(align-1)
	var memory unsafe.Pointer
	err := fault.Before("mmap")
	if err == nil {
		memory, err = unix.MmapPtr(-1, 0, nil, uintptr(count*stride), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	}
	if err != nil {
		return fmt.Errorf("rseq: %d areas of %d bytes: %w", count, stride, err)
	}
	for i := range count {
		a.free = append(a.free, int32(len(a.slots)))
		a.slots = append(a.slots, slot{area: unsafe.Add(memory, i*stride+before)})
	}
	if a.byTID == nil {
		a.byTID = make(map[int32]int32)
	}
	return nil
}

// EnsureThread gives the running thread an area if it has none, and reports
// whether the thread can run sections. It takes a lock and system calls: for
// slow paths, and for a thread at most once. Call it after Find; from a
// goroutine that is not locked to a thread, the answer is for the thread it
// ran on at that moment.
func EnsureThread() bool {
	g := Find()
	switch g.Owner {
	case None:
		return false
	case Libc:
		return int32(field(OffsetCPUID, g.LibcOffset, true)) >= 0
	}
	// Between two looks the goroutine may have moved to a thread that has none.
	for range ensureTries {
		if threadWord() == 0 {
			registerSelf()
		}
		if int32(field(OffsetCPUID, 0, false)) >= 0 {
			return true
		}
		if threadWord() != 0 {
			break // an area that the kernel refused
		}
	}
	return false
}

// field reads one field of this thread's area, NoID where the thread has none.
func field(offset, libcOffset uintptr, libc bool) uint32 {
	return uint32(fieldPair(offset, libcOffset, libc))
}

// A pair from the last field on lies within the shortest area.
const _ uint = MinLength - OffsetMMCID - 8

// ensureTries bounds how often EnsureThread follows a goroutine that moves.
const ensureTries = 3

// registerSelf registers an area of ours for the running thread.
func registerSelf() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	owner := threadM()
	index, err := threads.take(owner)
	if err != nil {
		return // no memory for an area: this thread stays without, and asks again
	}
	threads.settle(index, register(threads.area(index), uintptr(threads.length), owner))
}

func (a *areas) area(index int32) unsafe.Pointer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.slots[index].area
}

// Field returns one 32-bit field of the running thread's area, or NoID. It
// registers nothing.
func Field(offset uintptr) uint32 {
	g := Find()
	if g.Owner == None {
		return NoID
	}
	return field(offset, g.LibcOffset, g.Owner == Libc)
}

// FieldPair returns the field at offset of the running thread's area and the one
// right behind it, as they were at one moment, or NoID for both.
func FieldPair(offset uintptr) (first, second uint32) {
	g := Find()
	if g.Owner == None {
		return NoID, NoID
	}
	both := fieldPair(offset, g.LibcOffset, g.Owner == Libc)
	return uint32(both), uint32(both >> 32) // both architectures are little-endian
}

// readValue is value, in the form that this toolchain allows.
var readValue = func() func(offset, size, libcOffset uintptr, libc bool) (value, registered uintptr) {
	if regcall.Works() {
		return regcall.Of[func(offset, size, libcOffset uintptr, libc bool) (value, registered uintptr)](readFieldEntry())
	}
	return value
}()

// Value returns the size bytes (1, 2, 4 or 8) at offset of the running thread's area, read
// with one load, and whether the kernel has this thread registered: else the value means
// nothing. The caller answers for the field's being inside of Ground.Size, and so for an
// Owner.
func Value(offset, size uintptr) (value uint64, registered bool) {
	g := Find()
	v, ok := readValue(offset, size, g.LibcOffset, g.Owner == Libc)
	return uint64(v), ok != 0
}

// ReadThreadStats returns the counts as they are now. With Libc, which
// registers by itself, they are zero.
func ReadThreadStats() ThreadStats {
	threads.mu.Lock()
	defer threads.mu.Unlock()
	return ThreadStats{threads.registrations, threads.refused, len(threads.slots), len(threads.free)}
}
