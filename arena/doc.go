// Package arena is the memory below the face: blocks of size classes, cached
// per vCPU, carved out of spans of pages of one large range of addresses.
//
//	magazine        this vCPU's stack of free objects of a class   (rseqcs.Stack)
//	  empty, full   a batch at a time from and to the
//	transfer cache  of the class: batches on their way from vCPUs that free
//	                to vCPUs that allocate                         (transfer.go)
//	  empty, full
//	central list    the spans of the class with free objects        (central.go)
//	  none, whole   a span at a time from and to the
//	page heap       runs of free pages                             (pageheap.go)
//	  none          more of the reserved range is backed           (osmem.Range)
//
// An object goes back to the vCPU that frees it, not to the one that allocated
// it: no block has an owner, and nothing is left behind when a thread dies.
//
// What nobody needs for a while goes back to the system by itself (upkeep.go), and
// with it the free OS pages of partly used spans (sweep.go).
//
// Free objects hold no data of the allocator. What it must know of them stands
// in tables beside the pages: the page map (class and place in the span, for
// every page), the span records, and one bit for every object. So a write
// through a stale pointer can spoil what the program put into a block, but not
// the allocator.
package arena

//go:generate go run ./gen ..
