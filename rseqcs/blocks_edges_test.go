package rseqcs

import (
	"testing"
	"unsafe"

	"github.com/vcpualloc/vcpualloc/internal/steady"
)

// onSetUpVCPU runs body on one vCPU on which all classes of a Blocks are set up
// and empty. body reports whether it got as far as to show something.
func onSetUpVCPU(t *testing.T, body func(m *blocksModel) bool) {
	t.Helper()
	for range 100 {
		shown := false
		same := onOneVCPU(t, func() {
			m := newBlocksModel(t, steady.Random(t))
			defer m.close()
			for class := range testSizes {
				m.stack.Push(class+1, m.memory.Base)
				m.stack.Pop(class + 1)
			}
			shown = body(m)
		})
		if same && shown || t.Failed() {
			return
		}
	}
	t.Fatal("this thread never stayed on one vCPU without an abort")
}

// TestBlocksRefuseTheUnfit frees what is no object of the class that its capacity
// names: objects as such of every other class, and places where none starts.
func TestBlocksRefuseTheUnfit(t *testing.T) {
	onSetUpVCPU(t, func(m *blocksModel) bool {
		refused := func(p unsafe.Pointer, size int) {
			m.lastSlow = ""
			m.Free(&m.Blocks, blockFor(p, 0, size))
			if m.lastSlow == "" {
				t.Errorf("%p, of class %d, is freed as one of %d bytes", p, m.ClassAt(p), size)
			}
		}
		for i, size := range testSizes {
			objects := m.objects[i+1]
			for j, other := range testSizes {
				if j != i {
					refused(objects[0], other)
					refused(objects[1], other)
				}
			}
			end := unsafe.Add(objects[len(objects)-1], size)
			refused(end, size) // in the tail of the span, or on a free page
			for offset := 1; offset < min(size, 2000); offset++ {
				refused(unsafe.Add(objects[0], offset), size)
			}
			refused(unsafe.Add(objects[1], -1), size)
		}
		refused(unsafe.Add(m.memory.Base, -int(testSizes[0])), testSizes[0])
		refused(unsafe.Add(m.memory.Base, int(m.memory.Size)), testSizes[0])
		return true
	})
}

// TestBlocksClearNoMore clears blocks between bytes that must stay.
func TestBlocksClearNoMore(t *testing.T) {
	const around = 64
	onSetUpVCPU(t, func(m *blocksModel) bool {
		for i, size := range testSizes {
			for _, object := range []unsafe.Pointer{m.objects[i+1][0], m.objects[i+1][len(m.objects[i+1])-1]} {
				place := unsafe.Slice((*byte)(unsafe.Add(object, -around)), around+size+around)
				for at := range place {
					place[at] = 0xa5
				}
				if m.stack.Push(i+1, object) != Pushed {
					return false
				}
				m.lastSlow = ""
				if m.AllocZeroed(&m.Blocks, size); m.lastSlow != "" {
					return false // aborted
				}
				for at, value := range place {
					if inside := at >= around && at < around+size; inside != (value == 0) {
						t.Fatalf("%d bytes: byte %d is %#x", size, at-around, value)
					}
				}
			}
		}
		return true
	})
}
