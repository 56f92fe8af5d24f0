//go:build amd64 || arm64

package rseqcs

import (
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// TestCarried: pop and push return the arguments that a caller leaves to them, in
// every form of a call and whatever the outcome is.
func TestCarried(t *testing.T) {
	prepare()
	stack, err := NewStack("carried", []Capacity{{1, 1}, {1, 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	forms := callForms()
	if forms == nil {
		forms = make(map[string]operations)
	}
	forms["pinned"], forms["Go"] = pinned, assigned
	const class, number = 1, 12345
	objects := new([2]token)
	carriedAddress := unsafe.Pointer(new(token))
	for name, o := range forms {
		base := stack.base
		if name == "pinned" || name == "Go" {
			base = stack.ps
		}
		pop := func() {
			t.Helper()
			object, gotClass, carried := o.pop(base, class, number)
			if gotClass != class || carried != number {
				t.Errorf("%s: pop of %p returns class %d and %d", name, object, gotClass, carried)
			}
		}
		push := func(object unsafe.Pointer) {
			t.Helper()
			outcome, gotClass, gotObject, carried := o.push(base, class, object, carriedAddress)
			if gotClass != class || gotObject != object || carried != carriedAddress {
				t.Errorf("%s: push with the outcome %d returns class %d, %p for %p and %p for %p", name, outcome, gotClass, gotObject, object, carried, carriedAddress)
			}
		}
		push(unsafe.Pointer(&objects[0])) // unserved, or what the form before has left
		stack.setUp(&o, base, class)
		pop()
		push(unsafe.Pointer(&objects[0]))
		push(unsafe.Pointer(&objects[0])) // duplicate
		push(unsafe.Pointer(&objects[1])) // full
		pop()
	}
}

// TestWholeAddresses works on addresses that differ in their upper halves alone,
// and on one whose lower half is zero.
func TestWholeAddresses(t *testing.T) {
	const far = 1 << 32
	memory, err := osmem.Reserve(3*far, "far")
	var limit unix.Rlimit
	if err != nil && unix.Getrlimit(unix.RLIMIT_AS, &limit) == nil && limit.Cur < 1<<40 {
		t.Skipf("too few addresses of more than 32 bits: RLIMIT_AS is %d", limit.Cur)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Unmap()
	origin := unsafe.Add(memory.Base, -uintptr(memory.Base)&(far-1))
	low, high := origin, unsafe.Add(origin, far)
	for range 100 {
		if onOneVCPU(t, func() { playFar(t, origin, low, high) }) {
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU")
}

func playFar(t *testing.T, origin, low, high unsafe.Pointer) {
	const size, class = 64, 1
	stack, err := NewStack("far", []Capacity{{1, 1}, {4, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	// Of above the lower half is that of a page without blocks. The range ends behind its
	// page; what lies beyond looks like blocks, too.
	above := unsafe.Add(high, 1<<PageShift)
	all := make([]PageEntry, 2*(uintptr(high)-uintptr(low))>>PageShift+1)
	pages := all[:len(all)/2+2]
	beyond := []unsafe.Pointer{unsafe.Add(above, 1<<PageShift), unsafe.Add(high, uintptr(high)-uintptr(low))}
	for _, p := range append(beyond, low, high, above) {
		all[(uintptr(p)-uintptr(low))>>PageShift] = EntryOf(class, 0)
	}
	slow := 0
	var blocks Blocks
	table := newClassTable([]int{size})
	r := rangeOf(table, origin, all)
	r.Size = uintptr(len(pages)) << PageShift
	blocks.Open(stack, table, r, Slow{
		func(*Blocks, int) ([]byte, error) { slow++; return nil, nil },
		func(*Blocks, int) ([]byte, error) { slow++; return nil, nil },
		func(*Blocks, []byte) { slow++ },
	})
	here := stack.Here()
	check := func(what string, got, want any) {
		if got != want && stack.Here() == here {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("push", stack.Push(class, low), Pushed)
	check("push of a far one", stack.Push(class, high), Pushed)
	check("pop", stack.Pop(class), high)
	check("pop of an address with a lower half of zero", stack.Pop(class), low)
	check("pushBatch", stack.PushBatch(class, []unsafe.Pointer{high, low}), 2)
	var into [2]unsafe.Pointer
	check("popBatch", stack.PopBatch(class, into[:]), 2)
	check("popBatch", into, [2]unsafe.Pointer{low, high})
	blocks.Free(&blocks, unsafe.Slice((*byte)(low), size))
	blocks.Free(&blocks, unsafe.Slice((*byte)(high), size))
	blocks.Free(&blocks, unsafe.Slice((*byte)(above), size))
	check("calls of the slow path", slow, 0)
	check("freed blocks", stack.Len(here, class), 3)
	for _, p := range beyond {
		blocks.Free(&blocks, unsafe.Slice((*byte)(p), size))
	}
	check("calls of the slow path for what is outside of the range", slow, len(beyond))
	slow = 0
	b, _ := blocks.Alloc(&blocks, size)
	check("alloc", unsafe.Pointer(unsafe.SliceData(b)), above)
	b, _ = blocks.Alloc(&blocks, size)
	check("alloc", unsafe.Pointer(unsafe.SliceData(b)), high)
	b, _ = blocks.Alloc(&blocks, size)
	check("alloc of an address with a lower half of zero", unsafe.Pointer(unsafe.SliceData(b)), low)
	check("calls of the slow path", slow, 0)
}

// TestBlocksWithOtherRegisters calls with registers full that a call leaves as they are:
// what a block has of them, or its error, the sections write.
func TestBlocksWithOtherRegisters(t *testing.T) {
	m := newBlocksModel(t, steady.Random(t))
	defer m.close()
	prepare()
	const class = 1
	type fuller = func(b *Blocks, n int, r2, r3, r4, r5, r6, r7 uintptr) ([]byte, error)
	for name, call := range map[string]*allocFunc{"Alloc": &m.Alloc, "AllocZeroed": &m.AllocZeroed} {
		if outcome := m.stack.Push(class, m.objects[class][0]); outcome != Pushed {
			t.Fatalf("pushed: %d", outcome)
		}
		block, err := (*(*fuller)(unsafe.Pointer(call)))(&m.Blocks, testSizes[0], 1, 2, 3, 4, 5, 6)
		if words := *(*[2]uintptr)(unsafe.Pointer(&err)); words != [2]uintptr{} {
			t.Errorf("%s: the error has the words %#x", name, words)
			continue
		}
		if unsafe.Pointer(unsafe.SliceData(block)) != m.objects[class][0] || len(block) != testSizes[0] || cap(block) != testSizes[0] {
			t.Errorf("%s: %p with %d of %d bytes", name, unsafe.SliceData(block), len(block), cap(block))
		}
	}
}
