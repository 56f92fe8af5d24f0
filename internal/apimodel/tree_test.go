package apimodel

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/vcpualloc/vcpualloc/alloc"
	"github.com/vcpualloc/vcpualloc/arena"
	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

var treeActions = []action{
	{"another", 2, (*world).newRoot},
	{"child", 4, (*world).child},
	{"default", 1, (*world).useDefault},
	{"close", 2, (*world).closeOp},
	{"afterClose", 3, (*world).afterClose},
	{"wrongOptions", 1, (*world).wrongOptions},
	{"faults", 2, (*world).faultsOp},
}

const (
	mostOpen   = 5
	minLimit   = 64 << 10
	granule    = 16 << 20 // bytes, of which a reservation is a multiple
	goReserves = 256 << 20
)

// shared is the allocator that the process shares, made before calls of the system fail.
var shared = alloc.Default()

// optionsOf makes Options of the numbers of an operation. Each field has several
// values; limits are common. The regressions depend on which numbers give which.
func optionsOf(o op) alloc.Options {
	h := uint64(o.m)*0x9e3779b97f4a7c15 ^ uint64(o.n+1)*0xd1b54a32d192ed03 ^ uint64(o.b)<<40
	h ^= h >> 29
	next := func(n uint64) int {
		h = h*6364136223846793005 + 1442695040888963407
		return int(h >> 33 % n)
	}
	const mib = 1 << 20
	options := alloc.Options{
		Name:         []string{"", "", "a", "a/b"}[next(4)],
		Limit:        []int64{0, 0, minLimit, minLimit + 8191, 100_000, 256 << 10, mib, 2*mib + 1, 3 * mib, 6 * mib, 1 << 40}[next(11)],
		SoftLimit:    []int64{0, 0, 0, minLimit, 300_000, 2 * mib}[next(6)],
		ReleaseDelay: []time.Duration{-1, -1, -1, -1, 0, 10 * time.Millisecond}[next(6)],
		ReleaseRate:  []int64{0, 0, mib, 1 << 30}[next(4)],
		Retain:       []int64{0, 0, -1, 1, 100_000, mib}[next(6)],
		Placement:    []alloc.Placement{0, 0, alloc.Local, alloc.Interleave, alloc.OnNode(0)}[next(5)],
		HugePages:    []alloc.HugePages{0, 0, alloc.HugeNever, alloc.HugeAdvise, alloc.HugeCollapse}[next(5)],
		Reserve:      []int64{granule, granule, granule + 5, 2 * granule, 4 * granule, 1 << 30, 0}[next(7)],
	}
	if !osmem.CanRelease {
		options.Reserve = []int64{granule, granule + 5, 2 * granule}[next(3)]
	}
	return options
}

// adopt makes a new allocator known.
func (w *world) adopt(a *alloc.Allocator, o alloc.Options, parent *allocator, r *reclaimer) {
	m := &allocator{a: a, parent: parent, limit: o.Limit &^ (arena.PageSize - 1), eager: o.SoftLimit > 0 || o.Retain > 0, reclaim: r}
	m.name = o.Name
	if m.name == "" {
		m.name = "alloc"
	}
	if parent != nil {
		if o.Name == "" {
			m.name = "child"
		}
		m.name = parent.name + "/" + m.name
		parent.children++
	}
	m.reserve = o.Reserve &^ (granule - 1)
	if o.Reserve == 0 {
		m.reserve = a.Stats().Reserved // with the tables
	}
	delay := o.ReleaseDelay
	if parent != nil && delay == 0 {
		m.quiet = parent.quiet
	} else {
		m.quiet = delay < 0
	}
	m.quiet = m.quiet || !osmem.CanRelease
	if r != nil {
		r.owner = m
	}
	w.all = append(w.all, m)
}

// opened counts the allocators that are open.
func (w *world) opened() (n int) {
	for _, m := range w.all {
		if !m.closed {
			n++
		}
	}
	return n
}

// reclaimerOf returns a Reclaim function for every third operation.
func reclaimerOf(o op, options *alloc.Options) *reclaimer {
	if o.m%3 != 0 {
		return nil
	}
	r := &reclaimer{nested: o.m%2 == 0}
	options.Reclaim = r.call
	return r
}

// newRoot is New.
func (w *world) newRoot(o op) {
	if w.opened() >= mostOpen {
		return
	}
	options := optionsOf(o)
	r := reclaimerOf(o, &options)
	a, err := alloc.New(options)
	if err != nil {
		check(a == nil && w.faulty, "New of %+v: %v", options, err)
		return
	}
	w.adopt(a, options, nil, r)
}

// child is Child, of a child too.
func (w *world) child(o op) {
	m := w.open(o)
	if m == nil || w.opened() >= mostOpen || m.a == shared && !osmem.CanRelease {
		return
	}
	options := optionsOf(o)
	r := reclaimerOf(o, &options)
	a, err := m.a.Child(options)
	if err != nil {
		check(a == nil && w.faulty, "Child of %+v: %v", options, err)
		return
	}
	w.adopt(a, options, m, r)
}

// useDefault adds the allocator that the process shares. What a run that failed has
// left in it stays there.
func (w *world) useDefault(op) {
	a := shared
	if slices.ContainsFunc(w.all, func(m *allocator) bool { return m.a == a }) {
		return
	}
	s := a.Stats()
	check(a.Close() != nil, "Close of the default allocator")
	w.all = append(w.all, &allocator{a: a, name: "default", shared: true, base: s.Live, reserve: s.Reserved, quiet: !osmem.CanRelease})
}

// closeOp closes an allocator, with blocks, regions and caches as they are.
func (w *world) closeOp(o op) {
	m := w.open(o)
	switch {
	case m == nil:
	case m.a == shared:
		check(m.a.Close() != nil, "Close of the default allocator")
	case m.children > 0:
		err := m.a.Close()
		check(err != nil && !errors.Is(err, alloc.ErrClosed), "Close of %s, which has %d children: %v", m.name, m.children, err)
	case o.m%2 == 0 && m.limit > 0 && !w.faulty:
		// Calls that wait for memory end with ErrClosed, unless there was some.
		results := make(chan error, 3)
		for range cap(results) {
			go func() {
				_, err := m.a.AllocWait(context.Background(), int(m.limit))
				results <- err
			}()
		}
		w.close(m)
		for range cap(results) {
			if err := <-results; err != nil {
				var limit *alloc.LimitError
				impossible := errors.As(err, &limit) && limit.Want > limit.Limit
				check(errors.Is(err, alloc.ErrClosed) || impossible || isRefusal(err) && limit == nil, "AllocWait while %s is closed: %v", m.name, err)
			}
		}
	default:
		w.close(m)
	}
}

// close closes an allocator without children. What it owned is gone.
func (w *world) close(m *allocator) {
	if err := m.a.Close(); err != nil {
		check(w.faulty, "Close of %s: %v", m.name, err)
		_, err = m.a.Alloc(10)
		mustBeClosed(err, "Alloc")
		w.setFaults(0)
		err = m.a.Close()
		check(err == nil, "Close of %s again, without a fault: %v", m.name, err)
	}
	w.settle() // what waiting calls have had reclaimed
	if m.reclaim != nil {
		m.reclaim.blocks = nil
	}
	for _, b := range w.live {
		if b.owner == m {
			w.bytes -= int64(cap(b.b))
		}
	}
	theirs := func(b *block) bool { return b.owner == m }
	w.live = slices.DeleteFunc(w.live, theirs)
	w.blocks = slices.DeleteFunc(w.blocks, theirs)
	for _, r := range w.regions {
		if r.owner == m {
			r.pieces, r.held = nil, 0
		}
	}
	m.closed, m.regions, m.caches = true, 0, 0
	if m.parent != nil {
		m.parent.children--
	}
}

// afterClose calls every method of a closed allocator.
func (w *world) afterClose(o op) {
	var all []*allocator
	for _, m := range w.all {
		if m.closed {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return
	}
	m := all[o.b%len(all)]
	a, ctx := m.a, context.Background()
	for _, n := range []int{0, 8, 1000, 300_000} {
		_, err := a.Alloc(n)
		mustBeClosed(err, "Alloc")
		_, err = a.AllocUninit(n)
		mustBeClosed(err, "AllocUninit")
		_, err = a.AllocAligned(n, 64)
		mustBeClosed(err, "AllocAligned")
		_, err = a.AllocWait(ctx, n)
		mustBeClosed(err, "AllocWait")
		filled, err := a.AllocBatch(make([][]byte, 3), n)
		mustBeClosed(err, "AllocBatch")
		check(filled == 0, "AllocBatch of a closed allocator: %d blocks", filled)
		_, err = a.Realloc(nil, n)
		mustBeClosed(err, "Realloc")
	}
	_, err := a.Trim(ctx)
	mustBeClosed(err, "Trim")
	_, err = a.Child(alloc.Options{})
	mustBeClosed(err, "Child")
	mustBeClosed(a.Close(), "Close")
	_, err = alloc.NewOf[uint64](a)
	mustBeClosed(err, "NewOf")
	_, err = alloc.MakeSlice[uint32](a, 1, 10)
	mustBeClosed(err, "MakeSlice")
	_, err = alloc.NewCache(a, alloc.CacheOptions[uint64]{})
	mustBeClosed(err, "NewCache")
	region := alloc.NewRegion(a, alloc.RegionOptions{})
	_, err = region.Bytes(10)
	mustBeClosed(err, "Region.Bytes")
	_, err = region.BytesUninit(100_000)
	mustBeClosed(err, "Region.BytesUninit")
	region.Release()
	a.Free(nil)
	a.FreeBatch([][]byte{nil})
	// What is at its former addresses now is another's.
	own := make([]byte, 100)
	mustMisuse("Free", own, 0, "closed", func() { a.Free(own) })
	_, err = a.Realloc(own, 10)
	mustBeClosed(err, "Realloc")
	for _, b := range w.blocks {
		if len(b.b) > 0 {
			check(!a.Owns(b.b) && a.UsableSize(b.b) == 0, "the closed %s owns a block of %s", m.name, b.owner.name)
			mustMisuse("Free", b.b, 0, "closed", func() { a.Free(b.b) })
		}
	}
}

// wrongOptions has New and Child refuse options, with an error that names the field.
func (w *world) wrongOptions(o op) {
	m := w.open(o)
	for field, options := range map[string]alloc.Options{
		"Limit":        {Limit: minLimit - 1},
		"SoftLimit":    {SoftLimit: minLimit - 1},
		"ReleaseDelay": {ReleaseDelay: 10*time.Millisecond - 1},
		"ReleaseRate":  {ReleaseRate: 1<<20 - 1},
		"HugePages":    {HugePages: alloc.HugePages(9)},
		"Placement":    {Placement: -3},
		"Reserve":      {Reserve: 1 + int64(o.m)*50_000},
	} {
		a, err := alloc.New(options)
		check(a == nil && err != nil && strings.Contains(err.Error(), "Options."+field), "New with a wrong %s: %v", field, err)
		if m != nil {
			a, err = m.a.Child(options)
			check(a == nil && err != nil && strings.Contains(err.Error(), "Options."+field), "Child with a wrong %s: %v", field, err)
		}
	}
	a, err := alloc.New(alloc.Options{Reserve: arena.MaxReserve + 1})
	check(a == nil && err != nil && strings.Contains(err.Error(), "Options.Reserve"), "New with a Reserve that is too large: %v", err)
	check(alloc.HugePages(9).String() != "", "a HugePages without a name")
}
