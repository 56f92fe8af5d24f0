//go:build !linux || vcpualloc_gomem

package osmem

import "errors"

// What only mappings of Linux have.

// FollowsPolicy returns false: nothing here asks for one.
func FollowsPolicy() bool { return false }

// IsEager returns false: nothing here can tell.
func (r *Range) IsEager() bool { return false }

var errNoHuge = errors.New("osmem: huge pages are Linux's")

// HugePages returns an error.
func (r *Range) HugePages() error { return errNoHuge }

// Collapse returns an error.
func (r *Range) Collapse(offset, size uintptr) error { return errNoHuge }

// IsRefusal returns true: there is never going to be any.
func IsRefusal(error) bool { return true }

// ReadHuge returns an error.
func ReadHuge() (HugeInfo, error) { return HugeInfo{}, errNoHuge }
