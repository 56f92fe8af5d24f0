//go:build linux && !vcpualloc_gomem

package arena

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
)

// mostMappings is what a heap may cost of vm.max_map_count.
const mostMappings = 32

// mappings returns how many mappings lie in the ranges of a heap, but for the slabs.
func mappings(h *Heap) (count int, err error) {
	maps, err := os.ReadFile("/proc/self/maps")
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		if _, err := fmt.Sscanf(line, "%x-%x ", &from, &to); err != nil {
			return 0, err
		}
		for _, r := range []*osmem.Range{&h.memory, &h.pageMapMemory, &h.spans.memory} {
			if base := uintptr(r.Base); from < base+r.Size && base < to {
				count++
			}
		}
	}
	return count, err
}

// holed is how many blocks, and how many objects of an OS page, holes makes.
var holed = 4000 * 4096 / int(osmem.PageSize())

// holeSize is the size of its blocks in bytes: a page, and no less than an OS page.
var holeSize = max(PageSize, int(osmem.PageSize()))

// holes makes as many holes in a heap as there can be: it frees every second of the
// smallest blocks, and every second object of a class.
func holes(h *Heap) error {
	class := ClassOf(int(osmem.PageSize()))
	blocks, objects := make([]unsafe.Pointer, holed), make([]unsafe.Pointer, holed)
	for i := range holed {
		var err error
		if blocks[i], _, err = h.AllocLarge(holeSize, holeSize); err != nil {
			return err
		}
		if objects[i], err = h.Alloc(class); err != nil {
			return err
		}
		fillPage(blocks[i])
		*(*byte)(objects[i]) = 1
	}
	for i := 0; i < holed; i += 2 {
		h.FreeLarge(blocks[i])
		h.Free(class, objects[i])
	}
	return nil
}

// TestFewMappings returns every second page, and OS pages inside of spans, to the
// system again and again, with blocks of all sizes between.
func TestFewMappings(t *testing.T) {
	const rounds, slabs = 4, 3 // mappings of the slabs, all of which are backed
	inChild(t, func() error {
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: 512 << 20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		for round := range rounds {
			if err := holes(&h); err != nil {
				return err
			}
			for size := holeSize << round; size < 4<<20; size *= 3 {
				block, _, err := h.AllocLarge(size, 1)
				if err != nil {
					return err
				}
				fillPage(block)
				if round%2 == 0 {
					h.FreeLarge(block)
				}
			}
			released, err := h.Trim(func() bool { return true })
			if err != nil || released < int64(holed/2*holeSize) {
				return fmt.Errorf("%d bytes are returned: %v", released, err)
			}
			if count, err := mappings(&h); err != nil || count == 0 || count+slabs >= mostMappings {
				return fmt.Errorf("%d mappings and %d of the slabs for a heap in holes: %v", count, slabs, err)
			}
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestLockedMemory has all future memory locked, as mlockall does: a reservation
// takes none for that, and what is free is returned and stays locked. A kernel that
// takes no locked memory back (before 5.18) says so, and takes it when the lock is over.
func TestLockedMemory(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &limit); err != nil || limit.Cur == 0 && os.Geteuid() != 0 {
		t.Skipf("no program may lock memory here: RLIMIT_MEMLOCK is %d, %v", limit.Cur, err)
	}
	inChild(t, func() error {
		if err := unix.Mlockall(unix.MCL_FUTURE); err != nil {
			return fmt.Errorf("mlockall: %w", err)
		}
		var h Heap
		err := h.Open(Config{Name: "test", Reserve: min(4<<30, MaxReserve), Budget: NewBudget("test", nil, 0, 0)})
		if _, mapError := unix.Mmap(-1, 0, 64<<20, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON); mapError != nil {
			// Without CAP_IPC_LOCK addresses count towards the limit.
			if !errors.Is(err, ErrNoMemory) || !strings.Contains(err.Error(), "RLIMIT_MEMLOCK is ") {
				return fmt.Errorf("more locked than allowed: %w", err)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if resident, err := statusBytes("VmRSS"); err != nil || resident > uint64(h.size)/4 {
			return fmt.Errorf("%d bytes resident with a reservation of %d: %v", resident, h.size, err)
		}
		if err := holes(&h); err != nil {
			return err
		}
		locked, _ := statusBytes("VmLck")
		resident, _ := statusBytes("VmRSS")
		released, err := h.Trim(func() bool { return true })
		after, statusError := statusBytes("VmRSS")
		if statusError != nil {
			return statusError
		}
		if _, _, errno := unix.Syscall(unix.SYS_MADVISE, 0, 0, unix.MADV_DONTNEED_LOCKED); errno != 0 {
			if !errors.Is(err, unix.EINVAL) || !strings.Contains(err.Error(), "Linux 5.18 can") || released != 0 {
				return fmt.Errorf("Trim of locked memory: %d bytes, %v", released, err)
			}
		} else {
			// Most of what is returned was resident; the runtime may have taken some.
			if want := holed / 2 * holeSize; err != nil || released < int64(want) || after+uint64(want)*3/4 > resident {
				return fmt.Errorf("Trim of locked memory: %d bytes, %v; resident: %d before, %d after, of %d", released, err, resident, after, want)
			}
			if still, err := statusBytes("VmLck"); err != nil || still < locked { // the runtime may have mapped more
				return fmt.Errorf("%d bytes are locked, %d were before: %v", still, locked, err)
			}
			return errors.Join(h.CheckInvariants(), unix.Munlockall(), h.Close())
		}
		if err := h.CheckInvariants(); err != nil {
			return err
		}
		if err := unix.Munlockall(); err != nil {
			return err
		}
		released, err = h.Trim(func() bool { return true })
		if err != nil || released < int64(holed/2*holeSize) {
			return fmt.Errorf("unlocked, %d bytes are returned: %v", released, err)
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestOpenWithoutMappings has as many mappings as vm.max_map_count allows: the error
// says so, and a heap that is open goes on.
func TestOpenWithoutMappings(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/vm/max_map_count")
	if err != nil {
		t.Fatal(err)
	}
	most := 0 // OS pages, of which every second is a mapping, and the others are
	if _, err := fmt.Sscan(string(text), &most); err != nil {
		t.Fatal(err)
	}
	page := unix.Getpagesize()
	if uint64(most)*uint64(page) > uint64(MaxReserve)*4 {
		t.Skipf("there are not enough addresses for vm.max_map_count = %d", most)
	}
	inChild(t, func() error {
		var h, second Heap
		if err := h.Open(Config{Name: "test", Reserve: 512 << 20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		if err := holes(&h); err != nil {
			return err
		}
		memory, err := unix.Mmap(-1, 0, most*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err != nil {
			return err
		}
		made, spare := 1, 2
		for ; err == nil && made < most; made += 2 {
			err = unix.Mprotect(memory[made*page:][:page], unix.PROT_READ)
		}
		if err != unix.ENOMEM {
			return fmt.Errorf("%d mappings made: %w", made, err)
		}
		// The runtime ends the process if it can make no thread, so leave it four: a heap
		// takes more.
		for made -= 2; made > 1 && spare > 0; spare-- {
			made -= 2
			if err := unix.Mprotect(memory[made*page:][:page], unix.PROT_NONE); err != nil {
				return err
			}
		}
		openError := second.Open(Config{Name: "test", Reserve: 16 << 20, Budget: NewBudget("test", nil, 0, 0)})
		released, trimError := h.Trim(func() bool { return true })
		if err := unix.Munmap(memory); err != nil {
			return err
		}
		if !errors.Is(openError, ErrNoMemory) || !strings.Contains(openError.Error(), "vm.max_map_count") {
			return fmt.Errorf("with %d mappings: %v", made, openError)
		}
		if trimError != nil || released < int64(holed/2*holeSize) {
			return fmt.Errorf("%d bytes are returned: %v", released, trimError)
		}
		if err := second.Open(Config{Name: "test", Reserve: 16 << 20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return fmt.Errorf("with mappings again: %w", err)
		}
		return errors.Join(h.CheckInvariants(), h.Close(), second.Close())
	})
}
