package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTables applies every mutant to the sources as they are: each must change
// exactly one place of each of its hunks.
func TestTables(t *testing.T) {
	mutants, err := readTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		texts, at, err := m.change(filepath.Join("..", ".."))
		if err != nil {
			t.Error(err)
			continue
		}
		if at.line <= 0 || len(texts) == 0 {
			t.Errorf("%s: %+v, %d files", m.id(), at, len(texts))
		}
		for file, text := range texts {
			before, err := os.ReadFile(filepath.Join("..", "..", file))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Join(strings.Fields(string(before)), " ") == strings.Join(strings.Fields(text), " ") {
				t.Errorf("%s does not change %s", m.id(), file)
			}
		}
	}
}
