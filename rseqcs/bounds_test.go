package rseqcs

import (
	"math"
	"strings"
	"testing"
	"unsafe"
)

// TestStackRefusesNumbersThatItDoesNotHave calls all methods with slabs and classes out of
// range, which panic with the number or with the index, and counts out of range, which are
// moved to what there is.
func TestStackRefusesNumbersThatItDoesNotHave(t *testing.T) {
	s, err := NewStack("bounds", []Capacity{{}, {Initial: 4, Max: 8}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	object := unsafe.Pointer(new(uint64))
	if s.Push(1, object) != Pushed {
		t.Fatal("there is room")
	}
	total, _ := s.Slabs()
	for name, call := range map[string]func(slab, class int){
		"Len":       func(slab, class int) { s.Len(slab, class) },
		"Capacity":  func(slab, class int) { s.Capacity(slab, class) },
		"Shrink":    func(slab, class int) { s.Shrink(slab, class, 1) },
		"Grow":      func(_, class int) { s.Grow(class, 1) },
		"Pop":       func(_, class int) { s.Pop(class) },
		"Push":      func(_, class int) { s.Push(class, object) },
		"PopBatch":  func(_, class int) { s.PopBatch(class, make([]unsafe.Pointer, 1)) },
		"PushBatch": func(_, class int) { s.PushBatch(class, []unsafe.Pointer{object}) },
	} {
		bad := []struct{ slab, class int }{{0, 2}, {0, -1}, {0, 1 << 30}, {0, math.MaxInt}, {0, math.MinInt}}
		if name == "Len" || name == "Capacity" || name == "Shrink" {
			bad = append(bad, []struct{ slab, class int }{{total, 1}, {-1, 1}, {1 << 30, 0}, {math.MaxInt, 1}, {math.MinInt, 1}}...)
		}
		for _, b := range bad {
			text := panicText(func() { call(b.slab, b.class) })
			if !strings.Contains(text, "rseqcs: ") && !strings.Contains(text, "index out of range") {
				t.Errorf("%s with slab %d and class %d: panic with %q", name, b.slab, b.class, text)
			}
		}
	}
	here := s.Here()
	for _, count := range []int{-1, math.MinInt, 0} {
		if s.Grow(1, count) || s.Shrink(here, 1, count) != 0 {
			t.Errorf("a count of %d changes the capacity", count)
		}
	}
	for slab := range total {
		if now, most := s.Capacity(slab, 1); now != 0 && (now != 4 || most != 8) {
			t.Errorf("slab %d: room for %d, at most %d", slab, now, most)
		}
	}
	for _, count := range []int{1 << 29, 1 << 30, math.MaxInt} {
		s.Grow(1, count)
		for slab := range total {
			if now, _ := s.Capacity(slab, 1); now > 8 {
				t.Errorf("grown by %d: room for %d", count, now)
			}
			s.Shrink(slab, 1, count)
			if now, _ := s.Capacity(slab, 1); now != 0 && now != 4 {
				t.Errorf("shrunk by %d: room for %d", count, now)
			}
		}
	}
}

func panicText(call func()) (text string) {
	defer func() {
		switch value := recover().(type) {
		case error:
			text = value.Error()
		case string:
			text = value
		}
	}()
	call()
	return "no panic"
}
