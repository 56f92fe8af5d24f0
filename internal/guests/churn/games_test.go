//go:build linux && (amd64 || arm64)

package main

import (
	"testing"
	"time"
	"unsafe"
)

// TestGamesNotice plays a moment, which must be fine, and then commits each fault
// that the games are there for.
func TestGamesNotice(t *testing.T) {
	g := &game{end: time.Now().Add(50 * time.Millisecond)}
	tokens, blocks := newTokens(g), newBlocks(g)
	tokens.play(1)
	blocks.play(1)
	tokens.checkNoneLost()
	blocks.checkNoneLost()
	if len(g.failures) > 0 {
		t.Fatalf("without a fault: %q", g.failures)
	}
	for name, fault := range map[string]func(){
		"doubled": func() { tokens.put(tokens.reserve[0]); tokens.checkNoneLost() },
		"owned":   func() { tokens.all[0].owner.Store(9); tokens.put(unsafe.Pointer(&tokens.all[0])); tokens.round(1) },
		"written": func() {
			b, err := blocks.memory.Alloc(64)
			if err != nil {
				t.Fatal(err)
			}
			b[7] = 1
			blocks.retire(b)
		},
		"never": func() { (&disturbance{name: "none"}).run(&game{end: time.Now()}); (&disturbance{name: "none"}).run(g) },
	} {
		g.failures = nil
		fault()
		if len(g.failures) == 0 {
			t.Errorf("%s: not noticed", name)
		}
	}
}

// TestGameWaitsForDisturbances: however slow the machine is, each happens, unless
// it never does.
func TestGameWaitsForDisturbances(t *testing.T) {
	now := time.Now()
	g := &game{end: now, latest: now.Add(time.Hour)}
	g.awaited.Store(1)
	late := &disturbance{name: "late", act: func(*game) error { return nil }}
	if late.run(g); late.times != 1 || g.running() || len(g.failures) > 0 {
		t.Errorf("it happened %d times, and the game goes on: %v, %q", late.times, g.running(), g.failures)
	}
	g = &game{end: now, latest: now.Add(50 * time.Millisecond)}
	g.awaited.Store(1)
	(&disturbance{name: "refused", act: func(*game) error { return notNow }}).run(g)
	if g.running() || len(g.failures) != 1 {
		t.Errorf("the game goes on: %v, %q", g.running(), g.failures)
	}
}

// TestIDsAreCounted plays with ids that are made up.
func TestIDsAreCounted(t *testing.T) {
	g := &game{}
	for _, id := range []int32{3, 0, 3, 5} {
		g.ids.Store(id, nil)
	}
	if count, highest := g.seen(); count != 3 || highest != 5 {
		t.Errorf("%d ids, the highest %d; want 3 and 5", count, highest)
	}
}
