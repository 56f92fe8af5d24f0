//go:build (amd64 || arm64) && !vcpualloc_gomem

package arena

import (
	"errors"
	"runtime"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/vcpualloc/vcpualloc/internal/modes/filter"
)

// refusing runs body on a thread of its own on which the kernel refuses all madvise calls
// with EPERM.
func refusing(t *testing.T, body func()) {
	t.Helper()
	rule, err := filter.Parse("madvise=EPERM")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // and the thread ends with the goroutine
		err := filter.Install([]filter.Rule{rule})
		defer func() { done <- err }()
		if err == nil {
			body()
		}
	}()
	if err := <-done; err != nil {
		t.Skipf("no filter can be installed here: %v", err)
	}
}

// TestSweepRefused has the system refuse the pieces of a span: nothing is said to be gone
// then. Trim tries again, the background goroutine does not.
func TestSweepRefused(t *testing.T) {
	class := ClassOf(4096)
	h := openHeap(t, MinReserve, 0)
	n := h.nodes[0]
	firsts := spread(t, h, class, 1)
	charged := h.budget.Charged()
	always := func() bool { return true }
	check := func(all bool, refused, left bool) {
		t.Helper()
		released, more, err := h.sweep(all, always)
		if released != 0 || more != left || errors.Is(err, unix.EPERM) != refused || n.gone.pieces.Load() != 0 || h.budget.Charged() != charged {
			t.Errorf("%d bytes released, %d pieces gone, %d bytes charged, before %d; something is left: %t; %v",
				released, n.gone.pieces.Load(), h.budget.Charged(), charged, more, err)
		}
		mustHold(t, h.CheckInvariants())
	}
	refusing(t, func() {
		check(false, false, true) // the first look
		check(false, true, false)
		check(false, false, false)
		check(true, true, false)
		check(false, false, false)
	})
	check(false, false, false)
	want := h.Stats().CachedCentral
	if released, _, err := h.sweep(true, always); released != want || err != nil {
		t.Errorf("%d bytes released, want %d; %v", released, want, err)
	}
	h.giveObjects(class, []unsafe.Pointer{firsts[0]})
	mustHold(t, h.CheckInvariants())
}

// TestForgetGoneUnderFullLimit frees a span under a full limit of which a page is gone
// in part, which is to count again: all of it is returned, or, if the system refuses,
// a piece is not counted.
func TestForgetGoneUnderFullLimit(t *testing.T) {
	class := ClassOf(4096)
	for _, refused := range []bool{false, true} {
		h := openHeap(t, MinReserve, 64<<20)
		n := h.nodes[0]
		firsts := spread(t, h, class, 2) // an odd number of pieces of each
		for _, first := range firsts {
			bytesAt(first, pieceSize)[17] = 1
		}
		h.sweep(true, always)
		page, pages := uint32(h.offsetOf(firsts[0])>>pageShift), classes[class].pages
		if gone := h.spans.at(page).gone; gone%piecesPerPage == 0 || n.gone.pieces.Load() != 2*int64(gone) {
			t.Skipf("%d pieces of a span are gone, since OS pages are larger", gone)
		}
		want := int64(0)
		run, swept := func(body func()) { body() }, n.gone.released.Load()
		if refused {
			run = func(body func()) { refusing(t, body) }
			want = int64(h.spans.residentIn(page, pages)) - 1
		}
		h.budget.limit = h.budget.charged.Load()
		run(func() { h.giveObjects(class, firsts[:1]) })
		if returned := n.gone.released.Load() > swept; returned == refused {
			t.Errorf("refused: %t, and the system has taken memory: %t", refused, returned)
		}
		if got := int64(h.spans.residentIn(page, pages)); got != want || h.spans.at(page).state != spanFree {
			t.Errorf("refused: %t: %d pages of the span are resident, want %d", refused, got, want)
		}
		for page := page; page < uint32(h.offsetOf(firsts[0])>>pageShift)+pages; page++ {
			if *h.spans.goneAt(page) == bare && !isZero(bytesAt(h.addressOf(page), PageSize)) {
				t.Errorf("refused: %t: page %d is bare, and not zero", refused, page)
			}
		}
		mustHold(t, h.CheckInvariants())
		h.giveObjects(class, firsts[1:])
		mustHold(t, h.CheckInvariants())
	}
}

// TestReturnRefused has the system refuse free pages while all are to be returned: it ends,
// tells the error, and tries none of them again until retry.
func TestReturnRefused(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	p := &h.nodes[0].pages
	before := p.released
	freePages(t, h, 5*growPages)
	resident := p.residentNow()
	refusing(t, func() {
		if returned, err := p.trim(always); returned != 0 || !errors.Is(err, unix.EPERM) {
			t.Errorf("%d pages were returned; %v", returned, err)
		}
	})
	mustHold(t, h.CheckInvariants())
	if asked := p.asked; p.canReturn() || p.returnPages(maxPages, true) != 0 || p.asked != asked || p.residentNow() != resident {
		t.Errorf("%d pages are resident, before %d; what was refused is tried again: %t", p.residentNow(), resident, p.asked != asked)
	}
	// Free pages beside them are no reason to try those that were refused.
	block, _, err := h.AllocLarge(2*growPages<<pageShift, 1)
	if err != nil {
		t.Fatal(err)
	}
	h.FreeLarge(block)
	mustHold(t, h.CheckInvariants())
	if returned, err := p.trim(always); returned != resident || err != nil || p.released != before+resident {
		t.Errorf("%d pages were returned, want %d; %v", returned, resident, err)
	}
	mustHold(t, h.CheckInvariants())
}
