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
)

// mostMappings is what a heap may cost of vm.max_map_count.
const mostMappings = 32

// mappings returns how many mappings the process has.
func mappings() (int, error) {
	maps, err := os.ReadFile("/proc/self/maps")
	return strings.Count(string(maps), "\n"), err
}

// holed is how many blocks of a page, and how many objects of 4 KiB, holes makes.
const holed = 4000

// holes makes as many holes in a heap as there can be: it frees every second block
// of a page, and every second object of a class.
func holes(h *Heap) error {
	class := ClassOf(4096)
	var blocks, objects [holed]unsafe.Pointer
	for i := range holed {
		var err error
		if blocks[i], _, err = h.AllocLarge(PageSize, 1); err != nil {
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

func fillPage(block unsafe.Pointer) {
	for i := range PageSize {
		*(*byte)(unsafe.Add(block, i)) = 1
	}
}

// TestFewMappings returns every second page, and OS pages inside of spans, to the
// system.
func TestFewMappings(t *testing.T) {
	inChild(t, func() error {
		before, err := mappings()
		if err != nil {
			return err
		}
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: 256 << 20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		if err := holes(&h); err != nil {
			return err
		}
		released, err := h.Trim(func() bool { return true })
		if err != nil || released < holed/2*PageSize {
			return fmt.Errorf("%d bytes are returned: %v", released, err)
		}
		// The runtime may have made some for its threads and its heap.
		const others = 8
		after, err := mappings()
		if err != nil || after-before > mostMappings+others {
			return fmt.Errorf("%d mappings before, %d with a heap in holes: %v", before, after, err)
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestLockedMemory has all future memory locked, as mlockall does: a reservation
// takes none for that, what cannot be returned is told, and it is returned when
// the lock is over.
func TestLockedMemory(t *testing.T) {
	inChild(t, func() error {
		if err := unix.Mlockall(unix.MCL_FUTURE); err != nil {
			// Without CAP_IPC_LOCK the limit may forbid it: then nobody else can either.
			fmt.Println("mlockall:", err)
			return nil
		}
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: min(4<<30, MaxReserve), Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		if resident, err := statusBytes("VmRSS"); err != nil || resident > uint64(h.size)/4 {
			return fmt.Errorf("%d bytes resident with a reservation of %d: %v", resident, h.size, err)
		}
		if err := holes(&h); err != nil {
			return err
		}
		if _, err := h.Trim(func() bool { return true }); !errors.Is(err, unix.EINVAL) {
			return fmt.Errorf("Trim of locked memory: %v", err)
		}
		if err := h.CheckInvariants(); err != nil {
			return err
		}
		if err := unix.Munlockall(); err != nil {
			return err
		}
		released, err := h.Trim(func() bool { return true })
		if err != nil || released < holed/2*PageSize {
			return fmt.Errorf("unlocked, %d bytes are returned: %v", released, err)
		}
		return errors.Join(h.CheckInvariants(), h.Close())
	})
}

// TestOpenWithoutMappings has as many mappings as vm.max_map_count allows: the error
// says so, and a heap that is open goes on.
func TestOpenWithoutMappings(t *testing.T) {
	inChild(t, func() error {
		var h, second Heap
		if err := h.Open(Config{Name: "test", Reserve: 64<<20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return err
		}
		if err := holes(&h); err != nil {
			return err
		}
		const most = 1 << 22 // OS pages; no kernel is set to allow so many mappings
		page := unix.Getpagesize()
		memory, err := unix.Mmap(-1, 0, most*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
		if err != nil {
			return err
		}
		made := 1
		for ; err == nil && made < most; made += 2 {
			err = unix.Mprotect(memory[made*page:][:page], unix.PROT_READ)
		}
		if err != unix.ENOMEM {
			return fmt.Errorf("%d mappings made: %w", made, err)
		}
		openError := second.Open(Config{Name: "test", Reserve: 16<<20, Budget: NewBudget("test", nil, 0, 0)})
		released, trimError := h.Trim(func() bool { return true })
		if err := unix.Munmap(memory); err != nil {
			return err
		}
		if !errors.Is(openError, ErrNoMemory) || !strings.Contains(openError.Error(), "vm.max_map_count") {
			return fmt.Errorf("with %d mappings: %v", made, openError)
		}
		if trimError != nil || released < holed/2*PageSize {
			return fmt.Errorf("%d bytes are returned: %v", released, trimError)
		}
		if err := second.Open(Config{Name: "test", Reserve: 16<<20, Budget: NewBudget("test", nil, 0, 0)}); err != nil {
			return fmt.Errorf("with mappings again: %w", err)
		}
		return errors.Join(h.CheckInvariants(), h.Close(), second.Close())
	})
}
