package rseqcs

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// singleModel is a Single for each class of a blocksModel, and what it should do.
type singleModel struct {
	*blocksModel
	Single
	stack    *Stack // of one class
	class    int
	held     []unsafe.Pointer // the newest last
	lastSlow string
}

func newSingleModel(t *testing.T, m *blocksModel, class int) *singleModel {
	stack, err := NewStack("single", []Capacity{{m.room, m.room}})
	if err != nil {
		t.Fatal(err)
	}
	s := &singleModel{blocksModel: m, stack: stack, class: class}
	note := func(single *Single, call string) {
		if single != &s.Single {
			t.Errorf("%s was given another Single", call)
		}
		s.lastSlow = call
	}
	s.Single.Open(&m.Blocks, stack, uint8(class), SlowSingle{
		Get: func(single *Single) (unsafe.Pointer, error) {
			note(single, "Get")
			return unsafe.Pointer(&slowBlock[0]), errSlow
		},
		Put: func(single *Single, object unsafe.Pointer) { note(single, fmt.Sprintf("Put(%#x)", uintptr(object))) },
	})
	stack.Push(singleClass, m.memory.Base) // sets the class up
	stack.Pop(singleClass)
	return s
}

// someObject returns an object of the class, or another address.
func (s *singleModel) someObject() unsafe.Pointer {
	objects := s.objects[s.class]
	p := objects[s.random.IntN(len(objects))]
	switch s.random.IntN(16) {
	case 0:
		return unsafe.Add(p, 1+s.random.IntN(testSizes[s.class-1]-1)) // inside
	case 1:
		return unsafe.Add(objects[len(objects)-1], testSizes[s.class-1]) // in the tail, or on a free page
	case 2:
		others := s.objects[1+s.random.IntN(len(testSizes))]
		return others[s.random.IntN(len(others))]
	case 3:
		return unsafe.Add(s.memory.Base, s.random.IntN(rangePages)<<PageShift)
	case 4:
		if len(s.held) > 0 {
			return s.held[len(s.held)-1] // the newest once more
		}
	case 5:
		return nil
	case 6: // far from the range: what is near may be the Go heap's, which is checked for such
		return unsafe.Add(nil, 1<<20+s.random.IntN(1<<20))
	case 7:
		return unsafe.Add(s.memory.Base, 1<<(bits.UintSize-20))
	}
	return p
}

// round calls Get or Put and compares. steady tells whether what came out counts.
func (s *singleModel) round(refuses bool, steady func() bool) bool {
	s.lastSlow = ""
	if s.random.IntN(2) == 0 {
		want, wantErr, wantSlow := unsafe.Pointer(&slowBlock[0]), errSlow, "Get"
		if last := len(s.held) - 1; last >= 0 {
			want, wantErr, wantSlow = s.held[last], nil, ""
			s.held = s.held[:last]
		}
		got, err := s.Get(&s.Single)
		if !steady() {
			return false
		}
		if got != want || err != wantErr || s.lastSlow != wantSlow {
			s.t.Fatalf("Get: %p, %v by %q; want %p, %v by %q", got, err, s.lastSlow, want, wantErr, wantSlow)
		}
		if words := *(*[2]uintptr)(unsafe.Pointer(&err)); err == nil && words != [2]uintptr{} {
			s.t.Fatalf("Get: the words of the nil error are %#x", words) // the collector looks at them
		}
		return true
	}
	p := s.someObject()
	wantSlow, newest := fmt.Sprintf("Put(%#x)", uintptr(p)), len(s.held)-1
	if !refuses && slices.Contains(s.objects[s.class], p) && len(s.held) < s.room && (newest < 0 || s.held[newest] != p) {
		s.held, wantSlow = append(s.held, p), ""
	}
	s.Put(&s.Single, p)
	if !steady() {
		return false
	}
	if s.lastSlow != wantSlow {
		s.t.Fatalf("Put(%p) of class %d: by %q, want %q", p, s.class, s.lastSlow, wantSlow)
	}
	return true
}

// playSingle runs random calls for each class, and returns early when the thread leaves its
// vCPU or was aborted, which leads to SlowSingle as well.
func playSingle(t *testing.T, random *rand.Rand) (whole bool) {
	m := newBlocksModel(t, random)
	defer m.close()
	for class := 1; class <= len(testSizes); class++ {
		s := newSingleModel(t, m, class)
		id, before := s.stack.Here(), ReadStats().Aborts
		steady := func() bool { return s.stack.Here() == id && ReadStats().Aborts == before }
		ok := true
		for i := 0; ok && i < 400; i++ {
			ok = s.round(false, steady)
		}
		s.RefusePut()
		for i := 0; ok && i < 40; i++ {
			ok = s.round(true, steady)
		}
		if err := s.stack.Close(); err != nil {
			t.Error(err)
		}
		if !ok {
			return false
		}
	}
	return true
}

// TestSingleModel plays against a model on one vCPU, with the sections of this process and
// with the same in parts.
func TestSingleModel(t *testing.T) {
	prepare()
	inParts := run
	inParts.get, inParts.put = getInParts, putInParts
	for name, o := range map[string]operations{"sections": run, "in parts": inParts} {
		t.Run(name, func(t *testing.T) {
			before := run
			run = o
			defer func() { run = before }()
			random := steady.Random(t)
			for range 100 {
				whole := false
				if onOneVCPU(t, func() { whole = playSingle(t, random) }) && (whole || stalled) {
					return
				}
			}
			t.Fatal("this thread never stayed on one vCPU without an abort")
		})
	}
}

// TestSingleOfRefusingBlocks: a Single that is opened after RefuseFree takes nothing back.
func TestSingleOfRefusingBlocks(t *testing.T) {
	onSetUpVCPU(t, func(m *blocksModel) bool {
		m.RefuseFree()
		s := newSingleModel(t, m, 3)
		defer s.stack.Close()
		object := m.objects[3][0]
		if s.Put(&s.Single, object); s.lastSlow == "" {
			t.Errorf("Put(%p) was served", object)
		}
		return true
	})
}

// TestSingleEndsWithRange puts objects of the first page, of the one that lies behind the
// range and would be accepted there, and of the first one after RefusePut.
func TestSingleEndsWithRange(t *testing.T) {
	prepare()
	const class, size = 1, 64
	table := newClassTable([]int{size})
	pages := []PageEntry{EntryOf(class, 0), EntryOf(class, 0)}
	origin := alignedPages(0, len(pages))
	r := rangeOf(table, origin, pages)
	r.Size = 1 << PageShift
	for name, put := range map[string]putFunc{"section": run.put, "in parts": putInParts} {
		t.Run(name, func(t *testing.T) {
			stack, err := NewStack("edges", []Capacity{{8, 8}})
			if err != nil {
				t.Fatal(err)
			}
			defer stack.Close()
			var b Blocks
			b.Open(stack, table, r, Slow{})
			served := func(refuse bool, p unsafe.Pointer) bool {
				// Where it may be served, an abort and another vCPU lead to SlowSingle, too.
				for range 100 {
					var s Single
					slow := false
					s.Open(&b, stack, class, SlowSingle{Put: func(*Single, unsafe.Pointer) { slow = true }})
					if refuse {
						s.RefusePut()
					}
					stack.Push(singleClass, unsafe.Add(origin, size)) // sets the class up
					if put(&s, p); !slow {
						return true
					}
					stack.Drain(func(int, []unsafe.Pointer) {})
				}
				return false
			}
			if !served(false, origin) {
				t.Error("the first object was never taken back")
			}
			if served(false, unsafe.Add(origin, 1<<PageShift)) {
				t.Error("an object behind the range was taken back")
			}
			if served(true, origin) {
				t.Error("RefusePut: the first object was taken back")
			}
		})
	}
}
