package arena

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/rseqcs"
)

// transferBytes bounds the transfer cache of a class, together with
// transferBatches.
const (
	transferBytes   = 256 << 10
	transferBatches = 16
)

// transfer is the transfer cache of a class: free objects on their way from
// vCPUs with too many to vCPUs with none.
//
//	low <= len(objects) <= capacity of the class
type transfer struct {
	mu      sync.Mutex
	objects []unsafe.Pointer
	low     int // lowest len(objects) since the last call of surplus
	before  int // the same of the time before that
	_       [64]byte
}

// transferCapacity returns how many objects of a class the cache keeps.
func transferCapacity(class uint8) int {
	c := &classes[class]
	return int(max(c.batch, min(c.batch*transferBatches, transferBytes/c.size)))
}

// take moves up to len(into) objects into the array, newest first.
func (t *transfer) take(into []unsafe.Pointer) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(len(into), len(t.objects))
	rest := len(t.objects) - n
	copy(into, t.objects[rest:])
	t.objects = t.objects[:rest]
	t.low = min(t.low, rest)
	return n
}

// surplus moves objects into the array that nobody has needed since the call
// before the last one, the oldest first. When it has returned fewer than fit, a
// new time of observation begins.
func (t *transfer) surplus(into []unsafe.Pointer) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := copy(into, t.objects[:min(t.low, t.before)])
	t.objects = append(t.objects[:0], t.objects[n:]...)
	t.low, t.before = t.low-n, t.before-n
	if n < len(into) {
		t.before, t.low = t.low, len(t.objects)
	}
	return n
}

// refill moves up to so many objects to this vCPU's magazine, where the newest comes on
// top, but for the newest itself, which it returns; nil if there is none. What the magazine
// has no room for stays. Until the section has stored, an object is in the cache alone.
func (t *transfer) refill(magazines *rseqcs.Stack, class uint8, batch int) (object unsafe.Pointer) {
	t.mu.Lock()
	if last := len(t.objects) - 1; last >= 0 {
		first := max(0, last+1-batch)
		object = t.objects[last]
		kept := magazines.PushBatch(int(class), t.objects[first:last])
		if first+kept < last {
			copy(t.objects[first:], t.objects[first+kept:last])
		}
		t.objects = t.objects[:last-kept]
		t.low = min(t.low, last-kept)
	}
	t.mu.Unlock()
	return object
}

// flushed is what became of a flush.
type flushed int

const (
	notFlushed   flushed = iota // the cache has no room for a batch
	flushedBatch                // all that this vCPU's magazine held, or a batch of it
	flushedAgain                // likewise, and the object that is being freed is among them
)

// flush moves a batch from this vCPU's magazine into the cache, if there is room for a
// whole one. The caller has the lock.
func (t *transfer) flush(magazines *rseqcs.Stack, class uint8, batch int, object unsafe.Pointer) flushed {
	if t.objects == nil {
		t.objects = make([]unsafe.Pointer, 0, transferCapacity(class))
	}
	count := len(t.objects)
	if cap(t.objects)-count < batch {
		return notFlushed
	}
	n := magazines.PopBatch(int(class), t.objects[count:count+batch])
	t.objects = t.objects[:count+n]
	if contains(t.objects[count:], object) {
		return flushedAgain
	}
	return flushedBatch
}

// contains reports whether an object is in the list: four compares in a row are twice as
// fast as a loop of one.
func contains(list []unsafe.Pointer, object unsafe.Pointer) bool {
	for ; len(list) >= 4; list = list[4:] {
		if list[0] == object || list[1] == object || list[2] == object || list[3] == object {
			return true
		}
	}
	return slices.Contains(list, object)
}

// give takes over objects as far as there is room, and returns how many.
func (t *transfer) give(class uint8, objects []unsafe.Pointer) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.objects == nil {
		t.objects = make([]unsafe.Pointer, 0, transferCapacity(class))
	}
	n := min(len(objects), cap(t.objects)-len(t.objects))
	t.objects = append(t.objects, objects[:n]...)
	return n
}

func (t *transfer) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.objects)
}
