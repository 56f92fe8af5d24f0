package osmem

import (
	"errors"

	"github.com/dustin/go-humanize"

	"github.com/vcpualloc/vcpualloc/internal/fault"
)

// CallError is a system call for memory that failed. Code under a lock may make one: it
// takes one small object, reads nothing and formats nothing. Explain adds what caused it.
type CallError struct {
	Action string  // what the call was for: "back"
	Call   string  // its name: "mprotect"
	Size   uintptr // bytes it was made for
	Err    error   // its error number, a syscall.Errno

	reasons string // verified causes, or empty
}

func (e *CallError) Error() string {
	text := "osmem: " + e.Action + ": " + e.Call + " of " + humanize.IBytes(uint64(e.Size)) + ": " + e.Err.Error()
	if e.reasons != "" {
		text += " (" + e.reasons + ")"
	}
	return text
}

// Unwrap returns the error number.
func (e *CallError) Unwrap() error { return e.Err }

// ExplainCall is the name under which Explain asks package fault: a test that sees it
// checks that no lock is held.
const ExplainCall = "explain"

// Explain adds to the CallError that err wraps, if any, what caused it, as far as that
// can be verified, and returns err. The kernel has one number for many causes; where none
// is found the number stands alone.
//
// It reads files and takes some 10 ms where there are many mappings. The caller holds no
// lock that allocation or freeing waits for, and has not passed err on yet.
func Explain(err error) error {
	var call *CallError
	if errors.As(err, &call) && call.reasons == "" {
		fault.Before(ExplainCall)
		call.reasons = reasons(call)
	}
	return err
}
