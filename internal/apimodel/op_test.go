package apimodel

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/vcpualloc/vcpualloc/arena"
)

// op is one operation. The numbers are read by each operation as it needs them; a
// number that selects one of a list is taken modulo its length, so that every op
// means something in every state.
type op struct {
	do      string
	a, b, m int // which allocator, region or cache; which block; which variant
	n       int // a size, mostly
	thread  int // 0 for the thread of the test, else one of the team
}

func (o op) String() string {
	return fmt.Sprintf("{do: %q, a: %d, b: %d, m: %d, n: %d, thread: %d}", o.do, o.a, o.b, o.m, o.n, o.thread)
}

// literal returns the operations as they are written in regressions_test.go.
func literal(ops []op) string {
	var text strings.Builder
	for _, o := range ops {
		fmt.Fprintf(&text, "\t%v,\n", o)
	}
	return text.String()
}

// An action carries out the operations of one name.
type action struct {
	name   string
	weight int
	run    func(w *world, o op)
}

var actions = slices.Concat(blockActions, typedActions, regionActions, cacheActions, treeActions, misuseActions, teamActions, viewActions)

// byName finds an action.
var byName = make(map[string]action)

// names has each name as often as its weight says.
var names []string

func init() {
	for _, a := range actions {
		if byName[a.name].run != nil {
			panic("two actions with the name " + a.name)
		}
		byName[a.name] = a
		for range a.weight {
			names = append(names, a.name)
		}
	}
}

// borders are sizes at which something changes: of classes, the page, the smallest
// block that Realloc lets grow, the largest class, a huge page.
var borders = func() (list []int) {
	for class := 1; class < arena.ClassCount; class++ {
		list = append(list, arena.ClassSize(uint8(class)))
	}
	for _, n := range []int{0, 16 << 10, arena.PageSize, arena.MaxSmall, arena.MaxSmall + arena.PageSize, 1 << 20, 2 << 20, 3 << 20} {
		list = append(list, n)
	}
	return list
}()

// absurd are sizes that no block can have.
var absurd = []int{-1, math.MinInt, math.MaxInt, math.MaxInt - 7, math.MaxInt - arena.PageSize, math.MaxInt / 2, 1 << 40, 5 << 40, 1 << 33}

// upTo are evenly distributed numbers in [0, n): rapid.IntRange prefers small ones,
// with which little would ever happen.
func upTo(n int) *rapid.Generator[int] {
	const most = 4096
	all := make([]int, min(n, most))
	for i := range all {
		all[i] = i
	}
	low := rapid.SampledFrom(all)
	if n <= most {
		return low
	}
	high := upTo((n + most - 1) / most)
	return rapid.Custom(func(t *rapid.T) int { return min(n-1, high.Draw(t, "high")*most+low.Draw(t, "low")) })
}

var (
	kinds    = upTo(40)
	tiny     = upTo(257)
	small    = upTo(16 << 10)
	medium   = upTo(284 << 10)
	large    = upTo(2816 << 10)
	pages    = upTo(40)
	offsets  = rapid.SampledFrom([]int{-1, 0, 1})
	variants = upTo(256)
	few      = upTo(8)
	many     = upTo(64)
	threads  = rapid.SampledFrom([]int{0, 0, 0, 0, 1, 2, 3})
	lengths  = rapid.SampledFrom([]int{3, 10, 30, 80, 150})
)

var sizes = rapid.Custom(func(t *rapid.T) int {
	switch k := kinds.Draw(t, "kind"); {
	case k < 12:
		return tiny.Draw(t, "n")
	case k < 18:
		return small.Draw(t, "n")
	case k < 27:
		return max(0, rapid.SampledFrom(borders).Draw(t, "border")+offsets.Draw(t, "off"))
	case k < 33:
		return 16<<10 + medium.Draw(t, "n")
	case k < 36:
		return max(1, pages.Draw(t, "pages")*arena.PageSize+offsets.Draw(t, "off"))
	case k < 39:
		return 256<<10 + large.Draw(t, "n")
	default:
		return rapid.SampledFrom(absurd).Draw(t, "n")
	}
})

var opGenerator = rapid.Custom(func(t *rapid.T) op {
	return op{
		do:     rapid.SampledFrom(names).Draw(t, "do"),
		a:      few.Draw(t, "a"),
		b:      many.Draw(t, "b"),
		m:      variants.Draw(t, "m"),
		n:      sizes.Draw(t, "n"),
		thread: threads.Draw(t, "thread"),
	}
})

// opLists are what a test case is made of: how the first allocator is opened, and
// what is done then.
var opLists = rapid.Custom(func(t *rapid.T) []op {
	first := op{do: "new", m: variants.Draw(t, "options"), n: large.Draw(t, "more")}
	length := lengths.Draw(t, "length")
	return append([]op{first}, rapid.SliceOfN(opGenerator, length, length).Draw(t, "ops")...)
})
