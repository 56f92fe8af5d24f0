package rseqcs

import (
	"runtime"
	"testing"
	"unsafe"
)

// TestGather: a list ends before what a section may not take without a look of its own.
func TestGather(t *testing.T) {
	// Two classes whose numbers differ by the size of the first, a power of two, so
	// that nothing but the page map tells them apart.
	const small, class, other = 8, 1, 1 + 8
	sizes := []int{small, 16, 24, 32, 40, 48, 56, 64, 72}
	table := newClassTable(sizes)
	const pageSize = 1 << PageShift
	stack, err := NewStack("gather", make([]Capacity, len(sizes)+1))
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	// A page of the one, and a span of the other; then pages that are not in the range.
	pages := []PageEntry{EntryOf(class, 0), EntryOf(other, 0), EntryOf(class, 0)}
	const inRange = 2
	origin := alignedPages(1, len(pages)) // a page before the range, too
	var b Blocks
	r := rangeOf(table, origin, pages)
	r.Size = inRange * pageSize
	b.Open(stack, table, r, Slow{})
	at := func(page, offset, capacity int) []byte {
		return unsafe.Slice((*byte)(unsafe.Add(origin, page*pageSize+offset)), capacity)
	}
	first, second, last := at(0, 0, small), at(0, small, small), at(0, pageSize-small, small)
	big := sizes[other-1]
	end := pageSize / big * big // behind the last object of the page
	for name, test := range map[string]struct {
		class uint8
		list  [][]byte
		want  int
	}{
		"blocks":                        {class, [][]byte{first, second, last}, 3},
		"cut in length":                 {class, [][]byte{first, second[:1], last[:0]}, 3},
		"more than the array takes":     {class, [][]byte{first, second, first, second, last}, 4},
		"the same, not in a row":        {class, [][]byte{first, second, first}, 3},
		"twice in a row":                {class, [][]byte{first, second, second}, 2},
		"cut in capacity":               {class, [][]byte{first, second[:1:1]}, 1},
		"nothing":                       {class, [][]byte{nil, first}, 0},
		"the middle":                    {class, [][]byte{first, at(0, 4, small)}, 1},
		"behind the range":              {class, [][]byte{first, at(inRange, 0, small)}, 1},
		"before the range":              {class, [][]byte{first, at(-1, 0, small)}, 1},
		"another class":                 {class, [][]byte{first, at(1, 0, small)}, 1},
		"blocks of the other class":     {other, [][]byte{at(1, 0, big), at(1, big, big)}, 2},
		"the middle of the other class": {other, [][]byte{at(1, 0, big), at(1, big+8, big)}, 1},
		"behind the last object":        {other, [][]byte{at(1, 0, big), at(1, end, big)}, 1},
	} {
		var into [4]unsafe.Pointer
		n := b.Gather(test.class, test.list, into[:])
		if n != test.want {
			t.Errorf("%s: %d, want %d", name, n, test.want)
		}
		for i := range n {
			if into[i] != unsafe.Pointer(unsafe.SliceData(test.list[i])) {
				t.Errorf("%s: another address for block %d", name, i)
			}
		}
	}
}

// TestRefuseFreeWhileOthersLook refuses frees while another goroutine asks what lies
// at an address: it is told that an object starts there, or that nothing does. The
// race detector sees a plain read or write of the range's size.
func TestRefuseFreeWhileOthersLook(t *testing.T) {
	const size, class = 8, 1
	stack, err := NewStack("refusing", make([]Capacity, 2))
	if err != nil {
		t.Fatal(err)
	}
	defer stack.Close()
	object := (*[size]byte)(alignedPages(0, 1))
	table := newClassTable([]int{size})
	var b Blocks
	b.Open(stack, table, rangeOf(table, unsafe.Pointer(object), []PageEntry{EntryOf(class, 0)}), Slow{})
	look := func() (found int) {
		if b.ClassAt(unsafe.Pointer(object)) == class {
			found++
		}
		if b.Starts(class, unsafe.Pointer(object)) {
			found++
		}
		var into [1]unsafe.Pointer
		return found + b.Gather(class, [][]byte{object[:]}, into[:])
	}
	if found := look(); found != 3 {
		t.Fatalf("%d of 3 methods find the object", found)
	}
	begun, done := make(chan bool), make(chan bool)
	go func() {
		defer close(done)
		close(begun)
		for look() > 0 {
			runtime.Gosched()
		}
	}()
	<-begun
	b.RefuseFree()
	<-done
	if found := look(); found != 0 {
		t.Errorf("%d of 3 methods find the object after RefuseFree", found)
	}
}
