package arena

import (
	"sync"
	"unsafe"
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
