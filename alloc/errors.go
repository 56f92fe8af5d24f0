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

// isFull reports whether an error is that of a full limit or of the system's memory.
func isFull(err error) bool { return errors.Is(err, ErrLimit) || errors.Is(err, ErrNoMemory) }

// LimitError is what errors.As finds in an ErrLimit. All figures are in bytes.
type LimitError = arena.LimitError

// MisuseError is what a call panics with that breaks the rules of manual
// memory. The call has changed nothing, and the allocator works as before,
// unless the Reason says that it saw the misuse of an earlier call.
type MisuseError struct {
	Op     string  // the method
	Addr   uintptr // the start of the slice
	Size   int     // the size of the class at that address in bytes, 0 if none
	Reason string  // what is wrong, in words
}

func (e *MisuseError) Error() string {
	if e.Size > 0 {
		return fmt.Sprintf("alloc: %s of %#x (size class of %d bytes): %s", e.Op, e.Addr, e.Size, e.Reason)
	}
	return fmt.Sprintf("alloc: %s of %#x: %s", e.Op, e.Addr, e.Reason)
}
