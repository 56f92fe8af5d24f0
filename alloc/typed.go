package alloc

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"unsafe"
)

// NewOf returns a zero T outside the Go heap. T must not contain Go pointers:
// else the error wraps ErrPointers and names the field. The other errors are
// those of Alloc. Free it with FreeOf.
func NewOf[T any](a *Allocator) (*T, error) {
	t := reflect.TypeFor[T]()
	if !isKnown(t) {
		if err := checkPointers(t); err != nil {
			return nil, err
		}
	}
	var object T
	b, err := a.Alloc(int(unsafe.Sizeof(object)))
	return (*T)(unsafe.Pointer(unsafe.SliceData(b))), err
}

// FreeOf frees what NewOf returned; nil is ignored. Misuse panics as in Free.
func FreeOf[T any](a *Allocator, p *T) {
	if p == nil || unsafe.Sizeof(*p) == 0 {
		return
	}
	a.Free(unsafe.Slice((*byte)(unsafe.Pointer(p)), unsafe.Sizeof(*p)))
}

// MakeSlice returns a slice of len zero elements outside the Go heap, as make
// does. The capacity is what fits the block, at least the one that was asked
// for: append never moves within it. T must not contain Go pointers. Free it
// with FreeSlice.
func MakeSlice[T any](a *Allocator, len, cap int) ([]T, error) {
	if t := reflect.TypeFor[T](); !isKnown(t) {
		if err := checkPointers(t); err != nil {
			return nil, err
		}
	}
	var t T
	size := int(unsafe.Sizeof(t))
	if len < 0 || cap < len {
		return make([]T, len, cap), nil // panics
	}
	if a.closed {
		return nil, a.errClosed()
	}
	if size == 0 || cap == 0 {
		return unsafe.Slice((*T)(unsafe.Pointer(&emptyBlock)), cap)[:len], nil
	}
	if cap > maxInt/size {
		return nil, a.failed(fmt.Sprintf("%d elements of %d bytes", cap, size), ErrTooLarge)
	}
	b, err := a.Alloc(cap * size)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), usable(b)/size)[:len], nil
}

const maxInt = int(^uint(0) >> 1)

// usable returns the capacity of a slice, where its name is taken.
func usable(b []byte) int { return cap(b) }

// FreeSlice frees what MakeSlice returned, or any slice that starts where it
// starts. It ignores what Free ignores, and slices of elements without a size. Misuse
// panics as in Free.
func FreeSlice[T any](a *Allocator, s []T) {
	var t T
	size := int(unsafe.Sizeof(t))
	if size == 0 {
		return
	}
	a.Free(blockOf(unsafe.Pointer(unsafe.SliceData(s)), len(s)*size, cap(s)*size))
}

// checked remembers the answer for every type that was asked for.
var checked sync.Map // of reflect.Type to error, nil for none

func checkPointers(t reflect.Type) error {
	if answer, ok := checked.Load(t); ok {
		err, _ := answer.(error)
		return err
	}
	var err error
	if path, kind := findPointer(t, t.String()); path != "" {
		err = fmt.Errorf("alloc: %s is a %s: %w, which the collector would not see in this memory", path, kind, ErrPointers)
	}
	checked.Store(t, err)
	if err == nil {
		known[knownIndex(t)].Store(descriptor(t))
	}
	return err
}

// known holds types without pointers, each at the index that its address gives:
// the answer that the typed calls get nearly always, for one load.
var known [256]atomic.Uintptr

func isKnown(t reflect.Type) bool { return known[knownIndex(t)].Load() == descriptor(t) }

// Descriptors of types are 32 bytes apart at least.
func knownIndex(t reflect.Type) uint8 { return uint8(descriptor(t) >> 5) }

// descriptor returns the address of what the interface points to: comparing two
// of these takes no call. Types that a program names are never freed.
func descriptor(t reflect.Type) uintptr {
	return (*struct{ table, data uintptr })(unsafe.Pointer(&t)).data
}

// findPointer returns the path to the first Go pointer in a type and its kind,
// or "".
func findPointer(t reflect.Type, path string) (string, reflect.Kind) {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			if found, kind := findPointer(f.Type, path+"."+f.Name); found != "" {
				return found, kind
			}
		}
		return "", 0
	case reflect.Array:
		if t.Len() == 0 {
			return "", 0
		}
		return findPointer(t.Elem(), path+"[0]")
	case reflect.Pointer, reflect.UnsafePointer, reflect.String, reflect.Slice, reflect.Map, reflect.Chan, reflect.Func, reflect.Interface:
		return path, t.Kind()
	}
	return "", 0
}
