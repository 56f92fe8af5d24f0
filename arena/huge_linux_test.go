//go:build linux && !vcpualloc_gomem

package arena

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/osmem"
	"github.com/vcpualloc/vcpualloc/internal/stress"
)

// inHugePages returns how many bytes of a range the kernel has in huge pages, and how
// many in all.
func inHugePages(t *testing.T, base unsafe.Pointer, size uintptr) (huge, resident int64) {
	t.Helper()
	file, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, inside := bufio.NewScanner(file), false
	for lines.Scan() {
		var begin, end uintptr
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x ", &begin, &end); n == 2 {
			inside = begin >= uintptr(base) && end <= uintptr(base)+size
			continue
		}
		var kilobytes int64
		name, value, _ := strings.Cut(lines.Text(), ":")
		if fmt.Sscan(value, &kilobytes); inside && name == "AnonHugePages" {
			huge += kilobytes << 10
		} else if inside && name == "Rss" {
			resident += kilobytes << 10
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return huge, resident
}

// unusedPage is the page that no heap uses, and that is part of a huge page.
const unusedPage = firstPage * PageSize

// givesHuge reports whether the kernel puts most of a range into huge pages where it is
// advised to, or where they are to be collapsed.
func givesHuge(t *testing.T, size uintptr, collapse bool) bool {
	t.Helper()
	const advise, collapseNow = unix.MADV_HUGEPAGE, 25 // MADV_COLLAPSE, include/uapi/asm-generic/mman-common.h
	mapped, err := unix.MmapPtr(-1, 0, nil, size+osmem.Align, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.MunmapPtr(mapped, size+osmem.Align)
	base := unsafe.Add(mapped, -uintptr(mapped)&(osmem.Align-1))
	memory := unsafe.Slice((*byte)(base), size)
	unix.Madvise(memory, unix.MADV_DONTFORK) // so that it is a mapping of its own in smaps
	if !collapse {
		unix.Madvise(memory, advise)
	}
	touch(base, int(size))
	if collapse {
		unix.Madvise(memory, collapseNow)
	}
	huge, _ := inHugePages(t, base, size)
	return huge >= int64(size)/2
}

// TestRealHugePages asks the kernel which memory is in huge pages.
func TestRealHugePages(t *testing.T) {
	const size, each = 64 << 20, 1 << 20
	info, err := osmem.ReadHuge()
	if err != nil || info.Size != osmem.Align {
		t.Skipf("no huge pages of 2 MiB: %+v, %v", info, err)
	}
	enabled, err := os.ReadFile("/sys/kernel/mm/transparent_hugepage/enabled")
	if err != nil {
		t.Fatal(err)
	}
	canCollapse := new(osmem.Range).Collapse(0, 0) == nil
	for _, row := range []struct {
		policy HugePages
		limit  int64
		works  bool // there are to be huge pages
	}{
		{HugeNever, 0, false},
		{HugeSystem, 2 * size, false},
		{HugeAdvise, 0, !strings.Contains(string(enabled), "[never]")},
		{HugeCollapse, 0, canCollapse || info.Always},
		{HugeAdvise, 2 * size, canCollapse && !info.Always},
		{HugeCollapse, 2 * size, canCollapse && !info.Always},
	} {
		if row.works && !givesHuge(t, size, row.policy == HugeCollapse || row.limit > 0) {
			t.Logf("%v, limit %d: not tested, this kernel gives no huge pages now: its memory is in pieces, or they are forbidden", row.policy, row.limit)
			continue
		}
		h := new(Heap)
		if err := h.Open(Config{Name: "test", Reserve: 512 << 20, Budget: NewBudget("test", nil, row.limit, 0), Huge: row.policy}); err != nil {
			t.Fatal(err)
		}
		h.ReleaseAfter(20 * time.Millisecond)
		var blocks []unsafe.Pointer
		for range size / each {
			block, _, err := h.AllocLarge(each, 1)
			if err != nil {
				t.Fatal(err)
			}
			touch(block, each)
			blocks = append(blocks, block)
		}
		huge, resident := inHugePages(t, h.base, h.size)
		if row.works {
			stress.Until(t, func() error {
				if huge, resident = inHugePages(t, h.base, h.size); huge < size/2 {
					return fmt.Errorf("%v, limit %d: %d of %d bytes are in huge pages", row.policy, row.limit, huge, size)
				}
				return nil
			})
		}
		s := h.Stats()
		t.Logf("%v, limit %d: %s %s; %d of %d bytes in huge pages, %d collapsed", row.policy, row.limit, s.HugePages, s.HugePagesReason, huge, resident, s.HugeCollapsed)
		if (huge > 0) != row.works || row.works && huge < size/2 {
			t.Errorf("%v, limit %d (%s): %d of %d bytes are in huge pages", row.policy, row.limit, s.HugePages, huge, size)
		}
		if resident > s.Backed+unusedPage {
			t.Errorf("%v, limit %d: %d bytes are resident, %d backed", row.policy, row.limit, resident, s.Backed)
		}
		checkHugeReturn(t, h, blocks, each)
		h.upkeep.end()
		mustHold(t, h.CheckInvariants())
		mustHold(t, h.Close())
	}
}

// checkHugeReturn frees every second block, and then all.
func checkHugeReturn(t *testing.T, h *Heap, blocks []unsafe.Pointer, each int64) {
	t.Helper()
	for i := 0; i < len(blocks); i += 2 {
		h.FreeLarge(blocks[i])
	}
	if _, err := h.Trim(func() bool { return true }); err != nil {
		t.Fatal(err)
	}
	half := int64(len(blocks)) / 2 * each
	if _, resident := inHugePages(t, h.base, h.size); resident > half+half/8 || resident > h.Stats().Backed+unusedPage {
		t.Errorf("half is free, and trimmed: %d bytes are resident, %d backed", resident, h.Stats().Backed)
	}
	for i := 1; i < len(blocks); i += 2 {
		h.FreeLarge(blocks[i])
	}
	h.Trim(func() bool { return true })
	if huge, resident := inHugePages(t, h.base, h.size); resident > each || huge > 0 {
		t.Errorf("all is free, and trimmed: %d bytes are resident, %d in huge pages", resident, huge)
	}
}

// TestFewMappingsHuge returns every second page of heaps that asked for huge pages.
func TestFewMappingsHuge(t *testing.T) {
	for _, policy := range []HugePages{HugeNever, HugeAdvise, HugeCollapse} {
		h := new(Heap)
		if err := h.Open(Config{Name: "test", Reserve: 256 << 20, Budget: NewBudget("test", nil, 0, 0), Huge: policy}); err != nil {
			t.Fatal(err)
		}
		if err := holes(h); err != nil {
			t.Fatal(err)
		}
		h.Trim(func() bool { return true })
		h.collapse()
		count, err := mappingsOf(h)
		if err != nil || count > 12 {
			t.Errorf("%v: %d mappings, %v", policy, count, err)
		}
		mustHold(t, h.CheckInvariants())
		mustHold(t, h.Close())
	}
}

// TestHugePagesForbidden: a process may have none at all, which is told.
func TestHugePagesForbidden(t *testing.T) {
	if _, err := osmem.ReadHuge(); err != nil {
		t.Skip(err)
	}
	inChild(t, func() error {
		if err := unix.Prctl(unix.PR_SET_THP_DISABLE, 1, 0, 0, 0); err != nil {
			return err
		}
		var h Heap
		if err := h.Open(Config{Name: "test", Reserve: 256 << 20, Budget: NewBudget("test", nil, 64<<20, 0), Huge: HugeCollapse}); err != nil {
			return err
		}
		if h.huge != HugeCollapse {
			fmt.Println(h.hugeReason)
			return h.Close() // an old kernel, or one where they are always on
		}
		block, _, err := h.AllocLarge(16<<20, 1)
		if err != nil {
			return err
		}
		touch(block, 16<<20)
		for range 4 {
			h.collapse()
		}
		if s := h.Stats(); s.HugeCollapsed > 0 || s.HugePagesReason == "" {
			return fmt.Errorf("%d collapsed, since %q", s.HugeCollapsed, s.HugePagesReason)
		}
		if err := h.CheckInvariants(); err != nil {
			return err
		}
		return h.Close()
	})
}

// BenchmarkFirstTouch writes to every OS page of 1 GiB that was never touched.
func BenchmarkFirstTouch(b *testing.B) {
	const size = 1 << 30
	for _, policy := range []HugePages{HugeNever, HugeAdvise} {
		b.Run("huge="+policy.String(), func(b *testing.B) {
			h := new(Heap)
			if err := h.Open(Config{Name: "test", Reserve: 2 << 30, Budget: NewBudget("test", nil, 0, 0), Huge: policy}); err != nil {
				b.Fatal(err)
			}
			defer h.Close()
			faults := int64(0)
			for b.Loop() {
				block, _, err := h.AllocLarge(size, 1)
				if err != nil {
					b.Fatal(err)
				}
				var before, after unix.Rusage
				unix.Getrusage(unix.RUSAGE_SELF, &before)
				touch(block, size)
				unix.Getrusage(unix.RUSAGE_SELF, &after)
				faults += int64(after.Minflt) - int64(before.Minflt)
				h.FreeLarge(block)
				h.Trim(func() bool { return true })
			}
			b.ReportMetric(float64(faults)/float64(b.N), "faults/op")
		})
	}
}
