package layout

import (
	"bytes"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const (
	module   = "github.com/vcpualloc/vcpualloc"
	root     = "../.."
	maxLines = 600
)

// floors from the bottom. A floor imports those below it and internal/.
var floors = []string{"vcpu", "rseqcs", "arena", "alloc"}

// allowed are the modules that the core may depend on.
var allowed = []string{"golang.org/x/sys", "github.com/klauspost/cpuid/v2", "github.com/dustin/go-humanize"}

// floorOf returns the index of the floor of a package of the module, or -1.
func floorOf(path string) int {
	for i, floor := range floors {
		if path == floor || strings.HasPrefix(path, floor+"/") {
			return i
		}
	}
	return -1
}

// eachFile calls visit for each file of the core with its path from the root.
func eachFile(t *testing.T, visit func(path string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			hidden := strings.HasPrefix(entry.Name(), ".") && relative != "."
			if _, err := os.Stat(filepath.Join(path, "go.mod")); hidden || err == nil && relative != "." {
				return filepath.SkipDir // another module
			}
			return nil
		}
		visit(relative)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestFloorsImportDownwards(t *testing.T) {
	seen := 0
	eachFile(t, func(path string) {
		if !strings.HasSuffix(path, ".go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, path), nil, parser.ImportsOnly)
		if err != nil {
			t.Error(err)
			return
		}
		from := floorOf(filepath.ToSlash(filepath.Dir(path)))
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			seen++
			if inside, ok := strings.CutPrefix(imported, module+"/"); ok {
				to := floorOf(inside)
				if from >= 0 && to > from {
					t.Errorf("%s, of floor %s, imports %s above it", path, floors[from], inside)
				}
				// The ground of all floors stands on none of them; tools and tests
				// below internal/ may use any.
				if isGround(path) && to >= 0 {
					t.Errorf("%s imports the floor %s", path, inside)
				}
			} else if strings.Contains(strings.Split(imported, "/")[0], ".") && !isAllowed(imported) {
				t.Errorf("%s imports %s, which the core does not depend on", path, imported)
			}
		}
	})
	if seen < 100 {
		t.Errorf("only %d imports found", seen)
	}
}

// isGround reports whether a file belongs to the packages that the floors import.
func isGround(path string) bool {
	for _, ground := range []string{"rseq", "regcall", "procpin", "osmem"} {
		if strings.HasPrefix(filepath.ToSlash(path), "internal/"+ground+"/") {
			return true
		}
	}
	return false
}

func isAllowed(imported string) bool {
	for _, dependency := range allowed {
		if imported == dependency || strings.HasPrefix(imported, dependency+"/") {
			return true
		}
	}
	return false
}

func TestFilesFitInAHead(t *testing.T) {
	eachFile(t, func(path string) {
		extension := filepath.Ext(path)
		if extension != ".go" && extension != ".s" && extension != ".h" {
			return
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		generated := strings.HasPrefix(filepath.Base(path), "z")
		if lines := bytes.Count(content, []byte("\n")); lines > maxLines && !generated {
			t.Errorf("%s has %d lines, at most %d fit", path, lines, maxLines)
		}
		if saysGenerated := bytes.HasPrefix(content, []byte("// Code generated")); saysGenerated != generated {
			t.Errorf("%s: generated files, and only they, have names that begin with z", path)
		}
	})
}
