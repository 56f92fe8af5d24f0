//go:build !vcpualloc_gomem

package arena

// Resident asks the kernel how much memory the pages of h take, in bytes: those
// of Stats.Backed that were ever touched. It looks at every OS page.
func (h *Heap) Resident() (bytes int64, err error) {
	for _, n := range h.nodes {
		n.pages.mu.Lock()
		size := n.pages.offsetOf(n.pages.top)
		n.pages.mu.Unlock()
		there, err := n.pages.memory.Resident(size)
		if err != nil {
			return 0, err
		}
		bytes += there
	}
	return bytes, nil
}
