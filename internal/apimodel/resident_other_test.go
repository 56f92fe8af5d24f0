//go:build !linux

package apimodel

// checkNotResident does nothing: only Linux is asked.
func (w *world) checkNotResident() {}
