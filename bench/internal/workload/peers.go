package workload

import (
	"fmt"
	"slices"

	"github.com/vcpualloc/vcpualloc/alloc"
)

// Ours is the peer that all others are compared with, and Empty the one that
// shows the harness's own cost.
const (
	Ours  = "vcpualloc"
	Empty = "empty"
)

// Peer is one way to allocate.
type Peer struct {
	Name        string
	About       string
	Default     bool                        // part of a run that names no peers
	Environment []string                    // of the child process, added to what it inherits
	Lacks       Ability                     // what the peer cannot do
	offHeap     bool                        // blocks lie outside of the Go heap
	bounded     bool                        // refuses what is beyond the shape's Limit
	blocks      []int                       // lengths of blocks that there are alone; nil: all
	open        func(Shape) (opened, error) // for the shape's Block and Limit
}

// opened is a peer at work. close is called after all blocks were freed; leaks
// says that some were not.
type opened struct {
	loops
	close func(leaks bool) error
}

// cgoPeers are those that need cgo. They are built with the tag benchcgo alone,
// since cgo changes what all the others run on.
var cgoPeers []Peer

// Peers is the table of all peers in Go, in the order of reports.
func Peers() []Peer {
	peers := []Peer{
		{Name: Ours, offHeap: true, bounded: true, Default: true, open: openOurs,
			About: "this allocator, AllocUninit and Free, in the highest mode of this machine"},
		{Name: "vcpualloc-zeroed", offHeap: true, open: openZeroed,
			About: "this allocator, Alloc and Free: contents cleared"},
		{Name: "vcpualloc-cpu_id", offHeap: true, bounded: true, open: openOurs, Environment: []string{"VCPUALLOC_MODE=cpu_id"},
			About: "this allocator, kept to the kernel's CPU numbers"},
		{Name: "vcpualloc-assigned", offHeap: true, bounded: true, open: openOurs, Environment: []string{"VCPUALLOC_MODE=assigned"},
			About: "this allocator, kept from using rseq"},
		{Name: "vcpualloc-cache", open: openCache, Lacks: Grow, blocks: pairSizes,
			About: "this allocator's Cache of one type, Get and Put"},
		{Name: "vcpualloc-region", open: openRegion, Lacks: Free, blocks: []int{dropSize},
			About: "this allocator's Region, Bytes and Reset; contents cleared"},
		{Name: "make", Default: true, open: openMake,
			About: "the Go heap: make, dropped when done; contents cleared"},
		{Name: "sync.Pool", Default: true, open: openPool,
			About: "a sync.Pool for each of this project's size classes"},
		{Name: "pinned", open: openPinned,
			About: "a stack of blocks for each P and size class, used while pinned by procPin"},
		{Name: "modernc", offHeap: true, open: openModernc,
			About: "modernc.org/memory behind a mutex, one block of each size kept"},
		{Name: "arrow", open: openArrow,
			About: "Apache Arrow's Go allocator: make, 64-byte aligned; contents cleared"},
		{Name: "mcache", open: openMcache,
			About: "bytedance's mcache: a sync.Pool for each power of two"},
		{Name: "ristretto", open: openRistretto,
			About: "ristretto's z.Calloc without jemalloc, which is make; contents cleared"},
		{Name: "ristretto-arena", open: openArena, Lacks: Free, blocks: []int{dropSize},
			About: "ristretto's z.Allocator, a bump allocator"},
		{Name: "grpc", open: openGRPC, Lacks: Grow | Hold | Share,
			About: "gRPC's default buffer pool; pairs only"},
	}
	return append(append(peers, cgoPeers...), Peer{Name: Empty, Default: true, bounded: true, open: openEmpty,
		About: "the same bytes over and over: what the harness itself costs"})
}

// Serves reports whether the peer can do the shape.
func (p Peer) Serves(s Shape) bool {
	return s.Needs&p.Lacks == 0 && (p.bounded || s.Needs&Bound == 0) && (p.blocks == nil || slices.Contains(p.blocks, s.Block))
}

// PeerByName returns the peer of that name.
func PeerByName(name string) (Peer, error) {
	for _, peer := range Peers() {
		if peer.Name == name {
			return peer, nil
		}
	}
	return Peer{}, fmt.Errorf("no peer %q: `bench list` shows what there is", name)
}

func openOurs(shape Shape) (opened, error) {
	allocator, err := alloc.New(alloc.Options{Name: "bench", Limit: shape.Limit})
	if err != nil {
		return opened{}, err
	}
	return opened{vcpuHeap{allocator}, closer(allocator)}, nil
}

func openZeroed(Shape) (opened, error) {
	allocator, err := alloc.New(alloc.Options{Name: "bench"})
	if err != nil {
		return opened{}, err
	}
	return opened{zeroedHeap{allocator}, closer(allocator)}, nil
}

// closer closes the allocator, which must have every block back.
func closer(allocator *alloc.Allocator) func(leaks bool) error {
	return func(leaks bool) error {
		if live := allocator.Stats().Live; live != 0 && !leaks {
			return fmt.Errorf("%s: %d bytes live after every block was freed", Ours, live)
		}
		return allocator.Close()
	}
}

func openMake(Shape) (opened, error) { return opened{makeHeap{}, nothing}, nil }

func openPool(Shape) (opened, error) {
	pools, err := newClassPools()
	return opened{poolHeap{pools}, nothing}, err
}

// openModernc keeps one block of each of the allocator's classes, which are the
// powers of two. Without them it would give its only page back to the kernel
// with each free of a pair, and need a thousand times as long: a busy program
// has blocks of all sizes in use. A class that has a mapping for each block, of
// 32 KiB and more, gains nothing by it.
func openModernc(Shape) (opened, error) {
	locked := &lockedModernc{}
	for size := 1; size <= maxBlock; size *= 2 {
		if _, err := locked.allocator.Malloc(size); err != nil {
			return opened{}, err
		}
	}
	return opened{moderncHeap{locked}, func(bool) error { return locked.allocator.Close() }}, nil
}

func openEmpty(Shape) (opened, error) {
	return opened{emptyHeap{house: new(emptyHouse)}, nothing}, nil
}

func nothing(bool) error { return nil }
