package alloc

import (
	"encoding/json"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/arena"
)

var update = flag.Bool("update", false, "write testdata anew")

// golden compares a text with a file of testdata.
func golden(t *testing.T, file, got string) {
	t.Helper()
	path := "testdata/" + file
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s has changed (go test ./alloc -run %s -update): got\n%s\nwant\n%s", path, t.Name(), got, want)
	}
}

// someStats has another value in each figure, so that one that is exchanged with
// another is seen.
func someStats() Stats {
	s := Stats{Name: "server/tenant"}
	for i, figure := range []*int64{&s.Reserved, &s.Limit, &s.Charged, &s.Backed, &s.Live, &s.RoundingMost, &s.CachedVCPU, &s.CachedTransfer,
		&s.CachedCentral, &s.Tails, &s.PageHeapFree, &s.Gone, &s.GoneCharged, &s.Retained, &s.Released, &s.Metadata, &s.LargeBlocks, &s.NodeMoves, &s.HugeBroken, &s.HugeCollapsed, &s.Arenas, &s.DoubleFrees} {
		*figure = int64(i+1) << 20
	}
	for class := range s.Classes[1:] {
		s.Classes[class+1].Size = arena.ClassSize(uint8(class + 1))
	}
	s.Placement, s.HugePages = "local", "advise"
	if err := json.Unmarshal([]byte(`[{"node": 0, "backed": 1048576, "gone": 2, "page_heap_free": 3072, "released": 4, "borrowed": 5}, {"node": 1, "backed": 6144}]`), &s.Nodes); err != nil {
		panic(err)
	}
	s.Classes[2] = ClassStats{Size: s.Classes[2].Size, Spans: 1, Live: 2, VCPU: 3, Transfer: 4, Central: 5}
	return s
}

// TestStatsForms holds the table, the names and the keys to what programs and
// people have seen before.
func TestStatsForms(t *testing.T) {
	s := someStats()
	golden(t, "stats.txt", s.String())
	text, err := json.MarshalIndent(s, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "stats.json", string(text)+"\n")
	var back Stats
	if err := json.Unmarshal(text, &back); err != nil || back != s {
		t.Errorf("read back: %+v, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"/classes":[{"size":1}]}`), &back); err == nil {
		t.Error("there is a class of one byte")
	}
	if err := json.Unmarshal([]byte(`{"/nodes":[{},{},{},{},{},{},{},{},{}]}`), &back); err == nil {
		t.Error("there are nine nodes")
	}
	if err := json.Unmarshal([]byte(`{"mode":"none"}`), &back); err == nil {
		t.Error("there is a mode none")
	}
	var keys map[string]any
	if err := json.Unmarshal(text, &keys); err != nil {
		t.Fatal(err)
	}
	count := 0
	for name, value := range s.Figures() {
		count++
		if keys[name] != float64(value) {
			t.Errorf("%s is %v in JSON, %d as a figure", name, keys[name], value)
		}
	}
	if count != len(keys)-8 {
		t.Errorf("%d figures, %d keys", count, len(keys))
	}
}

// TestStatsViews looks at classes and slabs of a known state.
func TestStatsViews(t *testing.T) {
	a := open(t, Options{})
	var blocks [][]byte
	for range 100 {
		blocks = append(blocks, must(t)(a.Alloc(100)), must(t)(a.Alloc(5000)))
	}
	large := must(t)(a.Alloc(300_001))
	s := a.Stats()
	classes := 0
	for c := range s.InUse() {
		classes++
		if c.Live != 100 || c.Size != GoodSize(100) && c.Size != GoodSize(5000) {
			t.Errorf("%+v", c)
		}
	}
	asked := int64(100*100 + 100*5000 + 300_001)
	if classes != 2 || s.Live-s.RoundingMost > asked || s.RoundingMost <= 0 || s.RoundingMost > s.Live/8 {
		t.Errorf("%d classes; %d live, rounding at most %d, asked for %d", classes, s.Live, s.RoundingMost, asked)
	}
	a.FreeBatch(blocks)
	a.Free(large)
	cached := int64(0)
	for slab := range a.Slabs() {
		if cached += slab.Bytes; slab.Objects <= 0 || slab.Bytes < slab.Objects*int64(GoodSize(100)) {
			t.Errorf("%+v", slab)
		}
	}
	s = a.Stats()
	if cached != s.CachedVCPU || cached == 0 {
		t.Errorf("%d bytes in slabs, %d in Stats", cached, s.CachedVCPU)
	}
	if s.RoundingMost != 0 || s.Retained != s.CachedVCPU+s.CachedTransfer+s.CachedCentral+s.PageHeapFree-s.Gone {
		t.Errorf("nothing is live: %v", s)
	}
}

// TestBudgets walks a tree, in whose middle a child is closed and made meanwhile.
func TestBudgets(t *testing.T) {
	root := open(t, Options{Name: "root", Limit: 8 << 20, SoftLimit: 4 << 20})
	left := child(t, root, Options{Name: "left", Limit: 2 << 20})
	child(t, left, Options{Name: "deep"})
	right := child(t, root, Options{Name: "right"})
	must(t)(right.Alloc(1 << 20))
	var names []string
	for b := range root.Budgets() {
		names = append(names, strings.Repeat(">", b.Depth)+b.Name)
		want := map[string]BudgetStats{
			"root":       {Name: "root", Limit: 8 << 20, SoftLimit: 4 << 20, Charged: 1 << 20},
			"root/right": {Name: "root/right", Depth: 1, Charged: 1 << 20},
		}
		if w, ok := want[b.Name]; ok && w != b {
			t.Errorf("%+v, want %+v", b, w)
		}
		if b.Name == "root/left" { // no lock is held
			child(t, left, Options{Name: "another"})
		}
	}
	if got := strings.Join(names, " "); got != "root >root/left >>root/left/another >>root/left/deep >root/right" {
		t.Errorf("%s", got)
	}
	for b := range left.Budgets() {
		if b.Name != "root/left" || b.Depth != 0 {
			t.Errorf("%+v", b)
		}
		break // ends the walk
	}
	if err := right.Close(); err != nil {
		t.Fatal(err)
	}
	for range right.Slabs() {
		t.Error("a closed allocator has something at hand")
	}
}
