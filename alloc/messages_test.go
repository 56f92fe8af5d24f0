package alloc

import (
	"context"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/vcpu"
)

// failures makes each kind of error that a call of a, which has a limit of 1 MiB, of its
// caches and of its regions can return.
func failures(t *testing.T, a *Allocator) map[string]error {
	t.Helper()
	list := map[string]error{}
	bytes := func(name string, _ []byte, err error) { list[name] = err }
	b, err := a.Alloc(2 << 20)
	bytes("limit", b, err)
	b, err = a.Alloc(math.MaxInt)
	bytes("too large", b, err)
	b, err = NewRegion(a, RegionOptions{}).Bytes(2 << 20)
	bytes("region", b, err)
	_, list["elements"] = MakeSlice[int64](a, 1, math.MaxInt)
	_, list["region's elements"] = RegionSlice[int64](NewRegion(a, RegionOptions{}), math.MaxInt)
	full := must(t)(a.Alloc(960 << 10))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b, err = a.AllocWait(ctx, 512<<10)
	bytes("waiting", b, err)
	turn := a.waiting.enter()
	b, err = a.AllocWait(ctx, 100)
	bytes("waiting for others", b, err)
	a.waiting.leave(turn)
	c, err := NewCache(a, CacheOptions[[200_000]byte]{Name: "objects"})
	if err != nil {
		t.Fatal(err)
	}
	_, list["cache"] = c.Get()
	a.Free(full)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	_, list["closed cache"] = c.Get()
	child, err := a.Child(Options{Name: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	list["children"] = a.Close()
	if err := child.Close(); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}
	list["closed twice"] = a.Close()
	b, err = a.Alloc(1)
	bytes("closed", b, err)
	_, list["child of a closed one"] = a.Child(Options{})
	_, list["Trim"] = a.Trim(t.Context())
	return list
}

// TestErrorsNameTheAllocatorOnce looks at the texts of all errors: the package and the
// allocator are named once, by the default name the allocator is not.
func TestErrorsNameTheAllocatorOnce(t *testing.T) {
	for _, name := range []string{"server", ""} {
		a := open(t, Options{Name: name, Limit: 1 << 20})
		for kind, err := range failures(t, a) {
			if err == nil {
				t.Errorf("%s: no error", kind)
				continue
			}
			text := err.Error()
			var limit *LimitError
			if !strings.HasPrefix(text, "alloc: ") || strings.Count(text, "alloc: ") != 1 {
				t.Errorf("%s: %q names the package more than once, or not first", kind, text)
			}
			if name != "" && strings.Count(text, name) != 1 && kind != "closed cache" {
				t.Errorf("%s: %q does not name the allocator once", kind, text)
			}
			if errors.As(err, &limit) && name != "" && strings.Count(limit.Error(), name) != 1 {
				t.Errorf("%s: %q does not name the allocator once", kind, limit)
			}
		}
	}
}

// TestChildNamesTheFullLimit names the allocator of the call and the one whose limit is
// full, each once.
func TestChildNamesTheFullLimit(t *testing.T) {
	a := open(t, Options{Name: "server", Limit: 1 << 20})
	child, err := a.Child(Options{Name: "tenant"})
	if err != nil {
		t.Fatal(err)
	}
	defer child.Close()
	_, err = child.Alloc(2 << 20)
	if err == nil || !strings.HasPrefix(err.Error(), "alloc: server/tenant: 2097152 bytes: limit of server reached: ") {
		t.Errorf("%v", err)
	}
}

// TestOptionsErrorsNameTheOption gives each option a value that it cannot have.
func TestOptionsErrorsNameTheOption(t *testing.T) {
	for want, o := range map[string]Options{
		"Options.Limit is 1 bytes, at least 65536":      {Limit: 1},
		"Options.Limit is -5 bytes":                     {Limit: -5},
		"Options.SoftLimit is 1 bytes, at least 65536":  {SoftLimit: 1},
		"Options.Reserve is 1 bytes, not in [16777216,": {Reserve: 1},
		"Options.Reserve is -1 bytes":                   {Reserve: -1},
		"Options.Reserve is 9223372036854775807 bytes":  {Reserve: math.MaxInt64},
		"Options.HugePages is 9":                        {HugePages: 9},
		"Options.HugePages is -1":                       {HugePages: -1},
		"Options.Placement is OnNode of a number":       {Placement: OnNode(-5)},
		"Options.ReleaseDelay is 1ns":                   {ReleaseDelay: 1},
		"Options.ReleaseRate is 1 bytes":                {ReleaseRate: 1},
	} {
		a, err := New(o)
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "arena") {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	// OnNode of a number that no int can hold with it is one that no node has.
	if _, err := New(Options{Placement: OnNode(math.MaxInt)}); err == nil {
		t.Error("a node with the largest number")
	}
}

// TestEnumsHaveTexts asks for the texts of values that are none, too.
func TestEnumsHaveTexts(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{HugeSystem.String(), "system"},
		{HugeCollapse.String(), "collapse"},
		{HugePages(9).String(), "HugePages(9)"},
		{HugePages(-1).String(), "HugePages(-1)"},
		{Placement(0).String(), "local"},
		{Local.String(), "local"},
		{Interleave.String(), "interleave"},
		{OnNode(7).String(), "node 7"},
		{OnNode(-5).String(), "Placement(-1)"},
		{OnNode(math.MaxInt).String(), "Placement(-1)"},
		{arena.Placement(math.MinInt + 1).String(), "Placement(" + strconv.Itoa(math.MinInt+1) + ")"},
		{vcpu.Assigned.String(), "assigned"},
		{vcpu.MMCID.String(), "mm_cid"},
		{vcpu.Mode(9).String(), "Mode(9)"},
	} {
		if test.got != test.want {
			t.Errorf("%q, want %q", test.got, test.want)
		}
	}
}
