//go:build amd64 || arm64

package rseq

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// futureSize is the feature size of an invented kernel that has a field at byte 40, and
// future is that field.
const futureSize = 48

const future = 40

// read reads a field as package vcpu does: within what the kernel fills in.
func read(offset, size int) (value uint64, ok bool) {
	if g := Find(); g.Owner == None || offset+size > g.Size() {
		return 0, false
	}
	for range 3 {
		if value, ok = Value(uintptr(offset), uintptr(size)); ok || !EnsureThread() {
			break
		}
	}
	return value, ok
}

// TestFieldOfTheFuture starts this program as if the kernel told a larger feature size.
// The areas are registered with the running kernel in that length, and the test writes the
// field in the place of the kernel.
func TestFieldOfTheFuture(t *testing.T) {
	if os.Getenv(kernelSizeVariable) != "" {
		readFuture(t)
		return
	}
	if _, ok := read(future, 4); ok != (Find().Owner != None && Find().Size() >= future+4) {
		t.Errorf("on this kernel: read %v of %d bytes", ok, Find().Size())
	}
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(os.Environ(), kernelSizeVariable+"="+strconv.Itoa(futureSize))
	output, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(output), "--- PASS: "+t.Name()) {
		t.Errorf("%v\n%s", err, output)
	}
}

func readFuture(t *testing.T) {
	g := Find()
	if g.KernelSize != futureSize {
		t.Fatalf("the feature size is %d, want %d", g.KernelSize, futureSize)
	}
	value, ok := read(future, 4)
	switch {
	case g.Owner == None: // a kernel that registers 32 bytes only (before 6.3), or none
		if ok || g.Reason == "" {
			t.Errorf("%+v, read %v", g, ok)
		}
		return
	case g.Registered < future+4:
		// A libc that has registered less: the field is out of reach.
		if g.Owner != Libc || ok {
			t.Errorf("%+v, read %v", g, ok)
		}
		return
	case g.Size() != futureSize || !ok || value != 0:
		t.Fatalf("%+v, read %d, %v", g, value, ok)
	}
	for number := range 8 {
		onFreshThread(t, func() { readOwnFuture(t, 0xfeed_0000+uint64(number)) })
	}
}

// readOwnFuture writes the field of the running thread, to which the goroutine is locked.
func readOwnFuture(t *testing.T, want uint64) {
	read(future, 4) // registers the thread
	setField(future, uint32(want))
	setField(future+4, 0xbeef)
	for _, row := range []struct {
		offset, size int
		want         uint64
	}{
		{future, 4, want}, {future + 2, 2, want >> 16}, {future, 8, want | 0xbeef<<32}, {future + 4, 1, 0xef}, {future + 5, 1, 0xbe},
	} {
		if value, ok := read(row.offset, row.size); !ok || value != row.want {
			t.Errorf("%d bytes at %d: %#x, %v, want %#x", row.size, row.offset, value, ok, row.want)
		}
		// The form for toolchains that pass arguments elsewhere.
		g := Find()
		if v, ok := value(uintptr(row.offset), uintptr(row.size), g.LibcOffset, g.Owner == Libc); ok != 1 || uint64(v) != row.want {
			t.Errorf("%d bytes at %d, by ABI0: %#x, %d, want %#x", row.size, row.offset, v, ok, row.want)
		}
	}
}

// TestValueOfAnUnregisteredThread: what the kernel does not fill in any more is not read.
func TestValueOfAnUnregisteredThread(t *testing.T) {
	if Find().Owner != Self {
		t.Logf("the areas are not ours: %v", Find().Owner)
		return
	}
	onFreshThread(t, func() {
		if _, ok := Value(OffsetCPUID, 4); ok {
			t.Error("a thread without an area has a CPU number")
		}
		if _, ok := read(OffsetCPUID, 4); !ok {
			t.Error("a registered thread has no CPU number")
		}
		if err := unregister(); err != nil {
			t.Errorf("unregister: %v", err)
			return
		}
		for _, size := range []uintptr{1, 2, 4, 8} {
			if value, ok := Value(0, size); ok || value != 0 {
				t.Errorf("%d bytes: %#x, %v", size, value, ok)
			}
		}
	})
}
