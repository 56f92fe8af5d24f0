//go:build !linux || !(amd64 || arm64)

package rseq

import (
	"errors"
	"runtime"
)

// Find returns the ground of a platform without sections.
func Find() *Ground { return &ground }

var ground = Ground{Reason: "there are no restartable sections for " + runtime.GOOS + "/" + runtime.GOARCH}

// Unused returns the same.
func Unused() *Ground { return &ground }

// HasFence reports that there is none.
func HasFence() bool { return false }

// EnsureThread reports that no thread here can run sections.
func EnsureThread() bool { return false }

// Field returns NoID.
func Field(uintptr) uint32 { return NoID }

// FieldPair returns NoID twice.
func FieldPair(uintptr) (first, second uint32) { return NoID, NoID }

// Value reports that there is no field to read.
func Value(offset, size uintptr) (value uint64, ok bool) { return 0, false }

// ReadThreadStats returns zeros: there are no areas here.
func ReadThreadStats() ThreadStats { return ThreadStats{} }

// FenceOnce returns an error: there are no sections here.
func FenceOnce() error { return errNoFence }

var errNoFence = errors.New("rseq: no fence on " + runtime.GOOS + "/" + runtime.GOARCH)
