package alloc

import (
	"errors"
	"fmt"

	"github.com/vcpualloc/vcpualloc/arena"
)

// What can go wrong in a correct program; test with errors.Is. After any of
// them the allocator works as before.
var (
	ErrLimit    = arena.ErrLimit    // Options.Limit would be exceeded; errors.As gives *LimitError
	ErrNoMemory = arena.ErrNoMemory // the system, or the reserved range, has no memory left
	ErrTooLarge = arena.ErrTooLarge // no allocator with this reservation could hold it
	ErrClosed   = errors.New("allocator is closed")
	ErrPointers = errors.New("type contains Go pointers") // of a typed call
)

// callError is the error of a call of an allocator, or of one of its caches. Its text
// names the allocator once, and not at all by the default name, which is the package's.
type callError struct {
	cache     string // of the call, or empty
	allocator string // its name, or empty
	what      string // that was asked for, or empty
	err       error
}

func (e *callError) Unwrap() error { return e.err }

func (e *callError) Error() string {
	text := "alloc: "
	if e.cache != "" {
		text += "cache " + e.cache + ": "
	}
	var limit *LimitError
	named := errors.As(e.err, &limit) && limit.Name == e.allocator
	if e.allocator != "" && e.allocator != defaultName && !named {
		text += e.allocator + ": "
	}
	if e.what != "" {
		text += e.what + ": "
	}
	return text + e.err.Error()
}

// failed returns the error of a call that was asked for what, with err as the reason.
func (a *Allocator) failed(what string, err error) error {
	return &callError{allocator: a.name, what: what, err: err}
}

func (a *Allocator) errClosed() error { return a.failed("", ErrClosed) }

// isFull reports whether an error is that of a full limit or of the system's memory.
func isFull(err error) bool { return errors.Is(err, ErrLimit) || errors.Is(err, ErrNoMemory) }

// LimitError is what errors.As finds in an ErrLimit. All figures are in bytes.
type LimitError = arena.LimitError

// MisuseError is what a call panics with that breaks the rules of manual
// memory. The call has changed nothing, and the allocator works as before,
// unless the Reason says that it saw the misuse of an earlier call.
type MisuseError struct {
	Op     string  // the method; "Free" for all that free block by block
	Addr   uintptr // the start of the slice
	Size   int     // the size of the class or large block at that address in bytes, 0 if none
	Reason string  // what is wrong, in words
}

func (e *MisuseError) Error() string {
	switch {
	case e.Size > arena.MaxSmall:
		return fmt.Sprintf("alloc: %s of %#x (block of %d bytes): %s", e.Op, e.Addr, e.Size, e.Reason)
	case e.Size > 0:
		return fmt.Sprintf("alloc: %s of %#x (size class of %d bytes): %s", e.Op, e.Addr, e.Size, e.Reason)
	}
	return fmt.Sprintf("alloc: %s of %#x: %s", e.Op, e.Addr, e.Reason)
}
