package arena

import (
	"errors"
	"testing"
	"time"
	"unsafe"
)

// TestRescueIsShared: what one has looked for in vain, those who failed before it
// ended do not look for again.
func TestRescueIsShared(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	refused := errors.New("refused")
	tries := 0
	never := func() error { tries++; return refused }
	ask := func(what string, seen uint64, pages int64, try func() error, wantTries int, wantRound bool) {
		t.Helper()
		before := h.rescue.rounds.Load()
		tries = 0
		if err := h.insist(seen, 0, pages, refused, try); (err == nil) != (tries == 0) {
			t.Errorf("%s: the error is %v after %d failed tries", what, err, tries)
		}
		if round := h.rescue.rounds.Load() != before; round != wantRound || tries != wantTries {
			t.Errorf("%s: a round: %v, and %d failed tries; want %v and %d", what, round, tries, wantRound, wantTries)
		}
	}
	before := h.rescue.rounds.Load()
	ask("the first", before, 2, never, 1, true)
	ask("one that failed before that", before, 2, never, 1, false)
	ask("one that wants more", before, 3, never, 1, false)
	ask("one that wants less", before, 1, never, 2, true)
	ask("one that fails later", h.rescue.rounds.Load(), 1, never, 1, true)
	served := func() error { return nil }
	ask("one that others have served", before, 1, served, 0, false)
	ask("one with success", h.rescue.rounds.Load(), 1, served, 0, true)
	ask("one after a success", before, 1, never, 2, true)
}

// TestRescueHasItsShare lets making room take all the time that there is for it.
func TestRescueHasItsShare(t *testing.T) {
	var r rescue
	if !r.mayLook() {
		t.Error("there is no time for a first round")
	}
	const round = time.Hour // no machine is so slow that it goes by meanwhile
	now := time.Now()
	r.spent, r.until = rescueBurst+round, now
	if r.mayLook() {
		t.Error("there is time for a round after the burst")
	}
	r.until = now.Add(-rescueShare * round)
	if !r.mayLook() {
		t.Errorf("there is no time for a round %v later", rescueShare*round)
	}
	r.spent, r.until, r.last = rescueRounds*time.Second-1, time.Now(), time.Second
	if !r.mayLook() {
		t.Errorf("rounds that take a second each have less than %d", rescueRounds)
	}
	r.last = 0
	// Of the time, four fifths of a round's have passed: once, not each time that one asks.
	r.spent, r.until = rescueBurst+round, time.Now().Add(-rescueShare*round*4/5)
	if r.mayLook() || r.mayLook() {
		t.Error("there is time for a round too early")
	}
}

// TestFullLimitRefusesAtOnce: what only a round can find is not found where rounds
// have had their time, and is later.
func TestFullLimitRefusesAtOnce(t *testing.T) {
	const limit = 8 << 20
	h := openHeap(t, MinReserve, limit)
	class := ClassOf(64)
	var objects []unsafe.Pointer
	for {
		object, err := h.Alloc(class)
		if err != nil {
			break
		}
		objects = append(objects, object)
	}
	// One object of each page of the heap stays, or whole spans become free.
	kept := map[uintptr]unsafe.Pointer{}
	for _, object := range objects {
		if page := h.offsetOf(object) >> pageShift; kept[page] == nil {
			kept[page] = object
		} else {
			h.Free(class, object)
		}
	}
	other := ClassOf(4096)
	h.rescue.spent, h.rescue.until = time.Hour, time.Now()
	rounds := h.rescue.rounds.Load()
	if object, err := h.Alloc(other); !errors.Is(err, ErrLimit) || h.rescue.rounds.Load() != rounds {
		t.Errorf("without time for a round there is %v and error %v", object, err)
	}
	if h.LookAgain(); h.rescue.spent >= rescueBurst {
		t.Errorf("to look again, %v too much are spent", h.rescue.spent-rescueBurst)
	}
	h.rescue.spent = 0
	object, err := h.Alloc(other)
	if err != nil {
		t.Fatalf("with time for a round: %v", err)
	}
	if h.rescue.spent <= 0 {
		t.Errorf("a round took %v", h.rescue.spent)
	}
	h.Free(other, object)
	for _, object := range kept {
		h.Free(class, object)
	}
	mustHold(t, h.CheckInvariants())
}

// TestLookAgainAllowsOneLook: after any time that was spent there is one more look, and who
// has spent less loses nothing.
func TestLookAgainAllowsOneLook(t *testing.T) {
	h := openHeap(t, MinReserve, 0)
	r := &h.rescue
	for _, last := range []time.Duration{0, time.Second} {
		r.last = last
		burst := r.burst()
		for _, row := range []struct{ spent, want time.Duration }{
			{time.Hour, burst - 1}, {burst, burst - 1}, {burst - 1, burst - 1}, {1, 1}, {0, 0},
		} {
			r.spent = row.spent
			if h.LookAgain(); r.spent != row.want {
				t.Errorf("the last round took %v: %v of %v spent, to look again %v, want %v", last, row.spent, burst, r.spent, row.want)
			}
		}
	}
	if !r.mu.TryLock() {
		t.Error("the lock is held")
	}
	r.mu.Unlock()
}
