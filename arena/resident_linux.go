//go:build !vcpualloc_gomem

package arena

// Resident asks the kernel how much memory the pages of h take, in bytes: those
// of Stats.Backed that were ever touched. It looks at every OS page.
func (h *Heap) Resident() (int64, error) {
	h.pages.mu.Lock()
	size := uintptr(h.pages.top) << pageShift
	h.pages.mu.Unlock()
	return h.pages.memory.Resident(size)
}
