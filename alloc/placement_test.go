package alloc

import "testing"

// TestPlacementOption: what is asked for is had, or why not is told; children have it
// of their parent.
func TestPlacementOption(t *testing.T) {
	for _, p := range []Placement{0, Local, Interleave, OnNode(0), OnNode(1000)} {
		a := open(t, Options{Placement: p, Reserve: 64 << 20})
		child, err := a.Child(Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, each := range []*Allocator{a, child} {
			each.Free(must(t)(each.Alloc(100)))
			each.Free(must(t)(each.Alloc(1 << 20)))
			s := each.Stats()
			asked := s.Placement == p.String() || s.Placement == "one node" && p != OnNode(1000)
			if s.Placement == "" || asked == (s.PlacementReason != "") {
				t.Errorf("%v: %q, since %q", p, s.Placement, s.PlacementReason)
			}
			backed := int64(0)
			for n := range s.Nodes.All() {
				backed += n.Backed
			}
			if s.Nodes.Len() == 0 || backed != s.Backed {
				t.Errorf("%v: %d nodes with %d bytes, %d in all", p, s.Nodes.Len(), backed, s.Backed)
			}
		}
		if err := child.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := New(Options{Placement: OnNode(-1)}); err == nil {
		t.Error("there is a node below 0")
	}
}

// TestHugePagesOption: likewise for huge pages.
func TestHugePagesOption(t *testing.T) {
	for _, p := range []HugePages{HugeSystem, HugeNever, HugeAdvise, HugeCollapse} {
		for _, limit := range []int64{0, 8 << 20} {
			a := open(t, Options{HugePages: p, Limit: limit, Reserve: 64 << 20})
			child, err := a.Child(Options{})
			if err != nil {
				t.Fatal(err)
			}
			for _, each := range []*Allocator{a, child} {
				each.Free(must(t)(each.Alloc(100)))
				each.Free(must(t)(each.Alloc(1 << 20)))
				s := each.Stats()
				asked := s.HugePages == p.String() || p == HugeSystem && s.HugePages == "never"
				if s.HugePages == "" || asked == (s.HugePagesReason != "") {
					t.Errorf("%v, limit %d: %q, since %q", p, limit, s.HugePages, s.HugePagesReason)
				}
			}
			if err := child.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	for _, p := range []HugePages{-1, HugeCollapse + 1} {
		if _, err := New(Options{HugePages: p}); err == nil {
			t.Errorf("there is a policy %d", int(p))
		}
	}
}
