//go:build unix

package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestOneRunHoldsTheCache: a second one is told so, until the first has ended.
func TestOneRunHoldsTheCache(t *testing.T) {
	cache := t.TempDir()
	first, err := lock(cache)
	if err != nil {
		t.Fatal(err)
	}
	if second, err := lock(cache); err == nil || !strings.Contains(err.Error(), "-cache") {
		t.Errorf("a second run gets %v, %v", second, err)
	}
	first.Close()
	third, err := lock(cache)
	if err != nil {
		t.Errorf("after the first: %v", err)
	}
	third.Close()
}

// TestAnotherMirrorIsAsked: lists of one mirror do not stand for another's.
func TestAnotherMirrorIsAsked(t *testing.T) {
	one := &archive{folder: t.TempDir(), arch: "amd64", suites: []string{"trixie"}, mirror: "http://mirror.test/debian"}
	if one.isOpen() {
		t.Error("nothing was fetched yet")
	}
	if err := os.WriteFile(filepath.Join(one.folder, sourcesList), []byte(one.sources()), 0o600); err != nil {
		t.Fatal(err)
	}
	other := *one
	other.mirror = "http://other.test/debian"
	if !one.isOpen() || other.isOpen() {
		t.Errorf("open: %v, and of another mirror: %v; want true, false", one.isOpen(), other.isOpen())
	}
}

// TestRefusedListsAreAskedForOnce: each row of an architecture is told the same,
// with what to do, at once.
func TestRefusedListsAreAskedForOnce(t *testing.T) {
	k := &kernels{
		folder: t.TempDir(), mirror: "file:/no/such/mirror", progress: func(string, ...any) {},
		archives: map[string]*archive{}, offers: map[string][]available{}, refused: map[string]error{"amd64": errors.New("refused before")},
	}
	if _, err := k.image(context.Background(), Row{Arch: "amd64"}); err == nil || err.Error() != "refused before" {
		t.Errorf("the second row gets %v", err)
	}
	k.offers["arm64"] = nil
	if _, err := k.image(context.Background(), Row{Arch: "arm64", Suite: "trixie"}); err == nil || !strings.Contains(err.Error(), "What to do") {
		t.Errorf("a row without a package gets %v", err)
	}
}

// TestEmulatorIsMissing: neither unpacked nor installed.
func TestEmulatorIsMissing(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := (&emulator{root: t.TempDir()}).check(); err == nil || !strings.Contains(err.Error(), "What to do") {
		t.Errorf("without QEMU: %v", err)
	}
	if err := checkNeeded(); err == nil || !strings.Contains(err.Error(), "dpkg-deb") || !strings.Contains(err.Error(), "What to do") {
		t.Errorf("without apt: %v", err)
	}
}
