package arena

import (
	"encoding/json"
	"testing"
	"unsafe"
)

// TestClassListJSON: what is in use comes back, of the first and of the last class, and what
// is no list of classes is an error.
func TestClassListJSON(t *testing.T) {
	var list ClassList
	for class := 1; class < ClassCount; class++ {
		list[class].Size = ClassSize(uint8(class))
	}
	for _, class := range []int{1, 40, ClassCount - 1} {
		list[class] = ClassStats{Size: ClassSize(uint8(class)), Spans: int64(class), Live: 3, VCPU: 4, Transfer: 5, Central: 6}
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	var back ClassList
	if err := json.Unmarshal(text, &back); err != nil || back != list {
		t.Errorf("%v: %s has become %v", err, text, back)
	}
	for _, wrong := range []string{`[{"size": 7}]`, `[{"size": 0}]`, `{}`, `[1]`, `"a"`} {
		if err := json.Unmarshal([]byte(wrong), &back); err == nil {
			t.Errorf("%s: no error", wrong)
		}
	}
	count := 0
	for c := range list.InUse() {
		if count++; c.Spans == 40 {
			break
		}
	}
	if count != 2 {
		t.Errorf("%d classes up to the second in use", count)
	}
}

// TestNodeListJSON: likewise, and after an error the list is as before.
func TestNodeListJSON(t *testing.T) {
	var list, back NodeList
	for i := range maxNodes {
		list.add(NodeStats{Node: 3 * i, Backed: int64(i), Borrowed: 7})
	}
	text, err := json.Marshal(list)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &back); err != nil || back != list || back.Len() != maxNodes {
		t.Errorf("%v: %s has become %v", err, text, back)
	}
	for _, wrong := range []string{`{}`, `[1]`, `[{},{},{},{},{},{},{},{},{}]`} {
		if err := json.Unmarshal([]byte(wrong), &back); err == nil || back != list {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

// TestLeftBehind: an object of any class in the transfer cache of any node, one in a
// magazine, or a free page is something to return; without them there is nothing.
func TestLeftBehind(t *testing.T) {
	h := openOn(t, newMachine(0, 1), 0)
	if h.leftBehind() {
		t.Error("something is left behind in a new heap")
	}
	for _, n := range h.nodes {
		for _, class := range []uint8{1, 50, classCount - 1} {
			objects := make([]unsafe.Pointer, 1)
			if count, err := h.takeObjects(n, class, objects); count != 1 {
				t.Fatal(err)
			}
			// All else of its kind is in use, or has no memory.
			h.trimPages(func() bool { return true })
			before := h.leftBehind()
			n.transfer[class].give(class, objects)
			if before || !h.leftBehind() {
				t.Errorf("node %d, class %d: something is left behind before: %v, and after: %v", n.number, class, before, h.leftBehind())
			}
			n.transfer[class].take(objects)
			h.giveObjects(class, objects)
		}
	}
}

// TestSlabs: each slab that holds objects comes with their number and size.
func TestSlabs(t *testing.T) {
	onOneVCPU(t, func() *Heap { return openHeap(t, MinReserve, 0) }, func(h *Heap) {
		for range h.Slabs() {
			t.Error("a new heap has objects at hand")
		}
		setUp(t, h, 1, 0)
		setUp(t, h, 20, 0)
		var bytes int64
		for _, class := range []uint8{1, 20} {
			object, err := h.Alloc(class)
			if err != nil {
				t.Fatal(err)
			}
			for h.Magazines.Pop(int(class)) != nil {
			}
			h.Free(class, object)
			bytes += int64(classes[class].size)
		}
		slab := h.Magazines.Here()
		_, vcpus := h.Magazines.Slabs()
		want := SlabStats{Index: slab, Objects: 2, Bytes: bytes}
		if slab >= vcpus {
			want.Index, want.P = slab-vcpus, true
		}
		var got []SlabStats
		for s := range h.Slabs() {
			got = append(got, s)
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%+v, want %+v", got, want)
		}
	})
}
