//go:build amd64 || arm64

package rseq

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// check checks the equation of the type's comment, and that no slot is lost.
func (a *areas) check(t *testing.T) {
	t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	inUse := 0
	for index := range a.slots {
		s := &a.slots[index]
		if uintptr(s.area)%64 != 0 {
			t.Errorf("area %d at %p is not aligned", index, s.area)
		}
		if s.tid == 0 {
			continue
		}
		inUse++
		if at, ok := a.byTID[s.tid]; !ok || int(at) != index {
			t.Errorf("thread %d has slot %d, the index says %d, %v", s.tid, index, at, ok)
		}
	}
	if len(a.slots) != len(a.free)+inUse || len(a.byTID) != inUse {
		t.Errorf("%d slots, %d free, %d in use, %d threads", len(a.slots), len(a.free), inUse, len(a.byTID))
	}
	seen := make(map[int32]bool)
	for _, index := range a.free {
		if seen[index] || a.slots[index].tid != 0 || a.slots[index].owner != nil {
			t.Errorf("free slot %d: %+v, free twice: %v", index, a.slots[index], seen[index])
		}
		seen[index] = true
	}
}

// settleAs takes a slot and settles it for a thread id, as register would.
func (a *areas) settleAs(t *testing.T, tid int32, errno uintptr) int32 {
	t.Helper()
	owner := unsafe.Pointer(new(int))
	index, err := a.take(owner)
	if err != nil {
		t.Fatal(err)
	}
	area := a.area(index)
	*(*int32)(unsafe.Add(area, offsetTID)) = tid
	*(*unsafe.Pointer)(unsafe.Add(area, OffsetOwner)) = owner
	a.settle(index, errno)
	return index
}

// deadThreads returns the ids of threads that were there and are not any more.
func deadThreads(t *testing.T, count int) (ids []int32) {
	t.Helper()
	for len(ids) < count {
		id := make(chan int)
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends
			id <- unix.Gettid()
		}()
		// The main thread is parked instead.
		if id := <-id; id != unix.Getpid() {
			waitForEnd(t, id)
			ids = append(ids, int32(id))
		}
	}
	return ids
}

func waitForEnd(t *testing.T, tid int) {
	t.Helper()
	stress.Until(t, func() error {
		if err := unix.Tgkill(unix.Getpid(), tid, 0); err != unix.ESRCH {
			return fmt.Errorf("thread %d has not ended: %v", tid, err)
		}
		return nil
	})
}

func TestSlotIsReusedByThreadID(t *testing.T) {
	a := &areas{length: MinLength}
	first := a.settleAs(t, 7, 0)
	second := a.settleAs(t, 8, 0)
	third := a.settleAs(t, 7, 0) // the older thread 7 must be gone
	if first == second || second == third || first == third {
		t.Errorf("slots %d, %d, %d", first, second, third)
	}
	a.check(t)
	if len(a.slots)-len(a.free) != 2 || a.registrations != 3 {
		t.Errorf("%d slots in use, %d registrations; want 2 and 3", len(a.slots)-len(a.free), a.registrations)
	}
	if owner := *(*uintptr)(unsafe.Add(a.slots[first].area, OffsetOwner)); owner != 0 {
		t.Errorf("the freed area has the owner %#x", owner)
	}
}

func TestSlotOfARefusedThread(t *testing.T) {
	a := &areas{length: MinLength}
	index := a.settleAs(t, 7, uintptr(syscall.EPERM))
	if a.refused != 1 || a.registrations != 0 || a.lastErrno != syscall.EPERM || a.slots[index].tid != 7 {
		t.Errorf("%d refused (%v), %d registered, slot of thread %d", a.refused, a.lastErrno, a.registrations, a.slots[index].tid)
	}
	// A thread that turns out to have an area gives the new one back.
	a.settleAs(t, 8, alreadyRegistered)
	if len(a.slots)-len(a.free) != 1 || a.registrations != 0 || a.refused != 1 {
		t.Errorf("%d slots in use, want 1", len(a.slots)-len(a.free))
	}
	a.check(t)
}

// TestRefusedTwice is a thread that has lost the word with its area's address: the kernel
// refuses it another area, and goes on writing the first.
func TestRefusedTwice(t *testing.T) {
	a := &areas{length: MinLength}
	const tid = 1 << 30 // no thread's
	first := a.settleAs(t, tid, 0)
	second := a.settleAs(t, tid, uintptr(syscall.EINVAL))
	if a.slots[first].tid != tid || a.slots[second].tid != tid {
		t.Errorf("the slots are of the threads %d and %d, want %d", a.slots[first].tid, a.slots[second].tid, tid)
	}
	a.release(first) // as where the thread ends while reclaim is between the two
	a.check(t)
	if a.reclaim(); len(a.free) != len(a.slots) {
		t.Errorf("%d of %d slots are free after the thread's end", len(a.free), len(a.slots))
	}
	a.check(t)
}

func TestTakeClearsTheArea(t *testing.T) {
	a := &areas{length: 40}
	index := a.settleAs(t, 7, 0)
	area := a.area(index)
	for i := range a.length {
		*(*byte)(unsafe.Add(area, i)) = 0xaa
	}
	a.settleAs(t, 7, 0) // frees the first
	if again, err := a.take(nil); err != nil || a.area(again) != area {
		t.Fatalf("slot %d, %v; want slot %d again", again, err, index)
	}
	for at := 0; at < a.length; at += 4 {
		want := uint32(0)
		switch at {
		case OffsetCPUID, OffsetNodeID, OffsetMMCID:
			want = NoID
		}
		if got := *(*uint32)(unsafe.Add(area, at)); got != want {
			t.Errorf("offset %d: %#x, want %#x", at, got, want)
		}
	}
}

// TestReclaim fills all slots, most of them for threads that are gone.
func TestReclaim(t *testing.T) {
	a := &areas{length: MinLength}
	dead := deadThreads(t, growSlots-1)
	mine := a.settleAs(t, int32(unix.Getpid()), 0) // the main thread lives
	for _, tid := range dead {
		a.settleAs(t, tid, 0)
	}
	if len(a.free) != 0 {
		t.Fatalf("%d free slots", len(a.free))
	}
	a.settleAs(t, 1<<30, 0)
	a.check(t)
	if len(a.slots) != growSlots {
		t.Errorf("%d slots: the dead threads' were not used again", len(a.slots))
	}
	if a.slots[mine].tid == 0 {
		t.Error("the slot of a live thread was freed")
	}
}

// TestReusedThreadID is a slot whose thread died before the kernel gave its id to
// another thread of this process, which has no area. The slot must not be lost.
func TestReusedThreadID(t *testing.T) {
	for _, registers := range []bool{true, false} {
		a := &areas{length: MinLength}
		id, die := make(chan int), make(chan struct{})
		go func() {
			runtime.LockOSThread() // never unlocked: the thread ends
			id <- unix.Gettid()
			<-die
		}()
		tid := <-id
		slot := a.settleAs(t, int32(tid), 0)
		a.reclaim()
		if a.slots[slot].tid == 0 {
			t.Error("the slot was freed while the kernel knows its thread's id")
		}
		if registers {
			a.settleAs(t, int32(tid), 0)
			if a.slots[slot].tid != 0 {
				t.Error("the thread has an area of its own, and the old one is not free")
			}
		}
		close(die)
		if tid != unix.Getpid() {
			waitForEnd(t, tid)
			a.reclaim()
			if len(a.free) != len(a.slots) {
				t.Errorf("%d of %d slots are free after the thread's end", len(a.free), len(a.slots))
			}
		}
		a.check(t)
	}
}

// TestGrowth: the slots are never many more than the threads.
func TestGrowth(t *testing.T) {
	a := &areas{length: 33}
	for count := 1; count <= 3*growSlots; count++ {
		index, err := a.take(nil)
		if err != nil {
			t.Fatal(err)
		}
		a.slots[index].tid = int32(unix.Getpid())
		if len(a.slots) > count+2*growSlots {
			t.Fatalf("%d slots for %d threads", len(a.slots), count)
		}
	}
	at := make(map[unsafe.Pointer]bool)
	for _, s := range a.slots {
		if at[s.area] || uintptr(s.area)%64 != 0 {
			t.Fatalf("area %p: there twice %v", s.area, at[s.area])
		}
		at[s.area] = true
	}
}

// TestAlignment: areas lie as the kernel wants them, with room for our words
// before each.
func TestAlignment(t *testing.T) {
	for _, align := range []int{0, 32, 64, 256} {
		a := &areas{length: 33, align: align}
		if _, err := a.take(nil); err != nil {
			t.Fatal(err)
		}
		end := uintptr(0)
		for i, s := range a.slots {
			at := uintptr(s.area)
			if want := uintptr(max(align, 64)); at%want != 0 {
				t.Errorf("align %d: area %d at %#x", align, i, at)
			}
			if at-ownSize < end {
				t.Errorf("align %d: our words of area %d lie in the area before", align, i)
			}
			end = at + uintptr(a.length)
		}
	}
}

// TestOwnerIsKept: an M whose thread has an area must not be collected, since a
// later one at its address would take the area for its own.
func TestOwnerIsKept(t *testing.T) {
	a := &areas{length: MinLength}
	collected := make(chan struct{})
	take := func() int32 {
		owner := new([1024]byte)
		runtime.SetFinalizer(owner, func(*[1024]byte) { close(collected) })
		index, err := a.take(unsafe.Pointer(owner))
		if err != nil {
			t.Fatal(err)
		}
		return index
	}
	index := take()
	for range 5 {
		runtime.GC()
		select {
		case <-collected:
			t.Fatal("the owner of an area was collected")
		case <-time.After(10 * time.Millisecond):
		}
	}
	a.mu.Lock()
	a.release(index)
	a.mu.Unlock()
	stress.Until(t, func() error {
		runtime.GC()
		select {
		case <-collected:
			return nil
		default:
			return errors.New("the owner of a free area is kept")
		}
	})
}

// TestNoMemoryForAreas asks for more than an address space has.
func TestNoMemoryForAreas(t *testing.T) {
	a := &areas{length: 1 << 50}
	if _, err := a.take(nil); err == nil {
		t.Error("64 areas of 1 PiB")
	}
}

// TestThreadsComeAndGo lets many threads register and die. The areas must be
// those of the threads alive at a time and some; no two of these threads may have
// one area; and every area stays mapped for good.
func TestThreadsComeAndGo(t *testing.T) {
	g := needKernel(t)
	const births, alive = 10_000, 40
	before := ReadThreadStats()
	limit := make(chan struct{}, alive) // of threads that the kernel knows
	ended := make(chan int, alive)
	go func() {
		for tid := range ended {
			// The main thread stays, and so may a thread that has got the id since then.
			const reused = 10 * time.Second
			for end := time.Now().Add(reused); tid != unix.Getpid() && unix.Tgkill(unix.Getpid(), tid, 0) != unix.ESRCH && time.Now().Before(end); {
				runtime.Gosched()
			}
			<-limit
		}
	}()
	var all sync.WaitGroup
	var usable atomic.Int64
	var holders sync.Map // by area
	for range births {
		limit <- struct{}{}
		all.Go(func() {
			runtime.LockOSThread() // never unlocked: the thread ends
			defer func() { ended <- unix.Gettid() }()
			if EnsureThread() && int32(Field(OffsetCPUID)) >= 0 {
				usable.Add(1)
			}
			area := areaHere(g)
			if other, twice := holders.LoadOrStore(area, unix.Gettid()); twice {
				t.Errorf("the area %#x of thread %d is that of thread %v, too", area, unix.Gettid(), other)
			}
			runtime.Gosched()
			holders.Delete(area)
		})
	}
	all.Wait()
	close(ended)
	after := ReadThreadStats()
	t.Logf("before %+v, after %+v", before, after)
	if usable.Load() != births {
		t.Errorf("%d of %d threads can run sections", usable.Load(), births)
	}
	if g.Owner == Libc {
		if after != (ThreadStats{}) {
			t.Errorf("libc registers, and we counted %+v", after)
		}
		return
	}
	// A goroutine may get a thread that another one has registered and unlocked.
	if n := int(after.Registrations - before.Registrations); n < births*9/10 || n > births {
		t.Errorf("%d registrations for %d threads", n, births)
	}
	if most := max(before.Areas, alive+2*growSlots); after.Areas > most {
		t.Errorf("%d areas, want at most %d for %d threads at a time", after.Areas, most, alive)
	}
	threads.check(t)
	checkMapped(t, &threads)
}

// areaHere returns the address of the running thread's area.
func areaHere(g *Ground) uintptr {
	if g.Owner == Libc {
		return threadPointer() + g.LibcOffset
	}
	return threadWord()
}

// checkMapped checks that the kernel can write to every area ever made: mincore(2)
// answers ENOMEM for an OS page that is not mapped.
func checkMapped(t *testing.T, a *areas) {
	t.Helper()
	size := uintptr(unix.Getpagesize())
	for index := range a.slots {
		page := uintptr(a.area(int32(index))) &^ (size - 1)
		var resident byte
		if _, _, errno := unix.Syscall(unix.SYS_MINCORE, page, size, uintptr(unsafe.Pointer(&resident))); errno != 0 {
			t.Errorf("area %d, OS page %#x: %v", index, page, errno)
		}
	}
}

// TestEnsureThreadOnManyThreads has many threads alive at once.
func TestEnsureThreadOnManyThreads(t *testing.T) {
	g := needKernel(t)
	const count = 300
	before := ReadThreadStats()
	areas := make([]uintptr, count)
	var ready, all sync.WaitGroup
	ready.Add(count)
	for i := range count {
		all.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if !EnsureThread() || !EnsureThread() {
				t.Error("the thread cannot register")
			}
			areas[i] = areaHere(g)
			ready.Done()
			ready.Wait()
			if int32(Field(OffsetCPUID)) < 0 {
				t.Error("the kernel has not filled in the area")
			}
		})
	}
	all.Wait()
	seen := make(map[uintptr]bool)
	for _, area := range areas {
		if area == 0 || area%32 != 0 || seen[area] {
			t.Errorf("area %#x, of two threads: %v", area, seen[area])
		}
		seen[area] = true
	}
	if after := ReadThreadStats(); after.Areas > before.Areas+count+2*growSlots {
		t.Errorf("%d areas for %d more threads; there were %d", after.Areas, count, before.Areas)
	}
	threads.check(t)
}

// TestRefusedThread makes the kernel refuse one thread. That one goes without,
// for good, and no other one does.
func TestRefusedThread(t *testing.T) {
	if needKernel(t).Owner == Libc {
		return // whose threads we do not register
	}
	before := ReadThreadStats()
	onFreshThread(t, func() {
		owner := threadM()
		index, err := threads.take(owner)
		if err != nil {
			t.Error(err)
			return
		}
		threads.settle(index, register(threads.area(index), MinLength/2, owner))
		if EnsureThread() {
			t.Error("the thread counts as registered")
		}
		for _, offset := range []uintptr{OffsetCPUID, OffsetNodeID, OffsetMMCID} {
			if id := Field(offset); id != NoID {
				t.Errorf("offset %d: %d, want none", offset, id)
			}
		}
	})
	onFreshThread(t, func() {
		if !EnsureThread() {
			t.Error("another thread cannot register")
		}
	})
	after := ReadThreadStats()
	if after.Refused != before.Refused+1 || after.Registrations != before.Registrations+1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	threads.check(t)
}

// TestRegisterTwice: the second one is told, and its slot is free again.
func TestRegisterTwice(t *testing.T) {
	if needKernel(t).Owner == Libc {
		return
	}
	before := ReadThreadStats()
	onFreshThread(t, func() {
		registerSelf()
		area := threadWord()
		registerSelf()
		if threadWord() != area || area == 0 {
			t.Errorf("the area was %#x and is %#x", area, threadWord())
		}
	})
	if n := ReadThreadStats().Registrations - before.Registrations; n != 1 {
		t.Errorf("%d registrations, want 1", n)
	}
	threads.check(t)
}

// TestFieldWithoutARegistration reads on a thread that has none.
func TestFieldWithoutARegistration(t *testing.T) {
	if needKernel(t).Owner == Libc {
		return
	}
	onFreshThread(t, func() {
		if id := Field(OffsetMMCID); id != NoID {
			t.Errorf("id %d", id)
		}
		if threadWord() != 0 {
			t.Error("Field has registered the thread")
		}
	})
}
