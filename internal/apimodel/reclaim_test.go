package apimodel

import "sync"

// reclaimer is an Options.Reclaim that frees spare blocks.
type reclaimer struct {
	mu     sync.Mutex
	owner  *allocator
	blocks []*block // spare ones
	freed  []*block // those that the world has yet to forget
	inside bool
	nested bool // it allocates by itself
}

// spare gives a block to the reclaimer of its allocator.
func (w *world) spare(o op) {
	b := w.pick(o)
	if b == nil || b.owner.reclaim == nil {
		return
	}
	for i, other := range w.blocks {
		if other == b {
			w.blocks = append(w.blocks[:i], w.blocks[i+1:]...)
			break
		}
	}
	r := b.owner.reclaim
	r.blocks = append(r.blocks, b)
}

// bytes returns the capacity of the spare blocks.
func (r *reclaimer) bytes() (bytes int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.blocks {
		bytes += int64(cap(b.b))
	}
	return bytes
}

// free frees spare blocks of as many bytes as are wanted, all if that is negative.
func (r *reclaimer) free(want int64) (freed int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for len(r.blocks) > 0 && (want < 0 || freed < want) {
		last := len(r.blocks) - 1
		b := r.blocks[last]
		r.blocks = r.blocks[:last]
		r.freed = append(r.freed, b)
		checkFilled(b.b[:cap(b.b)], b.seed, "a spare block")
		freed += int64(cap(b.b))
		r.owner.a.Free(b.b)
	}
	return freed
}

// call is what the allocator calls.
func (r *reclaimer) call(want int64) int64 {
	check(want > 0, "Reclaim of %s is called for %d bytes", r.owner.name, want)
	r.mu.Lock()
	again := r.inside
	r.inside = true
	r.mu.Unlock()
	if again {
		return 0
	}
	defer func() {
		r.mu.Lock()
		r.inside = false
		r.mu.Unlock()
	}()
	if r.nested {
		if b, err := r.owner.a.Alloc(1000); err == nil {
			r.owner.a.Free(b)
		}
	}
	return r.free(want)
}

// settle forgets what the reclaimers have freed.
func (w *world) settle() {
	for _, m := range w.all {
		if m.reclaim == nil {
			continue
		}
		m.reclaim.mu.Lock()
		freed := m.reclaim.freed
		m.reclaim.freed = nil
		m.reclaim.mu.Unlock()
		for _, b := range freed {
			w.forget(b)
		}
	}
}
