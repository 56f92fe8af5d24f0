package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// TestNothingChanges runs the generator into another folder and compares.
func TestNothingChanges(t *testing.T) {
	root := t.TempDir()
	for _, folder := range []string{"arena", "docs"} {
		if err := os.Mkdir(filepath.Join(root, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	args := os.Args
	os.Args = []string{"gen", root}
	main()
	os.Args = args
	for _, path := range []string{"arena/zsizeclass.go", "docs/size-classes.md"} {
		got, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("../..", path))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what arena/gen writes: run go generate ./arena", path)
		}
	}
}
