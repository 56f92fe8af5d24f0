package workload

import "sync/atomic"

// ledgerHeap counts what goes through another heap.
type ledgerHeap struct{ ledger *ledger }

type ledger struct {
	inner                     heap
	allocated, freed          atomic.Int64 // blocks
	allocatedBytes, freeBytes atomic.Int64
}

func (h ledgerHeap) alloc(n int) []byte {
	h.ledger.allocated.Add(1)
	h.ledger.allocatedBytes.Add(int64(n))
	return h.ledger.inner.alloc(n)
}

func (h ledgerHeap) free(b []byte) {
	h.ledger.freed.Add(1)
	h.ledger.freeBytes.Add(int64(len(b)))
	h.ledger.inner.free(b)
}

func (h ledgerHeap) zalloc(n int) []byte {
	h.ledger.allocated.Add(1)
	h.ledger.allocatedBytes.Add(int64(n))
	return h.ledger.inner.(fullHeap).zalloc(n)
}

func (h ledgerHeap) realloc(b []byte, n int) []byte {
	h.ledger.allocatedBytes.Add(int64(n - len(b)))
	return h.ledger.inner.(fullHeap).realloc(b, n)
}

func (h ledgerHeap) tryAlloc(n int) []byte {
	b := h.ledger.inner.(boundHeap).tryAlloc(n)
	if b != nil {
		h.ledger.allocated.Add(1)
		h.ledger.allocatedBytes.Add(int64(n))
	}
	return b
}
