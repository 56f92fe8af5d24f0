package apimodel

import (
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// mostLive bounds the bytes that the blocks of a world may take.
const mostLive = 24 << 20

// mostPast is how many blocks that were freed the model remembers.
const mostPast = 64

// failure is what the model panics with when the API is not as documented.
type failure string

// fail ends the run.
func fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

// check ends the run unless ok.
func check(ok bool, format string, args ...any) {
	if !ok {
		fail(format, args...)
	}
}

// allocator is what the model knows of an Allocator.
type allocator struct {
	a        *alloc.Allocator
	name     string
	parent   *allocator
	children int
	limit    int64 // bytes, whole pages; 0 for none
	eager    bool  // it has a soft limit or Retain
	reserve  int64 // bytes of addresses, at least; 0 where the default is unknown
	quiet    bool  // no background goroutine returns memory
	closed   bool
	regions  int64 // bytes that its regions have, as observed
	caches   int64 // bytes of the objects of its caches, as observed
	shared   bool  // it is Default
	base     int64 // bytes that were live when the world began (of Default)
	refusals int   // limits that were reached
	reclaim  *reclaimer
}

// chain returns the allocator and those above it.
func (m *allocator) chain() (list []*allocator) {
	for ; m != nil; m = m.parent {
		list = append(list, m)
	}
	return list
}

// tightest returns the lowest limit above the allocator and its own, or 0.
func (m *allocator) tightest() (limit int64) {
	for _, above := range m.chain() {
		if above.limit > 0 && (limit == 0 || above.limit < limit) {
			limit = above.limit
		}
	}
	return limit
}

// root returns the topmost allocator above.
func (m *allocator) root() *allocator {
	all := m.chain()
	return all[len(all)-1]
}

// block is live memory: a block of an allocator, an allocation of a region, or an
// object of a cache that the program has.
type block struct {
	owner *allocator
	b     []byte // as the API returned it
	seed  uint64 // of the contents, up to the capacity
	fresh bool   // a member of the team has made it, and the world has not seen it yet
}

func (b *block) address() uintptr { return addressOf(b.b) }
func (b *block) end() uintptr     { return b.address() + uintptr(cap(b.b)) }

func addressOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

// world is the state of the model.
type world struct {
	all     []*allocator // open and closed ones, in the order of their making
	blocks  []*block     // of allocators
	live    []*block     // of all owners, by address; empty ones are not in it
	regions []*region
	caches  []*cache
	seed    uint64 // of the next contents
	bytes   int64  // capacity of everything in live
	team    *team
	faulty  bool     // system calls may fail
	past    []*block // that were freed, the last of them
	failing bool     // they have failed
}

// run carries out the operations, and returns what was wrong.
func run(ops []op) (err error) {
	w := &world{team: theTeam}
	at := -1
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if value := recover(); value != nil {
			when := "at the end"
			if at >= 0 {
				when = fmt.Sprintf("operation %d %v", at, ops[at])
			}
			err = fmt.Errorf("%s: %s", when, describe(value))
			w.abandon()
		}
	}()
	for i, o := range ops {
		at = i
		w.team.on(o.thread, func() { byName[o.do].run(w, o) })
		w.settle()
		w.checkAll(i%16 == 15)
	}
	at = -1
	w.finish()
	return nil
}

// describe returns what a recovered panic says, and which calls of this project have led to it.
func describe(value any) string {
	if value, ok := value.(failure); ok {
		return string(value)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "panic: %v", value)
	for line := range strings.Lines(string(debug.Stack())) {
		if strings.Contains(line, "vcpualloc/") && !strings.HasPrefix(line, "\t") && !strings.Contains(line, "describe(") {
			fmt.Fprintf(&text, "\n    %s", strings.TrimSpace(line))
		}
	}
	return text.String()
}

// abandon closes what a failed run has left open, so that the next one has addresses.
func (w *world) abandon() {
	defer func() { recover() }()
	w.setFaults(0)
	for _, m := range slices.Backward(w.all) {
		if !m.closed && m.a != shared {
			m.a.Close()
		}
	}
}

// open returns an open allocator, which o.a selects.
func (w *world) open(o op) *allocator {
	var list []*allocator
	for _, m := range w.all {
		if !m.closed {
			list = append(list, m)
		}
	}
	if len(list) == 0 {
		return nil
	}
	return list[o.a%len(list)]
}

// pick returns a block of an allocator, which o.b selects, or nil.
func (w *world) pick(o op) *block {
	if len(w.blocks) == 0 {
		return nil
	}
	return w.blocks[o.b%len(w.blocks)]
}

// room reports whether the model lets n bytes more become live in m. What no
// allocator like m can have may be asked for, too.
func (w *world) room(m *allocator, n int) bool {
	for _, above := range m.chain() {
		if above.limit > 0 && above.limit <= mostLive && int64(n) > above.limit {
			return true
		}
	}
	return w.bytes+int64(n) <= mostLive || int64(n) > m.reserve || m.closed
}

// search returns where in live an address belongs.
func (w *world) search(address uintptr) int {
	at, _ := slices.BinarySearchFunc(w.live, address, func(b *block, address uintptr) int {
		switch {
		case b.address() < address:
			return -1
		case b.address() > address:
			return 1
		}
		return 0
	})
	return at
}

// add makes memory live that the API has just returned: nothing else may lie there.
// It fills it up to its capacity.
func (w *world) add(owner *allocator, b []byte, what string) *block {
	w.settle()
	w.seed++
	added := &block{owner: owner, b: b, seed: w.seed}
	w.insert(added, what)
	fill(b[:cap(b)], added.seed)
	return added
}

// insert puts a block into live.
func (w *world) insert(added *block, what string) {
	if cap(added.b) == 0 {
		return
	}
	at := w.search(added.address())
	if at > 0 {
		w.checkApart(w.live[at-1], added, what)
	}
	if at < len(w.live) {
		w.checkApart(added, w.live[at], what)
	}
	w.live = slices.Insert(w.live, at, added)
	w.bytes += int64(cap(added.b))
}

func (w *world) checkApart(low, high *block, what string) {
	check(low.end() <= high.address(), "%s: [%#x, %#x) of %s and [%#x, %#x) of %s overlap",
		what, low.address(), low.end(), low.owner.name, high.address(), high.end(), high.owner.name)
}

// remove checks the contents of a block that is about to be freed, and takes it out.
func (w *world) remove(b *block) {
	checkFilled(b.b[:cap(b.b)], b.seed, b.owner.name)
	w.forget(b)
}

// forget takes a block out whose memory may be gone.
func (w *world) forget(b *block) {
	if cap(b.b) == 0 {
		return
	}
	at := w.search(b.address())
	if at == len(w.live) || w.live[at] != b {
		panic("the model has lost a block")
	}
	w.live = slices.Delete(w.live, at, at+1)
	w.bytes -= int64(cap(b.b))
	if w.past = append(w.past, b); len(w.past) > mostPast {
		w.past = w.past[1:]
	}
}

// keep remembers a new block of an allocator.
func (w *world) keep(owner *allocator, b []byte, what string) {
	w.blocks = append(w.blocks, w.add(owner, b, what))
}

// drop forgets a block of an allocator whose contents were as they should be.
func (w *world) drop(b *block) {
	w.remove(b)
	w.blocks = slices.DeleteFunc(w.blocks, func(other *block) bool { return other == b })
}

// closed returns the errors of methods of a closed allocator.
func mustBeClosed(err error, what string) {
	check(errors.Is(err, alloc.ErrClosed), "%s on a closed allocator: %v, want ErrClosed", what, err)
}

// panicOf returns what the call panics with, or nil.
func panicOf(call func()) (value any) {
	defer func() { value = recover() }()
	call()
	return nil
}

// watched is how many bytes of a block the race detector sees the contents checks of,
// which take it ten times as long.
const watched = 64

const (
	seedFactor = 0x9e3779b97f4a7c15
	wordStep   = 0xd1b54a32d192ed03
)

// fill writes contents that differ in every word.
func fill(b []byte, seed uint64) {
	head := min(len(b), watched)
	for i := range b[:head] {
		b[i] = byte((seed*seedFactor + uint64(i/8)*wordStep) >> (8 * (i & 7)))
	}
	fillFrom(b, seed, head)
}

//go:norace
func fillFrom(b []byte, seed uint64, from int) {
	i, word := from, seed*seedFactor+uint64(from/8)*wordStep
	for ; i+8 <= len(b); i += 8 {
		*(*uint64)(unsafe.Pointer(&b[i])) = word
		word += wordStep
	}
	for ; i < len(b); i++ {
		b[i] = byte(word >> (8 * (i & 7)))
	}
}

// firstOther returns the first index in [from, len(b)), or one up to seven before it,
// that fill has not written so, or -1.
func firstOther(b []byte, seed uint64, from int) int {
	for i := from; i < min(len(b), watched); i++ {
		if b[i] != byte((seed*seedFactor+uint64(i/8)*wordStep)>>(8*(i&7))) {
			return i
		}
	}
	return firstOtherFrom(b, seed, max(from, watched)&^7)
}

//go:norace
func firstOtherFrom(b []byte, seed uint64, from int) int {
	i, word := from, seed*seedFactor+uint64(from/8)*wordStep
	for ; i+8 <= len(b); i += 8 {
		if *(*uint64)(unsafe.Pointer(&b[i])) != word {
			return i
		}
		word += wordStep
	}
	for ; i < len(b); i++ {
		if b[i] != byte(word>>(8*(i&7))) {
			return i
		}
	}
	return -1
}

func checkFilled(b []byte, seed uint64, what string) {
	if i := firstOther(b, seed, 0); i >= 0 {
		fail("%s: byte %d of %d at %#x has changed", what, i, len(b), addressOf(b))
	}
}

//go:norace
func checkZero(b []byte, what string) {
	for i, value := range b {
		if value != 0 {
			fail("%s: byte %d of %d is not zero", what, i, len(b))
		}
	}
}
